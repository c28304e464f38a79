#include "models/chat/jinja_render.h"

#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "models/chat/jinja_builtins.h"
#include "models/chat/jinja_operators.h"
#include "models/chat/jinja_print.h"
#include "models/chat/jinja_scope.h"

namespace braid {
namespace jinja {
namespace {

using ScopeRef = std::shared_ptr<Scope>;

// How a body ended.
enum class Flow { kNext, kBreak, kContinue };

class Renderer {
 public:
  Renderer(const JinjaTree& tree, const JinjaContext& context, int64_t unix_time, const JinjaLimits& limits)
      : tree_(tree), heap_(limits), env_{heap_, unix_time}, scope_(std::make_shared<Scope>()) {
    absl::flat_hash_map<std::string, const Json*> given(context.begin(), context.end());
    globals_.resize(tree.names.size());
    for (size_t symbol = 0; symbol < tree.names.size(); ++symbol) {
      const std::string& name = tree.names[symbol];
      if (auto found = given.find(name); found != given.end()) {
        globals_[symbol] = heap_.MakeJson(*found->second);
      } else if (const Builtin* function = FindBuiltin(Role::kFunction, name)) {
        auto callable = std::make_shared<Callable>();
        callable->name = name;
        callable->builtin = function;
        globals_[symbol] = CallableRef(std::move(callable));
      }
    }
  }

  // A macro lives in the scope that it keeps alive: the ring is opened here.
  ~Renderer() {
    for (const ScopeRef& scope : macro_scopes_) scope->variables.clear();
  }

  std::string Run() {
    std::string out;
    out_ = &out;
    RunBody(tree_.body);
    return out;
  }

  int line() const { return line_; }

 private:
  // Every recursion over the tree passes through one of these.
  class Nested {
   public:
    Nested(Renderer* renderer, int line) : renderer_(renderer) {
      renderer_->heap_.Step();
      renderer_->line_ = line;
      if (++renderer_->nesting_ > renderer_->heap_.limits().max_nesting)
        throw Error("macros and blocks nested too deep");
    }
    ~Nested() { --renderer_->nesting_; }

   private:
    Renderer* renderer_;
  };

  // Makes `scope` the current one for a block.
  class Inside {
   public:
    Inside(Renderer* renderer, ScopeRef scope) : renderer_(renderer), outer_(std::move(renderer->scope_)) {
      renderer_->scope_ = std::move(scope);
    }
    ~Inside() { renderer_->scope_ = std::move(outer_); }

   private:
    Renderer* renderer_;
    ScopeRef outer_;
  };

  ScopeRef NewScope(const ScopeRef& parent) {
    auto scope = std::make_shared<Scope>();
    scope->parent = parent;
    return scope;
  }

  // --- output ---
  void Write(std::string_view text) {
    const size_t most = heap_.limits().max_output_bytes;
    if (text.size() > most || out_->size() > most - text.size()) {
      throw Error(absl::StrCat("the template prints more than ", most, " bytes"));
    }
    heap_.Hold(text.size());
    heap_.Copy(text.size());
    out_->append(text);
  }

  void Print(const Value& value) {
    if (const Text* text = value.text()) return Write(text->bytes);
    Write(Str(heap_, value));
  }

  // What `body` prints, as a text.
  Value Capture(const Body& body) {
    std::string captured;
    std::string* outer = std::exchange(out_, &captured);
    RunBody(body);
    out_ = outer;
    heap_.Release(captured.size());
    return heap_.MakeText(std::move(captured));
  }

  // --- names ---
  Value Lookup(int symbol) {
    for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
      heap_.Step(static_cast<int64_t>(scope->variables.size() / 32));
      for (const auto& [name, value] : scope->variables) {
        if (name == symbol) return value;
      }
    }
    const Value& global = globals_[static_cast<size_t>(symbol)];
    if (!global.is_undefined()) return global;
    return heap_.MakeUndefined(absl::StrCat("'", tree_.names[static_cast<size_t>(symbol)], "' is undefined"));
  }

  void SetVariable(int symbol, Value value) {
    heap_.Step(static_cast<int64_t>(scope_->variables.size() / 32));
    scope_->Set(symbol, std::move(value));
  }

