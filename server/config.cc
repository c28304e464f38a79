#include "server/config.h"

#include <arpa/inet.h>
#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "kernels/base/errors.h"
#include "server/setting.h"
#include "server/version.h"

namespace braid {
namespace {

constexpr int64_t kMaxConfigFileBytes = 1 << 20;

// One source's values, by setting name.
struct Given {
  std::string place;  // how errors name it: "--port", "BRAID_PORT", "braid.yaml: port"
  std::vector<std::string> values;
};
using Source = std::map<std::string, Given>;

const Setting* FindSetting(std::string_view name) {
  for (const Setting& setting : Settings()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

bool IsLoopback(const std::string& address) {
  in_addr v4;
  in6_addr v6;
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  return inet_pton(AF_INET6, address.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string Dashed(absl::string_view name) { return absl::StrReplaceAll(name, {{"_", "-"}}); }

// Variables with our prefix that are not settings: those Kubernetes sets for a Service called "braid" (BRAID_PORT among
// them, as tcp://address:port), and those of the tests and the load client.
bool IsForeign(absl::string_view name, absl::string_view value) {
  return absl::StartsWith(name, "BRAID_SERVICE_") || absl::StartsWith(name, "BRAID_PORT_") ||
         (name == "BRAID_PORT" && absl::StrContains(value, "://")) || absl::StartsWith(name, "BRAID_BENCH_") ||
         absl::StartsWith(name, "BRAID_TEST_") || name == "BRAID_ORACLES" || name == "BRAID_CONFIG";
}

absl::StatusOr<Source> ReadEnvironment(const char* const* environment) {
  Source source;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const absl::string_view entry = *environment;
    const size_t equals = std::min(entry.find('='), entry.size());
    const absl::string_view name = entry.substr(0, equals), value = entry.substr(std::min(equals + 1, entry.size()));
    if (!absl::StartsWith(name, "BRAID_") || IsForeign(name, value)) continue;
    const std::string setting = Dashed(absl::AsciiStrToLower(absl::StripPrefix(name, "BRAID_")));
    if (FindSetting(setting) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": no such setting; `braid serve --help` lists them"));
    }
    source[setting] = {std::string(name), {std::string(value)}};
  }
  return source;
}

std::string ConfigVariable(const char* const* environment) {
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    absl::string_view entry = *environment;
    if (absl::ConsumePrefix(&entry, "BRAID_CONFIG=")) return std::string(entry);
  }
  return "";
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("--config: cannot read ", path));
  std::string text(kMaxConfigFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.gcount() > kMaxConfigFileBytes) return absl::InvalidArgumentError(absl::StrCat("--config: ", path, ": over 1 MiB"));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

// YAML's own words for truth become ours.
std::string ScalarText(const YAML::Node& node) {
  const std::string text = node.Scalar();
  if (node.Tag() == "!") return text;  // quoted
  if (text == "true" || text == "yes") return "on";
  if (text == "false" || text == "no") return "off";
  return text;
}

absl::StatusOr<std::vector<std::string>> NodeValues(const Setting& setting, const YAML::Node& node) {
  if (node.IsScalar()) return std::vector<std::string>{ScalarText(node)};
  if (!setting.repeatable || !node.IsSequence()) {
    return absl::InvalidArgumentError(setting.repeatable ? "a value or a list of values is needed" : "one value is needed");
  }
  std::vector<std::string> values;
  for (const YAML::Node& item : node) {
    if (!item.IsScalar()) return absl::InvalidArgumentError("a list of plain values is needed");
    values.push_back(ScalarText(item));
  }
  return values;
}

absl::StatusOr<Source> ReadDocument(const YAML::Node& document, const std::string& path) {
  Source source;
  if (document.IsNull()) return source;
  if (!document.IsMap()) return absl::InvalidArgumentError(absl::StrCat(path, ": `name: value` lines are needed"));
  for (const auto& entry : document) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "?";
    const std::string place = absl::StrCat(path, ": ", key);
    const Setting* setting = FindSetting(Dashed(key));
    if (setting == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(place, ": no such setting; `braid serve --help` lists them"));
    }
    if (source.contains(setting->name)) return absl::InvalidArgumentError(absl::StrCat(place, ": given twice"));
    const auto values = NodeValues(*setting, entry.second);
    if (!values.ok()) return absl::InvalidArgumentError(absl::StrCat(place, ": ", values.status().message()));
    source[setting->name] = {place, *values};
  }
  return source;
}

absl::StatusOr<Source> ReadFile(const std::string& path) {
  if (path.empty()) return Source();
  ASSIGN_OR_RETURN(const std::string text, ReadConfigFile(path));
  try {
    return ReadDocument(YAML::Load(text), path);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", error.mark.line + 1, ": ", error.msg));
  }
}

absl::Status Apply(const Source& source, Config& config) {
  for (const Setting& setting : Settings()) {
    const auto given = source.find(setting.name);
    if (given == source.end() || given->second.values.empty()) continue;
    const absl::Status status = setting.set(config, given->second.values);
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(given->second.place, ": ", status.message()));
    config.given[setting.name] = absl::StrJoin(given->second.values, ",");
  }
  return absl::OkStatus();
}

