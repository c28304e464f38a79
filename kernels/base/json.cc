#include "kernels/base/json.h"

#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace braid {
namespace {

// Builds the document from the parser's events and stops at the first breach of a limit.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  Json Take() { return std::move(root_); }
  const std::string& error() const { return error_; }

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override { return Add(value); }
  bool number_float(number_float_t value, const string_t& digits) override {
    if (digits.size() > limits_.max_number_digits) {
      return Fail(absl::StrCat("a number of more than ", limits_.max_number_digits, " digits"));
    }
    return Add(value);
  }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t&) override { return Fail("binary data"); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    if (++members_ > limits_.max_members) {
      return Fail(absl::StrCat("more than ", limits_.max_members, " object members"));
    }
    if (!open_.back().names.insert(name).second) return Fail(absl::StrCat("member \"", name, "\" is given twice"));
    key_ = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& cause) override {
    // The library's words begin with "[json.exception...] ": its own business.
    std::string what = cause.what();
    if (const size_t end = what.find("] "); end != std::string::npos) what = what.substr(end + 2);
    return Fail(absl::StrCat("at byte ", position, ": ", what));
  }

 private:
  struct Container {
    Json* value;
    std::unordered_set<std::string> names;  // of an object's members
  };

  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back().value;
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    // Straight to the vector below: names are known to be new, and operator[] would search for each.
    auto& members = parent.get_ref<Json::object_t&>();
    members.Container::emplace_back(std::move(key_), std::move(value));
    return &members.back().second;
  }
  bool Add(Json value) {
    Place(std::move(value));
    return true;
  }
  bool Open(Json empty) {
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      return Fail(absl::StrCat("nested deeper than ", limits_.max_depth));
    }
    open_.push_back({Place(std::move(empty)), {}});
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }
  bool Fail(std::string what) {
    if (error_.empty()) error_ = std::move(what);
    return false;
  }

  const JsonLimits& limits_;
  Json root_;
  std::vector<Container> open_;
  std::string key_;
  size_t members_ = 0;
  std::string error_;
};

// Puts quotes around bare NaN, Infinity and -Infinity outside strings.
std::string QuoteNonFinite(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 64);
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      out.append(text.substr(i, 2));
      i += 2;
      continue;
    }
    if (text[i] == '"') in_string = !in_string;
    size_t length = 0;
    for (std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
      if (!in_string && text.substr(i, word.size()) == word) length = word.size();
    }
    if (length > 0) {
      absl::StrAppend(&out, "\"", std::string(text.substr(i, length)), "\"");
      i += length;
    } else {
      out.push_back(text[i++]);
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text, const JsonLimits& limits) {
  std::string quoted;
  if (limits.allow_bare_infinity) {
    quoted = QuoteNonFinite(text);
    text = quoted;
  }
  Builder builder(limits);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(absl::StrCat("JSON: ", builder.error()));
  }
  return builder.Take();
}

std::string WriteJson(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Shown(const Json& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  const std::string text = WriteJson(value);
  return text.size() <= 80 ? text : absl::StrCat(text.substr(0, 80), "...");
}

}  // namespace braid
