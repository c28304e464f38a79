#include "models/tokenizer/tokenizer_gguf.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/base/errors.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/byte_token.h"
#include "models/tokenizer/known_splits.h"
#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

constexpr std::string_view kMark = "\u2581";

// How the pre-tokenizer of a name cuts, and what else the name says.
struct NamedSplit {
  std::string_view pre;
  std::string_view expressions[3];  // cut one after the other
  bool single_digits_first = false;
  bool whole_pieces_first = false;
  bool add_bos = false;  // where tokenizer.ggml.add_bos_token is not given
};
const NamedSplit* FindSplit(std::string_view pre) {
  static const NamedSplit kSplits[] = {
      {"", {kGpt2Expression}},
      {"default", {kGpt2Expression}},
      {"gpt-2", {kGpt2Expression}},
      {"smollm", {kGpt2Expression}, true},
      {"llama-bpe", {kLlama3Expression}, false, true, true},
      {"llama3", {kLlama3Expression}, false, true, true},
      {"llama-v3", {kLlama3Expression}, false, true, true},
      {"qwen2", {kQwen2Expression}},
      {"qwen35", {kQwen35Expression}},
      {"tekken", {kTekkenExpression}, false, true, true},
      {"gpt-4o", {kO200kExpression}},
      {"deepseek-v3", {kThreeDigitsExpression, kHanKanaExpression, kDeepSeekExpression}},
  };
  const auto* found = std::find_if(std::begin(kSplits), std::end(kSplits), [&](const auto& s) { return s.pre == pre; });
  return found == std::end(kSplits) ? nullptr : found;
}

class GgufLoader {
 public:
  explicit GgufLoader(const GgufVocabulary& source) : source_(source), parts_(std::make_unique<TokenizerParts>()) {}

  absl::StatusOr<std::unique_ptr<TokenizerParts>> Load() {
    RETURN_IF_ERROR(ReadTokens());
    if (source_.model == "gpt2") {
      RETURN_IF_ERROR(ReadByteLevel());
    } else if (source_.model == "llama") {
      RETURN_IF_ERROR(ReadSentencePiece());
    } else {
      return absl::UnimplementedError(
          absl::StrCat("tokenizer.ggml.model is \"", source_.model, "\", which is not supported; gpt2 and llama are"));
    }
    RETURN_IF_ERROR(AddMarkers());
    RETURN_IF_ERROR(ReadAround());
    parts_->FillBytes();
    return std::move(parts_);
  }

 private:
  int32_t TypeOf(size_t id) const { return source_.token_types.empty() ? kNormal : source_.token_types[id]; }
  absl::Status ReadTokens();
  absl::Status ReadByteLevel();
  absl::Status ReadMerge(std::string_view merge, int32_t rank);
  absl::Status ReadSentencePiece();
  void AddScoredMerges(const std::vector<int32_t>& rank_of);
  absl::StatusOr<std::vector<int32_t>> RanksByScore() const;
  absl::Status AddMarkers();
  absl::Status ReadAround();
  absl::Status CheckId(const char* key, std::optional<int32_t> id) const;

  const GgufVocabulary& source_;
  std::unique_ptr<TokenizerParts> parts_;
  std::vector<std::string> spellings_;  // well-formed
  bool add_bos_ = false;
};

