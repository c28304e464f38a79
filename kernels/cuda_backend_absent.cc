// What a build without CUDA answers.
#include "kernels/backend.h"

namespace braid {

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(Precision) {
  return absl::UnimplementedError("--device: cuda: this build has no CUDA (cmake -DBRAID_CUDA=ON); --device cpu needs none");
}

}  // namespace braid
