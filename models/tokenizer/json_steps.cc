#include "models/tokenizer/json_steps.h"

#include <algorithm>

#include "kernels/base/errors.h"
#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

constexpr size_t kMaxSteps = 64;
constexpr int kMaxNesting = 8;
constexpr double kMaxGrowth = 4096;  // of a text by all steps of a section; real files stay below a hundred

absl::Status Unknown(const JsonField& field, const std::string& type) {
  return absl::UnimplementedError(absl::StrCat(field.path(), ".type \"", type, "\" is not supported"));
}

// Lays `field`, a Sequence of `list_name` or one step, out flat: read(step, type, out) for each.
template <class Step, class Read>
absl::Status ReadSteps(const JsonField& field, std::string_view list_name, int nesting, Read read,
                       std::vector<Step>* out) {
  if (field.is_null()) return absl::OkStatus();
  RETURN_IF_ERROR(field.CheckObject());
  ASSIGN_OR_RETURN(const std::string type, field.Member("type").String());
  if (type != "Sequence") return read(field, type, out);
  if (nesting == kMaxNesting) return field.Wrong(absl::StrCat("nested at most ", kMaxNesting, " deep"));
  const JsonField list = field.Member(list_name);
  ASSIGN_OR_RETURN(const size_t count, list.ArraySize());
  for (size_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(ReadSteps(list.Element(i), list_name, nesting + 1, read, out));
    if (out->size() > kMaxSteps) return list.Wrong(absl::StrCat("at most ", kMaxSteps, " steps"));
  }
  return absl::OkStatus();
}

// {"String": "..."} | {"Regex": "..."} | "..."; `literal` gets the text of the first and last form.
absl::StatusOr<Pattern> ReadPattern(const JsonField& field, std::string* literal = nullptr) {
  const JsonField text = field.value().is_object() ? field.Member("String") : field;
  if (!text.is_null()) {
    ASSIGN_OR_RETURN(std::string wanted, text.String());
    if (literal != nullptr) *literal = wanted;
    return Pattern::Literal(std::move(wanted));
  }
  ASSIGN_OR_RETURN(const std::string expression, field.Member("Regex").String());
  auto pattern = Pattern::Expression(expression);
  if (pattern.ok()) return pattern;
  return absl::InvalidArgumentError(absl::StrCat(field.path(), ": ", pattern.status().message()));
}

absl::StatusOr<SplitBehavior> ReadBehavior(const JsonField& field, std::string_view otherwise) {
  ASSIGN_OR_RETURN(const std::string name, field.StringOr(otherwise));
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return field.Wrong("Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous");
}

bool IsOneCharacter(std::string_view text) { return !text.empty() && ReadUtf8(text, 0).length == text.size(); }

absl::StatusOr<std::string> ReadMark(const JsonField& field) {
  ASSIGN_OR_RETURN(std::string mark, field.StringOr("\u2581"));
  if (!IsOneCharacter(mark)) return field.Wrong("one character");
  return mark;
}

absl::StatusOr<PrependScheme> ReadPrependScheme(const JsonField& metaspace) {
  // Older files say add_prefix_space in place of prepend_scheme.
  ASSIGN_OR_RETURN(const bool prefix, metaspace.Member("add_prefix_space").BoolOr(true));
  const JsonField field = metaspace.Member("prepend_scheme");
  ASSIGN_OR_RETURN(const std::string name, field.StringOr(prefix ? "always" : "never"));
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "never") return PrependScheme::kNever;
  return field.Wrong("always, first or never");
}

absl::Status ReadNormalizer(const JsonField& field, const std::string& type, std::vector<NormalizerStep>* out) {
  using Step = NormalizerStep;
  static constexpr std::pair<std::string_view, Step::Kind> kPlain[] = {
      {"NFC", Step::kNfc},
      {"NFD", Step::kNfd},
      {"NFKC", Step::kNfkc},
      {"NFKD", Step::kNfkd},
      {"Lowercase", Step::kLowercase},
      {"StripAccents", Step::kStripAccents},
      {"Nmt", Step::kNmt},
      {"ByteLevel", Step::kByteAlphabet},
  };
  for (const auto& [name, kind] : kPlain) {
    if (type == name) {
      out->push_back({.kind = kind});
      return absl::OkStatus();
    }
  }
  if (type == "Strip") {
    ASSIGN_OR_RETURN(const bool left, field.Member("strip_left").BoolOr(true));
    ASSIGN_OR_RETURN(const bool right, field.Member("strip_right").BoolOr(true));
    out->push_back({.kind = Step::kStrip, .left = left, .right = right});
  } else if (type == "Replace") {
    ASSIGN_OR_RETURN(Pattern pattern, ReadPattern(field.Member("pattern")));
    ASSIGN_OR_RETURN(std::string content, field.Member("content").String());
    out->push_back({.kind = Step::kReplace, .pattern = std::move(pattern), .content = std::move(content)});
  } else if (type == "Prepend") {
    ASSIGN_OR_RETURN(std::string content, field.Member("prepend").String());
    out->push_back({.kind = Step::kPrepend, .content = std::move(content)});
  } else if (type == "Append") {
    ASSIGN_OR_RETURN(std::string content, field.Member("append").String());
    out->push_back({.kind = Step::kAppend, .content = std::move(content)});
  } else {
    return Unknown(field, type);
  }
  return absl::OkStatus();
}

