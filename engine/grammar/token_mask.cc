#include "engine/grammar/token_mask.h"

#include <algorithm>
#include <deque>

namespace braid {
namespace {

constexpr int32_t kMaxExitTokens = 60000;
constexpr uint64_t kMaxWork = 2'000'000;
constexpr size_t kMaxIds = 1024;       // more tokens than this are kept as bits
constexpr size_t kMaxKeyStates = 64;
constexpr int32_t kBottom = 0;         // the frame below the state: unknown

// A walk of the vocabulary's trie. A place that stands on the bottom frame alone is kept as a bare state: most are.
class LocalWalk {
 public:
  LocalWalk(const Automaton& automaton, const TokenVocabulary& vocabulary)
      : automaton_(automaton), vocabulary_(vocabulary), trie_(vocabulary.trie()), walker_(automaton),
        levels_(1) {}

  LocalMask Run(int32_t state) {
    counted_ = automaton_.states[state].rule >= 0 && automaton_.rules[automaton_.states[state].rule].single_path;
    frames_ = {{.target = StackFrame::kOutside, .parent = -1}};
    levels_[0].single = state;
    LocalMask mask;
    mask.wide = !Walk();
    mask.work = walker_.work;
    if (mask.wide) return mask;
    KeepTokens(&mask);
    KeepExits(&mask);
    return mask;
  }

 private:
  struct Level {
    int32_t single = -1;  // the state, when it is the only place and stands on the bottom frame
    int32_t count = 0;    // iterations begun
    size_t num_frames = 1;
    int node = -1;        // that led here
    std::vector<StackPlace> places;  // when single < 0
  };
  struct Range {  // of trie entries
    int32_t begin, end, count, offset;
  };

  bool Walk() {
    int node = 0;
    while (node < trie_.size()) {
      const ByteTrieNode& at = trie_[node];
      if (levels_.size() == at.depth) levels_.emplace_back();
      const Level& up = levels_[at.depth - 1];
      Level& down = levels_[at.depth];
      down.node = node;
      left_ = false;
      const bool alive = up.single >= 0 ? StepSingle(up, at, &down) : StepPlaces(up, at.byte, &down);
      if (left_ && !AddExit(node, up.count)) return false;
      if (!alive) {
        node = left_ ? at.skip : NextSibling(up, at);
      } else if (StaysBelow(at, down)) {
        tokens_.push_back({at.entry, trie_.SubtreeEnd(node), down.count, 0});
        node = at.skip;
      } else {
        if (trie_.OwnEnd(node) > at.entry) tokens_.push_back({at.entry, trie_.OwnEnd(node), down.count, 0});
        ++node;
      }
      if (walker_.work > kMaxWork) return false;
    }
    return true;
  }

  // The next node beside a dead one that may live; where a state has few ways on, the others are not looked at.
  int NextSibling(const Level& up, const ByteTrieNode& at) const {
    const int32_t s = up.single;
    if (s < 0 || automaton_.states[s].dense >= 0) return at.skip;
    if (up.node >= 0 && (automaton_.states[s].final || !automaton_.CallsOf(s).empty())) return at.skip;
    int next = 256;
    for (const ByteEdge& edge : automaton_.EdgesOf(s)) {
      if (edge.high > at.byte) next = std::min(next, std::max<int>(edge.low, at.byte + 1));
    }
    if (next == at.byte + 1) return at.skip;
    if (next == 256) return up.node < 0 ? trie_.size() : trie_[up.node].skip;
    return trie_.FromByte(up.node, static_cast<uint8_t>(next));
  }

  bool AddExit(int node, int32_t count) {
    const ByteTrieNode& at = trie_[node];
    exits_.push_back({at.entry, trie_.SubtreeEnd(node), count, at.depth - 1});
    num_exits_ += exits_.back().end - at.entry;
    return num_exits_ <= kMaxExitTokens;
  }

  // Whether all bytes below the node lead back to the state it stands in.
  bool StaysBelow(const ByteTrieNode& at, const Level& level) const {
    if (at.classes == 0 || level.single < 0 || counted_) return false;
    const AutomatonState& state = automaton_.states[level.single];
    if (at.classes & ~state.loop_classes || !automaton_.CallsOf(level.single).empty()) return false;
    return !state.final || !(at.classes & automaton_.rules[state.rule].pass_classes);
  }

