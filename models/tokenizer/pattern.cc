#include "models/tokenizer/pattern.h"

#include <oniguruma.h>

#include <mutex>

#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr size_t kMaxExpressionBytes = 8192;
constexpr unsigned long kMaxStepsOfSearch = 5'000'000;
constexpr unsigned int kMaxStackOfMatch = 1'000'000;

const OnigUChar* Bytes(const char* p) { return reinterpret_cast<const OnigUChar*>(p); }

std::string Message(int code, OnigErrorInfo* info) {
  OnigUChar text[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int length = onig_error_code_to_str(text, code, info);
  return std::string(reinterpret_cast<const char*>(text), length > 0 ? length : 0);
}

}  // namespace

// A compiled expression of Oniguruma, whose syntax tokenizer.json uses. Thread: any.
class Regex {
 public:
  static absl::StatusOr<std::shared_ptr<const Regex>> Compile(const std::string& expression) {
    if (expression.size() > kMaxExpressionBytes) {
      return absl::InvalidArgumentError(absl::StrCat("regular expression of ", expression.size(), " bytes; at most ",
                                                     kMaxExpressionBytes, " are allowed"));
    }
    // Oniguruma's set-up and compiler touch its globals; searches do not.
    static std::mutex compiling;
    std::lock_guard lock(compiling);
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    if (onig_initialize(encodings, 1) != ONIG_NORMAL) return absl::InternalError("Oniguruma does not start");
    onig_set_parse_depth_limit(256);
    regex_t* compiled = nullptr;
    OnigErrorInfo info{};
    const char* begin = expression.data();
    const int code = onig_new(&compiled, Bytes(begin), Bytes(begin + expression.size()), ONIG_OPTION_NONE,
                              ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
    if (code != ONIG_NORMAL) {
      return absl::InvalidArgumentError(
          absl::StrCat("regular expression \"", expression, "\": ", Message(code, &info)));
    }
    return std::shared_ptr<const Regex>(new Regex(compiled));
  }
  ~Regex() { onig_free(compiled_); }
  Regex(const Regex&) = delete;

  std::optional<ByteRange> Search(std::string_view text, size_t from) const {
    OnigRegion* region = onig_region_new();
    OnigMatchParam* limits = onig_new_match_param();
    onig_initialize_match_param(limits);
    onig_set_retry_limit_in_match_of_match_param(limits, kMaxStepsOfSearch);
    onig_set_retry_limit_in_search_of_match_param(limits, kMaxStepsOfSearch);
    onig_set_match_stack_limit_size_of_match_param(limits, kMaxStackOfMatch);
    const OnigUChar* begin = Bytes(text.data());
    const OnigUChar* end = begin + text.size();
    const int at = onig_search_with_param(compiled_, begin, end, begin + from, end, region, ONIG_OPTION_NONE, limits);
    std::optional<ByteRange> found;
    if (at >= 0) found = ByteRange{static_cast<size_t>(region->beg[0]), static_cast<size_t>(region->end[0])};
    onig_free_match_param(limits);
    onig_region_free(region, 1);
    return found;
  }

 private:
  explicit Regex(regex_t* compiled) : compiled_(compiled) {}
  regex_t* const compiled_;
};

namespace {

std::optional<ByteRange> NextKnown(KnownMatcher match, std::string_view text, size_t from) {
  const CharClasses& classes = CharClasses::Get();
  while (from < text.size()) {
    if (const size_t length = match(classes, text, from)) return ByteRange{from, from + length};
    from += ReadUtf8(text, from).length;
  }
  return std::nullopt;
}

std::optional<ByteRange> NextOneOf(CharClass wanted, std::string_view text, size_t from) {
  const CharClasses& classes = CharClasses::Get();
  while (from < text.size()) {
    const CodePoint c = ReadUtf8(text, from);
    if (classes.Of(c.value) & wanted) return ByteRange{from, from + c.length};
    from += c.length;
  }
  return std::nullopt;
}

std::optional<ByteRange> NextLiteral(std::string_view literal, std::string_view text, size_t from) {
  const size_t at = literal.empty() ? std::string_view::npos : text.find(literal, from);
  if (at == std::string_view::npos) return std::nullopt;
  return ByteRange{at, at + literal.size()};
}

std::optional<ByteRange> NextMatch(const Regex& regex, std::string_view text, size_t from,
                                   std::optional<size_t> last_end) {
  while (from <= text.size()) {
    const auto found = regex.Search(text, from);
    if (!found || found->size() > 0 || last_end != found->begin) return found;
    from += from < text.size() ? ReadUtf8(text, from).length : 1;
  }
  return std::nullopt;
}

}  // namespace

Pattern Pattern::Literal(std::string text) {
  Pattern p;
  p.literal_ = std::move(text);
  return p;
}

absl::StatusOr<Pattern> Pattern::Expression(const std::string& expression) {
  Pattern p;
  p.known_ = KnownMatcherOf(expression);
  if (p.known_ == nullptr) {
    ASSIGN_OR_RETURN(p.regex_, Regex::Compile(expression));
  }
  return p;
}

Pattern Pattern::Known(KnownMatcher match) {
  Pattern p;
  p.known_ = match;
  return p;
}

Pattern Pattern::OneOf(CharClass classes) {
  Pattern p;
  p.classes_ = classes;
  return p;
}

std::optional<ByteRange> Pattern::Next(std::string_view text, size_t from, std::optional<size_t> last_end) const {
  if (known_ != nullptr) return NextKnown(known_, text, from);
  if (regex_ != nullptr) return NextMatch(*regex_, text, from, last_end);
  if (classes_ != 0) return NextOneOf(classes_, text, from);
  return NextLiteral(literal_, text, from);
}

std::string ReplaceAll(std::string_view text, const Pattern& pattern, std::string_view content) {
  std::string out;
  size_t done = 0;
  std::optional<size_t> last_end;
  while (auto match = pattern.Next(text, done, last_end)) {
    out.append(text.substr(done, match->begin - done)).append(content);
    last_end = done = match->end;
  }
  return out.append(text.substr(done));
}

}  // namespace braid
