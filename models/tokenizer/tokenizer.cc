#include "models/tokenizer/tokenizer.h"

#include <utility>

#include "kernels/base/errors.h"
#include "models/tokenizer/tokenizer_gguf.h"
#include "models/tokenizer/tokenizer_json.h"
#include "models/tokenizer/tokenizer_parts.h"
#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

// One walk of a text through the parts of a tokenizer.
class Encoding {
 public:
  Encoding(const TokenizerParts& parts, bool skip_special, std::vector<int32_t>* ids)
      : parts_(parts), skip_special_(skip_special), ids_(ids) {}

  void EncodeText(std::string_view text) {
    parts_.raw_finder.Cut(text, skip_special_, [&](std::string_view part, const AddedToken* token) {
      if (token != nullptr) return ids_->push_back(token->id);
      EncodePart(part, part.data() == text.data());
    });
  }

 private:
  // A stretch without raw added tokens; `first`: nothing of the text lies before it.
  void EncodePart(std::string_view part, bool first) {
    if (parts_.normalizer.empty()) return EncodeNormalized(part, first);
    EncodeNormalized(parts_.normalizer.Normalize(part), first);
  }

  void EncodeNormalized(std::string_view text, bool first) {
    if (parts_.normalized_finder.empty()) return EncodeSpan(text, first);
    parts_.normalized_finder.Cut(text, skip_special_, [&](std::string_view span, const AddedToken* token) {
      if (token != nullptr) return ids_->push_back(token->id);
      EncodeSpan(span, first && span.data() == text.data());
    });
  }

  void EncodeSpan(std::string_view span, bool first) {
    parts_.pre_split.Cut(span, first, [&](std::string_view piece) {
      parts_.bpe != nullptr ? parts_.bpe->Encode(piece, &scratch_, ids_) : parts_.unigram->Encode(piece, ids_);
    });
  }

  const TokenizerParts& parts_;
  const bool skip_special_;
  std::vector<int32_t>* const ids_;
  Bpe::Scratch scratch_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(std::string_view tokenizer_json,
                                                               std::string_view tokenizer_config_json) {
  ASSIGN_OR_RETURN(auto parts, PartsFromJson(tokenizer_json, tokenizer_config_json));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts)));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromGguf(const GgufVocabulary& vocabulary) {
  ASSIGN_OR_RETURN(auto parts, PartsFromGguf(vocabulary));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts)));
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, EncodeOptions options) const {
  std::vector<int32_t> ids;
  if (options.add_special_tokens) ids = parts_->prefix;
  std::string repaired;
  if (!IsWellFormed(text)) text = repaired = RepairUtf8(text);
  Encoding(*parts_, !options.parse_special_tokens, &ids).EncodeText(text);
  if (options.add_special_tokens) ids.insert(ids.end(), parts_->suffix.begin(), parts_->suffix.end());
  return ids;
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  Decoder::Run run(parts_->decoder);
  std::string text;
  const Vocabulary& vocabulary = parts_->vocabulary;
  for (const int32_t id : ids) {
    if (!vocabulary.Has(id) || (skip_special_tokens && vocabulary.IsSpecial(id))) continue;
    run.Push(vocabulary.Spelling(id), &text);
  }
  run.Finish(&text);
  return text;
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  return parts_->vocabulary.Has(id) ? parts_->vocabulary.Bytes(id) : std::string_view();
}

std::string Tokenizer::TokenString(int32_t id) const {
  return parts_->vocabulary.Has(id) ? std::string(parts_->vocabulary.Spelling(id)) : std::string();
}

bool Tokenizer::IsSpecial(int32_t id) const { return parts_->vocabulary.Has(id) && parts_->vocabulary.IsSpecial(id); }

std::optional<int32_t> Tokenizer::IdOf(std::string_view token) const { return parts_->vocabulary.IdOf(token); }
int Tokenizer::vocab_size() const { return parts_->vocabulary.size(); }
std::optional<int32_t> Tokenizer::bos_id() const { return parts_->bos_id; }
std::optional<int32_t> Tokenizer::eos_id() const { return parts_->eos_id; }
std::string Tokenizer::bos_token() const { return bos_id() ? TokenString(*bos_id()) : ""; }
std::string Tokenizer::eos_token() const { return eos_id() ? TokenString(*eos_id()) : ""; }

}  // namespace braid
