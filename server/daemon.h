// `braid serve`: the model behind its doors, from the first listen to the last answer.
#pragma once

#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/handover/exporter.h"
#include "engine/handover/importer.h"
#include "kernels/base/clock.h"
#include "server/config.h"
#include "server/file_watch.h"
#include "server/grpc/grpc_server.h"
#include "server/grpc/handover_client.h"
#include "server/http/http_server.h"
#include "server/metrics.h"
#include "server/serving.h"
#include "server/shutdown.h"

namespace braid {

// Thread: main; the model is loaded on a thread of its own while the doors answer 503.
class Daemon {
 public:
  // Serves until a signal comes and the answers under way are finished, or cut off at the drain's limit. Returns why the
  // doors could not open or the model not load.
  static absl::Status Run(const Config& config);

 private:
  Daemon(const Config& config, std::vector<KeyHash> keys, std::shared_ptr<TlsContext> tls, std::shared_ptr<PeerKey> peer_key);
  absl::Status OpenDoors();
  absl::Status OpenAdmin();
  HttpConfig DoorConfig(const std::string& address, int port) const;
  RouteTable Routes();
  void WatchFiles();
  void RenewKeys();
  void RenewCertificate();
  Json Info();
  absl::Status Load();
  absl::Status LoadText();
  absl::Status NeedTokenizer(const TextModel& text, const char* setting) const;
  absl::StatusOr<std::unique_ptr<Engine>> StartEngine(const TextModel& text, const Checkpoint& checkpoint) const;
  std::unique_ptr<TokenSource> MakeSource();
  std::string Worker();
  bool IsIdle();
  void Drain();
  bool IsLive();
  void Log(const char* what) const;

  const Config config_;
  const std::vector<KeyHash> keys_;         // as of the start
  const std::shared_ptr<TlsContext> tls_;   // as of the start; null: plain
  const std::shared_ptr<PeerKey> peer_key_; // null: no hand-overs. Shared with the gRPC door and the peers
  SteadyClock clock_;
  Metrics metrics_;
  Serving serving_;
  std::unique_ptr<Engine> engine_;  // set by the loading thread before serving_ is ready
  std::unique_ptr<Exporter> exporter_;  // these two with a peer_key_; set as engine_ is
  std::unique_ptr<Importer> importer_;
  std::unique_ptr<PeerDirectory> peers_;
  std::unique_ptr<HttpServer> http_, admin_;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<FileWatch> watch_;  // ends before what it renews
};

}  // namespace braid
