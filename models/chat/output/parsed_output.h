// For tests: an answer run through a parser in pieces, its deltas joined.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/chat/output/output_parser.h"

namespace braid {

struct ParsedOutput {
  std::string reasoning, content;
  std::vector<std::pair<std::string, std::string>> calls;  // name, arguments
  bool operator==(const ParsedOutput&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, const ParsedOutput& parsed) {
  out << "reasoning <" << parsed.reasoning << "> content <" << parsed.content << ">";
  for (const auto& [name, arguments] : parsed.calls) out << " call " << name << " <" << arguments << ">";
  return out;
}

// Joins `delta` to `parsed`; fails unless a call's name comes once, first, and calls are numbered in their order.
inline void Join(const OutputDelta& delta, ParsedOutput* parsed) {
  parsed->reasoning += delta.reasoning;
  parsed->content += delta.content;
  for (const ToolCallDelta& call : delta.tool_calls) {
    if (call.name) parsed->calls.emplace_back(*call.name, "");
    ASSERT_EQ(call.index + 1, static_cast<int>(parsed->calls.size()));
    ASSERT_TRUE(call.name || !call.arguments.empty());
    parsed->calls.back().second += call.arguments;
  }
}

// `text` cut at `cuts`, offsets in bytes in rising order.
inline ParsedOutput ParsePieces(OutputFormat format, const OutputParserOptions& options, std::string_view text,
                                const std::vector<size_t>& cuts, bool cut = false) {
  const auto parser = MakeOutputParser(format, options);
  ParsedOutput parsed;
  size_t begin = 0;
  for (const size_t end : cuts) {
    Join(parser->Push(text.substr(begin, end - begin)), &parsed);
    begin = end;
  }
  Join(parser->Push(text.substr(begin)), &parsed);
  Join(parser->Finish(cut), &parsed);
  return parsed;
}

inline ParsedOutput ParseWhole(OutputFormat format, const OutputParserOptions& options, std::string_view text) {
  return ParsePieces(format, options, text, {});
}

inline std::vector<size_t> EveryByte(std::string_view text) {
  std::vector<size_t> cuts;
  for (size_t i = 1; i < text.size(); ++i) cuts.push_back(i);
  return cuts;
}

}  // namespace braid
