// A draft head against golden logits and drafts, on every backend of this machine: its rows written whole, in chunks and
// token by token, its guesses chained, and a whole engine that speculates with it.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/engine.h"
#include "engine/kv_pool.h"
#include "engine/state_pool.h"
#include "engine/testing/collector.h"
#include "models/model.h"
#include "tests/oracle/golden.h"

namespace braid {
namespace {

using testing::Backends;
using testing::FolderOf;
using testing::GoldenFile;
using testing::SameBits;
using testing::WorstDifference;
using Tokens = std::vector<int32_t>;

constexpr int kBlockSize = 32, kGrid = 32, kMaxDrafts = 4;
const std::string kModel = "nemotron_h_latent_mtp";

Tokens PromptAndGreedy() {
  const GoldenFile golden(kModel);
  Tokens tokens = golden.Ids("input_ids");
  const Tokens greedy = golden.Ids("greedy");
  tokens.insert(tokens.end(), greedy.begin(), greedy.end());
  return tokens;
}

// One sequence, its model and its draft head.
class Bench {
 public:
  explicit Bench(Backend& backend) : backend_(backend) {
    auto checkpoint = Checkpoint::Open(FolderOf(kModel));
    CHECK(checkpoint.ok()) << checkpoint.status();
    model_ = *LoadModel(**checkpoint, backend, nullptr);
    head_ = *LoadDraftHead(**checkpoint, backend, nullptr, *model_);
    layout_ = model_->info().cache;
    layout_.Append(*model_->info().draft_head);
    for (MambaStateLayout& layer : layout_.mamba) layer.grid = kGrid, layer.max_drafts = kMaxDrafts;
    CHECK(backend_.ReserveScratch(size_t{1} << 28).ok());
    Clear();
  }
  int64_t width() const { return model_->info().hidden_size; }
  int64_t vocab() const { return model_->info().vocab_size; }
  const Model& model() const { return *model_; }

  // Forgets the sequence; what its memory holds then is nothing.
  void Clear() {
    const int blocks = static_cast<int>(blocks_.size());
    kv_ = std::make_unique<KvPool>(*KvPool::Make(backend_, layout_, DType::kF32, kBlockSize, blocks));
    state_ = std::make_unique<StatePool>(*StatePool::Make(backend_, layout_, 2));
    for (const KvLayer& layer : kv_->layers()) Poison(layer.data, layer.block_bytes() * blocks);
    Poison(state_->layers()[0].data, 2 * layout_.StateBytesPerSequence());
    state_position_ = 0;
  }

  // Goes on as another sequence that shares the first block, from a copy of the state.
  void StartAnother() {
    CHECK_EQ(state_position_, kBlockSize);
    state_->Copy(slot_, 1 - slot_);
    slot_ = 1 - slot_;
    blocks_ = {blocks_[0], blocks_[3], blocks_[1], blocks_[2]};
  }

  // Takes in tokens [start, end); returns their final hidden vectors.
  std::vector<float> Walk(const Tokens& tokens, int start, int end) {
    const Bytes hidden = Take((end - start) * width());
    const TensorView view = TensorView::Of(hidden.as<float>(), end - start, width());
    WithBatch(tokens, start, end, [&](Ops& op, const RaggedBatch& batch) {
      model_->Forward(op, batch, View(), view);
      head_->WriteRows(op, batch, HeadView(), view);
    });
    state_position_ = end / kGrid * kGrid;
    return Floats(hidden);
  }

  // What the head leaves for tokens [start, end) where `before` holds the hidden vectors of [start - 1, end - 1); empty:
  // those of the last walk.
  std::vector<float> Guess(const Tokens& tokens, int start, int end, std::vector<float> before) {
    const Bytes hidden = Take((end - start) * width()), known = Placed(before);
    const TensorView given = before.empty() ? TensorView{} : TensorView::Of(known.as<float>(), end - start, width());
    WithBatch(tokens, start, end, [&](Ops& op, const RaggedBatch& batch) {
      head_->Guess(op, batch, HeadView(), given, TensorView::Of(hidden.as<float>(), end - start, width()));
    });
    return Floats(hidden);
  }

  std::vector<float> Logits(std::vector<float> hidden) {
    const int64_t rows = static_cast<int64_t>(hidden.size()) / width();
    const Bytes known = Placed(hidden), logits = Take(rows * vocab());
    backend_.Run([&](Ops& op) {
      model_->Logits(op, TensorView::Of(known.as<float>(), rows, width()), TensorView::Of(logits.as<float>(), rows, vocab()));
    });
    return Floats(logits);
  }

