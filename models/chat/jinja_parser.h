// Template text to a tree. The language: the subset of Jinja that chat templates are written in, with loop controls
// and {% generation %}; no inheritance, no include, no import.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "models/chat/jinja_value.h"

namespace braid {
namespace jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, star_star;  // *items, **members; may be null
};

// One step behind a value: .name, [key], [a:b:c], (arguments), | filter, is test.
struct Postfix {
  enum class Kind { kAttribute, kItem, kSlice, kCall, kFilter, kTest, kTestNot };
  Kind kind;
  int line = 0;
  std::string name;         // of attribute, filter or test
  ExprPtr key, stop, step;  // [key], [key:stop:step]; null where nothing is written
  CallArguments arguments;
};

enum class Op {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kConcat,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

struct Expr {
  enum class Kind {
    kConstant,
    kName,
    kList,
    kTuple,
    kDict,
    kNot,
    kNegative,
    kPositive,
    kAnd,
    kOr,
    kIf,
    kArithmetic,
    kCompare,
    kPostfix
  };
  Kind kind;
  int line = 0;
  Value constant;
  int name = 0;                  // symbol
  std::vector<ExprPtr> parts;    // items; key, value, key, value; condition, then, else (may be absent); operands
  std::vector<Op> ops;           // between the operands of kArithmetic (left to right) and kCompare
  std::vector<Postfix> postfix;  // applied to parts[0] one after the other
};

// What `set` and `for` write to: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  int name = -1;
  std::string attribute;
  std::vector<Target> parts;
};

struct Node;
using Body = std::vector<std::unique_ptr<Node>>;

struct Node {
  enum class Kind {
    kText,
    kPrint,
    kIf,
    kFor,
    kSet,
    kSetBlock,
    kMacro,
    kCallBlock,
    kFilterBlock,
    kWith,
    kGeneration,
    kBreak,
    kContinue
  };
  Kind kind;
  int line = 0;
  std::string text;  // of kText; name of a macro
  std::vector<ExprPtr>
      exprs;                 // conditions; for: iterable, condition or null; set, print, call: the value; with: values
  std::vector<Body> bodies;  // if: one a condition, then else's; for: body, else
  std::vector<Target> targets;   // for, set: one; with: one a value
  std::vector<Postfix> filters;  // of a set block or filter block
  std::vector<int> parameters;   // of a macro or call block
  std::vector<std::string> parameter_names;
  std::vector<ExprPtr> defaults;  // of the last parameters
  bool takes_varargs = false, takes_kwargs = false, takes_caller = false;
  int symbol = -1;  // of a macro's name
};

// Symbols that every template has, in this order.
enum WellKnownSymbol { kSymbolLoop, kSymbolCaller, kSymbolVarargs, kSymbolKwargs };

}  // namespace jinja

// A parsed template. Immutable. Thread: any.
struct JinjaTree {
  jinja::Body body;
  std::vector<std::string> names;          // by symbol
  absl::flat_hash_set<std::string> words;  // every name, attribute and string literal in it
  bool loops_over_content = false;         // a for walks something called content
  bool tests_content_none = false;         // something called content is tested with `none`
};

// Returns the tree of `source`, or InvalidArgument with the line and what is wrong there.
// Expressions and blocks nested deeper than 100 are refused.
absl::StatusOr<JinjaTree> ParseJinja(std::string_view source);

}  // namespace braid
