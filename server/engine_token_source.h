// The engine as a call sees it.
#pragma once

#include <utility>

#include "engine/engine.h"
#include "server/serving.h"

namespace braid {

// Borrows the engine, which must outlive it. Thread: any.
class EngineTokenSource : public TokenSource {
 public:
  explicit EngineTokenSource(Engine* engine) : engine_(engine) {}
  absl::StatusOr<RequestHandle> Submit(GenerateRequest request) override { return engine_->Submit(std::move(request)); }
  void Cancel(RequestHandle handle) override { engine_->Cancel(handle); }
  void CancelChoice(RequestHandle handle, int index) override { engine_->CancelChoice(handle, index); }
  const EngineInfo& info() const override { return engine_->info(); }

 private:
  Engine* const engine_;
};

}  // namespace braid
