// Engines whose model is shared by ranks, as threads and as processes: the tokens of one rank, equal bits run after run,
// with everything on that acts on sequences and their memory; and the end of a rank.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "engine/ranks/rank_group.h"
#include "engine/ranks/rank_worker.h"
#include "engine/testing/tiny_engine.h"

namespace braid {
namespace {

using testing::Choice;
using testing::Collector;
using testing::ExpectEqualBits;
using testing::kClock;
using testing::StartTiny;
using testing::StatsWhenIdle;
using Tokens = std::vector<int32_t>;

constexpr const char* kThisProgram = "/proc/self/exe";
constexpr float kClearGap = 0.02f;  // between the best two tokens: more than sums of ranks may differ by

struct Case {
  const char* name;
  const char* model;
  int ranks;
  const char* program = "";       // threads
  const char* drafts = "ngram";
};

EngineConfig ConfigOf(int ranks, const std::string& program, const char* drafts) {
  EngineConfig config{.threads = ranks, .pin_threads = false, .tensor_parallel = ranks, .rank_program = program,
                      .memory_bytes = 64 << 20, .max_model_len = 256, .speculate_with = drafts};
  config.scheduler.max_tokens_per_step = 48;
  config.scheduler.max_sequences = 4;
  config.scheduler.max_drafts = 3;
  config.scheduler.prefix_cache = true;
  return config;
}

// Prompts that share a beginning of three blocks, and repeat themselves so that text can be looked up.
std::vector<GenerateRequest> Requests(int max_tokens) {
  std::mt19937 random(7);
  Tokens shared(100);
  for (size_t i = 0; i < shared.size(); ++i) shared[i] = i < 20 ? static_cast<int32_t>(random() % 250) : shared[i - 20];
  std::vector<GenerateRequest> requests;
  for (int r = 0; r < 5; ++r) {
    GenerateRequest request{.prompt = shared, .max_tokens = max_tokens, .ignore_eos = true};
    for (int i = 0; i < 3 * r; ++i) request.prompt.push_back(static_cast<int32_t>(random() % 250));
    request.sampling.temperature = 0;
    request.sampling.logprobs = 2;
    requests.push_back(std::move(request));
  }
  return requests;
}

// The first alone, so that the others find its blocks; then these together.
std::vector<Choice> Ask(Engine& engine, int max_tokens = 24) {
  const std::vector<GenerateRequest> requests = Requests(max_tokens);
  std::vector<std::unique_ptr<Collector>> collectors;
  for (size_t i = 0; i < requests.size(); ++i) {
    GenerateRequest request = requests[i];
    collectors.push_back(std::make_unique<Collector>());
    request.on_event = collectors.back()->Sink();
    CHECK(engine.Submit(std::move(request)).ok());
    if (i == 0) CHECK(collectors[0]->WaitForEnd());
  }
  std::vector<Choice> choices;
  for (const auto& collector : collectors) {
    CHECK(collector->WaitForEnd());
    choices.push_back(collector->choice());
  }
  return choices;
}

// Equal tokens up to the first that `one` did not choose clearly; returns how many.
size_t ExpectTokensOf(const Choice& one, const Choice& many) {
  EXPECT_EQ(one.tokens.size(), many.tokens.size());
  for (size_t i = 0; i < one.tokens.size(); ++i) {
    const auto& top = one.logprobs[i].top;
    if (top.size() > 1 && std::abs(top[0].second - top[1].second) < kClearGap) return i;
    EXPECT_EQ(many.tokens[i], one.tokens[i]) << "token " << i;
  }
  return one.tokens.size();
}

class EngineRanks : public ::testing::TestWithParam<Case> {};

TEST_P(EngineRanks, GiveTheTokensOfOneRankAndEqualBitsRunAfterRun) {
  const Case& c = GetParam();
  const std::vector<Choice> alone = Ask(*StartTiny(c.model, ConfigOf(1, "", c.drafts)));
  std::vector<Choice> before;
  for (int run = 0; run < 2; ++run) {
    const auto engine = StartTiny(c.model, ConfigOf(c.ranks, c.program, c.drafts));
    EXPECT_THAT(engine->info().fingerprint, ::testing::HasSubstr(absl::StrCat("-tp_", c.ranks)));
    const std::vector<Choice> shared = Ask(*engine);
    size_t compared = 0;
    for (size_t i = 0; i < shared.size(); ++i) {
      EXPECT_TRUE(shared[i].error.ok()) << shared[i].error;
      compared += ExpectTokensOf(alone[i], shared[i]);
      if (run > 0) ExpectEqualBits(shared[i], before[i]);
    }
    EXPECT_GT(compared, 40u);
    const EngineStats stats = StatsWhenIdle(*engine);
    EXPECT_GT(stats.speculation.draft_tokens, 0u);
    EXPECT_TRUE(stats.speculation.accepted_tokens > 0 || std::string(c.drafts) != "mtp");
    EXPECT_GT(shared[2].cached_tokens, 0);
    before = shared;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, EngineRanks,
    ::testing::Values(Case{"llama_2_threads", "llama", 2}, Case{"llama_4_threads", "llama", 4},
                      Case{"llama_2_processes", "llama", 2, kThisProgram},
                      Case{"nemotron_h_2_threads", "nemotron_h", 2},
                      Case{"nemotron_h_4_processes", "nemotron_h", 4, kThisProgram},
                      Case{"mtp_2_threads", "nemotron_h_latent_mtp", 2, "", "mtp"},
                      Case{"mtp_2_processes", "nemotron_h_latent_mtp", 2, kThisProgram, "mtp"}),
    [](const auto& info) { return info.param.name; });

// A pool with room for less than what runs: preempted sequences start over on all ranks alike.
TEST(EngineRanksMemory, PreemptedSequencesEndAsTheyWould) {
  EngineConfig roomy = ConfigOf(2, "", "ngram"), tight = roomy;
  tight.memory_bytes = 2 * 9 * 4 * 32 * 2 * 16 * 4;  // 9 blocks of 32 tokens: four layers, K and V of one head a rank
  const auto few = StartTiny("llama", tight);
  ASSERT_LE(few->info().num_blocks, 9);
  const std::vector<Choice> wanted = Ask(*StartTiny("llama", roomy), 100), got = Ask(*few, 100);
  for (size_t i = 0; i < got.size(); ++i) ExpectEqualBits(got[i], wanted[i]);
  EXPECT_GT(StatsWhenIdle(*few).preemptions, 0u);
}

TEST(EngineRanksStart, NamesHeadsThatRanksCannotShare) {
  const auto checkpoint = *Checkpoint::Open(BRAID_SOURCE_DIR "/tests/data/models/bloom");
  for (const char* program : {"", kThisProgram}) {
    const auto engine = Engine::Start(ConfigOf(4, program, "ngram"), *checkpoint, &kClock);
    EXPECT_TRUE(absl::IsInvalidArgument(engine.status()));
    EXPECT_THAT(std::string(engine.status().message()),
                ::testing::HasSubstr("--tensor-parallel: 4 ranks cannot share 6 attention heads evenly"));
  }
}

TEST(EngineRanksStart, RefusesOtherDevicesAndHandOvers) {
  const auto checkpoint = *Checkpoint::Open(BRAID_SOURCE_DIR "/tests/data/models/llama");
  EngineConfig config = ConfigOf(2, "", "ngram");
  const auto engine = *Engine::Start(config, *checkpoint, &kClock);
  GenerateRequest held{.prompt = {1, 2, 3}, .max_tokens = 2, .on_event = [](TokenEvent) {}};
  held.hold = true;
  EXPECT_TRUE(absl::IsUnimplemented(engine->Submit(std::move(held)).status()));
  config.device = "ref";
  EXPECT_EQ(Engine::Start(config, *checkpoint, &kClock).status().message(),
            "--tensor-parallel: 2: ranks share a model on --device cpu alone, not on ref");
}

// Processes that this one has started.
std::vector<pid_t> Children() {
  std::vector<pid_t> children;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream list(task.path() / "children");
    for (pid_t pid; list >> pid;) children.push_back(pid);
  }
  return children;
}

// Kills a rank, in the middle of an answer or between two.
void KillARank(bool idle) {
  const auto engine = StartTiny("llama", ConfigOf(2, kThisProgram, "ngram"));
  GenerateRequest request{.prompt = Tokens(40, 5), .max_tokens = 200, .ignore_eos = true};
  Collector collector;
  request.on_event = [&, sink = collector.Sink()](TokenEvent event) {
    if (event.finish == FinishReason::kError) std::fprintf(stderr, "told: %s\n", std::string(event.error.message()).c_str());
    sink(std::move(event));
  };
  CHECK(engine->Submit(std::move(request)).ok());
  collector.WaitForTokens(2);
  if (idle) CHECK(collector.WaitForEnd());
  CHECK_EQ(Children().size(), 1u);
  kill(Children()[0], SIGKILL);
  std::this_thread::sleep_for(std::chrono::seconds(60));
}

TEST(EngineRanksDeathTest, ALostRankEndsTheProcessAndTheAnswersUnderWay) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(KillARank(false), ::testing::ExitedWithCode(kRankLostExit),
              ::testing::HasSubstr("told: rank 1 of 2 (process "));
  EXPECT_EXIT(KillARank(true), ::testing::ExitedWithCode(kRankLostExit), ::testing::HasSubstr("was ended by signal 9"));
}

TEST(RankMessage, APlanComesBackAsItWas) {
  StepOrder order;
  order.plan.epoch = 5;
  order.plan.released_rows = {3, 1};
  order.plan.admitted = {{.row = 2, .id = 9, .state_slot = 4, .tokens = {7, 8}, .prompt_tokens = 2, .start = 1, .restored_slot = 6}};
  order.plan.new_blocks = {{.row = 2, .blocks = {11, 12}}};
  order.plan.steps = {{.row = 2, .id = 9, .start = 1, .num_tokens = 3, .prefill = true, .samples = true, .num_drafts = 2, .drafts = {5, 6}}};
  order.plan.snapshots = {{.row = 2, .slot = 8}};
  order.prompt_logprobs = {StepOrder::kNoSpec};
  const auto back = Decode<StepOrder>(Encode(order));
  EXPECT_EQ(Encode(back), Encode(order));
  EXPECT_EQ(back.plan.admitted[0].tokens, (Tokens{7, 8}));
  EXPECT_EQ(back.plan.steps[0].drafts, (Tokens{5, 6}));
  EXPECT_EQ(back.prompt_logprobs, order.prompt_logprobs);
  const auto load = Decode<LoadOrder>(Encode(LoadOrder{.model = "a folder", .cpu_isa = "avx2", .threads = 3, .draft_head = true}));
  EXPECT_EQ(load.model, "a folder");
  EXPECT_TRUE(load.draft_head);
}

}  // namespace
}  // namespace braid

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "rank") return braid::RankMain(std::atoi(argv[2]), std::atoi(argv[3]));
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
