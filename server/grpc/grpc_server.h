// The gRPC door: the service, health and reflection on one port.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/handover/exporter.h"
#include "server/http/api_keys.h"
#include "server/peer_key.h"
#include "server/serving.h"

namespace braid {

struct GrpcConfig {
  std::string address = "127.0.0.1";
  int port = 8001;                 // 0: any free one
  int threads = 2;                 // for answers
  std::vector<KeyHash> api_keys;   // empty: everybody may call
  int max_message_bytes = 8 << 20; // of a request
  int max_streams = 128;           // calls at once on a connection
  std::shared_ptr<PeerKey> peer_key;  // of hand-overs; null: none. Shared: the process has one
};

// Thread: any, one at a time.
class GrpcServer {
 public:
  // Listens at once; health says NOT_SERVING until SetServing. Unavailable when the port cannot be had.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(GrpcConfig config, Serving* serving);
  // Cancels the calls that are left.
  ~GrpcServer();

  int port() const;

  // What grpc.health.v1 answers, for "" and for the service's name.
  void SetServing(bool serving);

  // Prompts for other processes, from now on; with a peer_key. Outlives the server.
  void SetExporter(Exporter* exporter);

  // Other keys from now on.
  void SetApiKeys(std::vector<KeyHash> keys);

  // Refuses new calls and waits for those under way; cancels them past `limit`.
  void Shutdown(std::chrono::nanoseconds limit);

 private:
  struct Parts;
  explicit GrpcServer(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace braid
