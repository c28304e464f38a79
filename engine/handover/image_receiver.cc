#include "engine/handover/image_receiver.h"

#include <cstring>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

// Tables for eight bytes at a time (Kounavis and Berry 2005), of the Castagnoli polynomial, bits reversed.
struct CrcTables {
  uint32_t of[8][256];
  constexpr CrcTables() : of() {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t crc = byte;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
      of[0][byte] = crc;
    }
    for (int table = 1; table < 8; ++table) {
      for (int byte = 0; byte < 256; ++byte) {
        of[table][byte] = (of[table - 1][byte] >> 8) ^ of[0][of[table - 1][byte] & 255];
      }
    }
  }
};

constexpr CrcTables kCrc;

}  // namespace

uint32_t PartChecksum(std::string_view bytes) {
  uint32_t crc = ~0u;
  const unsigned char* next = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, next += 8) {
    uint32_t low, high;
    std::memcpy(&low, next, 4);
    std::memcpy(&high, next + 4, 4);
    low ^= crc;
    crc = kCrc.of[7][low & 255] ^ kCrc.of[6][low >> 8 & 255] ^ kCrc.of[5][low >> 16 & 255] ^ kCrc.of[4][low >> 24] ^
          kCrc.of[3][high & 255] ^ kCrc.of[2][high >> 8 & 255] ^ kCrc.of[1][high >> 16 & 255] ^ kCrc.of[0][high >> 24];
  }
  for (; left > 0; --left) crc = (crc >> 8) ^ kCrc.of[0][(crc ^ *next++) & 255];
  return ~crc;
}

absl::Status ImageReceiver::Add(int64_t offset, std::string_view bytes, uint32_t checksum) {
  const auto wrong = [](auto... words) { return absl::InvalidArgumentError(absl::StrCat("part.", words...)); };
  const int64_t total = static_cast<int64_t>(image_->bytes.size()), size = static_cast<int64_t>(bytes.size());
  if (offset != received_) return wrong("offset: ", offset, " where ", received_, " comes next");
  if (size == 0) return wrong("bytes: none at offset ", offset);
  if (size > total - received_) return wrong("bytes: ", size, " at offset ", offset, " of an image of ", total);
  if (PartChecksum(bytes) != checksum) return wrong("checksum: ", checksum, " is not that of the bytes at offset ", offset);
  std::memcpy(image_->bytes.data() + received_, bytes.data(), bytes.size());
  received_ += size;
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const SequenceImage>> ImageReceiver::Finish() {
  if (received_ == static_cast<int64_t>(image_->bytes.size())) return image_;
  return absl::InvalidArgumentError(absl::StrCat("parts: end at ", received_, " of ", image_->bytes.size(), " bytes"));
}

}  // namespace braid
