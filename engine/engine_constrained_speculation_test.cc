// Speculation of sequences that a grammar, a thinking budget or bad words bind: equal bits, and drafts that hold.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "engine/engine.h"
#include "engine/grammar/lookahead_constraint.h"
#include "engine/testing/constraints.h"
#include "engine/testing/tiny_engine.h"

namespace braid {
namespace {

using testing::AfterReasoning, testing::BoundByChoices, testing::BoundByEbnf, testing::BoundByRegex, testing::BoundBySchema;
using testing::Ask, testing::AskAll, testing::AskChoices, testing::Choice, testing::ExpectEqualBits, testing::RandomTokens, testing::StartTiny,
    testing::StatsWhenIdle;
using Tokens = std::vector<int32_t>;

EngineConfig Config(int max_drafts) {
  EngineConfig config{.threads = 2, .pin_threads = false, .memory_bytes = 64 << 20, .max_model_len = 512};
  config.eos_token_ids = {testing::kEndId};
  config.max_queue = 256;
  config.scheduler.max_tokens_per_step = 64;
  config.scheduler.max_sequences = 8;
  config.scheduler.max_drafts = max_drafts;
  return config;
}

// What a prompter knows of a prompt.
struct Script {
  Tokens text;                                       // the first choice's
  std::shared_ptr<const ConstraintSpec> constraint;  // null: none
  int vocab_size = 0;
};

// Says the script right up to a place; from there on what may come but is wrong, or what may not come.
class Prompter : public Drafter {
 public:
  enum class Wrong { kMayCome, kForbidden };
  // `right` < 0: drawn anew each time, and so is the kind of wrong.
  Prompter(const Script& script, int right, Wrong wrong) : script_(script), right_(right), wrong_(wrong) {
    if (script.constraint != nullptr) lookahead_.emplace(script.constraint, script.vocab_size);
  }

  void Append(int32_t token) override {
    said_.push_back(token);
    if (lookahead_.has_value()) lookahead_->Commit(token);
  }

  Tokens Propose(int count) override {
    const int right = right_ >= 0 ? right_ : static_cast<int>(random_() % (count + 1));
    const Wrong wrong = right_ >= 0 ? wrong_ : random_() % 2 == 0 ? Wrong::kMayCome : Wrong::kForbidden;
    Tokens text = said_;
    for (int i = 0; i < count; ++i) {
      const bool known = text.size() < script_.text.size();
      text.push_back(known && i < right ? script_.text[text.size()] : WrongBehind(text, wrong));
    }
    return {text.begin() + static_cast<ptrdiff_t>(said_.size()), text.end()};
  }

 private:
  int32_t WrongBehind(const Tokens& text, Wrong wrong) {
    const int32_t right = text.size() < script_.text.size() ? script_.text[text.size()] : -1;
    const uint32_t* mask = lookahead_.has_value() ? lookahead_->Behind(text).words : nullptr;
    for (int tries = 0; tries < 2000; ++tries) {
      const auto id = static_cast<int32_t>(random_() % script_.vocab_size);
      const bool may = mask == nullptr || (mask[id / 32] >> (id % 32) & 1) != 0;
      if (id != right && id != testing::kEndId && may == (wrong == Wrong::kMayCome)) return id;
    }
    return 'q';
  }

  const Script script_;
  const int right_;
  const Wrong wrong_;
  std::optional<LookaheadConstraint> lookahead_;
  Tokens said_;
  std::mt19937 random_{7};
};

class SilentDrafter : public Drafter {
 public:
  void Append(int32_t) override {}
  Tokens Propose(int) override { return {}; }
};

enum class Who { kPrompter, kDraftHead };

struct Case {
  const char* name;
  const char* model;
  Who who = Who::kPrompter;
};

class ConstrainedSpeculation : public ::testing::TestWithParam<Case> {
 protected:
  ConstrainedSpeculation() : plain_(StartWith(Config(0))), vocab_size_(plain_->info().vocab_size) {}

  static std::unique_ptr<Engine> StartWith(const EngineConfig& config) { return StartTiny(GetParam().model, config); }

