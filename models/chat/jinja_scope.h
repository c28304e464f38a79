// Variables of one block, and what can be called. Thread: the rendering's.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/chat/jinja_value.h"

namespace braid::jinja {

struct Builtin;
struct Node;

// The variables set in the template's top level, a loop's turn, a macro's call or a with block; names by their symbol.
struct Scope {
  std::shared_ptr<Scope> parent;  // shared: a macro outlives the block that defines it
  std::vector<std::pair<int, Value>> variables;

  void Set(int name, Value value) {
    for (auto& [symbol, held] : variables) {
      if (symbol == name) {
        held = std::move(value);
        return;
      }
    }
    variables.emplace_back(name, std::move(value));
  }
};

// A builtin function, a method bound to its object, or a macro with the scope around its definition.
struct Callable {
  std::string name;
  const Builtin* builtin = nullptr;
  Value self;  // of a method
  const Node* macro = nullptr;
  std::shared_ptr<Scope> scope;
};

}  // namespace braid::jinja