  bool StepSingle(const Level& up, const ByteTrieNode& at, Level* down) {
    const int32_t s = up.single;
    const bool first = at.depth == 1;
    if (!automaton_.Deterministic(s)) return first ? StepFirst(s, at.byte, down) : StepStack(s, up, at.byte, down);
    if (!first) {
      for (const CallEdge& call : automaton_.CallsOf(s)) {
        if (automaton_.rules[call.rule].first[0][at.byte]) return StepStack(s, up, at.byte, down);
      }
    }
    int32_t target = automaton_.Next(s, at.byte);
    down->count = up.count;
    if (!first && automaton_.Passes(s, at.byte, ReadMode::kToken)) {
      if (counted_) target = Iterate(s, at.byte, target, &down->count);
      else left_ = true;
    }
    down->single = target;
    down->num_frames = up.num_frames;
    return target >= 0;
  }

  // The end of an iteration at `s`: the rule may be left, or one more begins.
  int32_t Iterate(int32_t s, uint8_t byte, int32_t target, int32_t* count) {
    const AutomatonRule& rule = automaton_.rules[automaton_.states[s].rule];
    left_ = rule.follow[0][byte];
    if (target >= 0 || !rule.first[0][byte]) return target;
    ++*count;
    return automaton_.Next(rule.start, byte);
  }

  bool StepFirst(int32_t s, uint8_t byte, Level* down) {
    down->places.clear();
    for (const ByteEdge& edge : automaton_.EdgesOf(s)) {
      if (byte >= edge.low && byte <= edge.high) down->places.push_back({edge.target, kBottom});
    }
    return Settle(down);
  }

  bool StepStack(int32_t s, const Level& up, uint8_t byte, Level* down) {
    const StackPlace place{s, kBottom};
    frames_.resize(up.num_frames);
    walker_.Step({&place, 1}, byte, ReadMode::kToken, &frames_, &down->places);
    left_ = walker_.left();
    return Settle(down);
  }

  bool StepPlaces(const Level& up, uint8_t byte, Level* down) {
    frames_.resize(up.num_frames);
    walker_.Step(up.places, byte, ReadMode::kToken, &frames_, &down->places);
    left_ = walker_.left();
    return Settle(down);
  }

  bool Settle(Level* level) {
    const bool single = level->places.size() == 1 && level->places[0].frame == kBottom;
    level->single = single ? level->places[0].state : -1;
    level->count = 0;
    level->num_frames = frames_.size();
    return !level->places.empty();
  }

  void KeepTokens(LocalMask* mask) {
    if (counted_) return KeepCounted(mask);
    size_t total = 0;
    for (const Range& range : tokens_) total += range.end - range.begin;
    if (total > kMaxIds) return KeepBits(mask);
    for (const Range& range : tokens_) {
      for (int32_t i = range.begin; i < range.end; ++i) mask->ids.push_back(vocabulary_.ordered()[i]);
    }
    std::sort(mask->ids.begin(), mask->ids.end());
  }

  void KeepBits(LocalMask* mask) {
    mask->bits.resize((vocabulary_.size() + 31) / 32);
    for (const Range& range : tokens_) {
      for (int32_t i = range.begin; i < range.end; ++i) {
        const int32_t id = vocabulary_.ordered()[i];
        mask->bits[id / 32] |= uint32_t{1} << id % 32;
      }
    }
  }

  void KeepCounted(LocalMask* mask) {
    for (const Range& range : tokens_) {
      if (range.count >= static_cast<int32_t>(mask->count_ends.size())) mask->count_ends.resize(range.count + 1);
      mask->count_ends[range.count] += range.end - range.begin;
    }
    int32_t total = 0;
    std::vector<int32_t> next;
    for (int32_t& end : mask->count_ends) {
      next.push_back(total);
      end = total += end;
    }
    mask->ids.resize(total);
    for (const Range& range : tokens_) {
      for (int32_t i = range.begin; i < range.end; ++i) mask->ids[next[range.count]++] = vocabulary_.ordered()[i];
    }
    if (mask->ids.size() > kMaxIds) KeepBits(mask);
  }

  void KeepExits(LocalMask* mask) {
    struct Rest {
      std::string_view text;
      LocalMask::Exit exit;
    };
    std::vector<Rest> rests;
    rests.reserve(num_exits_);
    for (const Range& range : exits_) {
      for (int32_t i = range.begin; i < range.end; ++i) {
        const int32_t id = vocabulary_.ordered()[i];
        rests.push_back({vocabulary_.bytes(id).substr(range.offset), {id, range.count}});
      }
    }
    std::sort(rests.begin(), rests.end(), [](const Rest& a, const Rest& b) { return a.text < b.text; });
    std::vector<std::string_view> texts;
    for (const Rest& rest : rests) {
      texts.push_back(rest.text);
      mask->exit_tokens.push_back(rest.exit);
    }
    mask->exits = ByteTrie(texts);
  }