  void Assign(const Target& target, const Value& value) {
    if (!target.parts.empty()) return Unpack(target, value);
    if (target.attribute.empty()) return SetVariable(target.name, value);
    const Value space = Lookup(target.name);
    Namespace* const* found = space.If<Namespace*>();
    if (found == nullptr) throw Error("cannot assign attribute on non-namespace object");
    if (target.attribute[0] == '_') throw Error(absl::StrCat("the attribute '", target.attribute, "' cannot be set"));
    auto& attributes = (*found)->attributes;
    heap_.Step(static_cast<int64_t>(attributes.size() / 32));
    for (auto& [name, held] : attributes) {
      if (name == target.attribute) {
        held = value;
        return;
      }
    }
    attributes.emplace_back(target.attribute, value);
  }

  void Unpack(const Target& target, const Value& value) {
    const SequenceRef items = Items(heap_, value);
    if (items->items.size() != target.parts.size()) {
      throw Error(absl::StrCat(items->items.size(), " values to unpack into ", target.parts.size(), " names"));
    }
    for (size_t i = 0; i < target.parts.size(); ++i) Assign(target.parts[i], items->items[i]);
  }

  // --- expressions ---
  Value Eval(const Expr& expr) {
    Nested nested(this, expr.line);
    switch (expr.kind) {
      case Expr::Kind::kConstant:
        return expr.constant;
      case Expr::Kind::kName:
        return Lookup(expr.name);
      case Expr::Kind::kList:
        return heap_.MakeList(EvalAll(expr.parts));
      case Expr::Kind::kTuple:
        return heap_.MakeTuple(EvalAll(expr.parts));
      case Expr::Kind::kDict:
        return EvalDict(expr);
      case Expr::Kind::kNot:
        return Value::Bool(!IsTrue(Eval(*expr.parts[0])));
      case Expr::Kind::kNegative:
        return Negative(Eval(*expr.parts[0]));
      case Expr::Kind::kPositive:
        return Negative(Negative(Eval(*expr.parts[0])));
      case Expr::Kind::kAnd:
        return EvalLogic(expr, /*stops_at=*/false);
      case Expr::Kind::kOr:
        return EvalLogic(expr, /*stops_at=*/true);
      case Expr::Kind::kIf:
        return EvalChoice(expr);
      case Expr::Kind::kArithmetic:
        return EvalArithmetic(expr);
      case Expr::Kind::kCompare:
        return EvalCompare(expr);
      case Expr::Kind::kPostfix:
        return EvalPostfix(expr, expr.postfix.size());
    }
    return {};
  }

  std::vector<Value> EvalAll(const std::vector<ExprPtr>& exprs) {
    std::vector<Value> values;
    values.reserve(exprs.size());
    for (const ExprPtr& expr : exprs) values.push_back(Eval(*expr));
    return values;
  }

  Value EvalDict(const Expr& expr) {
    Dict::Members members;
    for (size_t i = 0; i + 1 < expr.parts.size(); i += 2) {
      Value key = Eval(*expr.parts[i]);
      members.emplace_back(std::move(key), Eval(*expr.parts[i + 1]));
    }
    return heap_.MakeDict(std::move(members));
  }

  Value EvalLogic(const Expr& expr, bool stops_at) {
    Value value;
    for (const ExprPtr& part : expr.parts) {
      value = Eval(*part);
      if (IsTrue(value) == stops_at) break;
    }
    return value;
  }

  Value EvalChoice(const Expr& expr) {
    if (IsTrue(Eval(*expr.parts[0]))) return Eval(*expr.parts[1]);
    if (expr.parts.size() > 2) return Eval(*expr.parts[2]);
    return heap_.MakeUndefined("the inline if-expression evaluated to false and no else section was defined.");
  }

  Value EvalArithmetic(const Expr& expr) {
    Value value = Eval(*expr.parts[0]);
    for (size_t i = 0; i < expr.ops.size(); ++i) {
      value = Calculate(heap_, expr.ops[i], value, Eval(*expr.parts[i + 1]));
    }
    return value;
  }

  Value EvalCompare(const Expr& expr) {
    Value left = Eval(*expr.parts[0]);
    for (size_t i = 0; i < expr.ops.size(); ++i) {
      Value right = Eval(*expr.parts[i + 1]);
      if (!Compare(heap_, expr.ops[i], left, right)) return Value::Bool(false);
      left = std::move(right);
    }
    return Value::Bool(true);
  }