SplitStep PatternStep(Pattern pattern, SplitBehavior behavior, bool invert = false) {
  return {.pattern = std::move(pattern), .behavior = behavior, .invert = invert};
}

absl::Status ReadByteLevel(const JsonField& field, std::vector<SplitStep>* out) {
  ASSIGN_OR_RETURN(const bool prefix_space, field.Member("add_prefix_space").BoolOr(true));
  ASSIGN_OR_RETURN(const bool use_regex, field.Member("use_regex").BoolOr(true));
  if (prefix_space) out->push_back({.kind = SplitStep::kPrefixSpace});
  if (use_regex) {
    out->push_back(PatternStep(Pattern::Known(KnownMatcherOf(kGpt2Expression)), SplitBehavior::kIsolated));
  }
  out->push_back({.kind = SplitStep::kByteAlphabet});
  return absl::OkStatus();
}

absl::Status ReadSplit(const JsonField& field, std::vector<SplitStep>* out) {
  ASSIGN_OR_RETURN(Pattern pattern, ReadPattern(field.Member("pattern")));
  ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadBehavior(field.Member("behavior"), "Isolated"));
  ASSIGN_OR_RETURN(const bool invert, field.Member("invert").BoolOr(false));
  out->push_back(PatternStep(std::move(pattern), behavior, invert));
  return absl::OkStatus();
}

absl::Status ReadMetaspace(const JsonField& field, std::vector<SplitStep>* out) {
  SplitStep step{.kind = SplitStep::kMetaspace};
  ASSIGN_OR_RETURN(step.mark, ReadMark(field.Member("replacement")));
  ASSIGN_OR_RETURN(step.prepend, ReadPrependScheme(field));
  ASSIGN_OR_RETURN(step.cut_at_marks, field.Member("split").BoolOr(true));
  out->push_back(std::move(step));
  return absl::OkStatus();
}

absl::Status ReadPreTokenizer(const JsonField& field, const std::string& type, std::vector<SplitStep>* out) {
  if (type == "ByteLevel") return ReadByteLevel(field, out);
  if (type == "Split") return ReadSplit(field, out);
  if (type == "Metaspace") return ReadMetaspace(field, out);
  if (type == "Whitespace") {
    out->push_back(PatternStep(Pattern::Known(MatchWordOrSymbols), SplitBehavior::kRemoved, true));
  } else if (type == "Digits") {
    ASSIGN_OR_RETURN(const bool single, field.Member("individual_digits").BoolOr(false));
    const auto behavior = single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
    out->push_back(PatternStep(Pattern::OneOf(kNumber), behavior));
  } else if (type == "Punctuation") {
    ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadBehavior(field.Member("behavior"), "Isolated"));
    out->push_back(PatternStep(Pattern::OneOf(kPunctuation | kAsciiSymbol), behavior));
  } else if (type == "WhitespaceSplit" || type == "BertPreTokenizer") {
    out->push_back(PatternStep(Pattern::OneOf(kSpace), SplitBehavior::kRemoved));
    if (type == "BertPreTokenizer") {
      out->push_back(PatternStep(Pattern::OneOf(kPunctuation | kAsciiSymbol), SplitBehavior::kIsolated));
    }
  } else if (type == "CharDelimiterSplit") {
    ASSIGN_OR_RETURN(std::string delimiter, field.Member("delimiter").String());
    out->push_back(PatternStep(Pattern::Literal(std::move(delimiter)), SplitBehavior::kRemoved));
  } else {
    return Unknown(field, type);
  }
  return absl::OkStatus();
}

absl::StatusOr<DecoderStep> ReadStripDecoder(const JsonField& field) {
  DecoderStep step{.kind = DecoderStep::kStrip};
  ASSIGN_OR_RETURN(step.content, field.Member("content").String());
  if (!IsOneCharacter(step.content)) return field.Member("content").Wrong("one character");
  ASSIGN_OR_RETURN(const int64_t start, field.Member("start").IntegerOr(0));
  ASSIGN_OR_RETURN(const int64_t stop, field.Member("stop").IntegerOr(0));
  if (start < 0 || stop < 0) return field.Wrong("an object whose start and stop are not negative");
  step.start = static_cast<size_t>(start);
  step.stop = static_cast<size_t>(stop);
  return step;
}

