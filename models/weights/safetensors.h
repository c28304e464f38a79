// A safetensors file: u64 header length, JSON header, then the tensors' bytes without holes.
// https://github.com/huggingface/safetensors
#pragma once

#include <memory>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "models/weights/mapped_file.h"
#include "models/weights/stored_tensor.h"

namespace braid {

// A checked file: every tensor's range lies inside it, fits its shape and overlaps no other.
// Thread: any, once open.
class SafetensorsFile {
 public:
  using Tensors = absl::btree_map<std::string, StoredTensor>;

  // Maps and checks `path`; touches only the header's pages.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);

  const std::string& path() const { return file_->path(); }
  const MappedFile& file() const { return *file_; }
  const Tensors& tensors() const { return tensors_; }

 private:
  SafetensorsFile(std::unique_ptr<MappedFile> file, Tensors tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}

  std::unique_ptr<MappedFile> file_;
  Tensors tensors_;
};

}  // namespace braid
