#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "models/chat/output/output_parser.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

TEST(OutputFormat, NamesGoBothWays) {
  for (int i = 0; i <= static_cast<int>(OutputFormat::kMistralV11); ++i) {
    const auto format = static_cast<OutputFormat>(i);
    const auto parsed = ParseOutputFormat(OutputFormatName(format));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, format);
  }
  const absl::Status status = ParseOutputFormat("chatml").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(status.message(), HasSubstr("\"chatml\" is not known: want one of none, nemotron3, qwen3_coder"));
}

const std::map<std::string, OutputFormat>& KnownTemplates() {
  static const auto* const kKnown = new std::map<std::string, OutputFormat>{
      {"Apertus-8B-Instruct", OutputFormat::kPlain},
      {"Bielik-11B-v3.0-Instruct", OutputFormat::kHermes},
      {"CohereForAI-c4ai-command-r7b-12-2024-tool_use", OutputFormat::kPlain},
      {"GLM-4.6", OutputFormat::kPlain},
      {"HuggingFaceTB-SmolLM3-3B", OutputFormat::kHermes},
      {"Kimi-K2-Instruct", OutputFormat::kPlain},
      {"LFM2-8B-A1B", OutputFormat::kPythonic},
      {"MiMo-VL", OutputFormat::kHermes},
      {"MiniMax-M2", OutputFormat::kPlain},
      {"NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", OutputFormat::kNemotron3},
      {"NVIDIA-Nemotron-Nano-v2", OutputFormat::kNanoV2},
      {"Nemotron-H-8B-style", OutputFormat::kHermes},  // reasoning alone: the common form of calls goes with it
      {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", OutputFormat::kHermes},
      {"Qwen-Qwen2.5-7B-Instruct", OutputFormat::kHermes},
      {"Qwen-Qwen3-0.6B", OutputFormat::kHermes},
      {"SmolLM2-135M-Instruct", OutputFormat::kPlain},
      {"StepFun3.5-Flash", OutputFormat::kQwen3Coder},
      {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", OutputFormat::kDeepSeekV3},
      {"deepseek-ai-DeepSeek-V3.1", OutputFormat::kDeepSeekV31},
      {"google-gemma-2-2b-it", OutputFormat::kPlain},
      {"ibm-granite-granite-4.0", OutputFormat::kHermes},
      {"llama-cpp-deepseek-r1", OutputFormat::kDeepSeekV3},
      {"meta-llama-Llama-3.1-8B-Instruct", OutputFormat::kLlama3Json},
      {"microsoft-Phi-3.5-mini-instruct", OutputFormat::kPlain},
      {"mistralai-Mistral-Nemo-Instruct-2407", OutputFormat::kMistral},
      {"nvidia-Llama-3_3-Nemotron-Super-49B-v1_5", OutputFormat::kNanoV2},
      {"openai-gpt-oss-120b", OutputFormat::kHarmony},
      {"upstage-Solar-Open-100B", OutputFormat::kPlain},
  };
  return *kKnown;
}

int ExpectGuesses(const std::string& folder) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ostringstream source;
    source << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    const std::string name = entry.path().stem();
    const std::string chat_template = source.str();
    const OutputFormat guess = GuessOutputFormat({.chat_template = chat_template});
    if (!KnownTemplates().contains(name)) continue;
    ++count;
    EXPECT_EQ(OutputFormatName(guess), OutputFormatName(KnownTemplates().at(name))) << name;
  }
  return count;
}

TEST(OutputFormat, IsGuessedFromPublishedTemplates) {
  EXPECT_GE(ExpectGuesses(BRAID_SOURCE_DIR "/tests/data/templates/templates"), 17);
}

TEST(OutputFormat, IsGuessedFromTheLargerSetOfTemplates) {
  const char* oracles = std::getenv("BRAID_ORACLES");
  if (oracles == nullptr) GTEST_SKIP() << "BRAID_ORACLES is not set";
  EXPECT_EQ(ExpectGuesses(std::string(oracles) + "/templates/templates"), 28);
}

TEST(OutputFormat, IsGuessedFromMarkersOfNewerTemplates) {
  const std::pair<const char*, OutputFormat> kRows[] = {
      {"", OutputFormat::kPlain},
      {"[TOOL_CALLS]' + name + '[ARGS]", OutputFormat::kMistralV11},
      {"[THINK]", OutputFormat::kMistralV11},
      {"<｜DSML｜function_calls>", OutputFormat::kDeepSeekV32},
      {"<|header_start|> <|python_start|>", OutputFormat::kPythonic},
      {"<|start_header_id|> {\"name\": ..., \"parameters\": ...}", OutputFormat::kLlama3Json},
      {"<tool_call>\n<function=f>\n<parameter=a>", OutputFormat::kQwen3Coder},
      {"<think>\n\n</think>", OutputFormat::kHermes},
  };
  for (const auto& [source, format] : kRows) EXPECT_EQ(GuessOutputFormat({.chat_template = source}), format) << source;
  EXPECT_EQ(GuessOutputFormat({.model_type = "nemotron_h", .chat_template = "<function="}), OutputFormat::kNemotron3);
  EXPECT_EQ(GuessOutputFormat({.model_type = "deepseek_v32"}), OutputFormat::kDeepSeekV32);
}

TEST(OutputFormat, PromptEndsInReasoningWhenItsLastTurnOpensIt) {
  const auto hermes = OutputFormat::kHermes;
  EXPECT_TRUE(PromptEndsInReasoning(hermes, "<|im_start|>assistant\n<think>\n"));
  EXPECT_TRUE(PromptEndsInReasoning(hermes, "<|im_start|>assistant\n<think>\nI was thinking"));
  EXPECT_TRUE(PromptEndsInReasoning(hermes, "<think>"));
  EXPECT_FALSE(PromptEndsInReasoning(hermes, "<|im_start|>assistant\n<think>\n\n</think>\n\n"));
  EXPECT_FALSE(PromptEndsInReasoning(hermes, "<|im_start|>assistant\n"));
  EXPECT_FALSE(PromptEndsInReasoning(hermes, ""));
  // A user's words open nothing.
  EXPECT_FALSE(PromptEndsInReasoning(hermes, "<|im_start|>user\nwhat is <think>?<|im_end|>\n<|im_start|>assistant\n"));
  EXPECT_TRUE(PromptEndsInReasoning(OutputFormat::kDeepSeekV31, "<｜User｜></think><｜Assistant｜><think>"));
  EXPECT_TRUE(PromptEndsInReasoning(OutputFormat::kHarmony, "<|end|><|start|>assistant<|channel|>analysis<|message|>"));
  EXPECT_FALSE(PromptEndsInReasoning(OutputFormat::kHarmony, "<|end|><|start|>assistant"));
  EXPECT_FALSE(PromptEndsInReasoning(OutputFormat::kMistral, "<think>"));
}

}  // namespace
}  // namespace braid
