#include "engine/engine.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_format.h"
#include "engine/engine_loop.h"
#include "engine/fake/fake_backend.h"
#include "engine/fake/fake_model.h"
#include "engine/handover/model_digest.h"
#include "engine/memory_budget.h"
#include "engine/ranks/rank_group.h"
#include "kernels/base/log.h"
#include "kernels/base/team.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

constexpr const char* kVersion = "0.1.0";
constexpr int kFakeContext = 8192;  // tokens, of a fake model without --max-model-len

// How the threads are shared out; a rank that cannot have CPUs of its own is not pinned.
struct RankThreads {
  int threads;
  bool pin;
};
RankThreads ThreadsOf(const EngineConfig& config) {
  const int cpus = UsableCpus(), all = config.threads > 0 ? config.threads : cpus;
  const int threads = std::max(1, all / config.tensor_parallel);
  return {threads, config.pin_threads && (config.tensor_parallel == 1 || threads * config.tensor_parallel <= cpus)};
}

// With `ranks` the first of them.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const EngineConfig& config, RankGroup* ranks) {
  if (config.device == "ref") return MakeRefBackend();
  if (config.device == "cuda") {
    return MakeCudaBackend(config.cuda_precision == "bf16" ? Precision::kBf16 : Precision::kFull);
  }
  const RankThreads threads = ThreadsOf(config);
  return MakeCpuBackend(config.cpu_isa, threads.threads, threads.pin, ranks != nullptr ? ranks->TakeCommunicator() : nullptr);
}

// auto: f16 beside quantized weights, whose own rounding is coarser; f32 beside others, so that nothing is lost.
absl::StatusOr<DType> KvDType(const std::string& name, const Checkpoint& checkpoint) {
  if (name == "f32") return DType::kF32;
  if (name == "f16") return DType::kF16;
  if (name == "bf16") return DType::kBF16;
  if (name != "auto") {
    return absl::InvalidArgumentError(absl::StrCat("--kv-dtype: \"", name, "\" is none of auto, f32, f16, bf16"));
  }
  for (const auto& [dtype, bytes] : checkpoint.BytesByType()) {
    if (BlockOf(dtype).elements > 1 && bytes > 0) return DType::kF16;
  }
  return DType::kF32;
}

