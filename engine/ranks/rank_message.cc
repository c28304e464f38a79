#include "engine/ranks/rank_message.h"

namespace braid {

void MessageWriter::Raw(const void* from, size_t size) {
  if (size == 0) return;
  const size_t at = bytes.size();
  bytes.resize(at + size);
  std::memcpy(bytes.data() + at, from, size);
}

void SendMessage(Communicator& ranks, std::vector<std::byte> message) {
  uint64_t size = message.size();
  ranks.Broadcast(std::as_writable_bytes(std::span(&size, 1)));
  ranks.Broadcast(message);
}

absl::StatusOr<std::vector<std::byte>> ReceiveMessage(Communicator& ranks) {
  uint64_t size = 0;
  ranks.Broadcast(std::as_writable_bytes(std::span(&size, 1)));
  RETURN_IF_ERROR(ranks.status());
  std::vector<std::byte> message(size);
  ranks.Broadcast(message);
  RETURN_IF_ERROR(ranks.status());
  return message;
}

}  // namespace braid
