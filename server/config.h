// The daemon's configuration: the rooms' structs, read in one place from flags, environment and a file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine_config.h"
#include "kernels/base/log.h"
#include "models/chat/output/output_parser.h"
#include "server/http/http_config.h"
#include "server/router/router_config.h"
#include "server/serving_limits.h"

namespace braid {

// What a process does for others: all, or computing prompts, or going on from them.
enum class Role { kBoth, kPrefill, kDecode };

// `braid serve`. Fields without a comment are explained by their setting (setting.cc).
struct Config {
  EngineConfig engine;

  std::string host = "127.0.0.1";
  int port = 8000;                        // 0: any free one
  int grpc_port = 8001;                   // -1: no gRPC
  std::vector<std::string> served_names;  // empty: the last part of the model's path
  bool generation_config = true;
  std::optional<OutputFormat> output_format;  // none: by the chat template
  std::string api_key_file;               // empty: no keys
  std::vector<std::string> allowed_origins;
  std::string allowed_methods = "*";
  std::string allowed_headers = "*";
  bool allow_credentials = false;
  std::string tls_cert, tls_key;          // files; both empty: plain
  std::string admin_host = "127.0.0.1";
  int admin_port = -1;                    // -1: no such port
  bool page = true;
  bool debug_endpoints = false;
  bool tokenizer_only = false;
  bool fake_engine = false;
  int fake_step_us = 0;
  double sse_keep_alive_s = 30;           // 0: never

  int io_threads = 2;
  int text_threads = 2;
  HttpLimits http_limits;                 // of all HTTP ports; keep_alive_ms is sse_keep_alive_s
  ServingLimits request_limits;
  ResponseStoreLimits stored_responses;
  int grpc_max_message_bytes = 8 << 20;
  int grpc_max_streams = 128;

  Role role = Role::kBoth;
  std::string handover_key_file;          // empty: no hand-overs
  double handover_lease_s = 30;
  int64_t handover_memory_bytes = int64_t{1} << 30;

  double drain_timeout_s = 60;
  double drain_delay_s = 0;
  LogLevel log_level = LogLevel::kInfo;

  // Upper bounds in seconds, rising; empty: the standard ones (metrics.h).
  std::vector<double> ttft_buckets, itl_buckets, latency_buckets;

  // Every setting that was given, as text, by name.
  std::map<std::string, std::string> given;

  // InvalidArgument naming the settings that do not go together.
  absl::Status Validate() const;

 private:
  absl::Status ValidateNetwork() const;
  absl::Status ValidateRole() const;
  absl::Status ValidateFake() const;
  absl::Status ValidateRanks() const;
};

// `braid inspect`.
struct InspectConfig {
  std::string model;
  int64_t memory_bytes = 0;  // 0: not asked what fits
  std::string kv_dtype = "f16";
  int state_grid = 32;
  bool json = false;
};

// What the command line asks for.
struct Command {
  enum Kind { kServe, kInspect, kRoute, kRank, kPrint } kind = kPrint;
  Config serve;
  RouterConfig route;
  InspectConfig inspect;
  int rank_fd = -1, rank = 0;  // kRank: what `serve --tensor-parallel` starts
  std::string text;  // kPrint: help or version
};

// Reads the command line; for `serve` also BRAID_* of `environment` ("NAME=value", null at its end) and the file that
// --config or BRAID_CONFIG names. A flag goes before the environment, that before the file, that before the default.
// InvalidArgument names the place, the value and what is accepted.
absl::StatusOr<Command> ReadCommand(int argc, const char* const* argv, const char* const* environment);

}  // namespace braid
