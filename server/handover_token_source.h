// The engine of a process that shares its work with others.
#pragma once

#include <utility>

#include "engine/handover/importer.h"
#include "server/config.h"
#include "server/grpc/handover_client.h"
#include "server/serving.h"

namespace braid {

// Borrows all but the directory's peers. Thread: any.
class HandoverTokenSource : public TokenSource {
 public:
  HandoverTokenSource(Role role, Engine* engine, Importer* importer, PeerDirectory* peers)
      : role_(role), engine_(engine), importer_(importer), peers_(peers) {}

  absl::StatusOr<RequestHandle> Submit(GenerateRequest request) override {
    if (role_ == Role::kPrefill) {
      return absl::UnavailableError("this process computes prompts for others (--role prefill): ask one that decodes");
    }
    if (request.prefill_peer.empty()) return engine_->Submit(std::move(request));
    std::shared_ptr<HandoverPeer> peer = peers_->At(request.prefill_peer);
    return importer_->Submit(std::move(request), std::move(peer));
  }
  void Cancel(RequestHandle handle) override { importer_->Cancel(handle); }
  void CancelChoice(RequestHandle handle, int index) override { importer_->CancelChoice(handle, index); }
  const EngineInfo& info() const override { return engine_->info(); }

 private:
  const Role role_;
  Engine* const engine_;
  Importer* const importer_;
  PeerDirectory* const peers_;
};

}  // namespace braid
