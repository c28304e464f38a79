// The engine's settings: device, memory, batch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/drafting/drafter.h"
#include "scheduler/scheduler_config.h"

namespace braid {

inline constexpr int kMaxTensorParallel = 64;
inline constexpr int kMaxDrafts = 8;  // draft tokens of a sequence in a step, at most

struct EngineConfig {
  std::string model;               // folder in Hugging Face form, or a .gguf file
  std::string device = "cpu";      // cpu | cuda | ref
  std::string cuda_precision = "full";  // full | bf16: of matrix products on CUDA
  std::string cpu_isa = "auto";    // auto | avx2 | avx512 | avx512_vnni
  int threads = 0;                 // 0: every CPU that the process may use
  bool pin_threads = true;
  int tensor_parallel = 1;         // ranks that share the model, each with its part of the threads and of the memory
  std::string rank_program;        // what the other ranks run (RankMain); empty: they are threads of this process
  int64_t memory_bytes = 0;        // KV blocks and state slots together; 0: measured at start
  std::string kv_dtype = "auto";   // auto | f32 | f16 | bf16
  int max_model_len = 0;           // context in tokens; 0: the model's own
  int state_grid = 32;             // tokens between two SSM states; block_size must be a multiple
  int max_queue = 0;               // requests waiting; 0: 4 x max_sequences
  double step_timeout_s = 60;      // a step that takes longer ends the process; 0: none does
  std::vector<int32_t> eos_token_ids;  // beside the checkpoint's own (the tokenizer's)
  bool adapt_drafts = false;           // max_drafts are the most; how many, and whether any, is what has paid
  std::string speculate_with = "auto"; // auto | mtp | ngram: who drafts; auto: the model's draft head if it has one
  MakeDrafter make_drafter;            // in their place; null: they
  SchedulerConfig scheduler;

  // InvalidArgument naming the flag that is wrong.
  absl::Status Validate() const;
};

}  // namespace braid
