// Text to token ids and back: tokenizer.json (Hugging Face format) and the vocabulary in GGUF metadata.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace braid {

// The tokenizer.ggml.* metadata of a GGUF file as plain data.
struct GgufVocabulary {
  std::string model, pre;            // gpt2 | llama | t5; the splitter's name (gpt2 only)
  std::vector<std::string> tokens;   // by id
  std::vector<float> scores;         // by id; empty unless llama or t5
  std::vector<int32_t> token_types;  // by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  std::vector<std::string> merges;   // "a b", best first
  std::optional<int32_t> bos_id, eos_id, unknown_id, padding_id;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::string precompiled_charsmap;
};

struct TokenizerParts;

// Immutable after load. Thread: any.
class Tokenizer {
 public:
  // Loads the text of a tokenizer.json; tokenizer_config.json adds the names of bos and eos and add_bos_token.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(std::string_view tokenizer_json,
                                                             std::string_view tokenizer_config_json = {});
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromGguf(const GgufVocabulary& vocabulary);
  ~Tokenizer();

  struct EncodeOptions {
    bool add_special_tokens = false;   // what the model wants around a text (bos, eos)
    bool parse_special_tokens = true;  // false: the names of special tokens in the text are plain text
  };

  // Returns the ids of `text`. Each maximal ill-formed part of its UTF-8 counts as one U+FFFD.
  std::vector<int32_t> Encode(std::string_view text, EncodeOptions options) const;

  // Returns the text of `ids` as well-formed UTF-8, U+FFFD for what is broken. Ids outside the vocabulary are skipped.
  std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens) const;

  // Returns the raw bytes that `id` stands for inside a text; empty for an id outside the vocabulary.
  // Byte-level BPE: the mapped-back bytes. Byte tokens <0xNN>: that byte. Special tokens: their content.
  std::string_view TokenBytes(int32_t id) const;

  // Returns the vocabulary's spelling of `id`; empty for an id outside the vocabulary.
  std::string TokenString(int32_t id) const;

  bool IsSpecial(int32_t id) const;

  // Returns the id of a vocabulary entry or added token by its spelling.
  std::optional<int32_t> IdOf(std::string_view token) const;

  // One more than the highest id.
  int vocab_size() const;
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::string bos_token() const;  // empty when there is none
  std::string eos_token() const;

 private:
  friend class TextStream;
  explicit Tokenizer(std::unique_ptr<TokenizerParts> parts);
  const std::unique_ptr<TokenizerParts> parts_;
};

}  // namespace braid
