// Speculation as requests see it: equal bits with and without it, whatever is guessed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "engine/engine.h"
#include "engine/testing/tiny_engine.h"
#include "models/weights/checkpoint.h"

namespace braid {
namespace {

using testing::Ask;
using testing::AskAll;
using testing::AskChoices;
using testing::Choice;
using testing::RandomTokens;
using testing::kClock;
using testing::StartTiny;
using testing::StatsWhenIdle;
using testing::ExpectEqualBits;
using Tokens = std::vector<int32_t>;

EngineConfig Config(int max_drafts) {
  EngineConfig config{.threads = 2, .pin_threads = false, .memory_bytes = 64 << 20, .max_model_len = 512};
  config.scheduler.max_tokens_per_step = 64;
  config.scheduler.max_sequences = 8;
  config.scheduler.max_drafts = max_drafts;
  return config;
}

// Knows what the prompt's first choice will say, and says it right up to a random place.
class Prompter : public Drafter {
 public:
  Prompter(Tokens script, uint32_t seed) : script_(std::move(script)), random_(seed) {}
  void Append(int32_t) override { ++next_; }
  Tokens Propose(int count) override {
    Tokens drafts;
    const int right = static_cast<int>(random_() % (count + 1));
    for (int i = 0; i < count; ++i) {
      const bool known = i < right && next_ + i < script_.size();
      drafts.push_back(known ? script_[next_ + i] : static_cast<int32_t>(random_() % 250));
    }
    return drafts;
  }

 private:
  const Tokens script_;
  std::mt19937 random_;
  size_t next_ = 0;
};

// Who drafts: a prompter, of which much holds, or the model's own head, of which some does.
enum class Who { kPrompter, kDraftHead };

struct Case {
  const char* name;
  const char* model;
  Who who = Who::kPrompter;
};

class EngineSpeculation : public ::testing::TestWithParam<Case> {
 protected:
  EngineSpeculation() : plain_(StartWith(Config(0))) {}

  static std::unique_ptr<Engine> StartWith(const EngineConfig& config) { return StartTiny(GetParam().model, config); }

  // A number of accepted drafts that a test expects of a prompter, as far as the head reaches it.
  static uint64_t Share(uint64_t accepted) { return GetParam().who == Who::kPrompter ? accepted : accepted / 20; }

  // Asks without speculation, and remembers the first choice for the drafter.
  std::vector<Choice> AskPlain(const GenerateRequest& request) {
    std::vector<Choice> choices = AskChoices(*plain_, request);
    scripts_[request.prompt] = choices[0].tokens;
    return choices;
  }

  EngineConfig Drafting(int max_drafts) {
    EngineConfig config = Config(max_drafts);
    if (GetParam().who == Who::kDraftHead) {
      config.speculate_with = "mtp";
      config.threads = 1;
      return config;
    }
    config.make_drafter = [this](std::span<const int32_t> prompt) -> std::unique_ptr<Drafter> {
      const Tokens key(prompt.begin(), prompt.end());
      return std::make_unique<Prompter>(scripts_[key], static_cast<uint32_t>(prompt.size()));
    };
    return config;
  }

  GenerateRequest Request(int prompt_tokens, int max_tokens) {
    return {.prompt = RandomTokens(random_, prompt_tokens),
            .sampling = {.temperature = 0, .logprobs = 2},
            .max_tokens = max_tokens,
            .ignore_eos = true};
  }

  // Greedy and sampled, with penalties, stop ids, least lengths and choices; short and long prompts.
  std::vector<GenerateRequest> ManyKinds() {
    const SamplingParams drawn = {.temperature = 0.9f, .top_p = 0.95f, .seed = 17, .logprobs = 2};
    const SamplingParams penalized = {.temperature = 0.8f, .frequency_penalty = 0.5f, .presence_penalty = 0.3f,
                                      .repetition_penalty = 1.2f, .seed = 3, .logprobs = 1};
    std::vector<GenerateRequest> all = {Request(5, 100), Request(150, 70), Request(33, 90),
                                        Request(64, 80), Request(90, 60),  Request(20, 1)};
    all[1].sampling = all[3].sampling = drawn;
    all[2].sampling = all[4].sampling = penalized;
    all[3].n = 3;
    for (const int from : {0, 1, 2}) {  // ends inside the text, and not before
      GenerateRequest stopped = all[from];
      const Tokens text = AskPlain(stopped)[0].tokens;
      stopped.prompt.push_back(7);
      stopped.stop_token_ids = {text[20], text[30], 7};
      all.push_back(stopped);
      stopped.prompt.push_back(8);
      stopped.min_tokens = 40;
      all.push_back(stopped);
    }
    return all;
  }

