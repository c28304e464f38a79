// The run itself: finds the model, sizes prompts, warms up, sends the requests and waits for their replies.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/client.h"
#include "bench/workload.h"

namespace braid::bench {

struct LoadOptions {
  Endpoint endpoint;
  CallOptions call;
  WorkloadOptions workload;
  int concurrency = 1;   // requests in flight at most
  bool open_loop = false;  // requests start at their planned times, else as soon as one ends
  int warmup = 0;        // requests before the run, not counted
};

struct LoadOutcome {
  std::string model;
  double duration_s = 0;  // first request due to last reply
  std::vector<CallResult> results;
};

// Runs it all on the calling thread.
absl::StatusOr<LoadOutcome> RunLoad(LoadOptions options);

}  // namespace braid::bench
