#include "server/grpc/json_message.h"

#include <google/protobuf/struct.pb.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::ListValue;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::Struct;
using google::protobuf::Value;

// Depth is bounded on both sides: by protobuf's parser (100) and by ParseJson (64).

absl::Status Misfit(const FieldDescriptor& field, const Json& json) {
  return absl::InvalidArgumentError(absl::StrCat(field.name(), ": ", json.type_name(), " does not fit"));
}

// ---- free JSON

absl::StatusOr<Json> JsonOfValue(const Value& value);

// Whole numbers are written as integers: a Value knows doubles only.
absl::StatusOr<Json> JsonOfNumber(double number) {
  if (!std::isfinite(number)) return absl::InvalidArgumentError(absl::StrCat(number, " is no JSON number"));
  if (number == std::floor(number) && std::fabs(number) < 9007199254740992.0) return Json(static_cast<int64_t>(number));
  return Json(number);
}

absl::StatusOr<Json> JsonOfStruct(const Struct& object) {
  Json json = Json::object();
  for (const auto& [name, value] : object.fields()) {
    ASSIGN_OR_RETURN(json[name], JsonOfValue(value));
  }
  return json;
}

absl::StatusOr<Json> JsonOfList(const ListValue& list) {
  Json json = Json::array();
  for (const Value& value : list.values()) {
    ASSIGN_OR_RETURN(Json item, JsonOfValue(value));
    json.push_back(std::move(item));
  }
  return json;
}

absl::StatusOr<Json> JsonOfValue(const Value& value) {
  switch (value.kind_case()) {
    case Value::kNumberValue: return JsonOfNumber(value.number_value());
    case Value::kStringValue: return Json(value.string_value());
    case Value::kBoolValue: return Json(value.bool_value());
    case Value::kStructValue: return JsonOfStruct(value.struct_value());
    case Value::kListValue: return JsonOfList(value.list_value());
    case Value::kNullValue:
    case Value::KIND_NOT_SET: break;
  }
  return Json();
}

void FillValue(const Json& json, Value* value);

void FillStruct(const Json& json, Struct* object) {
  for (const auto& [name, value] : json.items()) FillValue(value, &(*object->mutable_fields())[name]);
}

void FillValue(const Json& json, Value* value) {
  if (json.is_object()) {
    FillStruct(json, value->mutable_struct_value());
  } else if (json.is_array()) {
    ListValue* list = value->mutable_list_value();
    for (const Json& item : json) FillValue(item, list->add_values());
  } else if (json.is_string()) {
    value->set_string_value(json.get<std::string>());
  } else if (json.is_boolean()) {
    value->set_bool_value(json.get<bool>());
  } else if (json.is_number()) {
    value->set_number_value(json.get<double>());
  } else {
    value->set_null_value(google::protobuf::NULL_VALUE);
  }
}

// ---- message to JSON

// One field's value; `index` < 0 for a singular field.
absl::StatusOr<Json> JsonOfField(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& r = *message.GetReflection();
  const bool single = index < 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return Json(single ? r.GetString(message, &field) : r.GetRepeatedString(message, &field, index));
    case FieldDescriptor::CPPTYPE_BOOL:
      return Json(single ? r.GetBool(message, &field) : r.GetRepeatedBool(message, &field, index));
    case FieldDescriptor::CPPTYPE_INT32:
      return Json(single ? r.GetInt32(message, &field) : r.GetRepeatedInt32(message, &field, index));
    case FieldDescriptor::CPPTYPE_UINT32:
      return Json(single ? r.GetUInt32(message, &field) : r.GetRepeatedUInt32(message, &field, index));
    case FieldDescriptor::CPPTYPE_INT64:
      return Json(single ? r.GetInt64(message, &field) : r.GetRepeatedInt64(message, &field, index));
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      const double number = single ? r.GetDouble(message, &field) : r.GetRepeatedDouble(message, &field, index);
      if (!std::isfinite(number)) {
        return absl::InvalidArgumentError(absl::StrCat(field.name(), ": ", number, " is no JSON number"));
      }
      return Json(number);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return JsonOfMessage(single ? r.GetMessage(message, &field) : r.GetRepeatedMessage(message, &field, index));
    default: break;
  }
  CHECK(false) << "no JSON for the type of " << field.full_name();
  return Json();
}

