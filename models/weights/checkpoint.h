// All that lies in a checkpoint folder, or in one GGUF file, as one map of names.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"
#include "models/weights/gguf.h"
#include "models/weights/safetensors.h"
#include "models/weights/stored_tensor.h"

namespace braid {

// Tensors by name over all shards, and the small text files beside them. Thread: any, once open.
class Checkpoint {
 public:
  // Opens a Hugging Face folder (config.json and model.safetensors, or model.safetensors.index.json and its shards;
  // optionally generation_config.json, tokenizer.json, tokenizer_config.json, chat_template.jinja) or a .gguf file.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& path);

  // The same without weights, and config.json need not be there: for a server of text alone.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> OpenText(const std::string& path);

  const std::string& path() const { return path_; }

  // Returns the tensor, or null when there is none; marks it as read.
  const StoredTensor* Find(std::string_view name) const;
  // Returns the tensor, or NotFound naming it; marks it as read.
  absl::StatusOr<StoredTensor> Get(std::string_view name) const;
  bool Contains(std::string_view name) const { return tensors_.contains(std::string(name)); }

  // Names nobody has read yet, sorted; also those of shards that the index does not list.
  std::vector<std::string> Unread() const;

  // config.json; an empty object for a GGUF file.
  const Json& config() const { return config_; }
  // generation_config.json; an empty object when there is none.
  const Json& generation_config() const { return generation_config_; }
  // Null for a folder.
  const GgufFile* gguf() const { return gguf_.get(); }

  // Returns the contents of a file of the folder (tokenizer.json, chat_template.jinja, ...); empty when there is none
  // (always so for a GGUF file). `name` is a plain file name. Open refuses known names over kMaxTextBytes.
  std::string TextFile(std::string_view name) const;

  int64_t TotalBytes() const;                    // of all tensors
  std::map<DType, int64_t> BytesByType() const;  // as the files say; quantization.h knows formats of several tensors
  // Of one tensor; nullopt and 0 when there is none. Mark nothing.
  std::optional<DType> TypeOf(std::string_view name) const;
  int64_t BytesOf(std::string_view name) const;
  size_t num_tensors() const { return tensors_.size(); }
  std::vector<std::string> TensorNames() const;  // sorted; marks nothing

  // Gives the physical pages of `tensor` back, once it has been packed.
  void ReleasePages(const StoredTensor& tensor) const;

  static constexpr int64_t kMaxTextBytes = int64_t{64} << 20;

 private:
  struct Entry {
    StoredTensor tensor;
    mutable std::atomic<bool> read{false};
    explicit Entry(StoredTensor t) : tensor(std::move(t)) {}
  };

  explicit Checkpoint(std::string path) : path_(std::move(path)) {}
  absl::Status OpenFolder();
  absl::Status OpenTextFolder();
  absl::Status OpenGguf();
  absl::Status OpenSingle(const std::string& file);
  absl::Status OpenIndexed(const std::string& index_file);
  absl::Status CheckTextFiles() const;
  std::string InFolder(std::string_view name) const;

  const std::string path_;
  Json config_ = Json::object();
  Json generation_config_ = Json::object();
  std::unique_ptr<GgufFile> gguf_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::vector<std::string> unlisted_;
  std::unordered_map<std::string, Entry> tensors_;
};

}  // namespace braid
