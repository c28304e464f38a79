#include "server/config.h"

#include <cstdio>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/setting.h"

namespace braid {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<Command> Read(std::vector<const char*> words, std::vector<const char*> environment = {}) {
  words.insert(words.begin(), "braid");
  environment.push_back(nullptr);
  return ReadCommand(static_cast<int>(words.size()), words.data(), environment.data());
}

Config Serve(std::vector<const char*> words, std::vector<const char*> environment = {}) {
  words.insert(words.begin(), "serve");
  auto command = Read(std::move(words), std::move(environment));
  EXPECT_TRUE(command.ok()) << command.status();
  return command.ok() ? command->serve : Config();
}

std::string ErrorOf(std::vector<const char*> words, std::vector<const char*> environment = {}) {
  words.insert(words.begin(), {"serve", "model"});
  const auto command = Read(std::move(words), std::move(environment));
  return command.ok() ? "none" : std::string(command.status().message());
}

// A file that lives as long as the test.
class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) : path_(testing::TempDir() + "braid_config_test.yaml") {
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { std::remove(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  const std::string path_;
};

TEST(Config, HasTheDocumentedDefaults) {
  const Config c = Serve({"models/a"});
  EXPECT_EQ(c.engine.model, "models/a");
  EXPECT_EQ(c.host, "127.0.0.1");
  EXPECT_EQ(c.port, 8000);
  EXPECT_EQ(c.grpc_port, 8001);
  EXPECT_EQ(c.http_limits.max_body_bytes, size_t{8} << 20);
  EXPECT_EQ(c.drain_timeout_s, 60);
}

TEST(Config, SwitchesStandAlone) {
  EXPECT_FALSE(Serve({"m"}).tokenizer_only);
  const Config c = Serve({"--tokenizer-only", "m", "--debug-endpoints"});
  EXPECT_EQ(c.engine.model, "m");
  EXPECT_TRUE(c.tokenizer_only);
  EXPECT_TRUE(c.debug_endpoints);
  EXPECT_TRUE(Serve({"m"}, {"BRAID_TOKENIZER_ONLY=on"}).tokenizer_only);
  EXPECT_FALSE(Serve({"m", "--tokenizer-only=off"}, {"BRAID_TOKENIZER_ONLY=on"}).tokenizer_only);
}

TEST(Config, TheFakeEngineIsAskedForByName) {
  EXPECT_FALSE(Serve({"m"}).fake_engine);
  const Config c = Serve({"m", "--engine", "fake", "--fake-step-us", "250"});
  EXPECT_TRUE(c.fake_engine);
  EXPECT_EQ(c.fake_step_us, 250);
  EXPECT_FALSE(Serve({"m", "--engine", "model"}, {"BRAID_ENGINE=fake"}).fake_engine);
  EXPECT_THAT(ErrorOf({"--fake-step-us", "1"}), HasSubstr("--engine fake is needed"));
  EXPECT_THAT(ErrorOf({"--engine", "fake", "--tokenizer-only"}), HasSubstr("--tokenizer-only"));
  EXPECT_THAT(ErrorOf({"--engine", "real"}), HasSubstr("model|fake"));
}

TEST(Config, NamesTheOutputFormats) {
  EXPECT_FALSE(Serve({"m"}).output_format.has_value());
  EXPECT_EQ(Serve({"m", "--output-format", "nemotron3"}).output_format, OutputFormat::kNemotron3);
  EXPECT_EQ(Serve({"m", "--output-format", "none"}).output_format, OutputFormat::kPlain);
  EXPECT_THAT(ErrorOf({"--output-format", "x"}), HasSubstr("nano_v2"));
}

TEST(Config, FlagBeforeEnvironmentBeforeFileBeforeDefault) {
  const ConfigFile file("port: 1\nmax-queue: 2\nmax_sequences: 3\n");
  const Config c = Serve({"m", "--config", file.path(), "--port", "11"}, {"BRAID_PORT=12", "BRAID_MAX_QUEUE=13"});
  EXPECT_EQ(c.port, 11);
  EXPECT_EQ(c.engine.max_queue, 13);
  EXPECT_EQ(c.engine.scheduler.max_sequences, 3);
  EXPECT_EQ(c.io_threads, 2);
}

TEST(Config, TheFileMayNameTheModelAndHoldLists) {
  const ConfigFile file("model: /m\nserved-model-name: [a, b]\npin-threads: false\nmemory: 2GiB\nitl-buckets: [0.001, 0.5]\n");
  const Config c = Serve({}, {absl::StrCat("BRAID_CONFIG=", file.path()).c_str()});
  EXPECT_EQ(c.engine.model, "/m");
  EXPECT_THAT(c.served_names, ElementsAre("a", "b"));
  EXPECT_FALSE(c.engine.pin_threads);
  EXPECT_EQ(c.engine.memory_bytes, int64_t{2} << 30);
  EXPECT_THAT(c.itl_buckets, ElementsAre(0.001, 0.5));
}

TEST(Config, NamesRepeatOrStandWithCommas) {
  EXPECT_THAT(Serve({"m", "--served-model-name", "a", "--served-model-name", "b,c"}).served_names, ElementsAre("a", "b", "c"));
  EXPECT_THAT(Serve({"m"}, {"BRAID_SERVED_MODEL_NAME=x,y"}).served_names, ElementsAre("x", "y"));
}

TEST(Config, ChoicesReachTheirEnums) {
  const Config c = Serve({"m", "--batching", "static", "--chunked-prefill", "splitfuse", "--policy", "priority",
                          "--log-level", "error", "--state-grid", "16", "--kv-dtype", "bf16"});
  EXPECT_EQ(c.engine.scheduler.batching, Batching::kStatic);
  EXPECT_EQ(c.engine.scheduler.chunked_prefill, ChunkedPrefill::kSplitFuse);
  EXPECT_EQ(c.engine.scheduler.policy, Policy::kPriority);
  EXPECT_EQ(c.engine.scheduler.state_grid, 16);
  EXPECT_EQ(c.log_level, LogLevel::kError);
  EXPECT_EQ(c.engine.kv_dtype, "bf16");
}

TEST(Config, LimitsHaveTheirDefaultsAndFlags) {
  const Config standard = Serve({"m"});
  EXPECT_EQ(standard.http_limits.max_connections, 1024);
  EXPECT_EQ(standard.http_limits.head.max_request_line_bytes, 8192u);
  EXPECT_EQ(standard.http_limits.body_timeout_ms, 60'000);
  EXPECT_EQ(standard.request_limits.json.max_depth, 64);
  EXPECT_EQ(standard.request_limits.max_schema_bytes, size_t{256} << 10);
  EXPECT_EQ(standard.engine.step_timeout_s, 60);
  EXPECT_EQ(standard.stored_responses.max_count, 4096);
  EXPECT_EQ(standard.stored_responses.max_bytes, int64_t{64} << 20);
  EXPECT_EQ(standard.stored_responses.max_idle_ms, 3'600'000);
  const Config c = Serve({"m", "--max-request-line-bytes", "100", "--header-timeout-s", "0.5", "--max-unread-bytes", "1MiB",
                          "--json-max-members", "7", "--max-stop-bytes", "9", "--max-logprobs", "0", "--grpc-max-streams", "3",
                          "--max-schema-bytes", "1KiB", "--step-timeout-s", "0",
                          "--max-stored-responses", "0", "--max-stored-bytes", "5KiB", "--stored-response-s", "2"});
  EXPECT_EQ(c.http_limits.head.max_request_line_bytes, 100u);
  EXPECT_EQ(c.http_limits.header_timeout_ms, 500);
  EXPECT_EQ(c.http_limits.max_unread_bytes, size_t{1} << 20);
  EXPECT_EQ(c.request_limits.json.max_members, 7u);
  EXPECT_EQ(c.request_limits.max_stop_bytes, 9);
  EXPECT_EQ(c.request_limits.max_logprobs, 0);
  EXPECT_EQ(c.request_limits.max_schema_bytes, 1024u);
  EXPECT_EQ(c.grpc_max_streams, 3);
  EXPECT_EQ(c.stored_responses.max_count, 0);
  EXPECT_EQ(c.stored_responses.max_bytes, 5120);
  EXPECT_EQ(c.stored_responses.max_idle_ms, 2000);
  EXPECT_EQ(c.engine.step_timeout_s, 0);
  EXPECT_THAT(ErrorOf({"--header-timeout-s", "0"}), HasSubstr("0.001..86400 seconds"));
  EXPECT_THAT(ErrorOf({"--max-headers", "0"}), HasSubstr("1..10000"));
}

TEST(Config, SpeculateTakesANumberOfDraftsAutoOrOff) {
  EXPECT_EQ(Serve({"m"}).engine.scheduler.max_drafts, 0);
  EXPECT_EQ(Serve({"m", "--speculate", "3"}).engine.scheduler.max_drafts, 3);
  EXPECT_EQ(Serve({"m", "--speculate", "off"}, {"BRAID_SPECULATE=3"}).engine.scheduler.max_drafts, 0);
  EXPECT_FALSE(Serve({"m", "--speculate", "3"}, {"BRAID_SPECULATE=auto"}).engine.adapt_drafts);
  const Config adapting = Serve({"m", "--speculate", "auto", "--speculate-with", "mtp"});
  EXPECT_EQ(adapting.engine.scheduler.max_drafts, 8);
  EXPECT_TRUE(adapting.engine.adapt_drafts);
  EXPECT_EQ(adapting.engine.speculate_with, "mtp");
}

TEST(Config, ErrorsNameThePlaceTheValueAndWhatIsAccepted) {
  const struct { std::vector<const char*> flags, environment; std::vector<std::string> words; } cases[] = {
      {{"--port", "99999"}, {}, {"--port", "99999", "0..65535"}},
      {{"--port", "80x"}, {}, {"--port", "80x"}},
      {{"--device", "gpu"}, {}, {"--device", "gpu", "cpu|cuda|ref"}},
      {{"--memory", "4XB"}, {}, {"--memory", "4XB", "4GiB"}},
      {{"--drain-timeout-s", "-1"}, {}, {"--drain-timeout-s", "-1"}},
      {{"--ttft-buckets", "1,0.5"}, {}, {"--ttft-buckets", "1,0.5", "rising"}},
      {{"--nonsense", "1"}, {}, {"--nonsense"}},
      {{}, {"BRAID_PORT=x"}, {"BRAID_PORT", "'x'", "0..65535"}},
      {{}, {"BRAID_NONSENSE=1"}, {"BRAID_NONSENSE", "no such setting"}},
      {{"--grpc-port", "8000"}, {}, {"--grpc-port", "8000"}},
      {{"--config", "/no/such"}, {}, {"--config", "/no/such"}},
      {{"--admin-port", "8001"}, {}, {"--admin-port", "8001", "--grpc-port"}},
      {{"--admin-port", "9000", "--admin-host", "0.0.0.0"}, {}, {"--admin-host", "0.0.0.0", "--api-key-file"}},
      {{"--tls-cert", "c.pem"}, {}, {"--tls-cert", "c.pem", "--tls-key"}},
      {{"--tls-key", "k.pem"}, {}, {"--tls-key", "k.pem", "--tls-cert"}},
      {{"--allow-credentials", "on", "--allowed-origins", "*"}, {}, {"--allow-credentials", "--allowed-origins"}},
      {{"--speculate", "9"}, {}, {"--speculate", "'9'", "off|auto|1..8"}},
      {{"--page", "maybe"}, {}, {"--page", "maybe", "on|off"}},
  };
  for (const auto& c : cases) {
    const std::string error = ErrorOf(c.flags, c.environment);
    for (const std::string& word : c.words) EXPECT_THAT(error, HasSubstr(word));
  }
}

TEST(Config, FileErrorsNameTheFileAndTheKey) {
  const struct { std::string text, words; } cases[] = {
      {"port: 99999", "yaml: port: '99999'"}, {"ports: 1", "yaml: ports: no such setting"},
      {"port: [1, 2]", "one value"},          {"port: 1\nport: 2", "given twice"},
      {"max-queue: 1\nmax_queue: 2", "given twice"}, {"- a", "lines are needed"},
      {"port: {a: 1}", "yaml: port"},         {"a: [", "yaml:"},
  };
  for (const auto& c : cases) {
    const ConfigFile file(c.text);
    EXPECT_THAT(ErrorOf({"--config", file.path()}), HasSubstr(c.words)) << c.text;
  }
}

TEST(Config, IgnoresWhatKubernetesSetsForAServiceOfOurName) {
  const Config c = Serve({"m"}, {"BRAID_PORT=tcp://10.0.0.1:8000", "BRAID_SERVICE_HOST=10.0.0.1",
                                 "BRAID_PORT_8000_TCP_ADDR=10.0.0.1", "PATH=/bin"});
  EXPECT_EQ(c.port, 8000);
}

TEST(Config, TheAdminPortIsOffAndItsAddressLoopback) {
  EXPECT_EQ(Serve({"m"}).admin_port, -1);
  EXPECT_EQ(Serve({"m"}).admin_host, "127.0.0.1");
  EXPECT_EQ(Serve({"m", "--admin-port", "9000", "--admin-host", "::1"}).admin_port, 9000);
  EXPECT_EQ(Serve({"m", "--admin-port", "9000", "--admin-host", "0.0.0.0", "--api-key-file", "keys"}).admin_host, "0.0.0.0");
}

TEST(Config, KeepsWhatWasGiven) {
  const Config c = Serve({"m", "--port", "11", "--served-model-name", "a,b"}, {"BRAID_MAX_QUEUE=13"});
  EXPECT_EQ(c.given.at("port"), "11");
  EXPECT_EQ(c.given.at("served-model-name"), "a,b");
  EXPECT_EQ(c.given.at("max-queue"), "13");
  EXPECT_FALSE(c.given.contains("host"));
}

TEST(Config, AModelIsNeeded) {
  EXPECT_THAT(std::string(Read({"serve"}).status().message()), HasSubstr("MODEL"));
  EXPECT_FALSE(Read({}).ok());
  EXPECT_FALSE(Read({"dance"}).ok());
}

TEST(Config, HelpAndVersionAreText) {
  const auto help = Read({"serve", "--help"});
  ASSERT_TRUE(help.ok());
  EXPECT_EQ(help->kind, Command::kPrint);
  for (const Setting& setting : Settings()) EXPECT_THAT(help->text, HasSubstr(setting.name == "model" ? "MODEL" : "--" + setting.name));
  EXPECT_THAT(Read({"--version"})->text, HasSubstr("braid "));
}

TEST(Config, InspectHasItsOwnFlags) {
  const auto command = Read({"inspect", "m", "--memory", "1GiB", "--kv-dtype", "f32", "--json"});
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_EQ(command->kind, Command::kInspect);
  EXPECT_EQ(command->inspect.memory_bytes, 1 << 30);
  EXPECT_TRUE(command->inspect.json);
  EXPECT_FALSE(Read({"inspect", "m", "--memory", "-5"}).ok());
}

TEST(Config, RolesNeedASecret) {
  EXPECT_EQ(Serve({"m"}).role, Role::kBoth);
  const Config c = Serve({"m", "--role", "decode", "--handover-key-file", "k", "--handover-lease-s", "2.5"});
  EXPECT_EQ(c.role, Role::kDecode);
  EXPECT_EQ(c.handover_lease_s, 2.5);
  EXPECT_EQ(ErrorOf({"--role", "prefill"}), "--role: prefill: --handover-key-file is needed beside it");
  EXPECT_EQ(ErrorOf({"--role", "prefill", "--handover-key-file", "k", "--grpc-port", "-1"}),
            "--handover-key-file: prompts are handed over by gRPC, and --grpc-port is -1");
  EXPECT_EQ(ErrorOf({"--role", "decode", "--handover-key-file", "k", "--grpc-port", "-1"}), "none");
  EXPECT_EQ(ErrorOf({"--role", "decode", "--handover-key-file", "k", "--device", "cuda"}),
            "--handover-key-file: prompts are handed over by --device cpu alone, not by cuda");
  EXPECT_THAT(ErrorOf({"--role", "both ways"}), HasSubstr("both|prefill|decode"));
}

TEST(Config, RouteHasItsOwnFlags) {
  const auto command = Read({"route", "--prefill", "a:1,b:2", "--decode", "c:3", "--decode", "d:4", "--handover-key-file", "k", "--max-tries", "5"});
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_EQ(command->kind, Command::kRoute);
  EXPECT_THAT(command->route.prefill, ElementsAre("a:1", "b:2"));
  EXPECT_THAT(command->route.decode, ElementsAre("c:3", "d:4"));
  EXPECT_EQ(command->route.max_tries, 5);
  EXPECT_THAT(std::string(Read({"route"}).status().message()), HasSubstr("--workers or --decode"));
  EXPECT_THAT(std::string(Read({"route", "--workers", "x"}).status().message()), HasSubstr("--workers: 'x' is not HOST:PORT"));
  EXPECT_THAT(Read({"route", "--help"})->text, HasSubstr("--short-prompt-bytes"));
}

TEST(Bytes, UnitsAreBinaryUnlessTheyEndInABareB) {
  EXPECT_EQ(*ParseBytes("1000"), 1000);
  EXPECT_EQ(*ParseBytes("4GiB"), int64_t{4} << 30);
  EXPECT_EQ(*ParseBytes("4g"), int64_t{4} << 30);
  EXPECT_EQ(*ParseBytes("4 GB"), int64_t{4'000'000'000});
  EXPECT_EQ(*ParseBytes("1.5KiB"), 1536);
  for (const char* wrong : {"", "GiB", "-1", "0", "1e5", "1.2.3G", "99999999TiB", "4 G iB", "nan"}) {
    EXPECT_FALSE(ParseBytes(wrong).ok()) << wrong;
  }
  EXPECT_EQ(BytesText(int64_t{4} << 30), "4.0 GiB");
  EXPECT_EQ(BytesText(512), "512 B");
}

}  // namespace
}  // namespace braid
