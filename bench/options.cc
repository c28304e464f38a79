#include "bench/options.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <sstream>

#include "kernels/base/errors.h"

namespace braid::bench {
namespace {

constexpr int kOpenLoopConcurrency = 1000;

// Flags that need more than a plain value.
struct RawFlags {
  std::string url = "http://127.0.0.1:8000", endpoint = "chat", trace, prompt_tokens = "128", output_tokens = "64";
  double timeout_s = 600, slo_ttft_ms = 0, slo_itl_ms = 0;
  int concurrency = 0;
};

void AddServerFlags(CLI::App& app, RawFlags& raw, BenchOptions& options) {
  CallOptions& call = options.load.call;
  app.add_option("--url", raw.url, "Server")->capture_default_str();
  app.add_option("--model", call.model, "Model name (default: the first of /v1/models)");
  app.add_option("--endpoint", raw.endpoint, "Route")->check(CLI::IsMember({"chat", "completions"}))->capture_default_str();
  app.add_option("--api-key", call.api_key, "Sent as a bearer token")->envname("BRAID_BENCH_API_KEY");
  app.add_option("--timeout-s", raw.timeout_s, "Limit of one request")->check(CLI::Range(0.001, 86400.0))->capture_default_str();
  app.add_flag("--stream,!--no-stream", call.stream, "Stream the replies (default)");
}

void AddArrivalFlags(CLI::App& app, RawFlags& raw, BenchOptions& options) {
  WorkloadOptions& work = options.load.workload;
  app.add_option("--requests", work.requests, "Requests to send")->check(CLI::Range(1, 10'000'000))->capture_default_str();
  app.add_option("--concurrency", raw.concurrency, "In flight at most (default 1; with --rate or --trace 1000)")
      ->check(CLI::Range(1, 65536));
  auto* rate = app.add_option("--rate", work.rate, "Requests a second at random times")->check(CLI::Range(1e-6, 1e6));
  app.add_option("--burstiness", work.burstiness, "Shape of the gaps: 1 Poisson, below 1 bursts")
      ->check(CLI::Range(1e-3, 1e3))->needs(rate)->capture_default_str();
  app.add_option("--trace", raw.trace, "Times and lengths from a file of JSON lines: time_s, prompt_tokens, output_tokens")
      ->excludes(rate);
  app.add_option("--warmup", options.load.warmup, "Requests before the run")->check(CLI::Range(0, 100'000))->capture_default_str();
}

void AddPromptFlags(CLI::App& app, RawFlags& raw, BenchOptions& options) {
  WorkloadOptions& work = options.load.workload;
  app.add_option("--prompt-tokens", raw.prompt_tokens, "Number or low:high")->capture_default_str();
  app.add_option("--output-tokens", raw.output_tokens, "max_tokens: number or low:high")->capture_default_str();
  app.add_option("--shared-prefix", work.shared_prefix, "Tokens that all prompts begin with")->check(CLI::Range(0, 1 << 24));
  app.add_option("--ids", work.vocabulary, "Prompts of random token ids below this (completions only)")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--seed", work.seed, "Of lengths, prompts and times")->capture_default_str();
  app.add_option("--temperature", options.load.call.temperature, "Sampling temperature")->check(CLI::Range(0.0, 2.0))->capture_default_str();
  app.add_flag("--ignore-eos", options.load.call.ignore_eos, "Generate all output tokens");
}

void AddReportFlags(CLI::App& app, RawFlags& raw, BenchOptions& options) {
  app.add_option("--json", options.json_file, "Write the report to this file");
  app.add_option("--slo-ttft-ms", raw.slo_ttft_ms, "Goodput: time to first token at most")->check(CLI::NonNegativeNumber);
  app.add_option("--slo-itl-ms", raw.slo_itl_ms, "Goodput: mean time per later token at most")->check(CLI::NonNegativeNumber);
}

absl::Status ReadTraceFile(const std::string& path, WorkloadOptions& work) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("--trace: cannot read ", path));
  std::ostringstream text;
  text << file.rdbuf();
  auto rows = ParseTrace(text.str());
  if (!rows.ok()) return absl::InvalidArgumentError(absl::StrCat("--trace: ", path, ": ", rows.status().message()));
  work.trace = *std::move(rows);
  return absl::OkStatus();
}

absl::Status Named(const char* flag, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", status.message()));
}

absl::Status Complete(const RawFlags& raw, BenchOptions& options) {
  LoadOptions& load = options.load;
  ASSIGN_OR_RETURN(load.endpoint, ParseUrl(raw.url));
  const auto prompt = ParseLengthRange(raw.prompt_tokens), output = ParseLengthRange(raw.output_tokens);
  if (!prompt.ok()) return Named("--prompt-tokens", prompt.status());
  if (!output.ok()) return Named("--output-tokens", output.status());
  load.workload.prompt_tokens = *prompt;
  load.workload.output_tokens = *output;
  if (load.workload.shared_prefix > prompt->low) {
    return absl::InvalidArgumentError("--shared-prefix: must not be longer than the shortest of --prompt-tokens");
  }
  if (!raw.trace.empty()) RETURN_IF_ERROR(ReadTraceFile(raw.trace, load.workload));
  load.call.chat = raw.endpoint == "chat" && load.workload.vocabulary == 0;
  load.call.timeout = std::chrono::nanoseconds(static_cast<int64_t>(raw.timeout_s * 1e9));
  load.open_loop = load.workload.rate > 0 || !load.workload.trace.empty();
  load.concurrency = raw.concurrency > 0 ? raw.concurrency : load.open_loop ? kOpenLoopConcurrency : 1;
  options.targets = {raw.slo_ttft_ms * 1e-3, raw.slo_itl_ms * 1e-3};
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BenchOptions> ParseOptions(int argc, const char* const* argv) {
  CLI::App app("Puts load on an OpenAI-compatible server and reports latencies and rates.", "braid-bench");
  RawFlags raw;
  BenchOptions options;
  AddServerFlags(app, raw, options);
  AddArrivalFlags(app, raw, options);
  AddPromptFlags(app, raw, options);
  AddReportFlags(app, raw, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    options.help = app.help();
    return options;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  RETURN_IF_ERROR(Complete(raw, options));
  return options;
}

}  // namespace braid::bench
