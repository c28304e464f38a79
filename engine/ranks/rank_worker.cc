#include "engine/ranks/rank_worker.h"

#include <sched.h>

#include <csignal>
#include <map>
#include <utility>

#include "engine/model_runner.h"
#include "engine/ranks/rank_message.h"
#include "kernels/base/log.h"
#include "kernels/collective/shm_communicator.h"
#include "models/weights/checkpoint.h"

namespace braid {
namespace {

// The rank's `threads` of the CPUs that the process may use, behind those of the ranks before it.
void NarrowCpus(int rank, int threads) {
  cpu_set_t allowed, mine;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  CPU_ZERO(&mine);
  for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    if (seen >= rank * threads && seen < (rank + 1) * threads) CPU_SET(cpu, &mine);
    ++seen;
  }
  if (CPU_COUNT(&mine) == threads) sched_setaffinity(0, sizeof(mine), &mine);
}

absl::StatusOr<LoadedModel> LoadPart(const LoadOrder& order, Backend& backend) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(order.model));
  LoadedModel loaded;
  ASSIGN_OR_RETURN(loaded.model, LoadModel(*checkpoint, backend, nullptr));
  if (order.draft_head) {
    ASSIGN_OR_RETURN(loaded.draft_head, LoadDraftHead(*checkpoint, backend, nullptr, *loaded.model));
  }
  return loaded;
}

RunnerShape ShapeOf(const PoolOrder& order, const LoadedModel& loaded) {
  RunnerShape shape{.cache = loaded.model->info().cache,
                    .kv_dtype = order.kv_dtype,
                    .block_size = order.block_size,
                    .state_grid = order.state_grid,
                    .num_blocks = order.num_blocks,
                    .num_state_slots = order.num_state_slots,
                    .max_tokens_per_step = order.max_tokens_per_step,
                    .max_sequences = order.max_sequences};
  if (loaded.draft_head != nullptr) shape.cache.Append(*loaded.model->info().draft_head);
  for (MambaStateLayout& layer : shape.cache.mamba) {
    layer.grid = order.state_grid;
    layer.max_drafts = order.max_drafts;
  }
  return shape;
}

void Follow(const StepOrder& order, ModelRunner& runner) {
  std::map<SequenceId, SamplingSpec> specs;
  for (size_t i = 0; i < order.plan.steps.size(); ++i) {
    if (order.prompt_logprobs[i] == StepOrder::kNoSpec) continue;
    specs[order.plan.steps[i].id].prompt_logprobs = order.prompt_logprobs[i];
  }
  const SpecOf spec_of = [&](SequenceId id) {
    const auto found = specs.find(id);
    return found == specs.end() ? nullptr : &found->second;
  };
  runner.Draft(order.plan, spec_of, [](SequenceId) { return nullptr; });
  runner.Forward(order.plan, spec_of);
  runner.Sample(spec_of);
}

}  // namespace

absl::Status FollowPlans(std::unique_ptr<Communicator> communicator, RankHome home) {
  Communicator& ranks = *communicator;
  const RankPlace place = ranks.place();
  ASSIGN_OR_RETURN(std::vector<std::byte> message, ReceiveMessage(ranks));
  if (message.empty()) return absl::OkStatus();
  const auto order = Decode<LoadOrder>(message);
  if (home == RankHome::kProcess && order.pin_threads) NarrowCpus(place.rank, order.threads);
  ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend,
                   MakeCpuBackend(order.cpu_isa, order.threads, order.pin_threads, std::move(communicator)));
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadPart(order, *backend));
  Log(LogLevel::kInfo, "a rank has its weights",
      {{"rank", place.rank}, {"of", place.size}, {"bytes", loaded.weight_bytes()}});
  ASSIGN_OR_RETURN(message, ReceiveMessage(ranks));  // that all are loaded: the first rank measures memory now
  ASSIGN_OR_RETURN(message, ReceiveMessage(ranks));
  if (message.empty()) return absl::OkStatus();
  const RunnerShape shape = ShapeOf(Decode<PoolOrder>(message), loaded);
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelRunner> runner, ModelRunner::Make(loaded, *backend, shape));
  for (;;) {
    ASSIGN_OR_RETURN(message, ReceiveMessage(ranks));
    if (message.empty()) return absl::OkStatus();
    Follow(Decode<StepOrder>(message), *runner);
  }
}

int RankMain(int fd, int rank) {
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) std::signal(signal, SIG_IGN);
  absl::StatusOr<std::unique_ptr<ShmCommunicator>> joined = ShmCommunicator::Join(fd, rank);
  const absl::Status ended = joined.ok() ? FollowPlans(*std::move(joined), RankHome::kProcess) : joined.status();
  if (ended.ok()) return 0;
  Log(LogLevel::kError, "a rank ends", {{"rank", rank}, {"error", std::string(ended.message())}});
  return absl::IsUnavailable(ended) ? kRankLostExit : 1;
}

}  // namespace braid