absl::StatusOr<Json> JsonOfRepeated(const Message& message, const FieldDescriptor& field) {
  const int size = message.GetReflection()->FieldSize(message, &field);
  Json json = field.is_map() ? Json::object() : Json::array();
  for (int i = 0; i < size; ++i) {
    if (field.is_map()) {
      const Message& entry = message.GetReflection()->GetRepeatedMessage(message, &field, i);
      const FieldDescriptor& key = *entry.GetDescriptor()->map_key();
      ASSIGN_OR_RETURN(json[entry.GetReflection()->GetString(entry, &key)],
                       JsonOfField(entry, *entry.GetDescriptor()->map_value(), -1));
    } else {
      ASSIGN_OR_RETURN(Json item, JsonOfField(message, field, i));
      json.push_back(std::move(item));
    }
  }
  return json;
}

// ---- JSON to message

bool IsWhole(const Json& json) { return json.is_number_integer(); }

// Writes into a singular field, or adds to a repeated one.
absl::Status FillScalar(const Json& json, const FieldDescriptor& field, Message* message) {
  const Reflection& r = *message->GetReflection();
  const bool add = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      if (!json.is_string() && !json.is_null()) return Misfit(field, json);
      std::string text = json.is_null() ? std::string() : json.get<std::string>();
      add ? r.AddString(message, &field, std::move(text)) : r.SetString(message, &field, std::move(text));
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!json.is_boolean()) return Misfit(field, json);
      add ? r.AddBool(message, &field, json.get<bool>()) : r.SetBool(message, &field, json.get<bool>());
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_INT32:
      if (!IsWhole(json)) return Misfit(field, json);
      add ? r.AddInt32(message, &field, json.get<int32_t>()) : r.SetInt32(message, &field, json.get<int32_t>());
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_UINT32:
      if (!IsWhole(json)) return Misfit(field, json);
      add ? r.AddUInt32(message, &field, json.get<uint32_t>()) : r.SetUInt32(message, &field, json.get<uint32_t>());
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_INT64:
      if (!IsWhole(json)) return Misfit(field, json);
      add ? r.AddInt64(message, &field, json.get<int64_t>()) : r.SetInt64(message, &field, json.get<int64_t>());
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      if (!json.is_number() && !json.is_null()) return Misfit(field, json);
      const double number = json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
      add ? r.AddDouble(message, &field, number) : r.SetDouble(message, &field, number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      Message* part = add ? r.AddMessage(message, &field) : r.MutableMessage(message, &field);
      return json.is_null() ? absl::OkStatus() : FillMessage(json, part);
    }
    default: break;
  }
  CHECK(false) << "no JSON for the type of " << field.full_name();
  return absl::OkStatus();
}

absl::Status FillField(const Json& json, const FieldDescriptor& field, Message* message) {
  CHECK(!field.is_map()) << field.full_name() << ": maps are for requests only";
  if (!field.is_repeated()) return FillScalar(json, field, message);
  if (!json.is_array()) return Misfit(field, json);
  for (const Json& item : json) RETURN_IF_ERROR(FillScalar(item, field, message));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Json> JsonOfMessage(const Message& message) {
  if (const auto* object = dynamic_cast<const Struct*>(&message)) return JsonOfStruct(*object);
  if (const auto* value = dynamic_cast<const Value*>(&message)) return JsonOfValue(*value);
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  Json json = Json::object();
  for (const FieldDescriptor* field : fields) {
    auto value = field->is_repeated() ? JsonOfRepeated(message, *field) : JsonOfField(message, *field, -1);
    if (!value.ok()) return value.status();
    json[field->name()] = *std::move(value);
  }
  return json;
}

absl::Status FillMessage(const Json& json, Message* message) {
  if (auto* value = dynamic_cast<Value*>(message)) {
    FillValue(json, value);
    return absl::OkStatus();
  }
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(message->GetDescriptor()->name(), ": an object is needed"));
  }
  if (auto* object = dynamic_cast<Struct*>(message)) {
    FillStruct(json, object);
    return absl::OkStatus();
  }
  const Descriptor& descriptor = *message->GetDescriptor();
  for (const auto& [name, value] : json.items()) {
    const FieldDescriptor* field = descriptor.FindFieldByName(name);
    if (field == nullptr || value.is_null()) continue;
    RETURN_IF_ERROR(FillField(value, *field, message));
  }
  return absl::OkStatus();
}

}  // namespace braid
