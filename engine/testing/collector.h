// Gathers the events of requests in a test and waits for their ends.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "engine/engine.h"

namespace braid::testing {

struct Choice {
  std::vector<int32_t> tokens;
  std::vector<TokenLogprobs> logprobs, prompt_logprobs;
  FinishReason finish = FinishReason::kNone;
  int32_t stop_token = -1;
  absl::Status error;
  std::vector<int64_t> emitted_ns;
  int cached_tokens = 0;
};

// One request's choices. Outlives the request.
class Collector {
 public:
  explicit Collector(int n = 1) : choices_(n) {}

  std::function<void(TokenEvent)> Sink() {
    return [this](TokenEvent event) {
      std::lock_guard lock(mutex_);
      Choice& choice = choices_[event.index];
      choice.tokens.insert(choice.tokens.end(), event.tokens.begin(), event.tokens.end());
      choice.logprobs.insert(choice.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
      if (!event.prompt_logprobs.empty()) choice.prompt_logprobs = event.prompt_logprobs;
      choice.emitted_ns.push_back(event.emitted_ns);
      choice.cached_tokens = event.cached_tokens;
      if (event.finish != FinishReason::kNone) {
        choice.finish = event.finish;
        choice.stop_token = event.stop_token;
        choice.error = event.error;
        ++ended_;
      }
      changed_.notify_all();
    };
  }

  // Waits until `tokens` tokens of choice 0 have come or it has ended.
  void WaitForTokens(size_t tokens) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [&] { return choices_[0].tokens.size() >= tokens || ended_ > 0; });
  }

  // Waits until every choice has ended; false when they have not after a minute.
  bool WaitForEnd() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return ended_ == static_cast<int>(choices_.size()); });
  }

  // After WaitForEnd.
  const Choice& choice(int index = 0) const { return choices_[index]; }

 private:
  static constexpr std::chrono::seconds kPatience{240};

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Choice> choices_;
  int ended_ = 0;
};

}  // namespace braid::testing
