// One request on its way through the router: a worker is chosen, asked, and replaced when it fails.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "server/http/event_reader.h"
#include "server/http/route_table.h"
#include "server/peer_key.h"
#include "server/router/http_call.h"
#include "server/router/routed_body.h"
#include "server/router/router_config.h"
#include "server/router/router_metrics.h"

namespace braid {

// What the calls of a router share. Outlives them.
struct RouterParts {
  RouterConfig config;
  std::shared_ptr<PeerKey> key;  // null: no hand-overs
  WorkerTable workers;
  RouterCounters counters;
  boost::asio::io_context io;
};

// An API's body of an error.
using ErrorWords = std::function<std::string(const absl::Status&)>;

// Thread: the exchange's.
class RoutedCall : public std::enable_shared_from_this<RoutedCall> {
 public:
  RoutedCall(RouterParts* parts, HttpRequest request, std::shared_ptr<HttpExchange> exchange, ErrorWords words);
  ~RoutedCall();

  void Begin();

 private:
  bool Try();
  HttpCallRequest RequestFor(const WorkerClaim& worker);
  void ClaimPrefill();
  HttpCallSink SinkOf(int attempt);
  // Runs `step` on the exchange's thread if the attempt is still the one under way.
  void Post(int attempt, std::function<void()> step);

  void OnHead(HttpCallHead head);
  void OnBody(const std::string& bytes);
  void OnEvent(std::string_view data, std::string_view type);
  void OnEnd(const absl::Status& status);
  void EndStream(const absl::Status& status);
  void OnWorkerLost(absl::Status why);
  bool TryAgain(const absl::Status& why);
  void SendWhole();
  void Fail(const absl::Status& status);
  void Finish();

  RouterParts* const parts_;
  const HttpRequest request_;
  const std::shared_ptr<HttpExchange> exchange_;  // shared: the connection may go first
  const ErrorWords words_;
  RoutedBody body_;

  int attempt_ = 0;
  std::set<std::string> asked_;              // workers that failed or refused
  std::unique_ptr<WorkerClaim> worker_, prefill_;
  std::function<void()> call_off_;
  HttpCallHead head_;
  std::string whole_;                        // an answer that is no stream
  EventReader events_;
  bool streams_ = false;                     // the worker's answer does
  bool begun_ = false;                       // the client has seen some of it
  bool broken_ = false;                      // it ends with an error event
  bool done_ = false, named_ = false;        // [DONE] has come; its events have names
  bool over_ = false;
};

}  // namespace braid
