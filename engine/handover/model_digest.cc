#include "engine/handover/model_digest.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace braid {
namespace {

constexpr size_t kSample = 64;  // bytes at either end of a tensor

// FNV-1a, 64 bits.
class Hash {
 public:
  void Add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) value_ = (value_ ^ static_cast<uint64_t>(byte)) * 0x100000001b3u;
  }
  void Add(std::string_view text) { Add(std::as_bytes(std::span(text.data(), text.size()))); }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

}  // namespace

std::string ModelDigest(const Checkpoint& checkpoint) {
  Hash hash;
  for (const std::string& name : checkpoint.TensorNames()) {
    const StoredTensor* tensor = checkpoint.Find(name);
    hash.Add(absl::StrCat(name, " ", DTypeName(tensor->dtype), " ", ShapeString(tensor->shape), "\n"));
    const size_t sample = std::min(kSample, tensor->bytes.size());
    hash.Add(tensor->bytes.first(sample));
    hash.Add(tensor->bytes.last(sample));
  }
  return absl::StrFormat("%016x", hash.value());
}

}  // namespace braid
