#include "server/router/worker_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/json.h"
#include "kernels/base/log.h"
#include "server/address.h"

namespace braid {
namespace {

constexpr int kLoadSlack = 4;  // requests that a known beginning is worth

absl::StatusOr<int> ReadInt(const Json& report, const char* name, int least, int most) {
  const Json value = report.value(name, Json());
  if (!value.is_number_integer() || value.get<int64_t>() < least || value.get<int64_t>() > most) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": is not in ", least, "..", most));
  }
  return static_cast<int>(value.get<int64_t>());
}

bool IsTrue(const Json& report, const char* name) { return report.value(name, Json()) == true; }

}  // namespace

absl::StatusOr<WorkerReport> ReadWorkerReport(std::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(body, {}));
  if (!json.is_object()) return absl::InvalidArgumentError("the report is not an object");
  WorkerReport report{.ready = IsTrue(json, "ready"),
                      .hands_over = IsTrue(json, "hands_over"),
                      .takes_over = IsTrue(json, "takes_over")};
  ASSIGN_OR_RETURN(report.grpc_port, ReadInt(json, "grpc_port", -1, 65535));
  if (!report.ready) return report;
  ASSIGN_OR_RETURN(const int running, ReadInt(json, "running", 0, 1 << 24));
  ASSIGN_OR_RETURN(const int waiting, ReadInt(json, "waiting", 0, 1 << 24));
  report.load = running + waiting;
  return report;
}

WorkerClaim::~WorkerClaim() { table_->Return(*this); }

void WorkerClaim::Watch(std::function<void()> lost) {
  std::lock_guard lock(table_->mutex_);
  const auto found = table_->workers_.find(address_);
  if (found != table_->workers_.end()) found->second.watchers[this] = std::move(lost);
}

void WorkerTable::SetAddresses(Pool pool, const std::vector<std::string>& addresses) {
  std::lock_guard lock(mutex_);
  for (auto& [address, worker] : workers_) {
    if (worker.pool == pool) worker.listed = false;
  }
  for (const std::string& address : addresses) {
    Worker& worker = workers_[address];
    worker.pool = pool;
    worker.listed = true;
  }
  std::erase_if(workers_, [](const auto& entry) { return !entry.second.listed && entry.second.in_flight == 0; });
}

std::vector<std::string> WorkerTable::Addresses() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> addresses;
  for (const auto& [address, worker] : workers_) {
    if (worker.listed) addresses.push_back(address);
  }
  return addresses;
}

void WorkerTable::OnReport(const std::string& address, const absl::StatusOr<WorkerReport>& report) {
  std::map<const WorkerClaim*, std::function<void()>> lost;
  {
    std::lock_guard lock(mutex_);
    if (TakeReport(address, report)) lost = workers_.at(address).watchers;
  }
  for (const auto& [claim, tell] : lost) tell();
}

// Whether the worker is lost with it.
bool WorkerTable::TakeReport(const std::string& address, const absl::StatusOr<WorkerReport>& report) {
  const auto found = workers_.find(address);
  if (found == workers_.end()) return false;
  Worker& worker = found->second;
  const std::string state = !report.ok() ? report.status().ToString() : report->ready ? "healthy" : "not ready";
  if (worker.state != state) Log(LogLevel::kInfo, "a worker's state", {{"worker", address}, {"state", state}});
  worker.state = state;
  worker.healthy = report.ok() && report->ready;
  worker.unanswered = report.ok() ? 0 : worker.unanswered + 1;
  if (report.ok()) worker.report = *report;
  return worker.unanswered == kLostAfter;
}

void WorkerTable::OnFailure(const std::string& address) {
  std::lock_guard lock(mutex_);
  const auto found = workers_.find(address);
  if (found == workers_.end()) return;
  found->second.healthy = false;
  found->second.state = "failed";
}

bool WorkerTable::CanServe(const Worker& worker, Pool pool) {
  if (!worker.listed || !worker.healthy || worker.pool != pool) return false;
  return pool == Pool::kDecode || (worker.report.hands_over && worker.report.grpc_port > 0);
}

// Others may send it requests too; its own word is older than ours.
int WorkerTable::LoadOf(const Worker& worker) { return std::max(worker.in_flight, worker.report.load); }

std::unique_ptr<WorkerClaim> WorkerTable::Pick(Pool pool, std::string_view prompt, const std::set<std::string>& excluded) {
  std::lock_guard lock(mutex_);
  PrefixAffinity& affinity = pool == Pool::kDecode ? decode_affinity_ : prefill_affinity_;
  const std::string known = affinity.Find(prompt);
  std::pair<const std::string, Worker>* best = nullptr;
  std::pair<const std::string, Worker>* familiar = nullptr;
  for (auto& entry : workers_) {
    if (!CanServe(entry.second, pool) || excluded.contains(entry.first)) continue;
    if (entry.first == known) familiar = &entry;
    const auto rank = [](const auto* one) { return std::pair(LoadOf(one->second), one->second.last_pick); };
    if (best == nullptr || rank(&entry) < rank(best)) best = &entry;
  }
  if (best == nullptr) return nullptr;
  if (familiar != nullptr && LoadOf(familiar->second) <= LoadOf(best->second) + kLoadSlack) best = familiar;
  affinity.Learn(prompt, best->first);
  ++best->second.in_flight;
  best->second.last_pick = ++num_picks_;
  const absl::StatusOr<Address> http = ParseAddress(best->first);
  CHECK(http.ok()) << http.status();  // the configuration was checked
  const Address grpc{http->host, best->second.report.grpc_port};
  return std::make_unique<WorkerClaim>(this, best->first, grpc.ToText());
}

void WorkerTable::Return(const WorkerClaim& claim) {
  std::function<void()> watcher;  // dies without the lock
  std::lock_guard lock(mutex_);
  const auto found = workers_.find(claim.address());
  if (found == workers_.end()) return;
  --found->second.in_flight;
  const auto watching = found->second.watchers.find(&claim);
  if (watching == found->second.watchers.end()) return;
  watcher = std::move(watching->second);
  found->second.watchers.erase(watching);
}

PoolCount WorkerTable::Count(Pool pool) const {
  std::lock_guard lock(mutex_);
  PoolCount count;
  for (const auto& [address, worker] : workers_) {
    if (worker.pool != pool) continue;
    count.known += worker.listed;
    count.healthy += CanServe(worker, pool);
    count.in_flight += worker.in_flight;
  }
  return count;
}

}  // namespace braid