  // Asks without speculation, and remembers the first choice for the drafter.
  std::vector<Choice> AskPlain(const GenerateRequest& request) {
    std::vector<Choice> choices = AskChoices(*plain_, request);
    scripts_[request.prompt] = {choices[0].tokens, request.constraint, vocab_size_};
    return choices;
  }

  std::vector<std::vector<Choice>> AskPlain(const std::vector<GenerateRequest>& requests) {
    std::vector<std::vector<Choice>> answers;
    for (const GenerateRequest& request : requests) answers.push_back(AskPlain(request));
    return answers;
  }

  EngineConfig Drafting(int max_drafts, int right = -1, Prompter::Wrong wrong = Prompter::Wrong::kMayCome) {
    EngineConfig config = Config(max_drafts);
    if (GetParam().who == Who::kDraftHead) {
      config.speculate_with = "mtp";
      config.threads = 1;
      return config;
    }
    config.make_drafter = [=, this](std::span<const int32_t> prompt) {
      return std::make_unique<Prompter>(scripts_[Tokens(prompt.begin(), prompt.end())], right, wrong);
    };
    return config;
  }

  GenerateRequest Request(int prompt_tokens, int max_tokens, ConstraintSpec constraint) {
    return {.prompt = RandomTokens(random_, prompt_tokens),
            .sampling = {.temperature = 0, .logprobs = 2},
            .max_tokens = max_tokens,
            .constraint = std::make_shared<const ConstraintSpec>(std::move(constraint))};
  }

  std::vector<ConstraintSpec> Constraints() {
    const int v = vocab_size_;
    ConstraintSpec words = BoundByRegex("[a-z ]*(\\n[a-z ]+)+", v), only_words = {.tokenizer = &testing::WordTokenizer()};
    words.bad_words = {{'t'}, {'a', 'b'}, {testing::kFirstWord + 4}};
    for (int32_t id = 0; id < 250; id += 3) only_words.bad_words.push_back({id, id + 1});
    only_words.bad_words.push_back({7});
    only_words.end_ids = {testing::kEndId};
    return {BoundBySchema(v),
            BoundByRegex("(ab|cd){3,8}-[0-9]{2,20}(xyz)+", v),
            BoundByChoices(v),
            BoundByEbnf(v),
            words,
            only_words,
            AfterReasoning(BoundBySchema(v), 9, 0),
            AfterReasoning(BoundByRegex("\\s?(yes|no), [a-z]{1,30}\\.", v), 5, 12),
            AfterReasoning({}, 20, 3)};
  }

  // Each constraint greedy, drawn, and with all that else decides; requests that nothing binds between them.
  std::vector<GenerateRequest> ManyKinds() {
    std::vector<GenerateRequest> all;
    int length = 5;
    for (const ConstraintSpec& constraint : Constraints()) {
      for (int kind = 0; kind < 3; ++kind, length = length * 7 % 97 + 1) all.push_back(Request(length, 60, constraint));
      all[all.size() - 2].sampling = {.temperature = 0.9f, .top_p = 0.95f, .seed = 17, .logprobs = 2};
      all[all.size() - 2].n = 3;
      MakeSpecial(&all.back());
    }
    for (int kind = 0; kind < 3; ++kind) {
      all.push_back(Request(40 + kind, 50, {}));
      all.back().constraint = nullptr;
    }
    return all;
  }

  static void MakeSpecial(GenerateRequest* request) {
    request->sampling = {.temperature = 0.8f, .frequency_penalty = 0.5f, .presence_penalty = 0.3f, .repetition_penalty = 1.2f,
                         .seed = 3, .logprobs = 1};
    request->sampling.logit_bias = {{'a', 2.0f}, {'"', -3.0f}, {testing::kFirstWord + 1, 4.0f}, {'}', -100.0f}};
    request->min_tokens = 25;
    request->stop_token_ids = {'z', '3'};
    for (int32_t id = 0; id < 288; ++id) {
      if (id != 'k' && id != '7' && id != testing::kFirstWord + 9) request->sampling.allowed_token_ids.push_back(id);
    }
  }