  // The base with its first `count` postfixes applied.
  Value EvalPostfix(const Expr& expr, size_t count) {
    Value value = Eval(*expr.parts[0]);
    for (size_t i = 0; i < count; ++i) {
      heap_.Step();
      value = Apply(value, expr.postfix[i]);
    }
    return value;
  }

  Value Apply(const Value& value, const Postfix& postfix) {
    switch (postfix.kind) {
      case Postfix::Kind::kAttribute:
        line_ = postfix.line;
        return GetAttribute(env_, value, postfix.name);
      case Postfix::Kind::kItem:
        return ApplyItem(value, postfix);
      case Postfix::Kind::kSlice:
        return ApplySlice(value, postfix);
      case Postfix::Kind::kCall:
        return ApplyCall(value, postfix);
      case Postfix::Kind::kFilter:
        return ApplyFilterTo(value, postfix);
      case Postfix::Kind::kTest:
        return Value::Bool(Test(value, postfix));
      case Postfix::Kind::kTestNot:
        return Value::Bool(!Test(value, postfix));
    }
    return {};
  }

  Value ApplyItem(const Value& value, const Postfix& postfix) {
    const Value key = Eval(*postfix.key);
    line_ = postfix.line;
    return GetItem(env_, value, key);
  }

  Value ApplySlice(const Value& value, const Postfix& postfix) {
    auto eval = [this](const ExprPtr& expr) { return expr == nullptr ? Value(None{}) : Eval(*expr); };
    const Value start = eval(postfix.key), stop = eval(postfix.stop), step = eval(postfix.step);
    line_ = postfix.line;
    return Slice(heap_, value, &start, &stop, &step);
  }

  Value ApplyCall(const Value& value, const Postfix& postfix) {
    const Arguments arguments = EvalArguments(postfix.arguments);
    line_ = postfix.line;
    return CallValue(value, arguments);
  }

  Value ApplyFilterTo(const Value& value, const Postfix& postfix) {
    const Arguments arguments = EvalArguments(postfix.arguments);
    line_ = postfix.line;
    return ApplyFilter(env_, postfix.name, value, arguments);
  }

  bool Test(const Value& value, const Postfix& postfix) {
    const Arguments arguments = EvalArguments(postfix.arguments);
    line_ = postfix.line;
    return ApplyTest(env_, postfix.name, value, arguments);
  }

  Arguments EvalArguments(const CallArguments& given) {
    Arguments arguments;
    arguments.positional = EvalAll(given.positional);
    for (const auto& [name, expr] : given.named) arguments.named.emplace_back(name, Eval(*expr));
    if (given.star != nullptr) {
      const SequenceRef items = Items(heap_, Eval(*given.star));
      heap_.Scan(items->items.size() * 8);
      arguments.positional.insert(arguments.positional.end(), items->items.begin(), items->items.end());
    }
    if (given.star_star != nullptr) {
      const Value members = Eval(*given.star_star);
      if (members.dict() == nullptr) throw Error("argument after ** must be a mapping");
      for (const auto& [name, value] : members.dict()->members) {
        heap_.Step();
        if (name.text() == nullptr) throw Error("keywords must be strings");
        arguments.named.emplace_back(name.text()->bytes, value);
      }
    }
    return arguments;
  }

  Value CallValue(const Value& value, const Arguments& arguments) {
    if (value.is_undefined()) ThrowUndefined(value);
    const CallableRef* callable = value.If<CallableRef>();
    if (callable == nullptr) throw Error(absl::StrCat("'", TypeName(value), "' object is not callable"));
    if ((*callable)->macro != nullptr) return CallMacro(**callable, arguments);
    return RunBuiltin(env_, *(*callable)->builtin, (*callable)->self, arguments);
  }

  // --- macros ---
  Value MakeMacro(const Node& node) {
    auto macro = std::make_shared<Callable>();
    macro->name = node.text;
    macro->macro = &node;
    macro->scope = scope_;
    if (macro_scopes_.empty() || macro_scopes_.back() != scope_) macro_scopes_.push_back(scope_);
    return CallableRef(std::move(macro));
  }

