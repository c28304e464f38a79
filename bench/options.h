// The flags of braid-bench.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "bench/load.h"
#include "bench/report.h"

namespace braid::bench {

struct BenchOptions {
  LoadOptions load;
  Targets targets;
  std::string json_file;  // where the report goes as JSON; empty: nowhere
  std::string help;       // when asked for: print it and do nothing else
};

// Reads argv; InvalidArgument names the flag that is wrong.
absl::StatusOr<BenchOptions> ParseOptions(int argc, const char* const* argv);

}  // namespace braid::bench
