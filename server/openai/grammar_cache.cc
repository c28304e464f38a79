#include "server/openai/grammar_cache.h"

#include "kernels/base/errors.h"

namespace braid {

absl::StatusOr<GrammarCache::Compiled> GrammarCache::Get(const std::string& key,
                                                         const std::function<absl::StatusOr<Compiled>()>& make) {
  if (Compiled found = Find(key); found != nullptr) return found;
  ASSIGN_OR_RETURN(Compiled made, make());  // two callers may make the same at once: both are right
  Keep(key, made);
  return made;
}

GrammarCache::Compiled GrammarCache::Find(const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->second;
}

void GrammarCache::Keep(const std::string& key, Compiled grammar) {
  std::lock_guard lock(mutex_);
  if (by_key_.contains(key)) return;
  entries_.emplace_front(key, std::move(grammar));
  by_key_[key] = entries_.begin();
  if (entries_.size() <= capacity_) return;
  by_key_.erase(entries_.back().first);
  entries_.pop_back();
}

}  // namespace braid