  void ExpectEqual(const std::vector<std::vector<Choice>>& answers, const std::vector<std::vector<Choice>>& expected) {
    ASSERT_EQ(answers.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      for (size_t c = 0; c < expected[i].size(); ++c) {
        SCOPED_TRACE(absl::StrCat("request ", i, ", choice ", c));
        ExpectEqualBits(answers[i][c], expected[i][c]);
      }
    }
  }

  std::map<Tokens, Script> scripts_;  // before plain_: outlives the engines
  std::mt19937 random_{5};
  const std::unique_ptr<Engine> plain_;
  const int vocab_size_;
};

TEST_P(ConstrainedSpeculation, GivesEqualBitsForAnyNumberOfDrafts) {
  const std::vector<GenerateRequest> requests = ManyKinds();
  const auto expected = AskPlain(requests);
  for (const int max_drafts : {1, 2, 3, 4, 5, 8}) {
    SCOPED_TRACE(absl::StrCat(max_drafts, " drafts"));
    const auto engine = StartWith(Drafting(max_drafts));
    ExpectEqual(AskAll(*engine, requests), expected);
    const EngineStats stats = StatsWhenIdle(*engine);
    EXPECT_GT(stats.speculation.accepted_tokens, 300u);
    EXPECT_GT(stats.speculation.draft_tokens, stats.speculation.accepted_tokens);
    EXPECT_GT(stats.speculation.accepted_at[max_drafts - 1], 0u);
    EXPECT_EQ(stats.blocks_used, 0);
  }
}

TEST_P(ConstrainedSpeculation, AdaptedNumbersOfDraftsGiveEqualBits) {
  const std::vector<GenerateRequest> requests = ManyKinds();
  const auto expected = AskPlain(requests);
  EngineConfig config = Drafting(kMaxDrafts);
  config.adapt_drafts = true;
  const auto engine = StartWith(config);
  ExpectEqual(AskAll(*engine, requests), expected);
  EXPECT_GT(StatsWhenIdle(*engine).speculation.draft_tokens, 0u);
}

TEST_P(ConstrainedSpeculation, TightMemoryChangesNoToken) {
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 16; ++i) {
    requests.push_back(Request(28 + i % 3, 90, i % 2 == 0 ? BoundByRegex("([a-z]{3}, ){40}", vocab_size_) : BoundBySchema(vocab_size_)));
    requests.back().sampling = {.temperature = 0.9f, .seed = static_cast<uint64_t>(i), .logprobs = 2};
  }
  const auto expected = AskPlain(requests);
  EngineConfig tight = Drafting(5);
  tight.max_model_len = 192;
  tight.memory_bytes = 9 * plain_->info().state_bytes_per_sequence;
  std::unique_ptr<Engine> engine;
  do {  // until two or three sequences fit
    tight.memory_bytes += 32 << 10;
    engine = StartWith(tight);
  } while (engine->info().num_blocks < 14);
  for (int round = 0; round < 20 && StatsWhenIdle(*engine).preemptions == 0; ++round) ExpectEqual(AskAll(*engine, requests), expected);
  EXPECT_GT(engine->Stats().preemptions, 0u);
  EXPECT_GT(engine->Stats().speculation.accepted_tokens, 0u);
}

TEST_P(ConstrainedSpeculation, LaterTurnsStartBehindAnswersThatDraftsMade) {
  const auto engine = StartWith(Drafting(5));
  int cached = 0;
  GenerateRequest request = Request(40, 75, BoundByRegex("([a-z]{3}, ){40}", vocab_size_));
  for (int turn = 0; turn < 4; ++turn) {
    const Choice expected = AskPlain(request)[0], choice = Ask(*engine, request);
    ExpectEqualBits(choice, expected);
    cached += choice.cached_tokens;
    request.prompt.insert(request.prompt.end(), choice.tokens.begin(), choice.tokens.end());
    for (const int32_t token : RandomTokens(random_, 10)) request.prompt.push_back(token);
  }
  EXPECT_GT(cached, 3 * 64);
}

// As a sequence does that moves here from another process.
TEST_P(ConstrainedSpeculation, GoesOnInTheMiddleOfAnAnswer) {
  for (const ConstraintSpec& constraint : Constraints()) {
    GenerateRequest request = Request(30, 60, constraint);
    const Choice expected = AskPlain(request)[0];
    const auto engine = StartWith(Drafting(4));
    const auto begun = static_cast<ptrdiff_t>(expected.tokens.size() / 2);
    request.output = {expected.tokens.begin(), expected.tokens.begin() + begun};
    EXPECT_EQ(Ask(*engine, request).tokens, Tokens(expected.tokens.begin() + begun, expected.tokens.end()));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ConstrainedSpeculation,
                         ::testing::Values(Case{"llama", "llama"}, Case{"nemotron_h", "nemotron_h"},
                                           Case{"draft_head", "nemotron_h_latent_mtp", Who::kDraftHead}),
                         [](const auto& info) { return std::string(info.param.name); });

// ---- What of the guesses reaches a step.

class ConstrainedDrafts : public ConstrainedSpeculation {
 protected:
  static constexpr int kTokens = 120, kDrafts = 5;

  SpeculationCounters CountsOf(const EngineConfig& config, const GenerateRequest& request) {
    const Choice expected = AskPlain(request)[0];
    const auto engine = StartWith(config);
    ExpectEqualBits(Ask(*engine, request), expected);
    return StatsWhenIdle(*engine).speculation;
  }

  SpeculationCounters DraftedCounts(const GenerateRequest& request, int right, Prompter::Wrong wrong) {
    return CountsOf(Drafting(kDrafts, right, wrong), request);
  }

  GenerateRequest Letters() { return Request(30, kTokens, BoundByRegex("[a-z]{300}", vocab_size_)); }
};

TEST_P(ConstrainedDrafts, ForbiddenOnesAreCutBeforeTheStep) {
  for (int right = 0; right < kDrafts; ++right) {
    SCOPED_TRACE(right);
    const SpeculationCounters counts = DraftedCounts(Letters(), right, Prompter::Wrong::kForbidden);
    EXPECT_EQ(counts.draft_tokens, counts.accepted_tokens);
    EXPECT_EQ(counts.steps, right == 0 ? 0u : counts.accepted_at[0]);
    for (int place = 0; place < right; ++place) EXPECT_GE(counts.accepted_at[place], kTokens / (right + 1) - 2) << place;
    EXPECT_EQ(counts.accepted_at[right], 0u);
  }
}

TEST_P(ConstrainedDrafts, WrongOnesThatMayComeAreRejected) {
  for (int right = 0; right < kDrafts; ++right) {
    SCOPED_TRACE(right);
    const SpeculationCounters counts = DraftedCounts(Letters(), right, Prompter::Wrong::kMayCome);
    EXPECT_GE(counts.steps, kTokens / (right + 1) - 2);
    EXPECT_GE(counts.draft_tokens, kDrafts * (counts.steps - 6));  // fewer at the end
    for (int place = 0; place < right; ++place) EXPECT_GE(counts.accepted_at[place], counts.steps - 3) << place;
    EXPECT_EQ(counts.accepted_at[right], 0u);
  }
}

TEST_P(ConstrainedDrafts, WhatMustComeIsGuessedWithoutADrafter) {
  EngineConfig silent = Config(kDrafts);
  silent.make_drafter = [](std::span<const int32_t>) { return std::make_unique<SilentDrafter>(); };
  // One letter of choice, then five that must come, none of which a word begins with.
  const SpeculationCounters counts = CountsOf(silent, Request(30, kTokens, BoundByRegex("([u-w]qrsq-){40}", vocab_size_)));
  EXPECT_EQ(counts.draft_tokens, counts.accepted_tokens);
  EXPECT_GE(counts.accepted_tokens, static_cast<uint64_t>(kTokens) * 5 / 6 - 6);
  EXPECT_LE(counts.steps, kTokens / 6 + 2u);
  const SpeculationCounters closing = CountsOf(silent, Request(30, 40, AfterReasoning({}, 10, 0)));
  EXPECT_EQ(closing.draft_tokens, 2u);  // of the reasoning's end, once
  EXPECT_EQ(closing.accepted_tokens, 2u);
}

INSTANTIATE_TEST_SUITE_P(Models, ConstrainedDrafts, ::testing::Values(Case{"llama", "llama"}, Case{"nemotron_h", "nemotron_h"}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace braid
