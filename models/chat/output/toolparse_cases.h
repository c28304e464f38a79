// For tests: the cases of tests/data/toolparse.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "kernels/base/json.h"
#include "models/chat/output/output_parser.h"

namespace braid {

struct ToolparseCase {
  Json row;
  OutputFormat format;
  OutputParserOptions options;
  std::string raw;
};

inline std::vector<ToolparseCase> LoadToolparseCases(const std::string& folder) {
  std::vector<ToolparseCase> cases;
  std::ifstream file(folder + "/cases.jsonl");
  for (std::string line; std::getline(file, line);) {
    Json row = *ParseJson(line);
    const auto format = ParseOutputFormat(row["family"].get<std::string>());
    EXPECT_TRUE(format.ok()) << format.status();
    OutputParserOptions options{.tools = row["tools"], .starts_in_reasoning = row["starts_in_reasoning"]};
    const std::string raw = row["raw"];
    cases.push_back({std::move(row), *format, std::move(options), raw});
  }
  return cases;
}

inline std::vector<ToolparseCase> ShippedToolparseCases() {
  return LoadToolparseCases(BRAID_SOURCE_DIR "/tests/data/toolparse");
}

}  // namespace braid
