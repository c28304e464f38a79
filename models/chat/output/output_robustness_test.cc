#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <iostream>
#include <random>

#include "models/chat/output/parsed_output.h"
#include "models/chat/output/toolparse_cases.h"

namespace braid {
namespace {

const std::vector<std::string>& Snippets() {
  static const auto* const kSnippets = new std::vector<std::string>{"<think>",
                                                                    "</think>",
                                                                    "[THINK]",
                                                                    "[/THINK]",
                                                                    "<tool_call>",
                                                                    "</tool_call>",
                                                                    "<function=",
                                                                    "</function>",
                                                                    "<parameter=",
                                                                    "</parameter>",
                                                                    ">",
                                                                    "<TOOLCALL>",
                                                                    "</TOOLCALL>",
                                                                    "[TOOL_CALLS]",
                                                                    "[ARGS]",
                                                                    "[CALL_ID]",
                                                                    "<|python_tag|>",
                                                                    "<|python_start|>",
                                                                    "<|python_end|>",
                                                                    "<|channel|>",
                                                                    "<|message|>",
                                                                    "<|start|>",
                                                                    "<|end|>",
                                                                    "<|call|>",
                                                                    "<|constrain|>",
                                                                    "to=functions.f ",
                                                                    "analysis",
                                                                    "<｜tool▁calls▁begin｜>",
                                                                    "<｜tool▁call▁begin｜>",
                                                                    "<｜tool▁sep｜>",
                                                                    "<｜tool▁call▁end｜>",
                                                                    "<｜tool▁calls▁end｜>",
                                                                    "<｜DSML｜invoke name=\"f\">",
                                                                    "</｜DSML｜invoke>",
                                                                    "<｜DSML｜parameter name=\"a\" string=\"true\">",
                                                                    "</｜DSML｜parameter>",
                                                                    "{",
                                                                    "}",
                                                                    "[",
                                                                    "]",
                                                                    "(",
                                                                    ")",
                                                                    "\"",
                                                                    "'",
                                                                    "'''",
                                                                    "\\",
                                                                    ":",
                                                                    ",",
                                                                    "\n",
                                                                    " ",
                                                                    "```",
                                                                    "null",
                                                                    "-1.5e3",
                                                                    "\\u00e9",
                                                                    "name",
                                                                    "arguments",
                                                                    "a=1",
                                                                    "{\"a\": ",
                                                                    std::string(1, '\0'),
                                                                    "\xff",
                                                                    "\xef\xbd"};
  return *kSnippets;
}

std::string Mutated(std::string text, std::mt19937* random) {
  const auto below = [&](size_t bound) { return bound == 0 ? 0 : (*random)() % bound; };
  for (int count = 1 + static_cast<int>(below(4)); count > 0; --count) {
    const size_t at = below(text.size() + 1);
    switch (below(5)) {
      case 0:
        text.insert(at, Snippets()[below(Snippets().size())]);
        break;
      case 1:
        text.erase(at, below(20));
        break;
      case 2:
        text.insert(at, text.substr(below(text.size() + 1), below(60)));
        break;
      case 3:
        text.resize(at);
        break;
      default:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
    }
  }
  return text;
}

std::vector<size_t> RandomCuts(size_t size, std::mt19937* random) {
  std::vector<size_t> cuts;
  for (size_t at = 0; at < size; at += 1 + (*random)() % 12) cuts.push_back(at);
  return cuts;
}

// No crash, and pieces still make no difference.
TEST(OutputRobustness, CutsChangeNothingInMutatedAnswers) {
  std::mt19937 random(7);
  int parses = 0;
  for (const ToolparseCase& one : ShippedToolparseCases()) {
    for (int i = 0; i < 150; ++i, ++parses) {
      const std::string text = Mutated(one.raw, &random);
      const bool cut = random() % 2 == 0;
      const ParsedOutput whole = ParsePieces(one.format, one.options, text, {}, cut);
      ASSERT_EQ(ParsePieces(one.format, one.options, text, EveryByte(text), cut), whole) << one.row["id"] << text;
      ASSERT_EQ(ParsePieces(one.format, one.options, text, RandomCuts(text.size(), &random), cut), whole) << text;
    }
  }
  std::cout << parses << " mutated answers\n";
}

TEST(OutputRobustness, CutsChangeNothingInHeapsOfMarkers) {
  std::mt19937 random(11);
  for (int name = 0; name <= static_cast<int>(OutputFormat::kMistralV11); ++name) {
    for (int i = 0; i < 400; ++i) {
      std::string text;
      for (int count = random() % 24; count >= 0; --count) text += Snippets()[random() % Snippets().size()];
      const auto format = static_cast<OutputFormat>(name);
      const OutputParserOptions options{.starts_in_reasoning = random() % 2 == 0};
      ASSERT_EQ(ParsePieces(format, options, text, EveryByte(text)), ParseWhole(format, options, text))
          << OutputFormatName(format) << ": " << text;
    }
  }
}

std::string Repeated(const std::string& text, size_t bytes) {
  std::string out;
  while (out.size() < bytes) out += text;
  return out;
}

TEST(OutputRobustness, TimeIsLinearInHostileText) {
  constexpr size_t kBytes = 1 << 18;
  double worst = 0;
  for (int name = 0; name <= static_cast<int>(OutputFormat::kMistralV11); ++name) {
    const auto format = static_cast<OutputFormat>(name);
    for (const char* unit : {"<", "[", "{", "{\"a\":", "<tool_call", "<tool_call>{\"name\": \"", "[f(a=", "[f(a='",
                             "<function=f><parameter=a>", "<｜", "<|", " ", "\n<", "[TOOL_CALLS]f", "\\",
                             "<|channel|>commentary to=functions.f<|message|>{", "<TOOLCALL>[{\"name\": \"f\", "}) {
      const std::string text = Repeated(unit, kBytes);
      const auto begin = std::chrono::steady_clock::now();
      const ParsedOutput whole = ParseWhole(format, {}, text);
      const ParsedOutput bytes = ParsePieces(format, {}, text, EveryByte(text));
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      EXPECT_TRUE(whole == bytes) << OutputFormatName(format) << ": " << unit;
      worst = std::max(worst, seconds);
    }
  }
  std::cout << "slowest quarter of a megabyte, whole and byte by byte together: " << worst << " s\n";
  EXPECT_LT(worst, 10);  // far above any machine that is linear, far below one that is not
}

}  // namespace
}  // namespace braid
