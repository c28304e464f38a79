// The responses that POST /v1/responses keeps, for fetching, for going on from them, and for those that run in the background.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/base/clock.h"
#include "kernels/base/json.h"
#include "server/serving_limits.h"

namespace braid {

class ApiCall;

// One request and its answer, as JSON texts.
struct StoredTurn {
  std::string input;     // the list of the request's items, each with an id
  std::string response;  // the response object
};

// The oldest turn first. Shared: by every response that goes on from them.
using Conversation = std::vector<std::shared_ptr<const StoredTurn>>;

// All items of a conversation, outputs behind the inputs they answer.
Json ItemsOf(const Conversation& turns);
// Reads JSON that the server wrote itself, which no request's limits are for.
Json ReadOwnJson(const std::string& text);

struct ResponseStoreStats {
  int responses = 0;
  int64_t bytes = 0;
  uint64_t evicted_for_space = 0, evicted_by_age = 0;
};

// Bounded; the least recently used go first. Each owner sees its own only: another's id is an unknown one. A response that
// is deleted or evicted stays part of the conversations that went on from it. Thread: any.
class ResponseStore {
 public:
  ResponseStore(ResponseStoreLimits limits, const Clock* clock) : limits_(limits), clock_(clock) {}

  // False: nothing is kept at all.
  bool keeps() const { return limits_.max_count > 0; }

  struct NewResponse {
    std::string id, owner;
    Conversation earlier;      // what it goes on from
    std::string input;         // of StoredTurn
  };

  // Keeps a response that is over. `status` is one of the API's: "completed", "incomplete" or "failed".
  void Keep(NewResponse fresh, std::string_view status, std::string response);

  // Keeps one that runs in the background by `call`; Unavailable when those that run leave no room.
  absl::Status Begin(NewResponse fresh, std::string response, std::shared_ptr<ApiCall> call);
  // What it has come to; nothing happens when it is over or gone.
  void Update(const std::string& id, std::string_view status, std::string response);

  // The response object as of now.
  absl::StatusOr<std::string> Find(const std::string& owner, const std::string& id);
  // Everything up to and with this response; InvalidArgument when there is no whole answer to go on from.
  absl::StatusOr<Conversation> GoOn(const std::string& owner, const std::string& id);
  // The items that this response was given, those of earlier turns included.
  absl::StatusOr<Json> InputItems(const std::string& owner, const std::string& id);
  // Ends one that runs and returns its response; one that is over is only returned. InvalidArgument for others.
  absl::StatusOr<std::string> Cancel(const std::string& owner, const std::string& id);
  // Forgets it, and ends it when it runs.
  absl::Status Delete(const std::string& owner, const std::string& id);

  ResponseStoreStats Stats();

 private:
  struct Entry {
    std::string id, owner, status;
    Conversation turns;                // the last is its own
    std::shared_ptr<ApiCall> call;     // while it runs. Shared: with whoever drives it
    bool background = false;
    int64_t used_ns = 0;
    bool running() const { return call != nullptr; }
  };
  using Entries = std::list<Entry>;

  // All of these want mutex_.
  absl::StatusOr<Entries::iterator> Look(const std::string& owner, const std::string& id);
  void Insert(Entry entry);
  void Remove(Entries::iterator entry);
  void SetOwnTurn(Entry& entry, std::string response);
  void Hold(const Conversation& turns);
  void Release(const Conversation& turns);
  bool Over() const;
  void EvictOld();
  void MakeRoom();

  const ResponseStoreLimits limits_;
  const Clock* const clock_;
  std::mutex mutex_;
  Entries entries_;                    // the most recently used first
  std::unordered_map<std::string, Entries::iterator> by_id_;
  std::unordered_map<const StoredTurn*, int> holders_;  // entries that a turn is part of
  int64_t bytes_ = 0;
  uint64_t evicted_for_space_ = 0, evicted_by_age_ = 0;
};

}  // namespace braid
