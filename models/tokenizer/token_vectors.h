// For tests: a tokenizer against stored vectors of the reference implementation (encode, decode, streaming).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/tokenizer/tokenizer.h"

namespace braid {

// The folders of vocabs/ and vectors/: what is committed, and the larger set under $BRAID_ORACLES when it is set.
std::vector<std::filesystem::path> VectorFolders();

// Reads a plain or gzipped file.
std::string ReadAll(const std::filesystem::path& path);

// Checks every row of vectors/NAME.encode.jsonl.gz and vectors/NAME.stream.jsonl.
void CheckEncodeVectors(const std::filesystem::path& folder, const std::string& name, const Tokenizer& tokenizer);
void CheckStreamVectors(const std::filesystem::path& folder, const std::string& name, const Tokenizer& tokenizer);

}  // namespace braid
