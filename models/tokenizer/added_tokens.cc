#include "models/tokenizer/added_tokens.h"

#include <algorithm>

#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

CharClass ClassAt(std::string_view text, size_t at) {
  const CodePoint c = ReadUtf8(text, at);
  return c.length == 0 ? kEnd : CharClasses::Get().Of(c.value);
}

size_t BeginOfLastCharacter(std::string_view text) {
  size_t at = text.size();
  while (at > 0 && (static_cast<uint8_t>(text[--at]) & 0xC0) == 0x80) {
  }
  return at;
}

bool TouchesWord(std::string_view text, size_t begin, size_t end) {
  const std::string_view before = text.substr(0, begin);
  return (ClassAt(before, BeginOfLastCharacter(before)) & kWord) || (ClassAt(text, end) & kWord);
}

// Looks back no further than `floor`.
size_t BeginOfSpacesBefore(std::string_view text, size_t end, size_t floor) {
  while (end > floor) {
    const size_t begin = BeginOfLastCharacter(text.substr(0, end));
    if (!(ClassAt(text, begin) & kSpace)) break;
    end = begin;
  }
  return end;
}

size_t EndOfSpacesBehind(std::string_view text, size_t at) {
  while (ClassAt(text, at) & kSpace) at += ReadUtf8(text, at).length;
  return at;
}

}  // namespace

void AddedTokenFinder::Add(const AddedToken& token, std::string_view form) {
  if (form.empty()) return;
  uint32_t node = 0;
  for (const char c : form) {
    const auto b = static_cast<uint8_t>(c);
    auto& children = nodes_[node].children;
    const auto it = std::find_if(children.begin(), children.end(), [&](const auto& e) { return e.first == b; });
    if (it != children.end()) {
      node = it->second;
      continue;
    }
    children.emplace_back(b, static_cast<uint32_t>(nodes_.size()));
    node = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
  }
  nodes_[node].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  is_first_byte_[static_cast<uint8_t>(form[0])] = true;
}

bool AddedTokenFinder::FindFrom(std::string_view text, size_t from, Match* match) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!is_first_byte_[static_cast<uint8_t>(text[begin])]) continue;
    const Node* node = &nodes_[0];
    match->token = nullptr;
    for (size_t at = begin; at < text.size(); ++at) {
      const auto b = static_cast<uint8_t>(text[at]);
      const auto it =
          std::find_if(node->children.begin(), node->children.end(), [&](const auto& e) { return e.first == b; });
      if (it == node->children.end()) break;
      node = &nodes_[it->second];
      if (node->token >= 0) *match = {begin, at + 1, &tokens_[node->token]};
    }
    if (match->token != nullptr) return true;
  }
  return false;
}

void AddedTokenFinder::Cut(std::string_view text, bool skip_special, Sink sink) const {
  size_t done = 0;
  Match match{};
  for (size_t from = 0; FindFrom(text, from, &match); from = match.end) {
    const AddedToken& token = *match.token;
    if (skip_special && token.special) continue;
    if (token.single_word && TouchesWord(text, match.begin, match.end)) continue;
    // Spaces that the token before took stay with it. No space is looked at twice, also where tokens are spaces.
    size_t begin = token.lstrip ? BeginOfSpacesBefore(text, match.begin, done) : match.begin;
    begin = std::max(begin, done);
    const size_t end = token.rstrip ? EndOfSpacesBehind(text, std::max(match.end, done)) : match.end;
    if (begin > done) sink(text.substr(done, begin - done), nullptr);
    sink(text.substr(begin, std::max(begin, end) - begin), &token);
    done = std::max(done, end);
  }
  if (done < text.size()) sink(text.substr(done), nullptr);
}

}  // namespace braid