  const Automaton& automaton_;
  const TokenVocabulary& vocabulary_;
  const ByteTrie& trie_;
  StackWalker walker_;
  StackFrames frames_;
  std::deque<Level> levels_;  // by depth
  bool counted_ = false, left_ = false;
  std::vector<Range> tokens_, exits_;
  int64_t num_exits_ = 0;
};

// Numbers states and rules in the order in which they are met and writes down what each has.
class KeyWriter {
 public:
  explicit KeyWriter(const Automaton& automaton) : automaton_(automaton) {}

  std::string Write(int32_t state) {
    NumberOf(state);
    for (size_t i = 0, r = 0; i < states_.size() || r < rules_.size();) {
      if (states_.size() > kMaxKeyStates) return {};
      if (r < rules_.size()) WriteRule(automaton_.rules[rules_[r++]]);
      else if (!WriteState(states_[i++])) return {};
    }
    return std::move(key_);
  }

 private:
  static int32_t Number(int32_t id, absl::flat_hash_map<int32_t, int32_t>* numbers, std::vector<int32_t>* ids) {
    const auto [place, added] = numbers->try_emplace(id, ids->size());
    if (added) ids->push_back(id);
    return place->second;
  }
  int32_t NumberOf(int32_t state) { return Number(state, &state_numbers_, &states_); }
  int32_t NumberOfRule(int32_t rule) { return rule < 0 ? -1 : Number(rule, &rule_numbers_, &rules_); }

  void Put(int32_t number) { key_.append(reinterpret_cast<const char*>(&number), sizeof number); }
  void Put(const ByteSet& bytes) { key_.append(reinterpret_cast<const char*>(&bytes), sizeof bytes); }

  void WriteRule(const AutomatonRule& rule) {
    Put(NumberOf(rule.start));
    Put(rule.counted | rule.deterministic << 1 | rule.single_path << 2);
    Put(rule.min);
    Put(rule.max);
    Put(rule.first[0]);
    Put(rule.follow[0] & rule.pass[0]);
    Put(rule.pass[0]);
  }

  bool WriteState(int32_t s) {
    const AutomatonState& state = automaton_.states[s];
    if (!automaton_.MarkersOf(s).empty()) return false;
    Put(state.final);
    Put(NumberOfRule(state.rule));
    const auto edges = automaton_.EdgesOf(s);
    Put(static_cast<int32_t>(edges.size()));
    for (const ByteEdge& edge : edges) {
      Put(edge.low | edge.high << 8);
      Put(NumberOf(edge.target));
    }
    const auto calls = automaton_.CallsOf(s);
    Put(static_cast<int32_t>(calls.size()));
    for (const CallEdge& call : calls) {
      Put(NumberOfRule(call.rule) << 1 | call.tail);
      Put(NumberOf(call.target));
    }
    return true;
  }

  const Automaton& automaton_;
  std::string key_;
  std::vector<int32_t> states_, rules_;
  absl::flat_hash_map<int32_t, int32_t> state_numbers_, rule_numbers_;
};

}  // namespace

size_t LocalMask::bytes() const {
  return sizeof *this + ids.size() * 4 + bits.size() * 4 + count_ends.size() * 4 +
         exits.size() * sizeof(ByteTrieNode) + exit_tokens.size() * sizeof(Exit);
}

LocalMask ComputeLocalMask(const Automaton& automaton, const TokenVocabulary& vocabulary, int32_t state) {
  return LocalWalk(automaton, vocabulary).Run(state);
}

std::string LocalMaskKey(const Automaton& automaton, int32_t state) { return KeyWriter(automaton).Write(state); }

std::shared_ptr<const LocalMask> SharedMasks::Find(const std::string& key) const {
  std::lock_guard lock(mutex_);
  const auto found = masks_.find(key);
  return found == masks_.end() ? nullptr : found->second;
}

void SharedMasks::Keep(const std::string& key, std::shared_ptr<const LocalMask> mask) {
  std::lock_guard lock(mutex_);
  if (bytes_ > kMaxBytes) {
    masks_.clear();
    bytes_ = 0;
  }
  bytes_ += key.size() + mask->bytes();
  masks_.emplace(key, std::move(mask));
}

}  // namespace braid
