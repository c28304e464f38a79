// The workers that a router knows: where they are, how they are, how much they have to do, and who is to be next.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/router/prefix_affinity.h"

namespace braid {

// Who decodes (and computes prompts, if need be), and who computes prompts only.
enum class Pool { kDecode, kPrefill };

// What a worker says of itself; GET /worker.
struct WorkerReport {
  bool ready = false;
  int grpc_port = -1;
  bool hands_over = false, takes_over = false;
  int load = 0;  // sequences running and waiting
};

// Reads the body of GET /worker; InvalidArgument names the member that is wrong.
absl::StatusOr<WorkerReport> ReadWorkerReport(std::string_view body);

class WorkerTable;

// A request's claim on a worker; counts as load while it lives. Must not outlive the table.
class WorkerClaim {
 public:
  WorkerClaim(WorkerTable* table, std::string address, std::string grpc_address)
      : table_(table), address_(std::move(address)), grpc_address_(std::move(grpc_address)) {}
  ~WorkerClaim();
  WorkerClaim(const WorkerClaim&) = delete;

  const std::string& address() const { return address_; }            // of HTTP
  const std::string& grpc_address() const { return grpc_address_; }
  // `lost` is called, on any thread, once the worker has not answered for several looks in a row.
  void Watch(std::function<void()> lost);

 private:
  WorkerTable* const table_;
  const std::string address_, grpc_address_;
};

struct PoolCount {
  int known = 0, healthy = 0, in_flight = 0;
};

// Thread: any.
class WorkerTable {
 public:
  static constexpr int kLostAfter = 3;  // looks without an answer

  // The addresses of a pool are these from now on; new ones are taken for ill until they report.
  void SetAddresses(Pool pool, const std::vector<std::string>& addresses);
  std::vector<std::string> Addresses() const;

  // A worker has said how it is, or did not answer.
  void OnReport(const std::string& address, const absl::StatusOr<WorkerReport>& report);
  // A connection to it failed: it is ill until it reports again.
  void OnFailure(const std::string& address);

  // Returns the worker for `prompt`: the one that has seen its beginning unless it has clearly more to do than another,
  // else the one with the least to do. Null: none is healthy, but for those `excluded`.
  std::unique_ptr<WorkerClaim> Pick(Pool pool, std::string_view prompt, const std::set<std::string>& excluded);

  PoolCount Count(Pool pool) const;

 private:
  friend class WorkerClaim;
  struct Worker {
    Pool pool = Pool::kDecode;
    bool healthy = false;
    std::string state;       // as last logged
    WorkerReport report;
    int in_flight = 0;       // of this router
    uint64_t last_pick = 0;
    int unanswered = 0;      // looks in a row
    std::map<const WorkerClaim*, std::function<void()>> watchers;
    bool listed = true;      // false: to be forgotten when nothing is in flight
  };
  bool TakeReport(const std::string& address, const absl::StatusOr<WorkerReport>& report);
  static bool CanServe(const Worker& worker, Pool pool);
  static int LoadOf(const Worker& worker);
  void Return(const WorkerClaim& claim);

  mutable std::mutex mutex_;
  std::map<std::string, Worker> workers_;  // by address
  PrefixAffinity decode_affinity_{1 << 16}, prefill_affinity_{1 << 16};
  uint64_t num_picks_ = 0;
};

}  // namespace braid