  int32_t BestOf(const std::vector<float>& hidden) {
    const std::vector<float> logits = Logits(hidden);
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }

  // A chain of `count` guesses behind the known tokens, of which all but the last were walked.
  Tokens Chain(Tokens tokens, int count) {
    const size_t known = tokens.size();
    std::vector<float> hidden;
    for (int i = 0; i < count; ++i) {
      const int end = static_cast<int>(tokens.size());
      hidden = Guess(tokens, end - 1, end, hidden);
      tokens.push_back(BestOf(hidden));
    }
    return Tokens(tokens.begin() + known, tokens.end());
  }

 private:
  Bytes Take(int64_t floats) { return *backend_.Allocate(static_cast<size_t>(floats) * sizeof(float)); }
  Bytes Placed(const std::vector<float>& values) {
    Bytes memory = Take(std::max<int64_t>(1, static_cast<int64_t>(values.size())));
    if (!values.empty()) backend_.Upload(values.data(), memory.data(), values.size() * sizeof(float));
    return memory;
  }
  std::vector<float> Floats(const Bytes& memory) {
    std::vector<float> values(memory.size() / sizeof(float));
    backend_.Download(memory.data(), values.data(), memory.size());
    return values;
  }
  void Poison(void* memory, int64_t bytes) {
    const std::vector<uint8_t> stale(static_cast<size_t>(bytes), 0xff);
    backend_.Upload(stale.data(), memory, stale.size());
  }

  CacheView View() const { return {kv_->layers(), state_->layers(), layout_.mamba}; }
  CacheView HeadView() const { return View().Behind(model_->info().cache); }

  void WithBatch(const Tokens& tokens, int start, int end, const std::function<void(Ops&, const RaggedBatch&)>& walk) {
    const Tokens ids(tokens.begin() + start, tokens.begin() + end);
    Tokens positions, rows;
    for (int i = start; i < end; ++i) positions.push_back(i), rows.push_back(i - start);
    const SequenceSpan span{.num_tokens = end - start, .start = start, .num_committed = end - start,
                            .blocks = blocks_.data(), .num_blocks = static_cast<int32_t>(blocks_.size()), .state_slot = slot_, .state_position = state_position_};
    const RaggedBatch batch{ids, positions, {&span, 1}, rows};
    backend_.Run([&](Ops& op) { walk(op, batch); });
  }

