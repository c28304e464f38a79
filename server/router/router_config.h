// `braid route`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/base/log.h"

namespace braid {

struct RouterConfig {
  std::string host = "127.0.0.1";
  int port = 8080;                     // 0: any free one
  std::vector<std::string> workers;    // HOST:PORT of processes that do all; a name may stand for many addresses
  std::vector<std::string> prefill;    // of --role prefill
  std::vector<std::string> decode;     // of --role decode
  std::string handover_key_file;       // needed with prefill
  std::string api_key_file;            // empty: whoever calls is the workers' affair
  int short_prompt_bytes = 1024;       // a shorter prompt is computed where it is decoded
  int max_tries = 3;                   // workers asked, one after another, for one answer
  int poll_ms = 500;                   // between two looks at a worker
  int answer_ms = 2000;                // a worker that takes longer to say how it is has not answered
  int resolve_ms = 5000;               // between two looks at the names
  int64_t max_body_bytes = int64_t{8} << 20;
  int max_connections = 4096;
  int io_threads = 2;
  double drain_timeout_s = 60;
  LogLevel log_level = LogLevel::kInfo;

  // InvalidArgument names the flag that is wrong.
  absl::Status Validate() const;
};

}  // namespace braid