  std::map<Tokens, Tokens> scripts_;  // before plain_: outlives the engines
  std::mt19937 random_{5};
  const std::unique_ptr<Engine> plain_;
};

TEST_P(EngineSpeculation, GivesEqualBitsForAnyNumberOfDrafts) {
  const std::vector<GenerateRequest> requests = ManyKinds();
  std::vector<std::vector<Choice>> expected;
  for (const GenerateRequest& request : requests) expected.push_back(AskPlain(request));
  for (const int max_drafts : {1, 2, 3, 4, 5, 8}) {
    const auto engine = StartWith(Drafting(max_drafts));
    const auto answers = AskAll(*engine, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      for (size_t c = 0; c < expected[i].size(); ++c) {
        SCOPED_TRACE(absl::StrCat(max_drafts, " drafts, request ", i, ", choice ", c));
        ExpectEqualBits(answers[i][c], expected[i][c]);
      }
    }
    const EngineStats stats = StatsWhenIdle(*engine);
    const SpeculationCounters& counters = stats.speculation;
    EXPECT_GT(counters.accepted_tokens, Share(100));
    EXPECT_GT(counters.draft_tokens, counters.accepted_tokens + 100);
    EXPECT_GT(counters.accepted_at[std::min<int>(max_drafts, Share(9)) - 1], 0u);
    EXPECT_EQ(stats.blocks_used, 0);
    EXPECT_EQ(stats.state_slots_used, 0);
  }
}

TEST_P(EngineSpeculation, AdaptedNumbersOfDraftsGiveEqualBits) {
  std::vector<GenerateRequest> requests = ManyKinds();
  std::vector<std::vector<Choice>> expected;
  for (const GenerateRequest& request : requests) expected.push_back(AskPlain(request));
  EngineConfig config = Drafting(kMaxDrafts);
  config.adapt_drafts = true;
  const auto engine = StartWith(config);
  const auto answers = AskAll(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    for (size_t c = 0; c < expected[i].size(); ++c) ExpectEqualBits(answers[i][c], expected[i][c]);
  }
  const EngineStats stats = StatsWhenIdle(*engine);
  EXPECT_GT(stats.speculation.draft_tokens, 0u);
  EXPECT_EQ(stats.blocks_used, 0);
}

TEST_P(EngineSpeculation, NgramsFindWhatRepeats) {
  GenerateRequest request = Request(8, 200);
  while (request.prompt.size() < 80) request.prompt.push_back(request.prompt[request.prompt.size() - 8]);
  request.sampling.logit_bias = {{3, 100.0f}};  // says nothing else: that repeats
  const Choice expected = AskPlain(request)[0];
  EngineConfig config = Config(4);
  config.speculate_with = "ngram";
  const auto engine = StartWith(config);
  const Choice choice = Ask(*engine, request);
  ExpectEqualBits(choice, expected);
  EXPECT_LT(choice.emitted_ns.size(), 60u);  // events of several tokens
  EXPECT_GT(StatsWhenIdle(*engine).speculation.accepted_tokens, 140u);
}

TEST_P(EngineSpeculation, TightMemoryChangesNoToken) {
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 16; ++i) requests.push_back(Request(28 + i % 3, 90));
  std::vector<Choice> expected;
  for (const GenerateRequest& request : requests) expected.push_back(AskPlain(request)[0]);
  EngineConfig tight = Drafting(5);
  tight.max_model_len = 192;
  tight.memory_bytes = 9 * plain_->info().state_bytes_per_sequence;
  std::unique_ptr<Engine> engine;
  do {  // until two or three sequences fit
    tight.memory_bytes += 32 << 10;
    engine = StartWith(tight);
  } while (engine->info().num_blocks < 14);
  EngineStats stats;
  for (int round = 0; round < 20 && stats.preemptions == 0; ++round) {  // few meet where the requests arrive slowly
    const auto answers = AskAll(*engine, requests);
    for (size_t i = 0; i < requests.size(); ++i) ExpectEqualBits(answers[i][0], expected[i]);
    stats = StatsWhenIdle(*engine);
  }
  EXPECT_GT(stats.preemptions, 0u);
  EXPECT_GT(stats.speculation.accepted_tokens, Share(100));
  EXPECT_EQ(stats.blocks_used, 0);
}

// Block boundaries of the answers are crossed by drafts; states are kept there all the same, and are right.
TEST_P(EngineSpeculation, LaterTurnsStartBehindAnswersThatDraftsMade) {
  const auto engine = StartWith(Drafting(5));
  int cached_of_answers = 0;
  for (int chat = 0; chat < 4; ++chat) {
    GenerateRequest request = Request(40 + chat, 75);
    int prompt_end = 0;
    for (int turn = 0; turn < 4; ++turn) {
      const Choice expected = AskPlain(request)[0], choice = Ask(*engine, request);
      ExpectEqualBits(choice, expected);
      cached_of_answers += std::max(0, choice.cached_tokens - prompt_end);
      prompt_end = static_cast<int>(request.prompt.size());
      request.prompt.insert(request.prompt.end(), choice.tokens.begin(), choice.tokens.end());
      for (int i = 0; i < 10; ++i) request.prompt.push_back(static_cast<int32_t>(random_() % 250));
    }
  }
  EXPECT_GT(cached_of_answers, 4 * 3 * 32);
}

INSTANTIATE_TEST_SUITE_P(Models, EngineSpeculation,
                         ::testing::Values(Case{"llama", "llama"}, Case{"nemotron_h", "nemotron_h"},
                                           Case{"nemotron_h_latent_mtp", "nemotron_h_latent_mtp"},
                                           Case{"draft_head", "nemotron_h_latent_mtp", Who::kDraftHead}),
                         [](const auto& info) { return std::string(info.param.name); });

// ---- The draft head's rows are part of what the prefix cache keeps.

SpeculationCounters CountsOf(Engine& engine, const GenerateRequest& request, Choice* choice) {
  const SpeculationCounters before = StatsWhenIdle(engine).speculation;
  *choice = Ask(engine, request);
  SpeculationCounters counts = StatsWhenIdle(engine).speculation;
  counts.steps -= before.steps;
  counts.draft_tokens -= before.draft_tokens;
  counts.accepted_tokens -= before.accepted_tokens;
  for (int i = 0; i < kMaxDrafts; ++i) counts.accepted_at[i] -= before.accepted_at[i];
  return counts;
}

const Tokens kGoldenPrompt = {83,  296, 67,  39,  263, 264, 62, 275, 284, 166, 74, 262, 254, 159, 42,  247, 16,  267, 165, 248, 57,
                              76,  107, 261, 260, 127, 44,  36, 35,  292, 44,  181, 169, 16,  46,  135, 220, 69,  114, 217, 139};

// Guesses behind a hit are those of an engine that computed all of it, also where the answer's own blocks are hit.
TEST(EngineDraftHead, GuessesBehindAHitAsBehindAPromptComputedWhole) {
  EngineConfig config = Config(3);
  config.threads = 1;
  const auto warm = StartTiny("nemotron_h_latent_mtp", config);
  config.scheduler.prefix_cache = false;
  config.scheduler.max_tokens_per_step = 256;  // nor are its prompts cut
  const auto cold = StartTiny("nemotron_h_latent_mtp", config);
  std::mt19937 random(9);
  uint64_t accepted = 0;
  int cached = 0;
  for (const int begin : {0, 0, 3}) {  // of the prompt whose answer the head was made to guess
    Tokens history(kGoldenPrompt.begin() + begin, kGoldenPrompt.end());
    for (int turn = 0; turn < 3; ++turn) {
      SCOPED_TRACE(absl::StrCat("begin ", begin, " turn ", turn));
      const GenerateRequest request{.prompt = history, .sampling = {.temperature = 0}, .max_tokens = 40, .ignore_eos = true};
      Choice choice, wanted;
      const SpeculationCounters counts = CountsOf(*warm, request, &choice), expected = CountsOf(*cold, request, &wanted);
      ASSERT_EQ(choice.tokens, wanted.tokens);
      EXPECT_EQ(counts.steps, expected.steps);
      EXPECT_EQ(counts.draft_tokens, expected.draft_tokens);
      for (int i = 0; i < 3; ++i) EXPECT_EQ(counts.accepted_at[i], expected.accepted_at[i]) << "place " << i;
      EXPECT_EQ(wanted.cached_tokens, 0);
      accepted += counts.accepted_tokens;
      cached += choice.cached_tokens;
      history.insert(history.end(), choice.tokens.begin(), choice.tokens.end());
      for (const int32_t token : RandomTokens(random, 5)) history.push_back(token);
    }
  }
  EXPECT_GT(accepted, 40u);
  EXPECT_GT(cached, 300);
}

TEST(EngineDraftHead, LeavesLogprobsOfThePromptAsTheyAre) {
  GenerateRequest request{.prompt = kGoldenPrompt, .sampling = {.temperature = 0, .logprobs = 2}, .max_tokens = 20,
                          .ignore_eos = true, .prompt_logprobs = 2};
  request.prompt.insert(request.prompt.end(), kGoldenPrompt.begin(), kGoldenPrompt.end());  // in two chunks
  const Choice plain = Ask(*StartTiny("nemotron_h_latent_mtp", Config(0)), request);
  const Choice choice = Ask(*StartTiny("nemotron_h_latent_mtp", Config(3)), request);
  ExpectEqualBits(choice, plain);
  ASSERT_EQ(choice.prompt_logprobs.size(), 81u);
  for (size_t i = 0; i < 81; ++i) {
    EXPECT_EQ(choice.prompt_logprobs[i].logprob, plain.prompt_logprobs[i].logprob) << i;
    EXPECT_EQ(choice.prompt_logprobs[i].top, plain.prompt_logprobs[i].top) << i;
  }
}

TEST(EngineDraftHead, IsAskedForWhereThereIsOne) {
  EngineConfig config = Config(2);
  config.speculate_with = "mtp";
  const auto checkpoint = Checkpoint::Open(BRAID_SOURCE_DIR "/tests/data/models/llama");
  const auto engine = Engine::Start(config, **checkpoint, &kClock);
  EXPECT_EQ(engine.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(engine.status().message()), ::testing::HasSubstr("--speculate-with: \"mtp\""));
  config.speculate_with = "guess";
  EXPECT_EQ(config.Validate().code(), absl::StatusCode::kInvalidArgument);
  config.speculate_with = "mtp";
  config.scheduler.max_drafts = 0;  // nobody speculates
  EXPECT_TRUE(Engine::Start(config, **checkpoint, &kClock).ok());
}

}  // namespace
}  // namespace braid
