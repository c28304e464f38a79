#include "models/tokenizer/text_stream.h"

#include <utility>

#include "models/tokenizer/tokenizer_parts.h"

namespace braid {

TextStream::TextStream(const Tokenizer& tokenizer, bool skip_special_tokens, std::vector<std::string> stop_strings,
                       bool include_stop_str_in_output)
    : tokenizer_(tokenizer),
      skip_special_tokens_(skip_special_tokens),
      include_stop_(include_stop_str_in_output),
      stops_(std::move(stop_strings)),
      run_(tokenizer.parts_->decoder),
      finder_(stops_) {}

std::string TextStream::Push(int32_t id) {
  const Vocabulary& vocabulary = tokenizer_.parts_->vocabulary;
  if (matched_stop_ || !vocabulary.Has(id) || (skip_special_tokens_ && vocabulary.IsSpecial(id))) return "";
  std::string text;
  run_.Push(vocabulary.Spelling(id), &text);
  return Release(std::move(text));
}

std::string TextStream::Finish() {
  if (matched_stop_) return "";
  std::string text;
  run_.Finish(&text);
  text = Release(std::move(text));
  text += std::exchange(held_, {});
  return text;
}

// Returns what of the held text and `text` behind it can be given out.
std::string TextStream::Release(std::string text) {
  if (text.empty()) return text;
  const auto match = finder_.Next(text);
  const size_t held = held_.size();
  text.insert(0, held_);
  held_.clear();
  if (match) {
    matched_stop_ = stops_[match->stop];
    const size_t end = held + match->end;
    text.resize(include_stop_ ? end : end - match->length);
    return text;
  }
  held_ = text.substr(text.size() - finder_.possible());
  text.resize(text.size() - held_.size());
  return text;
}

}  // namespace braid