absl::Status GgufLoader::ReadTokens() {
  const size_t count = source_.tokens.size();
  if (count == 0 || count > static_cast<size_t>(Vocabulary::kMaxTokens)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.ggml.tokens has ", count, " entries; it must have 1 to ", Vocabulary::kMaxTokens));
  }
  if (!source_.token_types.empty() && source_.token_types.size() != count) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.ggml.token_type has ", source_.token_types.size(),
                                                   " entries; it must have as many as tokens, ", count));
  }
  for (size_t id = 0; id < count; ++id) {
    spellings_.push_back(RepairUtf8(source_.tokens[id]));
    if (auto status = parts_->vocabulary.AddRepeatable(spellings_.back(), static_cast<int64_t>(id)); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer.ggml.tokens: ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status GgufLoader::ReadByteLevel() {
  const NamedSplit* split = FindSplit(source_.pre);
  if (split == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("tokenizer.ggml.pre is \"", source_.pre, "\", which is not supported"));
  }
  std::vector<SplitStep> steps;
  if (split->single_digits_first) steps.push_back({.pattern = Pattern::OneOf(kNumber)});
  for (const std::string_view expression : split->expressions) {
    if (!expression.empty()) steps.push_back({.pattern = Pattern::Known(KnownMatcherOf(expression))});
  }
  parts_->pre_split = PreSplit(std::move(steps));
  parts_->decoder = Decoder(std::vector<DecoderStep>{{.kind = DecoderStep::kByteAlphabet}});
  add_bos_ = split->add_bos;
  parts_->bpe = std::make_unique<Bpe>(BpeOptions{.whole_pieces_first = split->whole_pieces_first});
  for (size_t id = 0; id < spellings_.size(); ++id) {
    const bool in_text = TypeOf(id) == kNormal || TypeOf(id) == kByte;
    if (auto bytes = FromByteAlphabet(spellings_[id]); in_text && bytes && !bytes->empty()) {
      parts_->bpe->AddToken(std::move(*bytes), static_cast<int32_t>(id));
    }
  }
  for (size_t i = 0; i < source_.merges.size(); ++i) {
    RETURN_IF_ERROR(ReadMerge(source_.merges[i], static_cast<int32_t>(i)));
  }
  parts_->bpe->Seal();
  return absl::OkStatus();
}

absl::Status GgufLoader::ReadMerge(std::string_view merge, int32_t rank) {
  const size_t space = merge.find(' ', 1);
  if (space != std::string_view::npos) {
    const std::string left(merge.substr(0, space)), right(merge.substr(space + 1));
    const Vocabulary& vocabulary = parts_->vocabulary;
    const auto left_id = vocabulary.IdOf(left), right_id = vocabulary.IdOf(right), id = vocabulary.IdOf(left + right);
    if (left_id && right_id && id) {
      parts_->bpe->AddMerge(*left_id, *right_id, *id, rank);
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer.ggml.merges[", rank, "] is \"", RepairUtf8(merge),
                   "\"; it must be two tokens, with a space between, that join to a third"));
}

absl::Status GgufLoader::ReadSentencePiece() {
  ASSIGN_OR_RETURN(const std::vector<int32_t> ranks, RanksByScore());
  RETURN_IF_ERROR(CheckId("unknown_token_id", source_.unknown_id));
  BpeOptions options{.unit = BpeUnit::kCharacter, .byte_fallback = true, .fuse_unknown = true};
  options.unknown_id = source_.unknown_id;
  parts_->bpe = std::make_unique<Bpe>(options);
  for (size_t id = 0; id < spellings_.size(); ++id) {
    if (TypeOf(id) == kNormal) parts_->bpe->AddToken(spellings_[id], static_cast<int32_t>(id));
    const auto byte = ByteOfToken(spellings_[id]);
    if (byte && (TypeOf(id) == kByte || TypeOf(id) == kNormal)) {
      parts_->bpe->SetFallback(*byte, static_cast<int32_t>(id));
    }
  }
  AddScoredMerges(ranks);
  parts_->bpe->Seal();
  const bool prefix = source_.add_space_prefix.value_or(true);
  std::vector<NormalizerStep> normalizer;
  if (prefix) normalizer.push_back({.kind = NormalizerStep::kPrepend, .content = std::string(kMark)});
  normalizer.push_back(
      {.kind = NormalizerStep::kReplace, .pattern = Pattern::Literal(" "), .content = std::string(kMark)});
  parts_->normalizer = Normalizer(std::move(normalizer));
  std::vector<DecoderStep> decoder = {
      {.kind = DecoderStep::kReplace, .pattern = Pattern::Literal(std::string(kMark)), .content = " "},
      {.kind = DecoderStep::kByteFallback},
      {.kind = DecoderStep::kFuse}};
  if (prefix) decoder.push_back({.kind = DecoderStep::kStrip, .content = " ", .start = 1});
  parts_->decoder = Decoder(std::move(decoder));
  add_bos_ = true;
  return absl::OkStatus();
}

// The best score has rank 0; equal scores have equal ranks, so that the leftmost pair goes first.
absl::StatusOr<std::vector<int32_t>> GgufLoader::RanksByScore() const {
  const size_t count = spellings_.size();
  if (source_.scores.size() != count) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.ggml.scores has ", source_.scores.size(),
                                                   " entries; it must have as many as tokens, ", count));
  }
  std::vector<int32_t> by_score(count), ranks(count);
  for (size_t id = 0; id < count; ++id) {
    by_score[id] = static_cast<int32_t>(id);
    if (std::isnan(source_.scores[id])) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer.ggml.scores[", id, "] is not a number"));
    }
  }
  std::stable_sort(by_score.begin(), by_score.end(),
                   [&](int32_t a, int32_t b) { return source_.scores[a] > source_.scores[b]; });
  int32_t rank = 0;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0 && source_.scores[by_score[i]] != source_.scores[by_score[i - 1]]) ++rank;
    ranks[by_score[i]] = rank;
  }
  return ranks;
}

