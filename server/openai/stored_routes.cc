#include "server/openai/stored_routes.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/http/query.h"
#include "server/openai/pending_call.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

constexpr int kMaxListed = 100, kListed = 20;  // items of a page, as the API has it

HttpResponse ErrorResponse(const absl::Status& status) {
  HttpResponse response{.status = HttpStatusOf(status), .body = ErrorBody(status)};
  const int seconds = RetryAfterSeconds(status);
  if (seconds > 0) response.headers.emplace_back("Retry-After", absl::StrCat(seconds));
  return response;
}

// Brings the one answer of a call to its connection. Thread: the connection's.
class StoredSink : public ReplySink {
 public:
  explicit StoredSink(std::shared_ptr<HttpExchange> exchange) : exchange_(std::move(exchange)) {}
  void OnReply(std::string json) override { exchange_->Send({.body = std::move(json)}); }
  void OnError(const absl::Status& status) override { exchange_->Send(ErrorResponse(status)); }
  void OnChunk(std::string_view) override {}  // no streams here
  void OnDone() override {}

 private:
  const std::shared_ptr<HttpExchange> exchange_;  // shared: the connection may go first
};

// Below an id there are two places: what is asked of another, or of one by the wrong method, is said to be so.
HttpResponse NoSuchPlace(const HttpRequest& request, std::string_view below) {
  const char* allow = below.empty() ? "GET, HEAD, DELETE, OPTIONS" : below == "cancel" ? "POST, OPTIONS" : below == "input_items" ? "GET, HEAD, OPTIONS" : nullptr;
  if (allow == nullptr) return ErrorResponse(absl::NotFoundError(absl::StrCat("there is nothing at ", WriteJson(request.head.path.substr(0, 200)))));
  const std::string words = absl::StrCat("method ", request.head.method, " is not allowed here; allowed: ", allow);
  return {.status = 405, .body = ErrorBody(405, words), .headers = {{"Allow", allow}}};
}

absl::StatusOr<std::string> Fetch(ResponseStore& store, const HttpRequest& request, const std::string& id) {
  const std::string stream = QueryParameter(request.head.query, "stream").value_or("false");
  if (stream != "false" && stream != "0") {
    return InvalidParam("stream", "stream: must be false: a response that is kept is told whole");
  }
  if (QueryParameter(request.head.query, "starting_after").has_value()) {
    return InvalidParam("starting_after", "starting_after: needs a stream, and a response that is kept is told whole");
  }
  return store.Find(request.api_key_id, id);
}

absl::StatusOr<std::string> Delete(ResponseStore& store, const HttpRequest& request, const std::string& id) {
  RETURN_IF_ERROR(store.Delete(request.api_key_id, id));
  return WriteJson(Json{{"id", id}, {"object", "response"}, {"deleted", true}});
}

absl::StatusOr<std::string> Cancel(ResponseStore& store, const HttpRequest& request, const std::string& id) {
  return store.Cancel(request.api_key_id, id);
}

struct Page {
  size_t limit = kListed;
  bool rising = false;
  std::string after;   // an item's id; empty: from the beginning
};

absl::StatusOr<Page> ReadPage(std::string_view query) {
  Page page;
  if (const auto limit = QueryParameter(query, "limit"); limit.has_value()) {
    int number = 0;
    if (!absl::SimpleAtoi(*limit, &number) || number < 1 || number > kMaxListed) {
      return InvalidParam("limit", absl::StrCat("limit: must be 1 to ", kMaxListed, ", not ", Shown(*limit)));
    }
    page.limit = static_cast<size_t>(number);
  }
  const std::string order = QueryParameter(query, "order").value_or("desc");
  if (order != "asc" && order != "desc") return InvalidParam("order", absl::StrCat("order: must be \"asc\" or \"desc\", not ", Shown(order)));
  page.rising = order == "asc";
  page.after = QueryParameter(query, "after").value_or("");
  return page;
}

absl::StatusOr<std::string> List(ResponseStore& store, const HttpRequest& request, const std::string& id) {
  ASSIGN_OR_RETURN(const Page page, ReadPage(request.head.query));
  ASSIGN_OR_RETURN(Json items, store.InputItems(request.api_key_id, id));
  if (!page.rising) std::reverse(items.begin(), items.end());
  auto first = items.begin();
  if (!page.after.empty()) {
    first = std::find_if(items.begin(), items.end(), [&](const Json& item) { return item["id"] == page.after; });
    if (first == items.end()) return InvalidParam("after", absl::StrCat("after: there is no item ", Shown(page.after), " in this list"));
    ++first;
  }
  const auto left = static_cast<size_t>(items.end() - first);
  Json data = Json::array();
  for (size_t i = 0; i < std::min(left, page.limit); ++i) data.push_back(std::move(first[static_cast<ptrdiff_t>(i)]));
  const Json first_id = data.empty() ? Json() : data.front()["id"], last_id = data.empty() ? Json() : data.back()["id"];
  return WriteJson(Json{{"object", "list"}, {"data", std::move(data)}, {"first_id", first_id}, {"last_id", last_id},
                        {"has_more", left > page.limit}});
}

// What is to be done with the response `id`; nothing where there is no such place.
using Deed = absl::StatusOr<std::string> (*)(ResponseStore&, const HttpRequest&, const std::string& id);

Deed DeedOf(const std::string& method, std::string_view below) {
  const bool gets = method == "GET" || method == "HEAD";
  if (below.empty() && gets) return Fetch;
  if (below.empty() && method == "DELETE") return Delete;
  if (below == "input_items" && gets) return List;
  if (below == "cancel" && method == "POST") return Cancel;
  return nullptr;
}

// Reading and writing JSON is for a text thread.
void Handle(Serving* serving, HttpRequest request, const std::shared_ptr<HttpExchange>& exchange) {
  const size_t slash = std::min(request.rest.find('/'), request.rest.size());
  const std::string id = request.rest.substr(0, slash), below = request.rest.substr(std::min(slash + 1, request.rest.size()));
  const Deed deed = DeedOf(request.head.method, below);
  if (deed == nullptr) return exchange->Send(NoSuchPlace(request, below));
  CallContext context;
  context.post = [exchange](std::function<void()> task) { exchange->Post(std::move(task)); };
  const auto call = std::make_shared<PendingCall>(serving, std::move(context), std::make_shared<StoredSink>(exchange));
  exchange->OnGone([call] { call->Cancel(); });
  const bool taken = serving->PostText([serving, deed, id, call, request = std::move(request)] {
    auto reply = deed(serving->responses(), request, id);
    reply.ok() ? call->Reply(*std::move(reply)) : call->Fail(reply.status());
  });
  if (!taken) call->Fail(absl::UnavailableError("too many requests are waiting"));
}

}  // namespace

void AddStoredRoutes(Serving* serving, RouteTable& routes) {
  for (const char* method : {"GET", "POST", "DELETE"}) {
    routes.Add({.method = method, .path = "/v1/responses/", .name = "stored_responses", .takes_json = false,
                .handler = [serving](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
                  Handle(serving, std::move(request), exchange);
                }});
  }
}

}  // namespace braid
