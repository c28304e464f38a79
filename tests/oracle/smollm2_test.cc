// The default model against what transformers computes on the dequantized weights of the same file: prompts, ids and
// logprobs, alone and in company. Needs the file: $BRAID_TEST_MODEL, set by tests/run.sh.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <random>

#include "engine/testing/collector.h"
#include "kernels/base/json.h"
#include "models/text_model.h"
#include "models/weights/checkpoint.h"

namespace braid {
namespace {

using testing::Collector;

const SteadyClock kClock;

struct Smol {
  std::unique_ptr<Checkpoint> checkpoint;
  TextModel text;
  std::unique_ptr<Engine> engine;
};

std::vector<Json> Chats() {
  std::ifstream file(BRAID_SOURCE_DIR "/tests/data/smollm2/chat.jsonl");
  std::vector<Json> chats;
  for (std::string line; std::getline(file, line);) chats.push_back(*ParseJson(line));
  return chats;
}

Smol Load(const char* path) {
  Smol smol{.checkpoint = *Checkpoint::Open(path)};
  auto text = LoadTextModel(*smol.checkpoint);
  CHECK(text.ok()) << text.status();
  smol.text = *std::move(text);
  auto engine = Engine::Start({.memory_bytes = int64_t{2} << 30}, *smol.checkpoint, &kClock);
  CHECK(engine.ok()) << engine.status();
  smol.engine = *std::move(engine);
  return smol;
}

class SmolLm2 : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* path = std::getenv("BRAID_TEST_MODEL");
    if (path != nullptr) smol_ = new Smol(Load(path));
  }
  static void TearDownTestSuite() {
    delete smol_;
    smol_ = nullptr;
  }
  void SetUp() override {
    if (smol_ == nullptr) GTEST_SKIP() << "BRAID_TEST_MODEL is not set";
  }
  // The greedy answer to a chat, as long as the oracle's.
  GenerateRequest Answer(const Json& chat, Collector& collector) {
    return {.prompt = chat["prompt_ids"].get<std::vector<int32_t>>(),
            .sampling = {.temperature = 0, .logprobs = 0},
            .max_tokens = static_cast<int>(chat["ids"].size()),
            .on_event = collector.Sink()};
  }
  static Smol* smol_;
};
Smol* SmolLm2::smol_ = nullptr;

TEST_F(SmolLm2, RendersAndEncodesPromptsAsTransformersDoes) {
  for (const Json& chat : Chats()) {
    const Json& messages = chat["messages"];
    const auto prompt = smol_->text.chat_template->Render({.messages = &messages});
    ASSERT_TRUE(prompt.ok()) << prompt.status();
    EXPECT_EQ(*prompt, chat["prompt"].get<std::string>());
    EXPECT_EQ(smol_->text.tokenizer->Encode(*prompt, {}), chat["prompt_ids"].get<std::vector<int32_t>>());
    EXPECT_EQ(smol_->text.tokenizer->Decode(chat["ids"].get<std::vector<int32_t>>(), true),
              chat["text"].get<std::string>());
  }
}

TEST_F(SmolLm2, AnswersGreedilyAsTransformersDoes) {
  for (const Json& chat : Chats()) {
    Collector collector;
    ASSERT_TRUE(smol_->engine->Submit(Answer(chat, collector)).ok());
    ASSERT_TRUE(collector.WaitForEnd());
    // Weights stay quantized and activations are rounded to 8 bits: a near tie may turn.
    for (size_t i = 0; i < chat["ids"].size() && chat["gap"][i] >= 0.05; ++i) {
      ASSERT_LT(i, collector.choice().tokens.size());
      ASSERT_EQ(collector.choice().tokens[i], chat["ids"][i].get<int32_t>()) << "step " << i << " of " << chat["prompt"];
      EXPECT_NEAR(collector.choice().logprobs[i].logprob, chat["logprobs"][i].get<float>(), 0.05) << "step " << i;
    }
  }
}

TEST_F(SmolLm2, CopiesByDraftsTheSameText) {
  EngineConfig config{.memory_bytes = int64_t{1} << 30};
  config.scheduler.max_drafts = 4;
  const auto engine = Engine::Start(config, *smol_->checkpoint, &kClock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  std::string text;
  for (int i = 0; i < 4; ++i) text += "The ferry to the island leaves at seven, at noon and at half past five.\n";
  for (const float temperature : {0.0f, 0.5f}) {
    std::vector<testing::Choice> choices;
    for (Engine* const one : {smol_->engine.get(), engine->get()}) {
      Collector collector;
      ASSERT_TRUE(one->Submit({.prompt = smol_->text.tokenizer->Encode(text, {}),
                               .sampling = {.temperature = temperature, .seed = 1, .logprobs = 1},
                               .max_tokens = 64,
                               .ignore_eos = true,
                               .on_event = collector.Sink()})
                      .ok());
      ASSERT_TRUE(collector.WaitForEnd());
      choices.push_back(collector.choice());
    }
    EXPECT_EQ(choices[0].tokens, choices[1].tokens);
    for (size_t i = 0; i < choices[0].logprobs.size(); ++i) {
      EXPECT_EQ(choices[0].logprobs[i].logprob, choices[1].logprobs[i].logprob);
    }
  }
  EXPECT_GT((*engine)->Stats().speculation.accepted_tokens, 40u);
}

TEST_F(SmolLm2, AnswersTheSameAmong31RandomRequests) {
  const Json chat = Chats()[1];
  Collector alone;
  ASSERT_TRUE(smol_->engine->Submit(Answer(chat, alone)).ok());
  ASSERT_TRUE(alone.WaitForEnd());
  std::mt19937 random(3);
  std::vector<Collector> company(31);
  Collector among;
  for (int i = 0; i < 31; ++i) {
    std::vector<int32_t> prompt(1 + random() % 200);
    for (int32_t& id : prompt) id = random() % smol_->engine->info().vocab_size;
    ASSERT_TRUE(smol_->engine
                    ->Submit({.prompt = prompt,
                              .sampling = {.temperature = 1, .seed = static_cast<uint64_t>(i)},
                              .max_tokens = 40,
                              .on_event = company[i].Sink()})
                    .ok());
    if (i == 15) {
      ASSERT_TRUE(smol_->engine->Submit(Answer(chat, among)).ok());
    }
  }
  ASSERT_TRUE(among.WaitForEnd());
  EXPECT_EQ(among.choice().tokens, alone.choice().tokens);
  for (size_t i = 0; i < alone.choice().logprobs.size(); ++i) {
    EXPECT_EQ(among.choice().logprobs[i].logprob, alone.choice().logprobs[i].logprob);
  }
  for (Collector& one : company) EXPECT_TRUE(one.WaitForEnd());
}

}  // namespace
}  // namespace braid