std::string LowerName(DType dtype) {
  std::string name = DTypeName(dtype);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

// A bar that redraws itself on a terminal; silent elsewhere.
class LoadBar {
 public:
  LoadBar() : on_(isatty(STDERR_FILENO) == 1) {}
  void Show(int64_t done, int64_t total) {
    const int percent = total > 0 ? static_cast<int>(100 * done / total) : 100;
    if (!on_ || percent == shown_) return;
    shown_ = percent;
    const std::string bar(percent / 4, '#');
    absl::FPrintF(stderr, "\rloading weights [%-25s] %3d %%", bar, percent);
    if (percent >= 100) std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
  }

 private:
  const bool on_;
  int shown_ = -1;
};

// Whether drafts are made by the model's own head.
absl::StatusOr<bool> UsesDraftHead(const EngineConfig& config, const ModelInfo& model) {
  if (config.scheduler.max_drafts == 0 || config.make_drafter || config.speculate_with == "ngram") return false;
  if (config.speculate_with == "mtp" && !model.draft_head) {
    return absl::InvalidArgumentError(
        absl::StrCat("--speculate-with: \"mtp\", but ", config.model, " has no draft head; want auto or ngram"));
  }
  return model.draft_head.has_value();
}

// Bytes for blocks and slots of each rank. Of a device: nine tenths of what is free once the step's memory is taken.
int64_t BudgetFor(const EngineConfig& config, const LoadedModel& loaded, Backend& backend, const RunnerShape& shape) {
  if (config.memory_bytes > 0) return config.memory_bytes / config.tensor_parallel;
  const std::optional<int64_t> free_bytes = backend.FreeBytes();
  if (!free_bytes) return AvailableMemory() / 2 / config.tensor_parallel;
  return std::max<int64_t>(*free_bytes - ModelRunner::FixedBytes(loaded, backend, shape), 0) / 10 * 9;
}

absl::StatusOr<RunnerShape> ShapeFor(const EngineConfig& config, const LoadedModel& loaded, Backend& backend,
                                     DType kv_dtype, int max_model_len) {
  CacheLayout cache = loaded.model->info().cache;
  if (loaded.draft_head != nullptr) cache.Append(*loaded.model->info().draft_head);
  RunnerShape shape{.cache = std::move(cache),
                    .kv_dtype = kv_dtype,
                    .block_size = config.scheduler.block_size,
                    .state_grid = config.state_grid,
                    .max_tokens_per_step = config.scheduler.max_tokens_per_step,
                    .max_sequences = config.scheduler.max_sequences};
  // A prompt that runs whole may be as long as the context.
  if (config.scheduler.chunked_prefill == ChunkedPrefill::kOff) {
    shape.max_tokens_per_step = std::max(shape.max_tokens_per_step, max_model_len + config.scheduler.max_sequences);
  }
  for (MambaStateLayout& layer : shape.cache.mamba) {
    layer.grid = config.state_grid;
    layer.max_drafts = config.scheduler.max_drafts;
  }
  const MemoryDemand demand{.block_bytes = KvPool::BlockBytes(shape.cache, kv_dtype, shape.block_size),
                            .slot_bytes = shape.cache.StateBytesPerSequence(),
                            .block_size = shape.block_size,
                            .max_sequences = config.scheduler.max_sequences,
                            .max_model_len = max_model_len,
                            .prefix_cache = config.scheduler.prefix_cache};
  ASSIGN_OR_RETURN(const MemorySplit split, SplitMemory(BudgetFor(config, loaded, backend, shape), demand));
  shape.num_blocks = split.num_blocks;
  shape.num_state_slots = split.num_state_slots;
  Log(LogLevel::kInfo, "memory split",
      {{"bytes", BytesString(split.bytes)},
       {"kv_blocks", split.num_blocks},
       {"block_bytes", demand.block_bytes},
       {"state_slots", split.num_state_slots},
       {"for_snapshots", split.num_snapshot_slots},
       {"slot_bytes", demand.slot_bytes}});
  return shape;
}

absl::StatusOr<LoadedModel> Load(const EngineConfig& config, const Checkpoint& checkpoint, Backend& backend,
                                 const LoadProgress& progress) {
  LoadedModel loaded;
  int64_t read = 0;
  ASSIGN_OR_RETURN(loaded.model, LoadModel(checkpoint, backend, [&](int64_t done, int64_t total) {
                     progress(read = done, total);
                   }));
  ASSIGN_OR_RETURN(const bool uses_draft_head, UsesDraftHead(config, loaded.model->info()));
  if (!uses_draft_head) return loaded;
  ASSIGN_OR_RETURN(loaded.draft_head, LoadDraftHead(checkpoint, backend, [&](int64_t done, int64_t total) {
                     progress(read + done, total);
                   }, *loaded.model));
  return loaded;
}

std::vector<int32_t> Union(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  std::sort(a.begin(), a.end());
  a.erase(std::unique(a.begin(), a.end()), a.end());
  return a;
}

EngineInfo InfoOf(const ModelInfo& model, const EngineConfig& config, const RunnerShape& shape, int max_model_len,
                  const std::string& backend) {
  EngineInfo info{.vocab_size = model.vocab_size,
                  .max_model_len = max_model_len,
                  .eos_token_ids = Union(model.eos_token_ids, config.eos_token_ids),
                  .block_size = shape.block_size,
                  .num_blocks = shape.num_blocks,
                  .num_state_slots = shape.num_state_slots,
                  .prefix_cache = config.scheduler.prefix_cache,
                  .state_bytes_per_sequence = shape.cache.StateBytesPerSequence(),
                  .kv_dtype = LowerName(shape.kv_dtype)};
  info.fingerprint =
      absl::StrCat("braid-", kVersion, "-", backend, "-kv_", info.kv_dtype, "-grid_", config.state_grid);
  if (config.tensor_parallel > 1) absl::StrAppend(&info.fingerprint, "-tp_", config.tensor_parallel);
  return info;
}

PoolOrder PoolsOf(const RunnerShape& shape, const EngineConfig& config) {
  return {.kv_dtype = shape.kv_dtype,
          .block_size = shape.block_size,
          .state_grid = shape.state_grid,
          .num_blocks = shape.num_blocks,
          .num_state_slots = shape.num_state_slots,
          .max_tokens_per_step = shape.max_tokens_per_step,
          .max_sequences = shape.max_sequences,
          .max_drafts = config.scheduler.max_drafts};
}

// What all engines are from the loaded model on.
absl::StatusOr<std::unique_ptr<EngineLoop>> MakeLoop(const EngineConfig& config, std::unique_ptr<Backend> backend,
                                                     LoadedModel loaded, DType kv_dtype, std::string model_digest,
                                                     std::unique_ptr<RankGroup> ranks, const Clock* clock) {
  const ModelInfo& model = loaded.model->info();
  const int context = model.max_model_len;
  const int max_model_len = config.max_model_len > 0 ? std::min(config.max_model_len, context) : context;
  ASSIGN_OR_RETURN(const RunnerShape shape, ShapeFor(config, loaded, *backend, kv_dtype, max_model_len));
  if (ranks != nullptr) ranks->MakePools(PoolsOf(shape, config));
  ASSIGN_OR_RETURN(std::unique_ptr<ModelRunner> runner, ModelRunner::Make(loaded, *backend, shape));
  EngineInfo info = InfoOf(model, config, shape, max_model_len, backend->Name());
  info.model_digest = std::move(model_digest);
  EngineConfig run = config;
  run.scheduler.state_grid = config.state_grid;
  return std::make_unique<EngineLoop>(run, std::move(info), std::move(backend), std::move(loaded), shape,
                                      std::move(runner), std::move(ranks), clock);
}

// Starts the ranks beside this one, which load while this one does.
absl::StatusOr<std::unique_ptr<RankGroup>> StartRanks(const EngineConfig& config, const Checkpoint& checkpoint) {
  if (config.tensor_parallel == 1) return nullptr;
  ASSIGN_OR_RETURN(const ModelInfo model, ReadModelInfo(checkpoint));
  ASSIGN_OR_RETURN(const bool draft_head, UsesDraftHead(config, model));
  ASSIGN_OR_RETURN(std::unique_ptr<RankGroup> ranks, RankGroup::Start(config.tensor_parallel, config.rank_program));
  const RankThreads threads = ThreadsOf(config);
  ranks->Load({.model = checkpoint.path(),
               .cpu_isa = config.cpu_isa,
               .threads = threads.threads,
               .pin_threads = threads.pin,
               .draft_head = draft_head});
  return ranks;
}

// The tokens of plain text that stand for whole characters, which a stream shows at once.
std::vector<int32_t> WholeCharacters(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.TokenBytes(id);
    if (!bytes.empty() && !tokenizer.IsSpecial(id) && IsWellFormed(bytes)) ids.push_back(id);
  }
  return ids;
}

}  // namespace