  Value CallMacro(const Callable& macro, const Arguments& arguments) {
    if (call_depth_ >= heap_.limits().max_call_depth) {
      throw Error(absl::StrCat("macros call each other deeper than ", call_depth_));
    }
    ++call_depth_;
    Inside inside(this, NewScope(macro.scope));
    BindParameters(macro, arguments);
    Value printed = Capture(macro.macro->bodies[0]);
    --call_depth_;
    return printed;
  }

  // Sets the macro's parameters, and varargs, kwargs and caller where its body reads them.
  void BindParameters(const Callable& macro, const Arguments& arguments) {
    const Node& node = *macro.macro;
    std::vector<Value> varargs;
    for (size_t i = 0; i < arguments.positional.size(); ++i) {
      if (i < node.parameters.size()) {
        SetVariable(node.parameters[i], arguments.positional[i]);
      } else {
        varargs.push_back(arguments.positional[i]);
      }
    }
    if (!varargs.empty() && !node.takes_varargs) {
      throw Error(
          absl::StrCat("macro '", macro.name, "' takes not more than ", node.parameters.size(), " argument(s)"));
    }
    Dict::Members kwargs;
    std::vector<bool> is_set(node.parameters.size(), false);
    for (size_t i = 0; i < is_set.size(); ++i) is_set[i] = i < arguments.positional.size();
    std::optional<Value> caller;
    for (const auto& [name, value] : arguments.named) {
      heap_.Step();
      if (BindNamed(macro, name, value, &is_set)) continue;
      if (name == "caller" && node.takes_caller) {
        caller = value;
      } else if (!node.takes_kwargs || name == "caller") {
        throw Error(absl::StrCat("macro '", macro.name, "' takes no keyword argument '", name, "'"));
      } else {
        kwargs.emplace_back(heap_.MakeText(name), value);
      }
    }
    BindDefaults(node, is_set);
    if (node.takes_varargs) SetVariable(kSymbolVarargs, heap_.MakeTuple(std::move(varargs)));
    if (node.takes_kwargs) SetVariable(kSymbolKwargs, heap_.MakeDict(std::move(kwargs)));
    if (node.takes_caller) SetVariable(kSymbolCaller, caller ? *caller : heap_.MakeUndefined("No caller defined"));
  }

  bool BindNamed(const Callable& macro, const std::string& name, const Value& value, std::vector<bool>* is_set) {
    const Node& node = *macro.macro;
    for (size_t i = 0; i < node.parameter_names.size(); ++i) {
      if (node.parameter_names[i] != name) continue;
      if ((*is_set)[i]) throw Error(absl::StrCat("macro '", macro.name, "' got two values for '", name, "'"));
      SetVariable(node.parameters[i], value);
      (*is_set)[i] = true;
      return true;
    }
    return false;
  }

  void BindDefaults(const Node& node, const std::vector<bool>& is_set) {
    const size_t without = node.parameters.size() - node.defaults.size();
    for (size_t i = 0; i < node.parameters.size(); ++i) {
      if (is_set[i]) continue;
      SetVariable(node.parameters[i], i < without ? heap_.MakeUndefined(absl::StrCat(
                                                        "parameter '", node.parameter_names[i], "' was not provided"))
                                                  : Eval(*node.defaults[i - without]));
    }
  }

