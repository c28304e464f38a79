#include "models/chat/output/schema_types.h"

#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "models/chat/output/json_text.h"
#include "models/chat/output/python_literal.h"

namespace braid {
namespace {

constexpr int kMaxSchemaDepth = 16;  // of references and of schemas inside anyOf and the like
constexpr size_t kMaxDigits = 64;    // of a number; more stays text, as strict readers refuse it

ValueTypes TypeNamed(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, ValueTypes>, 7> kNames = {{{"null", kNullValue},
                                                                              {"integer", kIntegerValue},
                                                                              {"number", kNumberValue},
                                                                              {"boolean", kBooleanValue},
                                                                              {"object", kObjectValue},
                                                                              {"array", kArrayValue},
                                                                              {"string", kStringValue}}};
  for (const auto& [known, type] : kNames) {
    if (known == name) return type;
  }
  return 0;
}

ValueTypes TypeOfValue(const Json& value) {
  if (value.is_null()) return kNullValue;
  if (value.is_boolean()) return kBooleanValue;
  if (value.is_number_integer()) return kIntegerValue;
  if (value.is_number()) return kNumberValue;
  if (value.is_object()) return kObjectValue;
  return value.is_array() ? kArrayValue : kStringValue;
}

const Json* Member(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(std::string(name));
  return found == object.end() ? nullptr : &*found;
}

// What "#/$defs/Name" or "#/definitions/Name" names in `root`.
const Json* Definition(const Json& reference, const Json& root) {
  if (!reference.is_string()) return nullptr;
  const std::string& path = reference.get_ref<const std::string&>();
  for (const std::string_view folder : {"$defs", "definitions"}) {
    const std::string prefix = "#/" + std::string(folder) + "/";
    const Json* const definitions = Member(root, folder);
    if (definitions != nullptr && path.starts_with(prefix)) return Member(*definitions, path.substr(prefix.size()));
  }
  return nullptr;
}

class TypeCollector {
 public:
  explicit TypeCollector(const Json& root) : root_(root) {}

  void Add(const Json& schema, int depth) {
    if (!schema.is_object() || depth > kMaxSchemaDepth || --steps_ < 0) return;
    AddNamed(schema);
    for (const std::string_view keyword : {"anyOf", "oneOf", "allOf"}) {
      const Json* const choices = Member(schema, keyword);
      if (choices == nullptr || !choices->is_array()) continue;
      for (const Json& choice : *choices) Add(choice, depth + 1);
    }
    if (const Json* const reference = Member(schema, "$ref")) {
      if (const Json* const target = Definition(*reference, root_)) Add(*target, depth + 1);
    }
  }
  ValueTypes types() const { return types_; }

 private:
  void AddNamed(const Json& schema) {
    const Json* const type = Member(schema, "type");
    if (type != nullptr && type->is_string()) types_ |= TypeNamed(type->get_ref<const std::string&>());
    if (type != nullptr && type->is_array()) {
      for (const Json& one : *type) types_ |= one.is_string() ? TypeNamed(one.get_ref<const std::string&>()) : 0;
    }
    if (type != nullptr) return;
    if (const Json* const values = Member(schema, "enum"); values != nullptr && values->is_array()) {
      for (const Json& value : *values) types_ |= TypeOfValue(value);
    }
    if (const Json* const value = Member(schema, "const")) types_ |= TypeOfValue(*value);
    if (Member(schema, "properties") != nullptr) types_ |= kObjectValue;
    if (Member(schema, "items") != nullptr) types_ |= kArrayValue;
  }