  Backend& backend_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<DraftHead> head_;
  CacheLayout layout_;
  std::vector<int32_t> blocks_ = {2, 0, 3, 1};
  int32_t slot_ = 0;
  std::unique_ptr<KvPool> kv_;
  std::unique_ptr<StatePool> state_;
  int32_t state_position_ = 0;
};

TEST(DraftHeadOracle, LogitsAgreeAndRowsAreEqualForEveryCut) {
  const GoldenFile golden(kModel);
  const Tokens tokens = PromptAndGreedy();
  const int prompt = static_cast<int>(golden.Ids("input_ids").size());
  std::vector<float> first_cpu;
  for (const std::unique_ptr<Backend>& backend : Backends()) {
    SCOPED_TRACE(backend->Name());
    Bench bench(*backend);
    // All guesses of the prompt at once: row t of the golden logits is ours of position t + 1.
    const std::vector<float> hidden = bench.Walk(tokens, 0, prompt);
    EXPECT_LE(WorstDifference(hidden, golden.Floats("hidden.final_norm")), 1e-4f);
    const std::vector<float> all = bench.Guess(tokens, 1, prompt + 1, hidden);
    EXPECT_LE(WorstDifference(all, golden.Floats("mtp.hidden_out")), 1e-4f);
    const float difference = WorstDifference(bench.Logits(all), golden.Floats("mtp.logits"));
    RecordProperty(backend->Name(), std::to_string(difference));
    EXPECT_LE(difference, 1e-4f);
    for (const int chunk : {1, 7, 31, 32, 33, 128}) {
      bench.Clear();
      for (int at = 0; at < prompt; at += chunk) {
        const int end = std::min(at + chunk, prompt);
        bench.Walk(tokens, at, end);
        const std::vector<float> guess = bench.Guess(tokens, end, end + 1, {});
        const std::vector<float> wanted(all.begin() + (end - 1) * bench.width(), all.begin() + end * bench.width());
        EXPECT_TRUE(SameBits(*backend, guess, wanted, 1e-4f)) << "chunk " << chunk << " at " << at;
      }
    }
    if (!backend->Name().starts_with("cpu")) continue;
    if (first_cpu.empty()) first_cpu = all;
    EXPECT_EQ(std::memcmp(first_cpu.data(), all.data(), 4 * all.size()), 0) << "another instruction set's bits";
  }
}

// The drafts of the golden record: mtp_chain_after_prompt, and those of mtp_speculative's first steps.
TEST(DraftHeadOracle, ChainsGuessTheGoldenDraftsAlsoBehindRejectedOnes) {
  const Tokens tokens = PromptAndGreedy();
  const int prompt = static_cast<int>(GoldenFile(kModel).Ids("input_ids").size());
  const auto known = [&](int count) { return Tokens(tokens.begin(), tokens.begin() + count); };
  for (const std::unique_ptr<Backend>& backend : Backends()) {
    SCOPED_TRACE(backend->Name());
    Bench bench(*backend);
    bench.Walk(tokens, 0, prompt);
    EXPECT_EQ(bench.Chain(known(prompt + 1), 4), (Tokens{61, 35, 212, 159}));
    bench.Walk(tokens, prompt, prompt + 4);  // three drafts hold
    EXPECT_EQ(bench.Chain(known(prompt + 5), 3), (Tokens{36, 54, 56}));
    Tokens drafted = known(prompt + 6);  // the first holds, two do not: their rows stay behind, and are written again
    drafted.insert(drafted.end(), {54, 56});
    bench.Walk(drafted, prompt + 4, prompt + 8);
    EXPECT_EQ(bench.Chain(known(prompt + 7), 3), (Tokens{128, 162, 148}));
  }
}

// What the prefix cache shares: the blocks before a boundary, and a copy of the state there with the last hidden vector.
TEST(DraftHeadOracle, GuessesBehindASharedPrefixAreThoseOfATextWalkedWhole) {
  const Tokens tokens = PromptAndGreedy();
  const int end = static_cast<int>(tokens.size());
  Tokens other = tokens;  // leaves the text behind the boundary
  for (int i = kBlockSize; i < end; ++i) other[i] = (tokens[i] * 7 + 3) % 250;
  for (const std::unique_ptr<Backend>& backend : Backends()) {
    SCOPED_TRACE(backend->Name());
    Bench bench(*backend);
    bench.Walk(other, 0, end - 1);
    const std::vector<float> whole = bench.Guess(other, end - 1, end, {});
    bench.Clear();
    bench.Walk(tokens, 0, kBlockSize);
    bench.StartAnother();
    bench.Walk(other, kBlockSize, end - 1);
    EXPECT_TRUE(SameBits(*backend, bench.Guess(other, end - 1, end, {}), whole, 1e-4f));
  }
}

TEST(DraftHeadOracle, EngineAcceptsWhatTheGoldenRunAccepts) {
  const SteadyClock clock;
  auto checkpoint = Checkpoint::Open(FolderOf(kModel));
  ASSERT_TRUE(checkpoint.ok());
  const GoldenFile golden(kModel);
  for (const int tokens_per_step : {64, 16}) {  // the prompt whole and in chunks
    EngineConfig config{.threads = 2, .pin_threads = false, .memory_bytes = 64 << 20, .max_model_len = 512};
    config.scheduler.max_tokens_per_step = tokens_per_step;
    config.scheduler.max_drafts = 3;
    config.speculate_with = "mtp";
    auto engine = Engine::Start(config, **checkpoint, &clock);
    ASSERT_TRUE(engine.ok()) << engine.status();
    testing::Collector collector;
    const GenerateRequest request{.prompt = golden.Ids("input_ids"), .sampling = {.temperature = 0}, .max_tokens = 32,
                                  .ignore_eos = true, .on_event = collector.Sink()};
    ASSERT_TRUE((*engine)->Submit(request).ok());
    ASSERT_TRUE(collector.WaitForEnd());
    EXPECT_EQ(collector.choice().tokens, golden.Ids("greedy"));
    for (int i = 0; i < 1000 && (*engine)->Stats().busy; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const SpeculationCounters counters = (*engine)->Stats().speculation;  // mtp_speculative of expected.json
    EXPECT_EQ(counters.steps, 11u);
    EXPECT_EQ(counters.accepted_tokens, 20u);
    EXPECT_EQ(counters.draft_tokens, 32u);  // the last step has room for two
    EXPECT_EQ(counters.accepted_at[0], 11u);
    EXPECT_EQ(counters.accepted_at[1], 7u);
    EXPECT_EQ(counters.accepted_at[2], 2u);
  }
}

}  // namespace
}  // namespace braid
