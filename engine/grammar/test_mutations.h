// For tests: texts that are nearly right.
#pragma once

#include <random>
#include <string>
#include <vector>

namespace braid {

// `count` texts, each one of `good` with up to four bytes changed, taken out, doubled or brought from elsewhere.
template <class Use>
void ForMutations(const std::vector<std::string>& good, int count, const Use& use) {
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return n == 0 ? 0 : random() % n; };
  for (int i = 0; i < count; ++i) {
    std::string text = good[below(good.size())];
    for (size_t changes = 1 + below(4); changes > 0 && !text.empty(); --changes) {
      const size_t at = below(text.size());
      const std::string& other = good[below(good.size())];
      switch (below(5)) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + below(4));
          break;
        case 2:
          text.insert(at, text.substr(at, 1 + below(8)));
          break;
        case 3:
          text.insert(at, other.substr(below(other.size()), 1 + below(8)));
          break;
        default:
          text.insert(at, 1, "()[]{}|*+?\\^$.,-\"0a:=#/"[below(22)]);
      }
    }
    use(text);
  }
}

}  // namespace braid
