#include "server/setting.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernels/base/errors.h"
#include "server/config.h"
#include "server/limit_settings.h"
#include "server/setting_kinds.h"

namespace braid {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 50;

// Commas part the values of a repeatable setting wherever they stand.
std::vector<std::string> SplitList(const std::vector<std::string>& values) {
  std::vector<std::string> items;
  for (const std::string& value : values) {
    for (const absl::string_view item : absl::StrSplit(value, ',')) {
      items.emplace_back(absl::StripAsciiWhitespace(item));
    }
  }
  return items;
}

template <class Field>  // Field: Config& -> std::string&
Setting Text(std::string name, std::string group, Field field, std::string kind, std::string meaning) {
  Config standard;
  return {std::move(name), std::move(group), kind, field(standard), std::move(meaning), false,
          [=](Config& config, const std::vector<std::string>& values) {
            if (values.back().empty()) return Refuse(values.back(), kind);
            field(config) = values.back();
            return absl::OkStatus();
          }};
}

template <class Field>  // Field: Config& -> std::vector<std::string>&
Setting Texts(std::string name, std::string group, Field field, std::string kind, std::string meaning) {
  return {std::move(name), std::move(group), kind, "", std::move(meaning), true,
          [=](Config& config, const std::vector<std::string>& values) {
            field(config) = SplitList(values);
            for (const std::string& item : field(config)) {
              if (item.empty()) return Refuse(absl::StrJoin(values, ","), kind);
            }
            return absl::OkStatus();
          }};
}

template <class Field>  // Field: Config& -> std::vector<double>&
Setting Bounds(std::string name, Field field, std::string meaning) {
  const std::string accepted = "rising positive numbers with commas between";
  return {std::move(name), "Metrics", "SECONDS,...", "", std::move(meaning), true,
          [=](Config& config, const std::vector<std::string>& values) {
            std::vector<double> bounds;
            for (const std::string& item : SplitList(values)) {
              double bound;
              if (!absl::SimpleAtod(item, &bound) || !std::isfinite(bound) || bound <= 0 ||
                  (!bounds.empty() && bound <= bounds.back())) {
                return Refuse(absl::StrJoin(values, ","), accepted);
              }
              bounds.push_back(bound);
            }
            field(config) = std::move(bounds);
            return absl::OkStatus();
          }};
}

// A word out of a list. `assign` takes the place of the word in the list.
template <class Assign>
Setting Choice(std::string name, std::string group, std::vector<std::string> words, std::string standard, Assign assign,
               std::string meaning) {
  const std::string accepted = absl::StrJoin(words, "|");
  return {std::move(name), std::move(group), accepted, std::move(standard), std::move(meaning), false,
          [=](Config& config, const std::vector<std::string>& values) {
            for (size_t i = 0; i < words.size(); ++i) {
              if (words[i] == values.back()) {
                assign(config, static_cast<int>(i), words[i]);
                return absl::OkStatus();
              }
            }
            return Refuse(values.back(), accepted);
          }};
}

// Off unless given; its flag stands alone.
template <class Assign>  // Assign: (Config&, bool)
Setting Switch(std::string name, std::string group, Assign assign, std::string meaning) {
  Setting setting = Choice(std::move(name), std::move(group), {"on", "off"}, "off",
                           [assign](Config& config, int i, const std::string&) { assign(config, i == 0); }, std::move(meaning));
  setting.is_switch = true;
  return setting;
}

Setting OutputFormatSetting() {
  return {"output-format", "Model", "auto|none|NAME", "auto",
          "How the model writes reasoning and tool calls: nemotron3, nano_v2, hermes, ...; auto: as its chat template says", false,
          [](Config& config, const std::vector<std::string>& values) {
            config.output_format.reset();
            if (values.back() == "auto") return absl::OkStatus();
            const auto format = ParseOutputFormat(values.back());
            if (format.ok()) config.output_format = *format;
            return format.status();
          }};
}

std::vector<Setting> ModelSettings() {
  const std::string group = "Model";
  return {
      Text("model", group, [](Config& c) -> auto& { return c.engine.model; }, "PATH",
           "Checkpoint folder (Hugging Face form) or .gguf file"),
      Texts("served-model-name", group, [](Config& c) -> auto& { return c.served_names; }, "NAME",
            "Name that requests use; repeat for more (default: the last part of the path)"),
      Number("max-model-len", group, [](Config& c) -> auto& { return c.engine.max_model_len; }, 0, 1 << 24,
             "Context in tokens, prompt and output together", "the model's own"),
      Choice("generation-config", group, {"auto", "off"}, "auto",
             [](Config& c, int i, const std::string&) { c.generation_config = i == 0; },
             "Whether sampling fields that a request leaves out follow the checkpoint's generation_config.json"),
      OutputFormatSetting(),
      Switch("tokenizer-only", group, [](Config& c, bool on) { c.tokenizer_only = on; },
           "Serve templates and tokens without the weights"),
      Choice("engine", group, {"model", "fake"}, "model", [](Config& c, int i, const std::string&) { c.fake_engine = i == 1; },
             "fake: for tests and benches only; answers at once with random words of the vocabulary, and reads no weights"),
      Number("fake-step-us", group, [](Config& c) -> auto& { return c.fake_step_us; }, 0, 10'000'000,
             "Microseconds between two steps of --engine fake", "none"),
  };
}

std::vector<Setting> NetworkSettings() {
  const std::string group = "Network";
  return {
      Text("host", group, [](Config& c) -> auto& { return c.host; }, "ADDRESS", "Address to listen on"),
      Number("port", group, [](Config& c) -> auto& { return c.port; }, 0, 65535, "HTTP port; 0 takes a free one"),
      Number("grpc-port", group, [](Config& c) -> auto& { return c.grpc_port; }, -1, 65535, "gRPC port; -1 turns it off"),
      Text("api-key-file", group, [](Config& c) -> auto& { return c.api_key_file; }, "FILE",
           "Keys that may call, one a line, plain or as sha256:HEX; read again when it changes; without it everybody may"),
      Texts("allowed-origins", group, [](Config& c) -> auto& { return c.allowed_origins; }, "ORIGIN",
            "Web origins that browsers may call from; * for all"),
      Text("allowed-methods", group, [](Config& c) -> auto& { return c.allowed_methods; }, "METHODS",
           "Methods that they may use"),
      Text("allowed-headers", group, [](Config& c) -> auto& { return c.allowed_headers; }, "HEADERS",
           "Headers that they may send"),
      Choice("allow-credentials", group, {"on", "off"}, "off",
             [](Config& c, int i, const std::string&) { c.allow_credentials = i == 0; }, "Let them send credentials"),
      Text("tls-cert", group, [](Config& c) -> auto& { return c.tls_cert; }, "FILE",
           "Certificate chain in PEM form: HTTP ports speak TLS; read again when it changes"),
      Text("tls-key", group, [](Config& c) -> auto& { return c.tls_key; }, "FILE", "Its private key in PEM form, not encrypted"),
      Number("admin-port", group, [](Config& c) -> auto& { return c.admin_port; }, -1, 65535,
             "HTTP port for operators; 0 takes a free one, -1 turns it off"),
      Text("admin-host", group, [](Config& c) -> auto& { return c.admin_host; }, "ADDRESS", "Address of --admin-port"),
      Switch("debug-endpoints", group, [](Config& c, bool on) { c.debug_endpoints = on; },
           "Serve /grammar/check, /parse-output and templates that a request brings"),
      Choice("page", group, {"on", "off"}, "on", [](Config& c, int i, const std::string&) { c.page = i == 0; },
             "Chat and status page at /"),
      Decimal("sse-keep-alive-s", group, [](Config& c) -> auto& { return c.sse_keep_alive_s; }, 3600, " seconds",
              "Send a comment when a stream has been silent for so long; 0: never"),
      Number("io-threads", group, [](Config& c) -> auto& { return c.io_threads; }, 1, 256, "Threads for connections"),
      Number("text-threads", group, [](Config& c) -> auto& { return c.text_threads; }, 1, 256,
             "Threads for templates and tokenizing"),
  };
}

std::vector<Setting> ComputeSettings() {
  const std::string group = "Compute and memory";
  return {
      Choice("device", group, {"cpu", "cuda", "ref"}, "cpu", [](Config& c, int, const std::string& w) { c.engine.device = w; },
             "Where the model runs; ref: plain loops on a CPU, slow, for comparison"),
      Choice("cuda-precision", group, {"full", "bf16"}, "full",
             [](Config& c, int, const std::string& w) { c.engine.cuda_precision = w; },
             "Matrix products on CUDA; bf16: inputs and weights are rounded to it"),
      Choice("cpu-isa", group, {"auto", "avx2", "avx512", "avx512_vnni"}, "auto",
             [](Config& c, int, const std::string& w) { c.engine.cpu_isa = w; }, "Vector instructions"),
      Number("threads", group, [](Config& c) -> auto& { return c.engine.threads; }, 0, 1024, "Compute threads",
             "every usable CPU"),
      Number("tensor-parallel", group, [](Config& c) -> auto& { return c.engine.tensor_parallel; }, 1, kMaxTensorParallel,
             "Processes that share the model, each with its part of heads, widths, threads and memory"),
      Choice("pin-threads", group, {"on", "off"}, "on", [](Config& c, int i, const std::string&) { c.engine.pin_threads = i == 0; },
             "Compute threads have CPUs of their own, and some stand by while other programs take those"),
      Size("memory", group, [](Config& c) -> auto& { return c.engine.memory_bytes; }, "measured",
           "For KV blocks and states together"),
      Choice("kv-dtype", group, {"auto", "f32", "f16", "bf16"}, "auto",
             [](Config& c, int, const std::string& w) { c.engine.kv_dtype = w; }, "Type of cached keys and values"),
  };
}

Setting SpeculateSetting() {
  const std::string accepted = absl::StrCat("off|auto|1..", kMaxDrafts);
  return {"speculate", "Batching", accepted, "off",
          "Tokens of a stream guessed in a step and kept where they are what is drawn; the text stays the same. auto: as many "
          "as pay by measured cost and success, none included",
          false,
          [=](Config& config, const std::vector<std::string>& values) {
            const std::string& value = values.back();
            int drafts = value == "auto" ? kMaxDrafts : 0;
            const bool is_number = value != "off" && value != "auto";
            if (is_number && (!absl::SimpleAtoi(value, &drafts) || drafts < 1 || drafts > kMaxDrafts)) {
              return Refuse(value, accepted);
            }
            config.engine.scheduler.max_drafts = drafts;
            config.engine.adapt_drafts = value == "auto";
            return absl::OkStatus();
          }};
}

std::vector<Setting> BatchSettings() {
  const std::string group = "Batching";
  return {
      Number("max-sequences", group, [](Config& c) -> auto& { return c.engine.scheduler.max_sequences; }, 1, 1 << 16,
             "Sequences running at once"),
      Number("max-tokens-per-step", group, [](Config& c) -> auto& { return c.engine.scheduler.max_tokens_per_step; }, 1,
             1 << 20, "Token budget of a step"),
      Number("block-size", group, [](Config& c) -> auto& { return c.engine.scheduler.block_size; }, 1, 4096,
             "Tokens of a KV block; a multiple of --state-grid"),
      Number("state-grid", group, [](Config& c) -> auto& { return c.engine.state_grid; }, 1, 4096,
             "Tokens between two recurrent states"),
      Choice("batching", group, {"continuous", "static"}, "continuous",
             [](Config& c, int i, const std::string&) { c.engine.scheduler.batching = static_cast<Batching>(i); },
             "static: a batch ends before the next begins"),
      Choice("chunked-prefill", group, {"on", "off", "splitfuse"}, "on",
             [](Config& c, int i, const std::string&) { c.engine.scheduler.chunked_prefill = static_cast<ChunkedPrefill>(i); },
             "Cut long prompts into steps"),
      Choice("prefix-cache", group, {"on", "off"}, "on",
             [](Config& c, int i, const std::string&) { c.engine.scheduler.prefix_cache = i == 0; },
             "Keep what prompts and answers have in common with later ones"),
      SpeculateSetting(),
      Choice("speculate-with", group, {"auto", "mtp", "ngram"}, "auto",
             [](Config& c, int, const std::string& w) { c.engine.speculate_with = w; },
             "Who guesses: the model's MTP head, or what followed earlier in the text; auto: the head if there is one"),
      Decimal("max-stall", group, [](Config& c) -> auto& { return c.engine.scheduler.max_stall; }, 1000, " times",
              "How much longer prompt chunks may make a step that carries decodes; 0: no bound"),
      Choice("policy", group, {"fcfs", "priority"}, "fcfs",
             [](Config& c, int i, const std::string&) { c.engine.scheduler.policy = static_cast<Policy>(i); },
             "Who runs first"),
      Number("max-queue", group, [](Config& c) -> auto& { return c.engine.max_queue; }, 0, 1 << 20, "Requests waiting",
             "4 x max-sequences"),
  };
}

std::vector<Setting> HandoverSettings() {
  const std::string group = "Hand-over between processes";
  return {
      Choice("role", group, {"both", "prefill", "decode"}, "both",
             [](Config& c, int i, const std::string&) { c.role = static_cast<Role>(i); },
             "prefill: computes prompts for others only; decode: never for others"),
      Text("handover-key-file", group, [](Config& c) -> auto& { return c.handover_key_file; }, "FILE",
           "Secret of 16 bytes or more that all processes of a deployment share; without it nothing is handed over"),
      Decimal("handover-lease-s", group, [](Config& c) -> auto& { return c.handover_lease_s; }, 3600, " seconds",
              "How long a computed prompt waits to be fetched and released"),
      Size("handover-memory", group, [](Config& c) -> auto& { return c.handover_memory_bytes; }, "",
           "For prompts that arrive or wait for a place in the batch"),
  };
}

std::vector<Setting> OperationSettings() {
  const std::string group = "Operation";
  return {
      Decimal("step-timeout-s", group, [](Config& c) -> auto& { return c.engine.step_timeout_s; }, 86400, " seconds",
              "A step that takes longer ends the process with exit 70; 0: none does"),
      Decimal("drain-timeout-s", group, [](Config& c) -> auto& { return c.drain_timeout_s; }, 86400, " seconds",
              "How long running answers may finish after SIGTERM"),
      Decimal("drain-delay-s", group, [](Config& c) -> auto& { return c.drain_delay_s; }, 3600, " seconds",
              "How long to keep listening, not ready, after SIGTERM"),
      Choice("log-level", group, {"debug", "info", "warning", "error"}, "info",
             [](Config& c, int i, const std::string&) { c.log_level = static_cast<LogLevel>(i); }, "Least level logged"),
      Bounds("ttft-buckets", [](Config& c) -> auto& { return c.ttft_buckets; }, "Histogram bounds of time to first token"),
      Bounds("itl-buckets", [](Config& c) -> auto& { return c.itl_buckets; }, "Histogram bounds of inter-token latency"),
      Bounds("latency-buckets", [](Config& c) -> auto& { return c.latency_buckets; }, "Histogram bounds of the longer times"),
  };
}

struct Unit {
  const char* name;
  double bytes;
};
constexpr Unit kUnits[] = {{"", 1},
                           {"b", 1},
                           {"k", 1024.0},
                           {"kib", 1024.0},
                           {"kb", 1e3},
                           {"m", 1024.0 * 1024},
                           {"mib", 1024.0 * 1024},
                           {"mb", 1e6},
                           {"g", 1024.0 * 1024 * 1024},
                           {"gib", 1024.0 * 1024 * 1024},
                           {"gb", 1e9},
                           {"t", 1024.0 * 1024 * 1024 * 1024},
                           {"tib", 1024.0 * 1024 * 1024 * 1024},
                           {"tb", 1e12}};

}  // namespace

