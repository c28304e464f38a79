#include "models/weights/checkpoint.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "models/weights/checked_size.h"
#include "models/weights/regular_file.h"
#include "models/weights/shard_index.h"

namespace braid {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
constexpr const char* kTextFiles[] = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                                      "special_tokens_map.json", "hf_quant_config.json"};

bool Exists(const std::string& path) {
  struct stat facts;
  return stat(path.c_str(), &facts) == 0;
}

bool IsDirectory(const std::string& path) {
  struct stat facts;
  return stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode);
}

absl::StatusOr<Json> ReadConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxConfigBytes));
  auto parsed = ParseJson(text, {.max_members = 1'000'000, .allow_bare_infinity = true});
  if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", parsed.status().message()));
  if (!parsed->is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": want a JSON object"));
  return *std::move(parsed);
}

bool Holds(const MappedFile& file, const StoredTensor& tensor) {
  const std::less_equal<const std::byte*> at_most;
  return at_most(file.bytes().data(), tensor.bytes.data()) &&
         at_most(tensor.bytes.data() + tensor.bytes.size(), file.bytes().data() + file.bytes().size());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& path) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint(path));
  RETURN_IF_ERROR(IsDirectory(path) ? checkpoint->OpenFolder() : checkpoint->OpenGguf());
  return checkpoint;
}

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::OpenText(const std::string& path) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint(path));
  RETURN_IF_ERROR(IsDirectory(path) ? checkpoint->OpenTextFolder() : checkpoint->OpenGguf());
  return checkpoint;
}

std::string Checkpoint::InFolder(std::string_view name) const { return absl::StrCat(path_, "/", std::string(name)); }

absl::Status Checkpoint::OpenGguf() {
  ASSIGN_OR_RETURN(gguf_, GgufFile::Open(path_));
  for (const auto& [name, tensor] : gguf_->tensors()) tensors_.try_emplace(name, tensor);
  return absl::OkStatus();
}

absl::Status Checkpoint::OpenTextFolder() {
  if (const std::string file = InFolder("config.json"); Exists(file)) {
    ASSIGN_OR_RETURN(config_, ReadConfig(file));
  }
  return CheckTextFiles();
}

absl::Status Checkpoint::OpenFolder() {
  ASSIGN_OR_RETURN(config_, ReadConfig(InFolder("config.json")));
  if (const std::string file = InFolder("generation_config.json"); Exists(file)) {
    ASSIGN_OR_RETURN(generation_config_, ReadConfig(file));
  }
  RETURN_IF_ERROR(CheckTextFiles());
  const std::string single = InFolder("model.safetensors"), index = InFolder("model.safetensors.index.json");
  if (Exists(single)) return OpenSingle(single);
  if (Exists(index)) return OpenIndexed(index);
  return absl::NotFoundError(absl::StrCat(path_, ": has neither model.safetensors nor model.safetensors.index.json"));
}

absl::Status Checkpoint::CheckTextFiles() const {
  for (const char* name : kTextFiles) {
    const std::string file = InFolder(name);
    if (!Exists(file)) continue;
    ASSIGN_OR_RETURN(const RegularFile opened, RegularFile::Open(file));
    if (opened.size() > kMaxTextBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": has ", opened.size(), " bytes, at most ", kMaxTextBytes, " are read"));
    }
  }
  return absl::OkStatus();
}

absl::Status Checkpoint::OpenSingle(const std::string& file) {
  ASSIGN_OR_RETURN(auto shard, SafetensorsFile::Open(file));
  for (const auto& [name, tensor] : shard->tensors()) tensors_.try_emplace(name, tensor);
  shards_.push_back(std::move(shard));
  return absl::OkStatus();
}

absl::Status Checkpoint::OpenIndexed(const std::string& index_file) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(index_file, kMaxTextBytes));
  absl::StatusOr<ShardIndex> index = ParseShardIndex(text);
  if (!index.ok()) return absl::InvalidArgumentError(absl::StrCat(index_file, ": ", index.status().message()));
  for (const std::string& name : index->shards) {
    ASSIGN_OR_RETURN(auto shard, SafetensorsFile::Open(InFolder(name)));
    shards_.push_back(std::move(shard));
  }
  for (const auto& [name, number] : index->shard_of) {
    const SafetensorsFile& shard = *shards_[number];
    const auto found = shard.tensors().find(name);
    if (found == shard.tensors().end()) {
      return absl::InvalidArgumentError(absl::StrCat(index_file, ": ", Printable(name), ": is not in ", shard.path()));
    }
    tensors_.try_emplace(name, found->second);
  }
  for (size_t i = 0; i < shards_.size(); ++i) {
    for (const auto& [name, tensor] : shards_[i]->tensors()) {
      const auto listed = index->shard_of.find(name);
      if (listed == index->shard_of.end() || listed->second != static_cast<int>(i)) unlisted_.push_back(name);
    }
  }
  return absl::OkStatus();
}

const StoredTensor* Checkpoint::Find(std::string_view name) const {
  const auto found = tensors_.find(std::string(name));
  if (found == tensors_.end()) return nullptr;
  found->second.read.store(true, std::memory_order_relaxed);
  return &found->second.tensor;
}

absl::StatusOr<StoredTensor> Checkpoint::Get(std::string_view name) const {
  const StoredTensor* tensor = Find(name);
  if (tensor == nullptr) return absl::NotFoundError(absl::StrCat(path_, ": ", Printable(name), ": is missing"));
  return *tensor;
}

std::vector<std::string> Checkpoint::Unread() const {
  std::vector<std::string> names = unlisted_;
  for (const auto& [name, entry] : tensors_) {
    if (!entry.read.load(std::memory_order_relaxed)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Checkpoint::TextFile(std::string_view name) const {
  CHECK(IsPlainFileName(name)) << name;
  if (gguf_ != nullptr) return "";
  absl::StatusOr<std::string> text = ReadWholeFile(InFolder(name), kMaxTextBytes);
  return text.ok() ? *std::move(text) : "";
}

int64_t Checkpoint::TotalBytes() const {
  int64_t total = 0;
  for (const auto& [name, entry] : tensors_) total += static_cast<int64_t>(entry.tensor.bytes.size());
  return total;
}

std::map<DType, int64_t> Checkpoint::BytesByType() const {
  std::map<DType, int64_t> bytes;
  for (const auto& [name, entry] : tensors_)
    bytes[entry.tensor.dtype] += static_cast<int64_t>(entry.tensor.bytes.size());
  return bytes;
}

std::optional<DType> Checkpoint::TypeOf(std::string_view name) const {
  const auto found = tensors_.find(std::string(name));
  if (found == tensors_.end()) return std::nullopt;
  return found->second.tensor.dtype;
}

int64_t Checkpoint::BytesOf(std::string_view name) const {
  const auto found = tensors_.find(std::string(name));
  return found == tensors_.end() ? 0 : static_cast<int64_t>(found->second.tensor.bytes.size());
}

std::vector<std::string> Checkpoint::TensorNames() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& [name, entry] : tensors_) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

void Checkpoint::ReleasePages(const StoredTensor& tensor) const {
  const auto release = [&](const MappedFile& file) {
    if (!Holds(file, tensor)) return;
    file.Release(static_cast<size_t>(tensor.bytes.data() - file.bytes().data()), tensor.bytes.size());
  };
  if (gguf_ != nullptr) release(gguf_->file());
  for (const auto& shard : shards_) release(shard->file());
}

}  // namespace braid