// The flags of `braid serve` as CLI11 collects them: all as text.
struct ServeFlags {
  std::map<std::string, std::vector<std::string>> values;
  std::string config_file;
};

void AddServe(CLI::App& serve, ServeFlags& flags) {
  serve.add_option("--config", flags.config_file, "Settings as YAML: the names below without the two dashes")->type_name("FILE");
  for (const Setting& setting : Settings()) {
    if (setting.is_switch) {
      const auto set = [&flags, name = setting.name](int64_t count) { flags.values[name] = {count > 0 ? "on" : "off"}; };
      serve.add_flag_function("--" + setting.name, set, setting.meaning)->group(setting.group);
      continue;
    }
    const bool positional = setting.name == "model";
    CLI::Option* option = serve.add_option(positional ? "MODEL,--model" : "--" + setting.name, flags.values[setting.name],
                                           setting.meaning);
    option->type_name(setting.accepted)->group(setting.group)->expected(1)->allow_extra_args(false);
    option->multi_option_policy(setting.repeatable ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
    if (!setting.standard.empty()) option->default_str(setting.standard);
  }
  serve.footer("Each setting is also BRAID_NAME in the environment (BRAID_MAX_QUEUE for --max-queue) and a line of the "
               "--config file. A flag goes before the environment, that before the file.");
}

void AddInspect(CLI::App& inspect, InspectConfig& config, std::string& memory) {
  inspect.add_option("MODEL", config.model, "Checkpoint folder or .gguf file")->required();
  inspect.add_option("--memory", memory, "Say what fits in this much, such as 4GiB")->type_name("BYTES");
  inspect.add_option("--kv-dtype", config.kv_dtype, "Type of cached keys and values")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))->capture_default_str();
  inspect.add_option("--state-grid", config.state_grid, "Tokens between two recurrent states")
      ->check(CLI::Range(1, 4096))->capture_default_str();
  inspect.add_flag("--json", config.json, "Write JSON");
}