absl::Status EngineConfig::Validate() const {
  const SchedulerConfig& s = scheduler;
  const auto wrong = [](auto... words) { return absl::InvalidArgumentError(absl::StrCat(words...)); };
  if (device != "cpu" && device != "cuda" && device != "ref") {
    return wrong("--device: \"", device, "\" is none of cpu, cuda, ref");
  }
  if (cuda_precision != "full" && cuda_precision != "bf16") {
    return wrong("--cuda-precision: \"", cuda_precision, "\" is none of full, bf16");
  }
  static_assert(kMaxTensorParallel <= kMaxRanks);
  if (tensor_parallel < 1 || tensor_parallel > kMaxTensorParallel) {
    return wrong("--tensor-parallel: ", tensor_parallel, " is not in 1..", kMaxTensorParallel);
  }
  if (tensor_parallel > 1 && device != "cpu") {
    return wrong("--tensor-parallel: ", tensor_parallel, ": ranks share a model on --device cpu alone, not on ", device);
  }
  if (threads < 0 || threads > 1024) return wrong("--threads: ", threads, " is not in 0..1024");
  if (memory_bytes < 0) return wrong("--memory: ", memory_bytes, " is below 0");
  if (max_model_len < 0) return wrong("--max-model-len: ", max_model_len, " is below 0");
  if (max_queue < 0) return wrong("--max-queue: ", max_queue, " is below 0");
  if (state_grid < 1 || state_grid > 1024) return wrong("--state-grid: ", state_grid, " is not in 1..1024");
  if (s.max_sequences < 1 || s.max_sequences > 65536) {
    return wrong("--max-sequences: ", s.max_sequences, " is not in 1..65536");
  }
  if (s.max_tokens_per_step < 1 || s.max_tokens_per_step > 1 << 20) {
    return wrong("--max-tokens-per-step: ", s.max_tokens_per_step, " is not in 1..1048576");
  }
  if (s.max_drafts < 0 || s.max_drafts > kMaxDrafts) {
    return wrong("--speculate: ", s.max_drafts, " is not in 0..", kMaxDrafts);
  }
  if (speculate_with != "auto" && speculate_with != "mtp" && speculate_with != "ngram") {
    return wrong("--speculate-with: \"", speculate_with, "\" is none of auto, mtp, ngram");
  }
  if (s.block_size < 16 || s.block_size > 4096 || s.block_size % 16 != 0) {
    return wrong("--block-size: ", s.block_size, " is not a multiple of 16 in 16..4096");
  }
  if (s.block_size % state_grid != 0) {
    return wrong("--block-size: ", s.block_size, " is not a multiple of --state-grid (", state_grid, ")");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Start(const EngineConfig& config, const Checkpoint& checkpoint,
                                                      const Clock* clock) {
  RETURN_IF_ERROR(config.Validate());
  ASSIGN_OR_RETURN(std::unique_ptr<RankGroup> ranks, StartRanks(config, checkpoint));
  ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, MakeBackend(config, ranks.get()));
  ASSIGN_OR_RETURN(const DType kv_dtype, KvDType(config.kv_dtype, checkpoint));
  const double start = clock->NowSeconds();
  LoadBar bar;
  const auto progress = [&](int64_t done, int64_t total) { bar.Show(done, total); };
  ASSIGN_OR_RETURN(LoadedModel loaded, Load(config, checkpoint, *backend, progress));
  if (ranks != nullptr) RETURN_IF_ERROR(ranks->AwaitLoaded());
  const std::vector<std::string> unread = checkpoint.Unread();
  Log(LogLevel::kInfo, "weights loaded",
      {{"seconds", clock->NowSeconds() - start},
       {"bytes", BytesString(loaded.weight_bytes())},
       {"draft_head", loaded.draft_head != nullptr},
       {"backend", backend->Name()},
       {"unread_tensors", unread.size()},
       {"first_unread", unread.empty() ? "" : unread.front()}});
  ASSIGN_OR_RETURN(std::unique_ptr<EngineLoop> loop,
                   MakeLoop(config, std::move(backend), std::move(loaded), kv_dtype, ModelDigest(checkpoint),
                            std::move(ranks), clock));
  return std::unique_ptr<Engine>(new Engine(std::move(loop)));
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::StartFake(const EngineConfig& config, const Tokenizer& tokenizer,
                                                          std::chrono::microseconds step, const Clock* clock) {
  RETURN_IF_ERROR(config.Validate());
  std::vector<int32_t> ids = WholeCharacters(tokenizer);
  if (ids.empty()) return absl::InvalidArgumentError(absl::StrCat(config.model, ": no token is a whole character"));
  LoadedModel loaded;
  loaded.model = std::make_unique<FakeModel>(tokenizer.vocab_size(), std::max(config.max_model_len, kFakeContext));
  ASSIGN_OR_RETURN(std::unique_ptr<EngineLoop> loop,
                   MakeLoop(config, std::make_unique<FakeBackend>(std::move(ids), step), std::move(loaded), DType::kF32,
                            "", nullptr, clock));
  return std::unique_ptr<Engine>(new Engine(std::move(loop)));
}

Engine::Engine(std::unique_ptr<EngineLoop> loop) : loop_(std::move(loop)) {}
Engine::~Engine() = default;
const EngineInfo& Engine::info() const { return loop_->info(); }
absl::StatusOr<RequestHandle> Engine::Submit(GenerateRequest request) { return loop_->Submit(std::move(request)); }
absl::Status Engine::Check(const GenerateRequest& request) const { return loop_->Check(request); }
void Engine::Cancel(RequestHandle handle) { loop_->Cancel(handle); }
void Engine::CancelChoice(RequestHandle handle, int index) { loop_->CancelChoice(handle, index); }
void Engine::BeginDrain() { loop_->BeginDrain(); }
void Engine::AbortAll(absl::Status why) { loop_->AbortAll(std::move(why)); }
void Engine::ResetPrefixCache() { loop_->ResetCache(); }
const SequenceLayout& Engine::layout() const { return loop_->layout(); }
int Engine::InFlight() const { return loop_->InFlight(); }
EngineStats Engine::Stats() const { return loop_->Stats(); }

}  // namespace braid
