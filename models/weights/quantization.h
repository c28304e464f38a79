// How a checkpoint says that its weights are quantized: ModelOpt (hf_quant_config.json, or quantization_config of
// config.json), compressed-tensors, DeepSeek's block FP8, MXFP4, GPTQ and AWQ. What a matrix is, its tensors say; this room
// refuses what we cannot compute with, and knows the shapes that tensors leave open.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "models/weights/checkpoint.h"

namespace braid {

struct Quantization {
  // Weights [rows, cols] that share a scale.
  struct Block {
    int64_t rows, cols;
  };

  std::string where;                              // "folder/config.json: quantization_config"; empty: not quantized
  std::set<DType> formats;                        // F8_E4M3, NVFP4, MXFP4, INT4, INT8
  std::map<std::string, DType, std::less<>> layers;  // by module, where the configuration lists them
  std::vector<Block> blocks = {{128, 128}};       // of F8_E4M3, where scales are neither of a tensor nor of rows

  // How integers are packed (integer_matrix.h).
  enum class Packing { kNone, kGptq, kGptqV2, kAwq, kCompressed };
  struct Integers {
    Packing packing = Packing::kNone;
    bool symmetric = true;  // zeros are the middle of the codes
    int64_t group = -1;     // inputs that share a scale; -1: all
  } integers;

  // InvalidArgument when `module` is stored in `format` and the configuration says otherwise.
  absl::Status Check(std::string_view module, DType format) const;
};

// Unimplemented for methods, algorithms and parameters that we have no arithmetic for, naming file and field;
// InvalidArgument for what is ill-formed.
absl::StatusOr<Quantization> ReadQuantization(const Checkpoint& checkpoint);

// The same of the two objects; either may be empty. `folder` stands before messages.
absl::StatusOr<Quantization> ParseQuantization(const Json& config, const Json& hf_quant_config,
                                               const std::string& folder);

// Bytes and weights of a format in a checkpoint: codes with the scales beside them.
struct FormatBytes {
  std::string format;  // "FP8", "NVFP4", "MXFP4", "INT4", "INT8", or the tensors' type: "BF16", "Q4_K"
  int64_t bytes = 0;
  int64_t parameters = 0;
};
std::vector<FormatBytes> BytesByFormat(const Checkpoint& checkpoint);

}  // namespace braid
