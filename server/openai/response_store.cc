#include "server/openai/response_store.h"

#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/serving.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

constexpr int64_t kEntryBytes = 512;  // of an entry's own: nodes, names and places in the maps
constexpr int64_t kTurnBytes = 256;   // the same of a turn
constexpr int64_t kRefBytes = sizeof(Conversation::value_type);

int64_t BytesOf(const StoredTurn& turn) {
  return kTurnBytes + static_cast<int64_t>(turn.input.size() + turn.response.size());
}

int64_t OwnBytes(const Conversation& turns) { return kEntryBytes + kRefBytes * static_cast<int64_t>(turns.size()); }

int64_t BytesOf(const Conversation& turns) {
  int64_t bytes = OwnBytes(turns);
  for (const auto& turn : turns) bytes += BytesOf(*turn);
  return bytes;
}

absl::Status Unknown(const std::string& id) {
  return absl::NotFoundError(absl::StrCat("there is no response ", WriteJson(id.substr(0, 200))));
}

std::string WithStatus(const std::string& response, std::string_view status) {
  Json json = ReadOwnJson(response);
  json["status"] = status;
  return WriteJson(json);
}

}  // namespace

Json ReadOwnJson(const std::string& text) {
  constexpr JsonLimits kNone{.max_depth = 1 << 20, .max_members = std::numeric_limits<size_t>::max(),
                             .max_number_digits = std::numeric_limits<size_t>::max()};
  auto json = ParseJson(text, kNone);
  CHECK(json.ok()) << json.status().ToString();
  return *std::move(json);
}

Json ItemsOf(const Conversation& turns) {
  Json items = Json::array();
  for (const auto& turn : turns) {
    for (Json& item : ReadOwnJson(turn->input)) items.push_back(std::move(item));
    Json response = ReadOwnJson(turn->response);
    for (Json& item : response["output"]) items.push_back(std::move(item));
  }
  return items;
}

// --- what is held, and for how long ---

void ResponseStore::Hold(const Conversation& turns) {
  bytes_ += OwnBytes(turns);
  for (const auto& turn : turns) {
    if (holders_[turn.get()]++ == 0) bytes_ += BytesOf(*turn);
  }
}

void ResponseStore::Release(const Conversation& turns) {
  bytes_ -= OwnBytes(turns);
  for (const auto& turn : turns) {
    const auto held = holders_.find(turn.get());
    if (--held->second > 0) continue;
    bytes_ -= BytesOf(*turn);
    holders_.erase(held);
  }
}

void ResponseStore::Insert(Entry entry) {
  entry.used_ns = clock_->NowNs();
  Hold(entry.turns);
  entries_.push_front(std::move(entry));
  by_id_[entries_.front().id] = entries_.begin();
}

void ResponseStore::Remove(Entries::iterator entry) {
  Release(entry->turns);
  by_id_.erase(entry->id);
  entries_.erase(entry);
}

void ResponseStore::SetOwnTurn(Entry& entry, std::string response) {
  Release(entry.turns);
  entry.turns.back() = std::make_shared<const StoredTurn>(StoredTurn{entry.turns.back()->input, std::move(response)});
  Hold(entry.turns);
}

bool ResponseStore::Over() const {
  return bytes_ > limits_.max_bytes || entries_.size() > static_cast<size_t>(limits_.max_count);
}

void ResponseStore::EvictOld() {
  const int64_t limit = clock_->NowNs() - limits_.max_idle_ms * 1'000'000;
  for (auto next = entries_.end(); next != entries_.begin();) {
    const auto entry = std::prev(next);
    if (entry->used_ns >= limit) return;
    if (entry->running()) {
      next = entry;
      continue;
    }
    Remove(entry);
    ++evicted_by_age_;
  }
}

// Those that run stay.
void ResponseStore::MakeRoom() {
  for (auto next = entries_.end(); Over() && next != entries_.begin();) {
    const auto entry = std::prev(next);
    if (entry->running()) {
      next = entry;
      continue;
    }
    Remove(entry);
    ++evicted_for_space_;
  }
}

absl::StatusOr<ResponseStore::Entries::iterator> ResponseStore::Look(const std::string& owner, const std::string& id) {
  EvictOld();
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || found->second->owner != owner) return Unknown(id);
  found->second->used_ns = clock_->NowNs();
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second;
}

