// Golden data of tests/data/models, the backends that must give it, and how close they must come.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "models/weights/safetensors.h"

namespace braid::testing {

inline std::string FolderOf(const std::string& model) {
  return std::string(BRAID_SOURCE_DIR "/tests/data/models/") + model;
}

// A model's expected.safetensors.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& model) {
    auto file = SafetensorsFile::Open(FolderOf(model) + "/expected.safetensors");
    CHECK(file.ok()) << file.status();
    file_ = *std::move(file);
  }
  std::vector<int32_t> Ids(const std::string& name) const {
    const std::vector<int64_t> wide = Copy<int64_t>(name);
    return {wide.begin(), wide.end()};
  }
  std::vector<float> Floats(const std::string& name) const { return Copy<float>(name); }
  int64_t Columns(const std::string& name) const { return file_->tensors().at(name).shape.back(); }

 private:
  template <class T>
  std::vector<T> Copy(const std::string& name) const {
    const StoredTensor& tensor = file_->tensors().at(name);
    std::vector<T> values(tensor.bytes.size() / sizeof(T));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }

  std::unique_ptr<SafetensorsFile> file_;
};

inline std::vector<std::unique_ptr<Backend>> Backends() {
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(MakeRefBackend());
  for (const std::string& isa : CpuIsas()) backends.push_back(*MakeCpuBackend(isa, 3, false));
  absl::StatusOr<std::unique_ptr<Backend>> cuda = MakeCudaBackend();
  if (cuda.ok()) backends.push_back(*std::move(cuda));
  return backends;
}

inline float WorstDifference(const std::vector<float>& a, const std::vector<float>& b) {
  float worst = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const float difference = std::abs(a[i] - b[i]);
    if (!(difference <= worst)) worst = difference;  // NaN counts as worst
  }
  return worst;
}

// Equal bits on the CPU. The reference carries doubles within a step and f32 between steps, and CUDA splits sums by the
// step's shape: their cuts differ by roundings.
inline bool SameBits(const Backend& backend, const std::vector<float>& a, const std::vector<float>& b, float cuda_tolerance) {
  if (backend.Name() == "ref") return WorstDifference(a, b) < 2e-5f;
  if (backend.Name().starts_with("cuda")) return WorstDifference(a, b) < cuda_tolerance;
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * b.size()) == 0;
}

}  // namespace braid::testing