const std::vector<Setting>& Settings() {
  static const std::vector<Setting> settings = [] {
    std::vector<Setting> all;
    for (auto& group : {ModelSettings(), NetworkSettings(), LimitSettings(), ComputeSettings(), BatchSettings(), HandoverSettings(),
                        OperationSettings()}) {
      all.insert(all.end(), group.begin(), group.end());
    }
    return all;
  }();
  return settings;
}

absl::StatusOr<int64_t> ParseBytes(std::string_view text) {
  const std::string whole(text);
  const size_t end = std::min(whole.find_first_not_of("0123456789."), whole.size());
  const std::string unit = absl::AsciiStrToLower(absl::StripAsciiWhitespace(whole.substr(end)));
  double number;
  if (absl::SimpleAtod(whole.substr(0, end), &number)) {
    for (const Unit& known : kUnits) {
      if (unit != known.name) continue;
      const double bytes = number * known.bytes;
      if (bytes >= 1 && bytes <= static_cast<double>(kMaxBytes)) return static_cast<int64_t>(bytes);
    }
  }
  return Refuse(whole, "a size of 1 byte to 1024 TiB such as 4GiB, 512MiB or 1000000");
}

std::string BytesText(int64_t bytes) {
  static constexpr const char* kNames[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) value /= 1024, ++unit;
  return unit == 0 ? absl::StrCat(bytes, " B") : absl::StrFormat("%.1f %s", value, kNames[unit]);
}

}  // namespace braid