  const Json& root_;
  int steps_ = 1000;
  ValueTypes types_ = 0;
};

std::string_view TakeDigits(std::string_view* text) {
  size_t count = 0;
  while (count < text->size() && absl::ascii_isdigit((*text)[count])) ++count;
  const std::string_view digits = text->substr(0, count);
  text->remove_prefix(count);
  return digits;
}

// "007" -> "7", "" -> "0".
std::string WithoutLeadingZeros(std::string_view digits) {
  const size_t begin = digits.find_first_not_of('0');
  return begin == std::string_view::npos ? "0" : std::string(digits.substr(begin));
}

bool TakeOne(std::string_view* text, std::string_view any_of, char* taken) {
  if (text->empty() || any_of.find((*text)[0]) == std::string_view::npos) return false;
  *taken = (*text)[0];
  text->remove_prefix(1);
  return true;
}

bool IsFinite(const std::string& number) {
  double value = 0;
  return absl::SimpleAtod(number, &value) && std::isfinite(value);
}

// A number as Python reads it ("+1", ".5", "5.", "007") as JSON writes it.
std::optional<std::string> NumberJson(std::string_view text, bool integer_only) {
  if (text.size() > kMaxDigits) return std::nullopt;
  std::string json;
  char taken = 0;
  if (TakeOne(&text, "+-", &taken) && taken == '-') json = "-";
  const std::string_view whole = TakeDigits(&text);
  json += WithoutLeadingZeros(whole);
  if (integer_only || text.empty()) return !whole.empty() && text.empty() ? std::optional(json) : std::nullopt;
  std::string_view fraction;
  if (TakeOne(&text, ".", &taken)) fraction = TakeDigits(&text);
  if (whole.empty() && fraction.empty()) return std::nullopt;
  if (!fraction.empty()) json.append(".").append(fraction);
  if (TakeOne(&text, "eE", &taken)) {
    json += 'e';
    if (TakeOne(&text, "+-", &taken)) json += taken;
    const std::string_view exponent = TakeDigits(&text);
    if (exponent.empty()) return std::nullopt;
    json.append(exponent);
  }
  return text.empty() && IsFinite(json) ? std::optional(json) : std::nullopt;
}

std::optional<std::string> BooleanJson(const std::string& lower) {
  if (lower == "true" || lower == "1") return "true";
  if (lower == "false" || lower == "0") return "false";
  return std::nullopt;
}

std::optional<std::string> ContainerJson(std::string_view text, char open) {
  if (text.empty() || text[0] != open) return std::nullopt;
  if (ParseJson(text).ok()) return std::string(text);
  return PythonLiteralToJson(text);
}

std::optional<std::string> ConvertTo(std::string_view text, ValueTypes type) {
  switch (type) {
    case kIntegerValue:
      return NumberJson(text, true);
    case kNumberValue:
      return NumberJson(text, false);
    case kObjectValue:
      return ContainerJson(text, '{');
    case kArrayValue:
      return ContainerJson(text, '[');
    default:
      break;
  }
  if (text.size() > 5) return std::nullopt;
  const std::string lower = absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
  if (type == kNullValue) return lower == "null" ? std::optional<std::string>("null") : std::nullopt;
  return BooleanJson(lower);
}

}  // namespace

ValueTypes SchemaTypes(const Json& schema, const Json& root) {
  TypeCollector collector(root);
  collector.Add(schema, 0);
  return collector.types();
}

std::string ConvertValue(std::string_view text, ValueTypes types) {
  for (const ValueTypes type : {kNullValue, kIntegerValue, kNumberValue, kBooleanValue, kObjectValue, kArrayValue}) {
    if ((types & type) == 0) continue;
    if (std::optional<std::string> json = ConvertTo(TrimSpace(text), type)) return *std::move(json);
  }
  return QuotedJson(text);
}

const Json* ToolSchemas::Parameters(std::string_view tool) const {
  if (!tools_.is_array()) return nullptr;
  for (const Json& entry : tools_) {
    const Json* const function = Member(entry, "function");
    const Json& described = function == nullptr ? entry : *function;
    const Json* const name = Member(described, "name");
    if (name == nullptr || !name->is_string() || name->get_ref<const std::string&>() != tool) continue;
    return Member(described, "parameters");
  }
  return nullptr;
}

ValueTypes ToolSchemas::TypesOf(std::string_view tool, std::string_view parameter) const {
  const Json* const schema = Parameters(tool);
  const Json* const properties = schema == nullptr ? nullptr : Member(*schema, "properties");
  const Json* const property = properties == nullptr ? nullptr : Member(*properties, parameter);
  return property == nullptr ? 0 : SchemaTypes(*property, *schema);
}

}  // namespace braid
