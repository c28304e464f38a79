#include "bench/workload.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "kernels/base/errors.h"

namespace braid::bench {
namespace {

int Draw(LengthRange range, std::mt19937_64& random) {
  return std::uniform_int_distribution<int>(range.low, range.high)(random);
}

// Words that cost `tokens` together, as nearly as whole words allow without going over.
std::string DrawWords(double tokens, const WordCosts& costs, std::mt19937_64& random) {
  const double cheapest = *std::min_element(costs.tokens.begin(), costs.tokens.end());
  std::uniform_int_distribution<size_t> any(0, costs.tokens.size() - 1);
  std::string text;
  while (tokens >= cheapest) {
    size_t word = any(random);
    if (costs.tokens[word] > tokens) {
      word = std::min_element(costs.tokens.begin(), costs.tokens.end()) - costs.tokens.begin();
    }
    text += ' ' + Words()[word];
    tokens -= costs.tokens[word];
  }
  return text;
}

std::vector<int> DrawIds(int count, int vocabulary, std::mt19937_64& random) {
  std::uniform_int_distribution<int> any(0, vocabulary - 1);
  std::vector<int> ids(std::max(count, 0));
  for (int& id : ids) id = any(random);
  return ids;
}

// Fills prompts of a given size; the prefix is drawn once.
class PromptMaker {
 public:
  PromptMaker(const WorkloadOptions& options, const WordCosts& costs, std::mt19937_64& random)
      : options_(options), costs_(costs), random_(random) {
    if (options.vocabulary > 0) {
      prefix_ids_ = DrawIds(options.shared_prefix, options.vocabulary, random);
    } else {
      prefix_ = DrawWords(options.shared_prefix, costs, random);
    }
  }

  void Fill(PlannedRequest& request) {
    const int own = std::max(request.prompt_tokens - options_.shared_prefix, 0);
    if (options_.vocabulary > 0) {
      request.ids = prefix_ids_;
      const std::vector<int> rest = DrawIds(own, options_.vocabulary, random_);
      request.ids.insert(request.ids.end(), rest.begin(), rest.end());
      request.ids.resize(request.prompt_tokens);
      return;
    }
    request.prompt = prefix_ + DrawWords(std::max(own - costs_.fixed, 1.0), costs_, random_);
    if (request.prompt.empty()) request.prompt = ' ' + Words()[0];
  }

 private:
  const WorkloadOptions& options_;
  const WordCosts& costs_;
  std::mt19937_64& random_;
  std::string prefix_;
  std::vector<int> prefix_ids_;
};

std::vector<PlannedRequest> PlanLengths(const WorkloadOptions& options, std::mt19937_64& random) {
  std::vector<PlannedRequest> plan;
  if (!options.trace.empty()) {
    for (const TraceRow& row : options.trace) plan.push_back({row.time_s, row.prompt_tokens, row.output_tokens, {}, {}});
    return plan;
  }
  plan.resize(options.requests);
  for (PlannedRequest& request : plan) {
    request.prompt_tokens = Draw(options.prompt_tokens, random);
    request.output_tokens = Draw(options.output_tokens, random);
  }
  if (options.rate > 0) {
    const auto times = ArrivalTimes(options.requests, options.rate, options.burstiness, random());
    for (size_t i = 0; i < plan.size(); ++i) plan[i].start_s = times[i];
  }
  return plan;
}

}  // namespace

const std::vector<std::string>& Words() {
  static const std::vector<std::string> words = absl::StrSplit(
      "time year people way day man thing woman life child world school state family student group country problem "
      "hand part place case week company system program question work government number night point home water room "
      "mother area money story fact month lot right study book eye job word business issue side kind head house "
      "service friend father power hour game line end member law car city community name president team minute idea "
      "body information back parent face level office door health person art war history party result change morning "
      "reason research girl guy moment air teacher force education foot boy age policy music market sense nation plan "
      "college interest death experience effect use class control field development role effort rate heart drug show "
      "leader light voice wife police mind price report decision son view town road arm difference value building "
      "action season society tax director position player record paper space ground form event matter center couple "
      "site project base activity star table need court oil situation cost industry figure street image phone data "
      "picture practice piece land product doctor wall patient worker news test movie north love support technology",
      ' ');
  return words;
}

WordCosts GuessedWordCosts() { return {std::vector<double>(Words().size(), 1.1), 1}; }

absl::StatusOr<LengthRange> ParseLengthRange(std::string_view text) {
  const std::pair<std::string, std::string> ends = absl::StrSplit(std::string(text), absl::MaxSplits(':', 1));
  LengthRange range;
  const bool numbers = absl::SimpleAtoi(ends.first, &range.low) &&
                       (text.find(':') == std::string_view::npos ? (range.high = range.low, true)
                                                                 : absl::SimpleAtoi(ends.second, &range.high));
  if (!numbers || range.low < 1 || range.high < range.low || range.high > (1 << 24)) {
    return absl::InvalidArgumentError(absl::StrCat("'", std::string(text), "' is neither a number of tokens (128) nor a range (64:256)"));
  }
  return range;
}

std::vector<PlannedRequest> PlanRequests(const WorkloadOptions& options, const WordCosts& costs) {
  CHECK_EQ(costs.tokens.size(), Words().size());
  std::mt19937_64 random(options.seed);
  std::vector<PlannedRequest> plan = PlanLengths(options, random);
  PromptMaker maker(options, costs, random);
  for (PlannedRequest& request : plan) maker.Fill(request);
  return plan;
}

}  // namespace braid::bench