absl::StatusOr<DecoderStep> ReadReplaceDecoder(const JsonField& field) {
  DecoderStep step{.kind = DecoderStep::kReplace};
  ASSIGN_OR_RETURN(step.pattern, ReadPattern(field.Member("pattern"), &step.literal));
  ASSIGN_OR_RETURN(step.content, field.Member("content").String());
  return step;
}

absl::StatusOr<DecoderStep> ReadMetaspaceDecoder(const JsonField& field) {
  DecoderStep step{.kind = DecoderStep::kMetaspace};
  ASSIGN_OR_RETURN(step.content, ReadMark(field.Member("replacement")));
  ASSIGN_OR_RETURN(const PrependScheme scheme, ReadPrependScheme(field));
  step.drop_first = scheme != PrependScheme::kNever;
  return step;
}

absl::StatusOr<DecoderStep> ReadDecoderStep(const JsonField& field, const std::string& type) {
  if (type == "ByteLevel") return DecoderStep{.kind = DecoderStep::kByteAlphabet};
  if (type == "ByteFallback") return DecoderStep{.kind = DecoderStep::kByteFallback};
  if (type == "Fuse") return DecoderStep{.kind = DecoderStep::kFuse};
  if (type == "Strip") return ReadStripDecoder(field);
  if (type == "Replace") return ReadReplaceDecoder(field);
  if (type == "Metaspace") return ReadMetaspaceDecoder(field);
  if (type == "BPEDecoder") {
    DecoderStep step{.kind = DecoderStep::kSuffixSpace};
    ASSIGN_OR_RETURN(step.content, field.Member("suffix").StringOr("</w>"));
    return step;
  }
  return Unknown(field, type);
}

absl::Status ReadDecoder(const JsonField& field, const std::string& type, std::vector<DecoderStep>* out) {
  ASSIGN_OR_RETURN(DecoderStep step, ReadDecoderStep(field, type));
  out->push_back(std::move(step));
  return absl::OkStatus();
}

// How many times as long a text may be after a step, at most; steps that make it longer only once count as none.
double GrowthOf(const Pattern& pattern, const std::string& content) {
  return 1 + static_cast<double>(content.size()) / static_cast<double>(std::max<size_t>(pattern.least_bytes(), 1));
}

double GrowthOf(const NormalizerStep& step) {
  if (step.kind == NormalizerStep::kReplace) return GrowthOf(step.pattern, step.content);
  return step.kind == NormalizerStep::kByteAlphabet ? 2 : 1 + static_cast<double>(step.content.size());
}

double GrowthOf(const SplitStep& step) {
  if (step.kind == SplitStep::kPattern) return 1;
  return 2 + static_cast<double>(step.mark.size());
}

double GrowthOf(const DecoderStep& step) {
  return step.kind == DecoderStep::kReplace ? GrowthOf(step.pattern, step.content) : 1;
}

// Steps after steps could make a text, and the time it takes, grow with the power of their number.
template <class Step>
absl::Status CheckGrowth(const JsonField& field, const std::vector<Step>& steps) {
  double growth = 1;
  for (const Step& step : steps) growth *= GrowthOf(step);
  if (growth <= kMaxGrowth) return absl::OkStatus();
  return field.Wrong(absl::StrCat("steps that make a text at most ", kMaxGrowth, " times as long"));
}

}  // namespace

absl::StatusOr<std::vector<NormalizerStep>> NormalizerSteps(const JsonField& normalizer) {
  std::vector<NormalizerStep> steps;
  RETURN_IF_ERROR(ReadSteps(normalizer, "normalizers", 0, ReadNormalizer, &steps));
  RETURN_IF_ERROR(CheckGrowth(normalizer, steps));
  return steps;
}

absl::StatusOr<std::vector<SplitStep>> SplitSteps(const JsonField& pre_tokenizer) {
  std::vector<SplitStep> steps;
  RETURN_IF_ERROR(ReadSteps(pre_tokenizer, "pretokenizers", 0, ReadPreTokenizer, &steps));
  RETURN_IF_ERROR(CheckGrowth(pre_tokenizer, steps));
  return steps;
}

absl::StatusOr<std::vector<DecoderStep>> DecoderSteps(const JsonField& decoder) {
  if (decoder.is_null()) return std::vector<DecoderStep>{{.kind = DecoderStep::kJoinSpace}};
  std::vector<DecoderStep> steps;
  RETURN_IF_ERROR(ReadSteps(decoder, "decoders", 0, ReadDecoder, &steps));
  RETURN_IF_ERROR(CheckGrowth(decoder, steps));
  return steps;
}

}  // namespace braid