void AddRoute(CLI::App& route, RouterConfig& config) {
  const auto addresses = [&](const char* flag, std::vector<std::string>& field, const char* meaning) {
    route.add_option(flag, field, meaning)->type_name("HOST:PORT,...")->delimiter(',');
  };
  addresses("--workers", config.workers, "Processes that do all; a name may stand for many addresses");
  addresses("--prefill", config.prefill, "Processes of --role prefill: they compute the prompts");
  addresses("--decode", config.decode, "Processes of --role decode: they go on from there, and answer");
  route.add_option("--handover-key-file", config.handover_key_file, "The secret that they share; needed with --prefill")->type_name("FILE");
  route.add_option("--host", config.host, "Address to listen on")->capture_default_str();
  route.add_option("--port", config.port, "HTTP port; 0 takes a free one")->check(CLI::Range(0, 65535))->capture_default_str();
  route.add_option("--api-key-file", config.api_key_file, "Keys that may call; without it the workers look at them")->type_name("FILE");
  route.add_option("--short-prompt-bytes", config.short_prompt_bytes, "Shorter prompts are computed where they are decoded")
      ->check(CLI::Range(0, 1 << 30))->capture_default_str();
  route.add_option("--max-tries", config.max_tries, "Workers asked for one answer, one after another")
      ->check(CLI::Range(1, 100))->capture_default_str();
  route.add_option("--poll-ms", config.poll_ms, "Milliseconds between two looks at a worker")
      ->check(CLI::Range(10, 60'000))->capture_default_str();
  route.add_option("--answer-ms", config.answer_ms, "Milliseconds that it has to answer; three looks without an answer: it is lost")
      ->check(CLI::Range(10, 600'000))->capture_default_str();
  route.add_option("--resolve-ms", config.resolve_ms, "Milliseconds between two looks at their names")
      ->check(CLI::Range(100, 3'600'000))->capture_default_str();
  route.add_option("--max-connections", config.max_connections, "HTTP connections at once")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  route.add_option("--io-threads", config.io_threads, "Threads for connections")->check(CLI::Range(1, 256))->capture_default_str();
  route.add_option("--drain-timeout-s", config.drain_timeout_s, "How long answers may finish after SIGTERM")
      ->check(CLI::Range(0, 86400))->capture_default_str();
}

absl::StatusOr<Config> ResolveServe(const ServeFlags& flags, const char* const* environment) {
  Source flag_source;
  for (const auto& [name, values] : flags.values) flag_source[name] = {"--" + name, values};
  ASSIGN_OR_RETURN(const Source variables, ReadEnvironment(environment));
  ASSIGN_OR_RETURN(const Source file,
                   ReadFile(flags.config_file.empty() ? ConfigVariable(environment) : flags.config_file));
  Config config;
  RETURN_IF_ERROR(Apply(file, config));
  RETURN_IF_ERROR(Apply(variables, config));
  RETURN_IF_ERROR(Apply(flag_source, config));
  config.engine.scheduler.state_grid = config.engine.state_grid;
  RETURN_IF_ERROR(config.Validate());
  return config;
}

}  // namespace

absl::Status Config::ValidateNetwork() const {
  const auto wrong = [](const auto&... words) { return absl::InvalidArgumentError(absl::StrCat(words...)); };
  if (port != 0 && port == grpc_port) return wrong("--grpc-port: ", grpc_port, " is --port already");
  if (admin_port > 0 && admin_port == port) return wrong("--admin-port: ", admin_port, " is --port already");
  if (admin_port > 0 && admin_port == grpc_port) return wrong("--admin-port: ", admin_port, " is --grpc-port already");
  if (admin_port >= 0 && !IsLoopback(admin_host) && api_key_file.empty()) {
    return wrong("--admin-host: ", admin_host, " can be reached from other machines: --api-key-file is needed beside it");
  }
  if (tls_cert.empty() && !tls_key.empty()) return wrong("--tls-key: ", tls_key, ": --tls-cert is needed beside it");
  if (!tls_cert.empty() && tls_key.empty()) return wrong("--tls-cert: ", tls_cert, ": --tls-key is needed beside it");
  if (allow_credentials && absl::c_linear_search(allowed_origins, "*")) {
    return wrong("--allow-credentials: on: --allowed-origins must name the origins, not *");
  }
  return absl::OkStatus();
}

absl::Status Config::ValidateRole() const {
  if (role == Role::kBoth && handover_key_file.empty()) return absl::OkStatus();
  const char* const name = role == Role::kPrefill ? "prefill" : "decode";
  if (handover_key_file.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--role: ", name, ": --handover-key-file is needed beside it"));
  }
  if (engine.device == "cuda") {
    return absl::InvalidArgumentError("--handover-key-file: prompts are handed over by --device cpu alone, not by cuda");
  }
  if (role != Role::kDecode && grpc_port < 0) {
    return absl::InvalidArgumentError("--handover-key-file: prompts are handed over by gRPC, and --grpc-port is -1");
  }
  return absl::OkStatus();
}

absl::Status Config::ValidateFake() const {
  if (fake_engine && tokenizer_only) return absl::InvalidArgumentError("--engine: fake: goes without --tokenizer-only");
  if (fake_engine || fake_step_us == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--fake-step-us: ", fake_step_us, ": --engine fake is needed beside it"));
}

absl::Status Config::ValidateRanks() const {
  if (engine.tensor_parallel == 1) return absl::OkStatus();
  const auto beside = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("--tensor-parallel: ", engine.tensor_parallel, ": goes without ", what));
  };
  if (fake_engine) return beside("--engine fake");
  if (tokenizer_only) return beside("--tokenizer-only");
  if (role != Role::kBoth || !handover_key_file.empty()) return beside("--role and --handover-key-file: ranks hand no prompts over");
  return absl::OkStatus();
}

absl::Status Config::Validate() const {
  if (engine.model.empty()) return absl::InvalidArgumentError("MODEL: a checkpoint folder or .gguf file is needed");
  RETURN_IF_ERROR(ValidateNetwork());
  RETURN_IF_ERROR(ValidateRole());
  RETURN_IF_ERROR(ValidateFake());
  RETURN_IF_ERROR(ValidateRanks());
  return engine.Validate();
}

absl::StatusOr<Command> ReadCommand(int argc, const char* const* argv, const char* const* environment) {
  CLI::App app("Braid serves language models: OpenAI's HTTP API, gRPC, metrics.", "braid");
  app.set_version_flag("--version", std::string("braid ") + kVersion);
  app.require_subcommand(1);
  ServeFlags flags;
  Command command;
  std::string memory;
  CLI::App& serve = *app.add_subcommand("serve", "Load a model and answer requests");
  CLI::App& inspect = *app.add_subcommand("inspect", "Say what lies in a checkpoint and what fits");
  CLI::App& route = *app.add_subcommand("route", "Answer requests by sending them to other processes");
  CLI::App& rank = *app.add_subcommand("rank", "Be a rank of another process")->group("");  // not listed
  rank.add_option("FD", command.rank_fd)->required();
  rank.add_option("RANK", command.rank)->required();
  AddServe(serve, flags);
  AddRoute(route, command.route);
  AddInspect(inspect, command.inspect, memory);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    command.text = serve.parsed() ? serve.help() : route.parsed() ? route.help() : inspect.parsed() ? inspect.help() : app.help();
    return command;
  } catch (const CLI::CallForVersion& version) {
    command.text = std::string(version.what()) + "\n";
    return command;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  if (inspect.parsed()) {
    command.kind = Command::kInspect;
    if (memory.empty()) return command;
    const auto bytes = ParseBytes(memory);
    if (!bytes.ok()) return absl::InvalidArgumentError(absl::StrCat("--memory: ", bytes.status().message()));
    command.inspect.memory_bytes = *bytes;
    return command;
  }
  if (rank.parsed()) {
    command.kind = Command::kRank;
    return command;
  }
  if (route.parsed()) {
    command.kind = Command::kRoute;
    RETURN_IF_ERROR(command.route.Validate());
    return command;
  }
  command.kind = Command::kServe;
  ASSIGN_OR_RETURN(command.serve, ResolveServe(flags, environment));
  return command;
}

}  // namespace braid
