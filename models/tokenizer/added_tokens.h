// Tokens that are found in the text as they are, before it is cut: markers of chat templates and the like.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"

namespace braid {

struct AddedToken {
  int32_t id = 0;
  std::string content{};
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // takes the white space behind it along
  bool normalized = false;   // looked for in the normalised text, by its own normal form
  bool special = false;
};

// Finds added tokens in a text: leftmost, the longest of those that begin at one place. Immutable. Thread: any.
class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;

  // Adds `token`, looked for as `form`; an empty form is never found.
  void Add(const AddedToken& token, std::string_view form);

  bool empty() const { return tokens_.empty(); }

  // Hands the text between tokens (token null) and the tokens to `sink`, in order. Texts are never empty.
  // With `skip_special`, special tokens are passed over as plain text.
  using Sink = absl::FunctionRef<void(std::string_view text, const AddedToken* token)>;
  void Cut(std::string_view text, bool skip_special, Sink sink) const;

 private:
  struct Node {
    std::vector<std::pair<uint8_t, uint32_t>> children;
    int32_t token = -1;  // index in tokens_
  };
  struct Match {
    size_t begin, end;
    const AddedToken* token;
  };

  bool FindFrom(std::string_view text, size_t from, Match* match) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_{1};
  bool is_first_byte_[256] = {};
};

}  // namespace braid
