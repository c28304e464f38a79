// Guesses at a sequence's next tokens. A wrong guess costs time, never a token: what is drawn decides.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace braid {

// One sequence's. Thread: engine.
class Drafter {
 public:
  virtual ~Drafter() = default;
  // Goes on by the token that came.
  virtual void Append(int32_t token) = 0;
  // Returns at most `count` tokens, each inside the vocabulary; none: no guess.
  virtual std::vector<int32_t> Propose(int count) = 0;
};

using MakeDrafter = std::function<std::unique_ptr<Drafter>(std::span<const int32_t> prompt)>;

}  // namespace braid
