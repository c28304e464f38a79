// The engine of a server that has none: it renders, encodes and decodes, and refuses to generate.
#pragma once

#include "absl/status/status.h"
#include "models/tokenizer/tokenizer.h"
#include "server/serving.h"

namespace braid {

// Thread: any.
class TextOnlySource : public TokenSource {
 public:
  // `max_model_len`: shown to clients.
  TextOnlySource(const Tokenizer& tokenizer, int max_model_len) {
    info_.vocab_size = tokenizer.vocab_size();
    info_.max_model_len = max_model_len;
    if (tokenizer.eos_id().has_value()) info_.eos_token_ids = {*tokenizer.eos_id()};
  }
  absl::StatusOr<RequestHandle> Submit(GenerateRequest) override {
    return absl::InvalidArgumentError("this server has no model: it was started with --tokenizer-only");
  }
  void Cancel(RequestHandle) override {}
  void CancelChoice(RequestHandle, int) override {}
  const EngineInfo& info() const override { return info_; }

 private:
  EngineInfo info_;
};

}  // namespace braid