// Sentencepiece joins any two neighbours whose text is a token: each cut of a token into two tokens is a merge.
void GgufLoader::AddScoredMerges(const std::vector<int32_t>& rank_of) {
  for (size_t id = 0; id < spellings_.size(); ++id) {
    const std::string_view token = spellings_[id];
    // Longer tokens are no words, and their cuts would cost the square of the length.
    constexpr size_t kMaxBytes = 1024;
    if (TypeOf(id) != kNormal || token.size() > kMaxBytes || parts_->bpe->IdOf(token) != static_cast<int32_t>(id)) {
      continue;
    }
    for (size_t cut = ReadUtf8(token, 0).length; cut < token.size(); cut += ReadUtf8(token, cut).length) {
      const auto left = parts_->bpe->IdOf(token.substr(0, cut)), right = parts_->bpe->IdOf(token.substr(cut));
      if (left && right) parts_->bpe->AddMerge(*left, *right, static_cast<int32_t>(id), rank_of[id]);
    }
  }
}

absl::Status GgufLoader::AddMarkers() {
  for (size_t id = 0; id < spellings_.size(); ++id) {
    const int32_t type = TypeOf(id);
    if (type != kControl && type != kUserDefined && type != kUnknown) continue;
    RETURN_IF_ERROR(
        parts_->AddToken({.id = static_cast<int32_t>(id), .content = spellings_[id], .special = type != kUserDefined}));
  }
  return absl::OkStatus();
}

absl::Status GgufLoader::CheckId(const char* key, std::optional<int32_t> id) const {
  if (!id || (*id >= 0 && static_cast<size_t>(*id) < spellings_.size())) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.ggml.", key, " is ", *id,
                                                 "; it must be below the number of tokens, ", spellings_.size()));
}

absl::Status GgufLoader::ReadAround() {
  RETURN_IF_ERROR(CheckId("bos_token_id", source_.bos_id));
  RETURN_IF_ERROR(CheckId("eos_token_id", source_.eos_id));
  parts_->bos_id = source_.bos_id;
  parts_->eos_id = source_.eos_id;
  if (source_.bos_id && source_.add_bos.value_or(add_bos_)) parts_->prefix.push_back(*source_.bos_id);
  if (source_.eos_id && source_.add_eos.value_or(false)) parts_->suffix.push_back(*source_.eos_id);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenizerParts>> PartsFromGguf(const GgufVocabulary& vocabulary) {
  return GgufLoader(vocabulary).Load();
}

}  // namespace braid
