#include "bench/load.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <exception>

#include "kernels/base/errors.h"

namespace braid::bench {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

constexpr int kMaxSingleWords = 400;  // tokenize calls for measuring words

// Runs `work` to its end on an io_context of its own.
template <class T>
T RunToEnd(asio::io_context& io, asio::awaitable<T> work) {
  T result = absl::UnknownError("not run");
  asio::co_spawn(io, std::move(work), [&](std::exception_ptr failure, T value) {
    if (failure) std::rethrow_exception(failure);
    result = std::move(value);
  });
  io.restart();
  io.run();
  return result;
}

asio::awaitable<absl::StatusOr<std::string>> AskModel(HttpConnection& connection, const CallOptions& call) {
  HttpRequest request{"GET", "/v1/models", "", call.api_key};
  const absl::StatusOr<Json> reply = co_await Fetch(connection, std::move(request), call.timeout);
  if (!reply.ok()) co_return reply.status();
  const auto data = reply->find("data");
  if (data == reply->end() || !data->is_array() || data->empty() || !data->front().contains("id") ||
      !data->front()["id"].is_string()) {
    co_return absl::NotFoundError("/v1/models lists no model; name one with --model");
  }
  co_return data->front()["id"].get<std::string>();
}

asio::awaitable<absl::StatusOr<int>> CountTokens(HttpConnection& connection, const CallOptions& call, Json body) {
  body["model"] = call.model;
  HttpRequest request{"POST", "/tokenize", WriteJson(body), call.api_key};
  const absl::StatusOr<Json> reply = co_await Fetch(connection, std::move(request), call.timeout);
  if (!reply.ok()) co_return reply.status();
  const auto count = reply->find("count");
  if (count == reply->end() || !count->is_number_integer()) co_return absl::NotFoundError("/tokenize gives no count");
  co_return count->get<int>();
}

Json EmptyPrompt(bool chat) {
  if (!chat) return {{"prompt", ""}};
  return {{"messages", Json::array({{{"role", "user"}, {"content", ""}}})}};
}

// Asks /tokenize what each word costs; guesses when the server has no such route.
asio::awaitable<absl::StatusOr<WordCosts>> MeasureWords(HttpConnection& connection, const CallOptions& call) {
  WordCosts costs = GuessedWordCosts();
  const absl::StatusOr<int> fixed = co_await CountTokens(connection, call, EmptyPrompt(call.chat));
  if (!fixed.ok()) co_return costs;
  costs.fixed = *fixed;
  for (size_t i = 0; i < costs.tokens.size() && i < kMaxSingleWords; ++i) {
    const Json body = {{"prompt", ' ' + Words()[i]}, {"add_special_tokens", false}};
    const absl::StatusOr<int> count = co_await CountTokens(connection, call, body);
    if (!count.ok()) co_return count.status();
    costs.tokens[i] = std::max(*count, 1);
  }
  co_return costs;
}

// Sends the plan with `concurrency` workers that take requests in order; each has a connection of its own.
class Runner {
 public:
  Runner(asio::io_context& io, const LoadOptions& options, std::vector<PlannedRequest> plan)
      : io_(io), options_(options), plan_(std::move(plan)), results_(plan_.size()) {}

  std::vector<CallResult> Run() {
    start_ = steady_clock::now();
    const size_t workers = std::min<size_t>(options_.concurrency, plan_.size());
    for (size_t i = 0; i < workers; ++i) {
      connections_.emplace_back(io_, options_.endpoint);
      asio::co_spawn(io_, Work(connections_.back()), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
      });
    }
    io_.restart();
    io_.run();
    return std::move(results_);
  }

  double Seconds() const { return std::chrono::duration<double>(steady_clock::now() - start_).count(); }

 private:
  asio::awaitable<void> Work(HttpConnection& connection) {
    asio::steady_timer timer(io_);
    while (next_ < plan_.size()) {
      const size_t i = next_++;
      Instant due = steady_clock::now();
      if (options_.open_loop) {
        due = start_ + std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(plan_[i].start_s));
        timer.expires_at(due);
        boost::system::error_code error;
        co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
      }
      results_[i] = co_await Call(connection, plan_[i], options_.call, due);
      results_[i].sent_s = std::chrono::duration<double>(due - start_).count();
    }
  }

  asio::io_context& io_;
  const LoadOptions& options_;
  const std::vector<PlannedRequest> plan_;
  std::vector<CallResult> results_;
  std::deque<HttpConnection> connections_;
  size_t next_ = 0;
  Instant start_{};
};

absl::Status WarmUp(asio::io_context& io, const LoadOptions& options, const WordCosts& costs) {
  if (options.warmup == 0) return absl::OkStatus();
  LoadOptions warm = options;
  warm.open_loop = false;
  warm.workload.rate = 0;
  warm.workload.trace.clear();
  warm.workload.requests = options.warmup;
  warm.workload.seed = ~options.workload.seed;
  for (const CallResult& r : Runner(io, warm, PlanRequests(warm.workload, costs)).Run()) {
    if (!r.ok()) return absl::UnavailableError("a warm-up request failed: " + r.error);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadOutcome> RunLoad(LoadOptions options) {
  asio::io_context io(1);
  HttpConnection connection(io, options.endpoint);
  if (options.call.model.empty()) {
    ASSIGN_OR_RETURN(options.call.model, RunToEnd(io, AskModel(connection, options.call)));
  }
  WordCosts costs = GuessedWordCosts();
  if (options.workload.vocabulary == 0) {
    ASSIGN_OR_RETURN(costs, RunToEnd(io, MeasureWords(connection, options.call)));
  }
  RETURN_IF_ERROR(WarmUp(io, options, costs));
  Runner runner(io, options, PlanRequests(options.workload, costs));
  LoadOutcome outcome{.model = options.call.model, .results = runner.Run()};
  outcome.duration_s = runner.Seconds();
  return outcome;
}

}  // namespace braid::bench
