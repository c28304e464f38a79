// The filters, tests, functions and methods that templates may use, as one table; and how attributes are found.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/chat/jinja_value.h"

namespace braid::jinja {

// What a builtin may see of the rendering.
struct Env {
  Heap& heap;
  int64_t unix_time;  // for strftime_now
  int depth = 0;      // filters that run filters: map('map', 'map', ...)
};

// The arguments of a call as they were given.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// The arguments of a builtin, sorted to its parameters.
struct Call {
  const Arguments& all;
  std::vector<const Value*> slots;  // by parameter; null where none was given
  const Value* operator[](size_t parameter) const { return slots[parameter]; }
};

enum class Role { kFilter, kTest, kFunction, kTextMethod, kListMethod, kTupleMethod, kDictMethod, kLoopMethod };

struct Builtin {
  Role role;
  std::string_view name;
  std::string_view parameters;  // names with blanks between; "*" takes any arguments, unsorted
  size_t required;              // parameters that must be given
  Value (*run)(Env& env, const Value& self,
               const Call& call);  // self: the filtered or tested value, the method's object
};

// Null when there is none.
const Builtin* FindBuiltin(Role role, std::string_view name);

Value RunBuiltin(Env& env, const Builtin& builtin, const Value& self, const Arguments& arguments);

// value | name(arguments), and value is name(arguments). Throw for an unknown name.
Value ApplyFilter(Env& env, const std::string& name, const Value& value, const Arguments& arguments);
bool ApplyTest(Env& env, const std::string& name, const Value& value, const Arguments& arguments);

// value.name: a method or attribute first, then the item; and value[key]: the item first. Undefined when there is
// neither; what the sandbox forbids (names with two underscores first, methods that change their object) is undefined
// too.
Value GetAttribute(Env& env, const Value& value, const std::string& name);
Value GetItem(Env& env, const Value& value, const Value& key);

}  // namespace braid::jinja
