// A safetensors file: what is accepted can be read to its last byte.
#include "models/weights/safetensors.h"
#include "models/weights/shard_index.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  const std::string_view bytes = fuzz::Text(data, size);
  fuzz::CheckRefusal(ParseShardIndex(bytes).status());
  const auto file = SafetensorsFile::Open(fuzz::AsFile("f.safetensors", bytes));
  fuzz::CheckRefusal(file.status());
  if (!file.ok()) return 0;
  size_t sum = 0, length = 0;
  for (const auto& [name, tensor] : (*file)->tensors()) {
    for (const std::byte byte : tensor.bytes) sum += static_cast<size_t>(byte);
    length += tensor.bytes.size();
  }
  CHECK(length < size && sum <= 255 * length) << "tensors overlap";
  return 0;
}
