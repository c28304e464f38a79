// Random requests, cancels, deadlines, priorities and failures against tight memory, over both depths and all policies,
// with prompts that begin as others do and prompts that continue earlier answers, with and without the prefix cache.
// Each token that comes out is compared with the same model run alone; the mirrored tables are built from plans only.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/fake_ranks.h"

namespace braid {
namespace {

constexpr int64_t kStepNs = 1'000'000;

struct Variant {
  Batching batching;
  ChunkedPrefill chunked_prefill;
  Policy policy;
  int depth;
};

std::vector<Variant> AllVariants() {
  std::vector<Variant> all;
  for (const Batching batching : {Batching::kContinuous, Batching::kStatic})
    for (const ChunkedPrefill chunked : {ChunkedPrefill::kOn, ChunkedPrefill::kOff, ChunkedPrefill::kSplitFuse})
      for (const Policy policy : {Policy::kFcfs, Policy::kPriority})
        for (const int depth : {0, 1}) all.push_back({batching, chunked, policy, depth});
  return all;
}

// Memory and model of one run; small enough that blocks, slots and rows all run short.
struct Machine {
  SchedulerConfig config;
  SchedulerLimits limits;
  FakeModel model;
};

int Pick(std::mt19937_64& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

class Simulation {
 public:
  Simulation(const Machine& machine, int depth, int num_requests, uint64_t seed)
      : machine_(machine),
        depth_(depth),
        num_requests_(num_requests),
        events_random_(seed),
        requests_random_(seed),
        scheduler_(machine.config, machine.limits),
        ranks_(machine.model, machine.config, machine.limits, scheduler_.num_rows()) {
    for (std::vector<int32_t>& document : documents_) document = RandomTokens(machine.limits.max_model_len / 2);
  }

  // Runs to the end; returns the first thing that went wrong, or nothing.
  std::string Run() {
    while (num_arrived_ < num_requests_ || scheduler_.HasWork() || ranks_.num_in_flight() > 0 || !held_.empty()) {
      Step();
      if (!fault_.empty()) return absl::StrCat("step ", num_steps_, ": ", fault_);
    }
    SchedulerStats stats = scheduler_.Stats();
    Expect(stats.blocks_used == 0 && stats.state_slots_used == 0, "everything is given back", stats.blocks_used);
    Expect(live_.empty(), "every request ended", live_.size());
    last_stats_ = stats;
    scheduler_.Apply({ResetPrefixCache{}}, now_ns_);
    stats = scheduler_.Stats();
    Expect(stats.blocks_cached == 0 && stats.snapshots == 0, "an idle cache is emptied", stats.blocks_cached);
    return fault_;
  }

  // Tokens that came out of each request.
  const std::map<SequenceId, std::vector<int32_t>>& outputs() const { return outputs_; }
  const SchedulerStats& last_stats() const { return last_stats_; }
  uint64_t num_loaded() const { return num_loaded_; }
  uint64_t num_held() const { return num_held_; }
  const FakeRanks& ranks() const { return ranks_; }

  bool with_cancels = true;

 private:
  struct Request {
    SequenceArrival arrival;
    std::vector<int32_t> expected;
    EndReason reason = EndReason::kStop;
    size_t num_received = 0;
    bool cancelled = false;
    bool ran = false;
  };
  // An ended sequence that keeps its memory, and until which step.
  struct Holding {
    std::vector<int32_t> tokens;
    HeldSequence held;
    int last_step = 0;
  };
  struct Conversation {
    std::vector<int32_t> tokens;
    std::string salt;
  };
  using Place = std::tuple<int, bool, int64_t, SequenceId>;  // ids rise by arrival

  bool OneIn(int n) { return Pick(events_random_, 1, n) == 1; }

  void Expect(bool holds, const char* what, uint64_t subject) {
    if (!holds && fault_.empty()) fault_ = absl::StrCat(what, " (", subject, ")");
  }

  void Step() {
    ++num_steps_;
    now_ns_ += kStepNs;
    Receive(scheduler_.Apply(Events(), now_ns_));
    const StepPlan plan = scheduler_.Plan();
    Expect(!plan.empty() || ranks_.num_in_flight() > 0 || !scheduler_.HasWork() || !held_.empty(), "no deadlock",
           live_.size());
    if (!plan.empty()) Launch(plan);
    const bool drain = plan.empty() || OneIn(16);
    while (fault_.empty() && ranks_.num_in_flight() > (drain ? 0 : depth_)) {
      Receive(scheduler_.Commit(ranks_.Finish()));
    }
    CheckFirstOfLine();
  }

  void Launch(const StepPlan& plan) {
    NoteMoves(plan);
    for (const SequenceStep& step : plan.steps) {
      const auto found = live_.find(step.id);
      if (found == live_.end()) return Expect(false, "only the live get steps", step.id);
      const SequenceArrival& arrival = found->second.arrival;
      // The last token is drawn, not computed.
      const int longest = static_cast<int>(arrival.prompt.size()) + arrival.max_tokens - 1;
      Expect(step.start + step.num_tokens <= longest, "no step past max_tokens", step.id);
    }
    ranks_.Launch(plan);
    if (!ranks_.breach().empty()) return Expect(false, ranks_.breach().c_str(), plan.epoch);
    for (const FakeRanks::Loan& loan : ranks_.loans()) {
      Expect(salts_[loan.to] == salts_[loan.from], "nothing is shared between salts", loan.to);
    }
    CheckStats(scheduler_.Stats());
  }

  void CheckStats(const SchedulerStats& stats) {
    // Blocks above one of its own that a sequence has published count as used though another block does their work.
    const int held = ranks_.blocks_held();
    const bool exact = !machine_.config.prefix_cache && stats.held == 0;
    Expect(stats.held == static_cast<int>(held_.size()), "the held are counted", stats.held);
    Expect(exact ? stats.blocks_used == held : stats.blocks_used >= held, "used blocks are those in rows", held);
    Expect(stats.blocks_used + stats.blocks_cached <= stats.blocks_total, "no more blocks than there are", held);
    Expect(stats.state_slots_used + stats.snapshots <= stats.state_slots_total, "no more slots than there are",
           stats.snapshots);
    Expect(stats.running <= machine_.config.max_sequences, "no more sequences than allowed", stats.running);
    Expect(stats.running + stats.waiting == static_cast<int>(live_.size()), "every live request waits or runs",
           live_.size());
  }

  // Bursts of arrivals, and cancels of any live request.
  std::vector<SchedulerEvent> Events() {
    std::vector<SchedulerEvent> events;
    const bool burst = OneIn(40) || (live_.empty() && OneIn(3));
    const int num_wanted = burst ? Pick(events_random_, 1, 30) : OneIn(4);
    for (int n = 0; n < num_wanted && num_arrived_ < num_requests_; ++n) events.push_back(Arrive());
    if (with_cancels && !live_.empty() && OneIn(25)) {
      auto chosen = live_.lower_bound(Pick(events_random_, 1, num_arrived_));
      if (chosen == live_.end()) chosen = live_.begin();
      chosen->second.cancelled = true;
      events.push_back(SequenceCancel{chosen->first});
      if (OneIn(4)) events.push_back(SequenceCancel{chosen->first});  // twice, or of an unknown one, is harmless
    }
    if (with_cancels && OneIn(400)) events.push_back(ResetPrefixCache{});
    if (machine_.config.max_drafts > 0) AddDrafts(&events);
    ReleaseHeld(&events);
    return events;
  }

  // What ended sequences keep is theirs until they let go of it.
  void ReleaseHeld(std::vector<SchedulerEvent>* events) {
    for (auto holding = held_.begin(); holding != held_.end();) {
      if (num_steps_ < holding->second.last_step) {
        ++holding;
        continue;
      }
      Expect(ranks_.Keeps(holding->second.held, holding->second.tokens), "what is held stays as it is", holding->first);
      events->push_back(SequenceRelease{holding->first});
      if (OneIn(8)) events->push_back(SequenceRelease{holding->first});  // twice is harmless
      holding = held_.erase(holding);
    }
  }

  // For some of the live, the next tokens up to any place and others behind; for the waiting too, and too many.
  void AddDrafts(std::vector<SchedulerEvent>* events) {
    const auto between = [this](int low, int high) { return Pick(drafts_random_, low, high); };
    for (const auto& [id, request] : live_) {
      if (between(0, 3) == 0) continue;
      SequenceDrafts drafts = {.id = id, .count = 0, .tokens = {}};
      const int right = between(0, machine_.config.max_drafts + 1), wrong = between(0, 2);
      for (size_t i = request.num_received; i < request.expected.size(); ++i) {
        const bool wanted = request.expected[i] >= 0 && static_cast<int>(drafts.tokens.size()) < right;
        if (wanted) drafts.tokens.push_back(request.expected[i]);
      }
      for (int i = 0; i < wrong; ++i) drafts.tokens.push_back(between(0, machine_.model.vocab_size - 1));
      drafts.count = static_cast<int>(drafts.tokens.size());
      if (between(0, 15) == 0) drafts.tokens.clear();  // for the ranks to make
      events->push_back(std::move(drafts));
    }
    if (between(0, 20) == 0) events->push_back(SequenceDrafts{.id = 1'000'000'000, .count = 1, .tokens = {1}});
  }

  // The same requests for the same seed, whatever the steps bring.
  SequenceArrival Arrive() {
    const auto between = [this](int low, int high) { return Pick(requests_random_, low, high); };
    SequenceArrival arrival;
    arrival.id = static_cast<SequenceId>(++num_arrived_);
    const int context = machine_.limits.max_model_len;
    arrival.prompt = Beginning(&arrival.cache_salt);
    const int room = context - 1 - static_cast<int>(arrival.prompt.size());
    const int longest_tail = std::min(room, between(1, 10) == 1 ? context - 1 : context / 3);
    const int least = arrival.prompt.empty() ? 1 : 0;
    const std::vector<int32_t> tail = RandomTokens(between(least, std::max(least, longest_tail)));
    arrival.prompt.insert(arrival.prompt.end(), tail.begin(), tail.end());
    arrival.computes_all = between(1, 16) == 1;
    arrival.max_tokens = between(1, 8) == 1 ? 1 : between(1, context / 2);
    arrival.min_tokens = between(1, 3) == 1 ? between(0, arrival.max_tokens) : 0;
    if (between(1, 3) == 1) arrival.stop_token_ids = {between(0, machine_.model.vocab_size - 1)};
    arrival.priority = between(0, 2);
    arrival.arrival_ns = now_ns_;
    if (with_cancels && between(1, 20) == 1) arrival.deadline_ns = now_ns_ + between(0, 200) * kStepNs;
    Request& request = live_[arrival.id];
    request.expected = RunAlone(machine_.model, machine_.limits, arrival, &request.reason);
    if (between(1, 5) == 1) BeginElsewhere(&arrival, &request);
    arrival.holds = between(1, 6) == 1;
    request.arrival = arrival;
    salts_[arrival.id] = arrival.cache_salt;
    Remember(request);
    line_.insert(PlaceOf(request, false));
    return arrival;
  }

  // Part of its output is known already, and of what is known part comes computed.
  void BeginElsewhere(SequenceArrival* arrival, Request* request) {
    const auto between = [this](int low, int high) { return Pick(requests_random_, low, high); };
    const int num_drawn = between(0, std::min<int>(3, request->expected.size() - 1));
    arrival->output.assign(request->expected.begin(), request->expected.begin() + num_drawn);
    request->num_received = num_drawn;
    const int most = static_cast<int>(arrival->prompt.size()) + num_drawn - 1;
    arrival->num_loaded = between(0, 2) == 0 ? between(0, most) : most;
    num_loaded_ += arrival->num_loaded > 0;
  }

  std::vector<int32_t> RandomTokens(int count) {
    std::vector<int32_t> tokens(count);
    for (int32_t& token : tokens) token = Pick(requests_random_, 0, machine_.model.vocab_size - 1);
    return tokens;
  }

  // Nothing, part of a document, or an earlier prompt with its answer.
  std::vector<int32_t> Beginning(std::string* salt) {
    const auto between = [this](int low, int high) { return Pick(requests_random_, low, high); };
    *salt = std::string(between(0, 2), 's');
    const int kind = between(0, 3);
    if (kind == 0) return {};
    const int document = between(0, 2), past = between(0, 7);
    const std::vector<int32_t>& tokens = kind == 1 ? conversations_[past].tokens : documents_[document];
    if (kind == 1 && between(0, 3) > 0) *salt = conversations_[past].salt;
    const int longest = std::min<int>(tokens.size(), machine_.limits.max_model_len - 2);
    return {tokens.begin(), tokens.begin() + (between(0, 1) == 0 ? longest : between(0, longest))};
  }

  void Remember(const Request& request) {
    Conversation& conversation = conversations_[request.arrival.id % 8];
    conversation = {request.arrival.prompt, request.arrival.cache_salt};
    for (const int32_t token : request.expected) {
      if (token >= 0) conversation.tokens.push_back(token);
    }
  }

  void Receive(const std::vector<Committed>& news) {
    for (const Committed& one : news) {
      const auto found = live_.find(one.id);
      if (found == live_.end()) return Expect(false, "a request ends once", one.id);
      Request& request = found->second;
      if (one.token >= 0) {
        const bool equal = request.num_received < request.expected.size() &&
                           request.expected[request.num_received] == one.token;
        Expect(equal, "tokens are those of the sequence run alone", one.id);
        outputs_[one.id].push_back(one.token);
        ++request.num_received;
      }
      if (one.ended) Finish(request, one);
      if (one.ended) live_.erase(found);
    }
  }

  void Finish(const Request& request, const Committed& last) {
    line_.erase(PlaceOf(request, false));
    line_.erase(PlaceOf(request, true));
    if (last.reason == EndReason::kCancelled) return Expect(request.cancelled, "only the cancelled end so", last.id);
    if (last.reason == EndReason::kDeadline) {
      const int64_t deadline_ns = request.arrival.deadline_ns;
      return Expect(deadline_ns != 0 && deadline_ns <= now_ns_, "only the overdue end so", last.id);
    }
    const size_t failed = last.reason == EndReason::kFailed;
    Expect(request.num_received + failed == request.expected.size(), "all tokens came out", last.id);
    Expect(last.reason == request.reason, "the reason is that of the sequence run alone", last.id);
    Expect((last.token < 0) == (failed == 1), "a last token unless it failed", last.id);
    const int64_t scheduled_ns = scheduler_.Info(last.id).first_scheduled_ns;
    Expect(scheduled_ns >= request.arrival.arrival_ns, "first scheduled is known", last.id);
    if (request.arrival.holds && last.reason == EndReason::kLength) Hold(request);
  }

  void Hold(const Request& request) {
    const auto held = scheduler_.Held(request.arrival.id);
    if (!held.has_value()) return;
    ++num_held_;
    Holding& holding = held_[request.arrival.id];
    holding = {request.arrival.prompt, *held, num_steps_ + static_cast<int>(request.arrival.id * 7 % 31)};
    holding.tokens.insert(holding.tokens.end(), request.expected.begin(), request.expected.end());
    Expect(held->num_computed + 1 == static_cast<int32_t>(holding.tokens.size()), "all but the last token is held",
           request.arrival.id);
    Expect(ranks_.Keeps(*held, holding.tokens), "a held sequence is complete", request.arrival.id);
  }

  Place PlaceOf(const Request& request, bool preempted) const {
    const int priority = machine_.config.policy == Policy::kPriority ? request.arrival.priority : 0;
    return {priority, !preempted, request.arrival.arrival_ns, request.arrival.id};
  }

  // Keeps the waiting line as the plans show it: a released row of a live request was preempted.
  void NoteMoves(const StepPlan& plan) {
    for (const int32_t row : plan.released_rows) {
      const auto found = live_.find(id_of_row_[row]);
      if (found != live_.end()) line_.insert(PlaceOf(found->second, true));
    }
    for (const RowAdmission& admission : plan.admitted) {
      id_of_row_[admission.row] = admission.id;
      Request& request = live_.at(admission.id);
      if (!request.ran) Expect(OldestFresh(admission.id), "nobody of its class is overtaken", admission.id);
      request.ran = true;
      line_.erase(PlaceOf(request, false));
      line_.erase(PlaceOf(request, true));
    }
  }

  // Whether the first of those never run, in the class of `id`, is `id`.
  bool OldestFresh(SequenceId id) const {
    const Place place = PlaceOf(live_.at(id), false);
    const auto first = line_.lower_bound({std::get<0>(place), true, 0, 0});
    return first != line_.end() && *first == place;
  }

  // While the first of the line waits nobody passes it, and the first of the running gets a token every other step; so
  // it waits at most until all the running have computed all they may.
  void CheckFirstOfLine() {
    const SequenceId first = line_.empty() ? 0 : std::get<3>(*line_.begin());
    waited_steps_ = first == first_of_line_ ? waited_steps_ + 1 : 0;
    first_of_line_ = first;
    if (!held_.empty()) waited_steps_ = 0;  // it may wait for them
    const int64_t bound = 2LL * machine_.config.max_sequences * machine_.limits.max_model_len + 10;
    Expect(first == 0 || waited_steps_ <= bound, "the first of the line does not starve", first);
  }

  const Machine machine_;
  const int depth_, num_requests_;
  std::mt19937_64 events_random_, requests_random_, drafts_random_{7};
  Scheduler scheduler_;
  FakeRanks ranks_;
  int64_t now_ns_ = 0;
  int num_arrived_ = 0, num_steps_ = 0;
  std::map<SequenceId, Request> live_;
  std::map<SequenceId, Holding> held_;
  uint64_t num_loaded_ = 0, num_held_ = 0;
  std::set<Place> line_;
  std::unordered_map<int32_t, SequenceId> id_of_row_;
  std::map<SequenceId, std::vector<int32_t>> outputs_;
  SequenceId first_of_line_ = 0;
  int64_t waited_steps_ = 0;
  std::vector<int32_t> documents_[3];
  Conversation conversations_[8];
  std::unordered_map<SequenceId, std::string> salts_;
  SchedulerStats last_stats_;
  std::string fault_;
};

Machine RandomMachine(const Variant& variant, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto between = [&](int low, int high) { return Pick(random, low, high); };
  Machine machine;
  SchedulerConfig& config = machine.config;
  config.batching = variant.batching;
  config.chunked_prefill = variant.chunked_prefill;
  config.policy = variant.policy;
  config.max_stall = 2.0 * between(0, 1);
  config.block_size = 1 << between(1, 4);
  config.state_grid = std::max(1, config.block_size / between(1, 2));
  config.max_sequences = between(1, 24);
  config.max_tokens_per_step = between(1, 5) == 1 ? between(1, 8) : between(8, 96);
  SchedulerLimits& limits = machine.limits;
  limits.max_model_len = between(16, 192);
  const int longest = (limits.max_model_len + config.block_size - 1) / config.block_size;
  limits.num_blocks = longest + between(0, 4 * longest);
  limits.num_state_slots = between(0, 1) * between(1, 40);
  if (limits.num_state_slots > 0 && between(1, 6) == 1) limits.num_blocks = 0;  // recurrent layers only
  machine.model.failures_in_1000 = between(0, 1) * 4;
  config.prefix_cache = between(0, 3) > 0;
  config.max_drafts = between(0, 1) * between(1, 8);
  return machine;
}

TEST(SchedulerSimulation, TokensAreThoseOfEachSequenceRunAlone) {
  constexpr int kRequests = 100'000, kRunsOfVariant = 16;
  const std::vector<Variant> variants = AllVariants();
  const int runs = static_cast<int>(variants.size()) * kRunsOfVariant;
  uint64_t preemptions = 0, tokens = 0, hits = 0, evicted_blocks = 0, evicted_snapshots = 0;
  uint64_t accepted = 0, rejected = 0, loaded = 0, held = 0;
  for (int run = 0; run < runs; ++run) {
    const Variant& variant = variants[run % variants.size()];
    const uint64_t seed = 1000 + run;
    Simulation simulation(RandomMachine(variant, seed), variant.depth, kRequests / runs + 1, seed);
    const std::string fault = simulation.Run();
    ASSERT_EQ(fault, "") << "seed " << seed << " depth " << variant.depth << " batching "
                         << static_cast<int>(variant.batching) << " chunked "
                         << static_cast<int>(variant.chunked_prefill) << " policy " << static_cast<int>(variant.policy);
    const SchedulerStats& stats = simulation.last_stats();
    preemptions += stats.preemptions;
    hits += stats.prefix.hit_tokens;
    evicted_blocks += stats.prefix.evicted_blocks;
    evicted_snapshots += stats.prefix.evicted_snapshots;
    tokens += simulation.ranks().tokens_computed();
    accepted += simulation.ranks().drafts_accepted();
    rejected += simulation.ranks().drafts_rejected();
    loaded += simulation.num_loaded();
    held += simulation.num_held();
  }
  RecordProperty("tokens_computed", std::to_string(tokens));
  RecordProperty("preemptions", std::to_string(preemptions));
  RecordProperty("hit_tokens", std::to_string(hits));
  RecordProperty("evicted_blocks", std::to_string(evicted_blocks));
  RecordProperty("evicted_snapshots", std::to_string(evicted_snapshots));
  EXPECT_GT(preemptions, 1000u);  // memory was tight indeed
  EXPECT_GT(hits, 100'000u);
  EXPECT_GT(evicted_blocks, 10'000u);
  EXPECT_GT(evicted_snapshots, 1000u);
  EXPECT_GT(accepted, 100'000u);
  EXPECT_GT(rejected, 30'000u);
  EXPECT_GT(loaded, 10'000u);
  EXPECT_GT(held, 5'000u);
}

TEST(SchedulerSimulation, BothDepthsGiveEqualTokensWithAndWithoutPrefixCacheAndDrafts) {
  uint64_t accepted[4] = {};
  for (uint64_t seed = 1; seed <= 64; ++seed) {
    const std::vector<Variant> variants = AllVariants();
    Machine machine = RandomMachine(variants[seed % variants.size()], seed);
    std::vector<std::map<SequenceId, std::vector<int32_t>>> outputs;
    for (const bool prefix_cache : {false, true}) {
      machine.config.prefix_cache = prefix_cache;
      for (const int depth_and_drafts : {0, 1, 2, 3}) {
        const int depth = depth_and_drafts % 2;
        machine.config.max_drafts = depth_and_drafts / 2 * (1 + static_cast<int>(seed % 5));
        Simulation simulation(machine, depth, 60, seed);
        simulation.with_cancels = false;
        ASSERT_EQ(simulation.Run(), "") << "seed " << seed << " depth " << depth << " cache " << prefix_cache;
        accepted[depth_and_drafts] += simulation.ranks().drafts_accepted();
        outputs.push_back(simulation.outputs());
        ASSERT_EQ(outputs.back(), outputs.front()) << "seed " << seed << " depth " << depth;
      }
    }
  }
  EXPECT_EQ(accepted[0] + accepted[1], 0u);
  EXPECT_GT(accepted[2], 10'000u);
  EXPECT_GT(accepted[3], 10'000u);
}

// Prompts that share documents and go on from answers, with room to keep all of it.
TEST(SchedulerSimulation, CacheComputesFewerTokens) {
  for (const int num_state_slots : {0, 64}) {
    uint64_t computed[2];
    for (const bool prefix_cache : {false, true}) {
      Machine machine{.config = {.max_tokens_per_step = 64, .max_sequences = 4, .block_size = 8, .state_grid = 8},
                      .limits = {.num_blocks = 4096, .num_state_slots = num_state_slots, .max_model_len = 192}};
      machine.config.prefix_cache = prefix_cache;
      Simulation simulation(machine, 0, 400, 5);
      simulation.with_cancels = false;
      ASSERT_EQ(simulation.Run(), "");
      computed[prefix_cache] = simulation.ranks().tokens_computed();
    }
    EXPECT_LT(computed[1], 0.8 * computed[0]) << num_state_slots;
  }
}

}  // namespace
}  // namespace braid