// --- what comes in ---

void ResponseStore::Keep(NewResponse fresh, std::string_view status, std::string response) {
  std::lock_guard lock(mutex_);
  EvictOld();
  Conversation turns = std::move(fresh.earlier);
  turns.push_back(std::make_shared<const StoredTurn>(StoredTurn{std::move(fresh.input), std::move(response)}));
  if (BytesOf(turns) > limits_.max_bytes) {
    ++evicted_for_space_;  // of itself: no other is worth less
    return;
  }
  Insert({.id = std::move(fresh.id), .owner = std::move(fresh.owner), .status = std::string(status), .turns = std::move(turns)});
  MakeRoom();
}

absl::Status ResponseStore::Begin(NewResponse fresh, std::string response, std::shared_ptr<ApiCall> call) {
  std::lock_guard lock(mutex_);
  EvictOld();
  Conversation turns = std::move(fresh.earlier);
  turns.push_back(std::make_shared<const StoredTurn>(StoredTurn{std::move(fresh.input), std::move(response)}));
  Insert({.id = std::move(fresh.id), .owner = std::move(fresh.owner), .status = "queued", .turns = std::move(turns),
          .call = std::move(call), .background = true});
  MakeRoom();
  if (!Over()) return absl::OkStatus();
  Remove(entries_.begin());
  return absl::UnavailableError("the responses that run in the background leave no room for another");
}

void ResponseStore::Update(const std::string& id, std::string_view status, std::string response) {
  std::shared_ptr<ApiCall> ended;  // dies outside the lock
  std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || !found->second->running()) return;
  Entry& entry = *found->second;
  entry.status = status;
  SetOwnTurn(entry, std::move(response));
  entry.used_ns = clock_->NowNs();
  entries_.splice(entries_.begin(), entries_, found->second);
  if (status == "in_progress") return;
  ended = std::move(entry.call);
  MakeRoom();
}

// --- what is asked for ---

absl::StatusOr<std::string> ResponseStore::Find(const std::string& owner, const std::string& id) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const auto entry, Look(owner, id));
  return entry->turns.back()->response;
}

absl::StatusOr<Conversation> ResponseStore::GoOn(const std::string& owner, const std::string& id) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const auto entry, Look(owner, id));
  if (entry->status == "completed" || entry->status == "incomplete") return entry->turns;
  return absl::InvalidArgumentError(absl::StrCat("the response is ", entry->status, "; only one that is completed or incomplete goes on"));
}

absl::StatusOr<Json> ResponseStore::InputItems(const std::string& owner, const std::string& id) {
  Conversation turns;
  {
    std::lock_guard lock(mutex_);
    ASSIGN_OR_RETURN(const auto entry, Look(owner, id));
    turns = entry->turns;
  }
  const std::shared_ptr<const StoredTurn> own = turns.back();
  turns.pop_back();
  Json items = ItemsOf(turns);
  for (Json& item : ReadOwnJson(own->input)) items.push_back(std::move(item));
  return items;
}

absl::StatusOr<std::string> ResponseStore::Cancel(const std::string& owner, const std::string& id) {
  std::shared_ptr<ApiCall> call;
  std::string response;
  {
    std::lock_guard lock(mutex_);
    ASSIGN_OR_RETURN(const auto entry, Look(owner, id));
    if (!entry->background) return absl::InvalidArgumentError("only a response of \"background\": true can be cancelled");
    call = std::move(entry->call);
    if (call != nullptr) {
      entry->status = "cancelled";
      SetOwnTurn(*entry, WithStatus(entry->turns.back()->response, "cancelled"));
    }
    response = entry->turns.back()->response;
  }
  if (call != nullptr) call->Cancel();
  return response;
}

absl::Status ResponseStore::Delete(const std::string& owner, const std::string& id) {
  std::shared_ptr<ApiCall> call;
  {
    std::lock_guard lock(mutex_);
    ASSIGN_OR_RETURN(const auto entry, Look(owner, id));
    call = std::move(entry->call);
    Remove(entry);
  }
  if (call != nullptr) call->Cancel();
  return absl::OkStatus();
}

ResponseStoreStats ResponseStore::Stats() {
  std::lock_guard lock(mutex_);
  EvictOld();
  return {static_cast<int>(entries_.size()), bytes_, evicted_for_space_, evicted_by_age_};
}

}  // namespace braid
