// What a peer of a hand-over says: a PrefillRequest, and behind the line the PrefillReply that is to answer it.
#include <optional>

#include "engine/handover/offer_check.h"
#include "server/grpc/handover_messages.h"
#include "tests/fuzz/input.h"

namespace braid {
namespace {

HandoverIdentity Ours() {
  HandoverIdentity ours{.model_digest = "0123456789abcdef", .fingerprint = "ours", .vocab_size = 256};
  ours.layout.cache.attention = {{2, 16}};
  ours.layout.cache.mamba = {{.heads = 4, .head_dim = 16, .state_size = 8, .groups = 2, .conv_kernel = 4}};
  return ours;
}

// Written and read again it is the same.
template <class Message, class Read, class Write>
auto ReadTwice(std::string_view bytes, const Read& read, const Write& write) {
  Message message, again, once_more;
  using Value = typename decltype(read(message))::value_type;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::optional<Value>();
  const auto value = read(message);
  fuzz::CheckRefusal(value.status());
  if (!value.ok()) return std::optional<Value>();
  write(*value, &again);
  const auto reread = read(again);
  CHECK(reread.ok()) << reread.status();
  write(*reread, &once_more);
  CHECK(again.SerializeAsString() == once_more.SerializeAsString());
  return std::optional<Value>(*value);
}

}  // namespace
}  // namespace braid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  const auto [request, reply] = fuzz::Halves(fuzz::Text(data, size));
  const auto call = ReadTwice<v1::PrefillRequest>(request, ReadCall, WriteCall);
  const auto offer = ReadTwice<v1::PrefillReply>(reply, ReadOffer, WriteOffer);
  ReadTwice<v1::OfferId>(request, ReadName, WriteName);
  if (!call.has_value() || !offer.has_value()) return 0;
  const absl::Status same = CheckIdentity(call->asker, Ours());
  fuzz::CheckRefusal(same);
  if (!same.ok()) return 0;
  const absl::Status fits = CheckOffer(*offer, *call);
  fuzz::CheckRefusal(fits);
  // What fits is what will be allocated and read.
  if (fits.ok() && offer->image_bytes > 0) CHECK(offer->image_bytes == Ours().layout.ImageBytes(offer->num_computed));
  return 0;
}
