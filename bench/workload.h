// What requests ask: lengths, prompts and shared prefixes, all drawn from one seed.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/arrivals.h"

namespace braid::bench {

// A number of tokens, uniform over low..high.
struct LengthRange {
  int low = 0;
  int high = 0;
};

// Reads "128" or "64:256"; both ends at least 1.
absl::StatusOr<LengthRange> ParseLengthRange(std::string_view text);

// What a prompt of words costs in tokens.
struct WordCosts {
  std::vector<double> tokens;  // of each word of Words(), with the space before it
  double fixed = 0;            // of an empty prompt: the beginning-of-sequence token, the chat template
};

// The words that prompts are made of: common English, one token each in most vocabularies.
const std::vector<std::string>& Words();

// A guess for servers without a tokenize route: English text has about 1.1 tokens a short word.
WordCosts GuessedWordCosts();

struct PlannedRequest {
  double start_s = 0;        // since the start of the run; 0 for all in a closed loop
  int prompt_tokens = 0;     // aimed at; the server's usage says what it became
  int output_tokens = 0;
  std::string prompt;        // text, or
  std::vector<int> ids;      // token ids when the workload is by ids
};

struct WorkloadOptions {
  int requests = 100;
  LengthRange prompt_tokens{128, 128};
  LengthRange output_tokens{64, 64};
  int shared_prefix = 0;     // tokens that every prompt begins with, inside prompt_tokens
  int vocabulary = 0;        // > 0: prompts are random token ids below it
  uint64_t seed = 0;
  double rate = 0;           // requests a second; 0: closed loop
  double burstiness = 1;
  std::vector<TraceRow> trace;  // when not empty: times and lengths
};

// Plans the whole run: same options and costs, same requests.
std::vector<PlannedRequest> PlanRequests(const WorkloadOptions& options, const WordCosts& costs);

}  // namespace braid::bench
