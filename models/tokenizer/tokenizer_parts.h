// What a loaded tokenizer is made of, in the order a text meets it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "models/tokenizer/added_tokens.h"
#include "models/tokenizer/bpe.h"
#include "models/tokenizer/decoder.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/pre_split.h"
#include "models/tokenizer/unigram.h"
#include "models/tokenizer/vocabulary.h"

namespace braid {

// Plain data, filled by the loaders and read by Tokenizer.
struct TokenizerParts {
  AddedTokenFinder raw_finder;  // before normalisation
  Normalizer normalizer;
  AddedTokenFinder normalized_finder;  // after it
  PreSplit pre_split;
  std::unique_ptr<Bpe> bpe;  // exactly one of the two models is there
  std::unique_ptr<Unigram> unigram;
  std::vector<int32_t> prefix, suffix;  // ids around a text
  Vocabulary vocabulary;
  Decoder decoder;
  std::optional<int32_t> bos_id, eos_id;

  // Adds `token` to the vocabulary, under its mark, and to the finder it belongs to.
  absl::Status AddToken(const AddedToken& token);
  // Fills in the bytes of every token; the last act of a loader.
  void FillBytes();
};

}  // namespace braid
