// A GGUF file: tensors, the model's configuration, tokenizer and template.
#include "models/model_config.h"
#include "models/text_model.h"
#include "models/weights/checkpoint.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  const auto checkpoint = Checkpoint::Open(fuzz::AsFile("f.gguf", fuzz::Text(data, size)));
  fuzz::CheckRefusal(checkpoint.status());
  if (!checkpoint.ok()) return 0;
  size_t sum = 0, length = 0;  // of bytes that must be there to be read
  for (const std::string& name : (*checkpoint)->TensorNames()) {
    const auto bytes = (*checkpoint)->Get(name)->bytes;
    for (const std::byte byte : bytes) sum += static_cast<size_t>(byte);
    length += bytes.size();
  }
  CHECK(sum <= 255 * length);
  fuzz::CheckRefusal(ReadModelType(**checkpoint).status());
  fuzz::CheckRefusal(ReadLlamaConfig(**checkpoint).status());
  const auto text = LoadTextModel(**checkpoint);
  fuzz::CheckRefusal(text.status());
  if (text.ok() && text->tokenizer != nullptr) text->tokenizer->Decode(text->tokenizer->Encode("Hello, w\xc3\xb6rld 12", {}), false);
  return 0;
}
