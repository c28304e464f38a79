// Compiled grammars by what they were made of: clients send the same schema again and again.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/grammar/matcher.h"

namespace braid {

// Keeps the grammars used last. Thread: any.
class GrammarCache {
 public:
  using Compiled = std::shared_ptr<const CompiledGrammar>;

  explicit GrammarCache(size_t capacity) : capacity_(capacity) {}

  // Returns the grammar of `key`, made by `make` when it is not there; errors are not kept.
  absl::StatusOr<Compiled> Get(const std::string& key, const std::function<absl::StatusOr<Compiled>()>& make);

 private:
  using Entries = std::list<std::pair<std::string, Compiled>>;

  Compiled Find(const std::string& key);
  void Keep(const std::string& key, Compiled grammar);

  const size_t capacity_;
  std::mutex mutex_;
  Entries entries_;  // used last in front; guarded by mutex_, as is by_key_
  std::unordered_map<std::string, Entries::iterator> by_key_;
};

}  // namespace braid
