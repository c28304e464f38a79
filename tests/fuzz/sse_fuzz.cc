// The router's side of a stream: bytes to events, whole and in pieces, and events to what the client sees. The first
// half is the request's body.
#include <vector>

#include "server/router/routed_body.h"
#include "server/http/event_reader.h"
#include "tests/fuzz/input.h"

namespace braid {
namespace {

using Events = std::vector<std::pair<std::string, std::string>>;

bool Read(std::string_view bytes, size_t most, Events* events) {
  EventReader reader;
  bool good = true;
  fuzz::InPieces(bytes, most, [&](std::string_view piece) {
    good = good && reader.Feed(piece, [&](std::string_view data, std::string_view type) { events->emplace_back(data, type); });
  });
  return good;
}

}  // namespace
}  // namespace braid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  const auto [body, stream] = fuzz::Halves(fuzz::Text(data, size));
  Events whole, pieces;
  CHECK(Read(stream, 1 << 20, &whole) == Read(stream, 5, &pieces));
  CHECK(whole == pieces);
  for (const char* path : {"/v1/completions", "/v1/chat/completions"}) {
    RoutedBody routed(path, std::string(body));
    const bool is_json = ParseJson(body).ok();
    for (const auto& [event, type] : whole) {
      const std::string seen = routed.Take(event);
      bool of_worker;
      RoutedBody::IsError(event, &of_worker);
      CHECK(seen.find('\n') == std::string::npos || event.find('\n') != std::string::npos);
    }
    if (is_json) CHECK(ParseJson(routed.ForWorker(false)).ok());
    if (is_json && routed.can_resume()) CHECK(ParseJson(routed.ForWorker(true)).ok());
  }
  return 0;
}
