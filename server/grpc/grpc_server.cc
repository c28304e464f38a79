#include "server/grpc/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include "absl/strings/str_cat.h"
#include "server/grpc/handover_service.h"
#include "server/grpc/inference_service.h"

namespace braid {
namespace {

constexpr size_t kMaxMemoryBytes = 512 << 20;  // of gRPC's own buffers
constexpr int kKeepaliveMs = 60'000;           // a peer that is gone without a word is found by then
constexpr int kLeastPingGapMs = 5'000;         // of a peer that looks whether we are still there

std::string TargetOf(const GrpcConfig& config) {
  const bool ipv6 = config.address.find(':') != std::string::npos;
  return ipv6 ? absl::StrCat("[", config.address, "]:", config.port) : absl::StrCat(config.address, ":", config.port);
}

// Health and reflection are plugins of the whole process; they must be named before the first builder.
void EnablePlugins() {
  static const bool once = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)once;
}

}  // namespace

struct GrpcServer::Parts {
  Parts(const GrpcConfig& config, Serving* serving) : keys(config.api_keys), service(serving, &keys, config.threads) {
    if (config.peer_key != nullptr) handover = std::make_unique<HandoverService>(config.peer_key);
  }
  ApiKeys keys;
  InferenceService service;
  std::unique_ptr<HandoverService> handover;  // null: no peers
  int port = 0;
  bool down = false;
  std::unique_ptr<grpc::Server> server;
};

GrpcServer::GrpcServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
GrpcServer::~GrpcServer() { Shutdown(std::chrono::nanoseconds(0)); }

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(GrpcConfig config, Serving* serving) {
  EnablePlugins();
  auto parts = std::make_unique<Parts>(config, serving);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(TargetOf(config), grpc::InsecureServerCredentials(), &parts->port);
  builder.RegisterService(&parts->service);
  if (parts->handover != nullptr) builder.RegisterService(parts->handover.get());
  builder.SetMaxReceiveMessageSize(config.max_message_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, config.max_streams);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kLeastPingGapMs);
  builder.SetResourceQuota(grpc::ResourceQuota("braid").Resize(kMaxMemoryBytes));
  parts->server = builder.BuildAndStart();
  if (parts->server == nullptr || parts->port == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen for gRPC on ", TargetOf(config)));
  }
  std::unique_ptr<GrpcServer> server(new GrpcServer(std::move(parts)));
  server->SetServing(false);
  return server;
}

int GrpcServer::port() const { return parts_->port; }

void GrpcServer::SetServing(bool serving) {
  grpc::HealthCheckServiceInterface* health = parts_->server->GetHealthCheckService();
  health->SetServingStatus("", serving);
  health->SetServingStatus(InferenceService::kName, serving);
}

void GrpcServer::SetExporter(Exporter* exporter) {
  if (parts_->handover != nullptr) parts_->handover->SetExporter(exporter);
}

void GrpcServer::SetApiKeys(std::vector<KeyHash> keys) { parts_->keys.Replace(std::move(keys)); }

void GrpcServer::Shutdown(std::chrono::nanoseconds limit) {
  if (std::exchange(parts_->down, true)) return;
  parts_->server->Shutdown(std::chrono::system_clock::now() +
                           std::chrono::duration_cast<std::chrono::system_clock::duration>(limit));
  parts_->server->Wait();
}

}  // namespace braid
