// Messages between ranks as bytes: numbers, texts and vectors one behind the other, as this machine has them. A message
// type says its fields once, in Code(codec, message), for writing and for reading. Both ends are the same program.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/base/errors.h"

namespace braid {

template <class T>
concept PlainField = std::is_arithmetic_v<T> || std::is_enum_v<T>;

class MessageWriter {
 public:
  template <class... Fields>
  void operator()(Fields&... fields) {
    (One(fields), ...);
  }
  std::vector<std::byte> bytes;

 private:
  void Raw(const void* from, size_t size);  // out of line: inlined, GCC 12 takes the vector's growth for a fault
  template <PlainField T>
  void One(const T& value) {
    Raw(&value, sizeof(T));
  }
  void One(const std::string& text) {
    One(text.size());
    Raw(text.data(), text.size());
  }
  template <class T>
  void One(std::vector<T>& items) {
    One(items.size());
    if constexpr (PlainField<T>) {
      Raw(items.data(), items.size() * sizeof(T));
    } else {
      for (T& item : items) Code(*this, item);
    }
  }
};

class MessageReader {
 public:
  explicit MessageReader(std::span<const std::byte> bytes) : rest_(bytes) {}
  template <class... Fields>
  void operator()(Fields&... fields) {
    (One(fields), ...);
  }
  bool at_end() const { return rest_.empty(); }

 private:
  void Raw(void* to, size_t size) {
    CHECK_LE(size, rest_.size());
    if (size > 0) std::memcpy(to, rest_.data(), size);
    rest_ = rest_.subspan(size);
  }
  // Of items of at least a byte each.
  size_t Count() {
    size_t count = 0;
    One(count);
    CHECK_LE(count, rest_.size());
    return count;
  }
  template <PlainField T>
  void One(T& value) {
    Raw(&value, sizeof(T));
  }
  void One(std::string& text) {
    text.resize(Count());
    Raw(text.data(), text.size());
  }
  template <class T>
  void One(std::vector<T>& items) {
    items.resize(Count());
    if constexpr (PlainField<T>) {
      Raw(items.data(), items.size() * sizeof(T));
    } else {
      for (T& item : items) Code(*this, item);
    }
  }

  std::span<const std::byte> rest_;
};

template <class Message>
std::vector<std::byte> Encode(Message message) {
  MessageWriter writer;
  Code(writer, message);
  return std::move(writer.bytes);
}

template <class Message>
Message Decode(std::span<const std::byte> bytes) {
  Message message;
  MessageReader reader(bytes);
  Code(reader, message);
  CHECK(reader.at_end()) << "a message with more than its fields";
  return message;
}

}  // namespace braid
