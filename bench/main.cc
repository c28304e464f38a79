// braid-bench: puts load on a server that speaks OpenAI's HTTP API and reports latencies and rates.
#include <cstdio>
#include <exception>
#include <fstream>

#include "bench/load.h"
#include "bench/options.h"
#include "bench/report.h"
#include "kernels/base/errors.h"

namespace braid::bench {
namespace {

absl::Status WriteReport(const std::string& path, const LoadOutcome& outcome, const Report& report) {
  Json json = JsonOf(report);
  json["model"] = outcome.model;
  std::ofstream file(path);
  file << json.dump(2) << '\n';
  return file.flush() ? absl::OkStatus() : absl::UnavailableError("--json: cannot write " + path);
}

// Returns the exit code: 0 when every request succeeded, 1 when one failed or the run could not start.
absl::StatusOr<int> Run(int argc, char** argv) {
  ASSIGN_OR_RETURN(const BenchOptions options, ParseOptions(argc, argv));
  if (!options.help.empty()) {
    std::fputs(options.help.c_str(), stdout);
    return 0;
  }
  ASSIGN_OR_RETURN(const LoadOutcome outcome, RunLoad(options.load));
  const Report report = Summarize(outcome.results, outcome.duration_s, options.targets);
  std::printf("model           %s\n%s", outcome.model.c_str(), TableOf(report).c_str());
  if (!options.json_file.empty()) RETURN_IF_ERROR(WriteReport(options.json_file, outcome, report));
  return report.succeeded == report.requests ? 0 : 1;
}

}  // namespace
}  // namespace braid::bench

int main(int argc, char** argv) {
  try {
    const absl::StatusOr<int> code = braid::bench::Run(argc, argv);
    if (code.ok()) return *code;
    std::fprintf(stderr, "error: %s\n", std::string(code.status().message()).c_str());
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
  }
  return 1;
}