  // --- statements ---
  Flow RunBody(const Body& body) {
    for (const auto& node : body) {
      const Flow flow = RunNode(*node);
      if (flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  Flow RunNode(const Node& node) {
    Nested nested(this, node.line);
    switch (node.kind) {
      case Node::Kind::kText:
        Write(node.text);
        break;
      case Node::Kind::kPrint:
        Print(Eval(*node.exprs[0]));
        break;
      case Node::Kind::kIf:
        return RunIf(node);
      case Node::Kind::kFor:
        RunFor(node);
        break;
      case Node::Kind::kSet:
        Assign(node.targets[0], Eval(*node.exprs[0]));
        break;
      case Node::Kind::kSetBlock:
        Assign(node.targets[0], Filtered(CaptureInScope(node.bodies[0]), node.filters));
        break;
      case Node::Kind::kFilterBlock:
        Print(Filtered(CaptureInScope(node.bodies[0]), node.filters));
        break;
      case Node::Kind::kMacro:
        SetVariable(node.symbol, MakeMacro(node));
        break;
      case Node::Kind::kCallBlock:
        RunCallBlock(node);
        break;
      case Node::Kind::kWith:
        return RunWith(node);
      case Node::Kind::kGeneration:
        return RunInScope(node.bodies[0]);
      case Node::Kind::kBreak:
        return Flow::kBreak;
      case Node::Kind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kNext;
  }

  Flow RunInScope(const Body& body) {
    Inside inside(this, NewScope(scope_));
    return RunBody(body);
  }

  Value CaptureInScope(const Body& body) {
    Inside inside(this, NewScope(scope_));
    return Capture(body);
  }

  Value Filtered(Value value, const std::vector<Postfix>& filters) {
    for (const Postfix& filter : filters) value = ApplyFilterTo(value, filter);
    return value;
  }

  Flow RunIf(const Node& node) {
    for (size_t i = 0; i < node.exprs.size(); ++i) {
      if (IsTrue(Eval(*node.exprs[i]))) return RunBody(node.bodies[i]);
    }
    return node.bodies.size() > node.exprs.size() ? RunBody(node.bodies.back()) : Flow::kNext;
  }

  // The items that pass the loop's condition.
  SequenceRef Chosen(const Node& node, const SequenceRef& items) {
    if (node.exprs[1] == nullptr) return items;
    std::vector<Value> chosen;
    for (const Value& item : items->items) {
      Inside inside(this, NewScope(scope_));
      Assign(node.targets[0], item);
      if (IsTrue(Eval(*node.exprs[1]))) chosen.push_back(item);
    }
    return *heap_.MakeList(std::move(chosen)).If<SequenceRef>();
  }

  void RunFor(const Node& node) {
    const Value iterable = Eval(*node.exprs[0]);
    auto loop = std::make_shared<Loop>();
    loop->items = Chosen(node, Items(heap_, iterable));
    const std::vector<Value>& items = loop->items->items;
    if (items.empty() && node.bodies.size() > 1) RunInScope(node.bodies[1]);
    for (size_t i = 0; i < items.size(); ++i) {
      heap_.Step();
      loop->index0 = i;
      Inside inside(this, NewScope(scope_));
      SetVariable(kSymbolLoop, loop);
      Assign(node.targets[0], items[i]);
      if (RunBody(node.bodies[0]) == Flow::kBreak) break;
    }
  }

  Flow RunWith(const Node& node) {
    const std::vector<Value> values = EvalAll(node.exprs);
    Inside inside(this, NewScope(scope_));
    for (size_t i = 0; i < values.size(); ++i) Assign(node.targets[i], values[i]);
    return RunBody(node.bodies[0]);
  }

  // Calls the macro with one argument more: `caller`, which prints the block's body.
  void RunCallBlock(const Node& node) {
    const Expr& call = *node.exprs[0];
    const Value callee = EvalPostfix(call, call.postfix.size() - 1);
    Arguments arguments = EvalArguments(call.postfix.back().arguments);
    arguments.named.emplace_back("caller", MakeMacro(node));
    Print(CallValue(callee, arguments));
  }

  const JinjaTree& tree_;
  Heap heap_;  // before everything that holds values
  Env env_;
  std::vector<Value> globals_;  // by symbol: the context and the functions
  ScopeRef scope_;
  std::vector<ScopeRef> macro_scopes_;
  std::string* out_ = nullptr;
  int line_ = 0;
  int nesting_ = 0;
  int call_depth_ = 0;
};

}  // namespace
}  // namespace jinja

absl::StatusOr<std::string> RenderJinja(const JinjaTree& tree, const JinjaContext& context, int64_t unix_time,
                                        const JinjaLimits& limits) {
  int line = 0;
  try {
    jinja::Renderer renderer(tree, context, unix_time, limits);
    try {
      return renderer.Run();
    } catch (const jinja::Error&) {
      line = renderer.line();
      throw;
    }
  } catch (const jinja::Error& error) {
    if (error.kind == jinja::Error::Kind::kRaised) return absl::InvalidArgumentError(error.what());
    return absl::InvalidArgumentError(absl::StrCat("chat template, line ", line, ": ", error.what()));
  }
}

}  // namespace braid
