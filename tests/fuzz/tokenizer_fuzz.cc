// tokenizer.json, and behind the line a text: ids, and the text of the ids, whole and token by token.
#include "models/tokenizer/text_stream.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/fuzz/input.h"

namespace braid {
namespace {

void CheckText(const Tokenizer& tokenizer, std::string_view text, Tokenizer::EncodeOptions options) {
  const std::vector<int32_t> ids = tokenizer.Encode(text, options);
  for (const int32_t id : ids) CHECK(id >= 0 && id < tokenizer.vocab_size()) << id;
  for (const bool skip : {false, true}) {
    TextStream stream(tokenizer, skip);
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.Push(id);
    streamed += stream.Finish();
    CHECK(streamed == tokenizer.Decode(ids, skip)) << "streamed text differs";
  }
}

}  // namespace
}  // namespace braid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  const auto [json, text] = fuzz::Halves(fuzz::Text(data, size));
  const auto tokenizer = Tokenizer::FromJson(json);
  fuzz::CheckRefusal(tokenizer.status());
  if (!tokenizer.ok()) return 0;
  CheckText(**tokenizer, text, {});
  CheckText(**tokenizer, text, {.add_special_tokens = true, .parse_special_tokens = false});
  return 0;
}
