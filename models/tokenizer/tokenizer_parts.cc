#include "models/tokenizer/tokenizer_parts.h"

#include <string>

#include "kernels/base/errors.h"

namespace braid {

absl::Status TokenizerParts::AddToken(const AddedToken& token) {
  RETURN_IF_ERROR(vocabulary.AddRepeatable(token.content, token.id));
  if (token.special) vocabulary.MarkSpecial(token.id);
  if (token.normalized) {
    // Its normal form is what is looked for, and what it decodes to.
    std::string form = normalizer.Normalize(token.content);
    normalized_finder.Add(token, form);
    vocabulary.Respell(token.id, std::move(form));
  } else {
    raw_finder.Add(token, token.content);
  }
  return absl::OkStatus();
}

void TokenizerParts::FillBytes() {
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!vocabulary.Has(id)) continue;
    const std::string_view spelling = vocabulary.Spelling(id);
    vocabulary.SetBytes(id, vocabulary.IsSpecial(id) ? std::string(spelling) : decoder.BytesOf(spelling));
  }
}

}  // namespace braid
