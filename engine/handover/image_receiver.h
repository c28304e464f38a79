// Puts an image together from the parts that arrive.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/handover/sequence_layout.h"

namespace braid {

// CRC-32C of a part's bytes.
uint32_t PartChecksum(std::string_view bytes);

// Thread: one at a time.
class ImageReceiver {
 public:
  // `image_bytes` as our own layout has it.
  ImageReceiver(int32_t computed, int64_t image_bytes) : image_(std::make_shared<SequenceImage>()) {
    image_->computed = computed;
    image_->bytes = Bytes(static_cast<size_t>(image_bytes));
  }

  // Parts come in order, each where the last one ended. InvalidArgument names what is wrong; nothing is kept of it.
  absl::Status Add(int64_t offset, std::string_view bytes, uint32_t checksum);

  // The whole image; InvalidArgument when some of it is missing.
  absl::StatusOr<std::shared_ptr<const SequenceImage>> Finish();

 private:
  std::shared_ptr<SequenceImage> image_;
  int64_t received_ = 0;
};

}  // namespace braid
