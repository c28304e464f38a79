// Budgets and policies of the scheduler.
#pragma once

#include <cstdint>

namespace braid {

enum class Batching { kContinuous, kStatic };
// on: prompts are cut to fit the budget left beside decodes. off: a prompt runs whole in one step.
// splitfuse: every step is filled to the budget exactly.
enum class ChunkedPrefill { kOn, kOff, kSplitFuse };
enum class Policy { kFcfs, kPriority };

struct SchedulerConfig {
  int max_tokens_per_step = 512;   // token budget of a step
  int max_sequences = 256;         // running at once
  int block_size = 32;             // tokens of a KV block; a multiple of the state grid
  int state_grid = 32;             // tokens between two SSM states
  Batching batching = Batching::kContinuous;
  ChunkedPrefill chunked_prefill = ChunkedPrefill::kOn;
  // With chunked prefill on: prompt tokens may make a step that carries decodes at most this many times as long as the
  // decodes alone would be (by the measured StepCost); 0: no bound but the token budget.
  double max_stall = 1.75;
  Policy policy = Policy::kFcfs;
  bool prefix_cache = true;        // blocks and states of earlier sequences are used again
  int max_drafts = 0;              // draft tokens of a sequence in a step
};

}  // namespace braid
