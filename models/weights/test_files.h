// Files for tests: a folder that cleans up after itself, and writers of small safetensors and GGUF files, good and bad.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"

namespace braid {

class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "braid_test_XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;

  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

  // Writes `bytes` as file `name` and returns its path.
  std::string Write(const std::string& name, std::string_view bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }

 private:
  std::string path_;
};

inline std::string ReadBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// The bytes of `value` as they lie in memory.
template <class T>
std::string Raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

// A safetensors file of a header and `data` bytes.
inline std::string SafetensorsBytes(const std::string& header, size_t data_bytes) {
  return Raw<uint64_t>(header.size()) + header + std::string(data_bytes, '\1');
}

// One tensor of a test: `shape` as JSON.
struct TestTensor {
  std::string name, dtype, shape, bytes;
};
inline std::string SafetensorsOf(const std::vector<TestTensor>& tensors) {
  std::string header = "{", data;
  for (const TestTensor& t : tensors) {
    absl::StrAppend(&header, header.size() > 1 ? "," : "", "\"", t.name, "\":{\"dtype\":\"", t.dtype, "\",\"shape\":",
                    t.shape, ",\"data_offsets\":[", data.size(), ",", data.size() + t.bytes.size(), "]}");
    data += t.bytes;
  }
  header += "}";
  return Raw<uint64_t>(header.size()) + header + data;
}

inline std::string GgufText(const std::string& text) { return Raw<uint64_t>(text.size()) + text; }
inline std::string GgufU32(const std::string& key, uint32_t value) {
  return GgufText(key) + Raw<uint32_t>(4) + Raw(value);
}
inline std::string GgufF32(const std::string& key, float value) {
  return GgufText(key) + Raw<uint32_t>(6) + Raw(value);
}
inline std::string GgufString(const std::string& key, const std::string& value) {
  return GgufText(key) + Raw<uint32_t>(8) + GgufText(value);
}

// One tensor's entry; `ne` with the innermost dimension first.
inline std::string GgufInfo(const std::string& name, std::initializer_list<uint64_t> ne, uint32_t type,
                            uint64_t offset) {
  std::string bytes = GgufText(name) + Raw(static_cast<uint32_t>(ne.size()));
  for (uint64_t n : ne) bytes += Raw(n);
  return bytes + Raw(type) + Raw(offset);
}

// A GGUF file: `metadata` and `infos` are the entries themselves, one after another.
inline std::string GgufBytes(uint64_t num_metadata, const std::string& metadata, uint64_t num_tensors,
                             const std::string& infos, size_t data_bytes, size_t alignment = 32) {
  std::string bytes = "GGUF" + Raw<uint32_t>(3) + Raw(num_tensors) + Raw(num_metadata) + metadata + infos;
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
  return bytes + std::string(data_bytes, '\1');
}

}  // namespace braid
