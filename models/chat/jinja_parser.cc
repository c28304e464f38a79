#include "models/chat/jinja_parser.h"

#include <cstdlib>
#include <initializer_list>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "models/chat/jinja_lexer.h"
#include "models/chat/jinja_text.h"

namespace braid {
namespace jinja {
namespace {

constexpr int kMaxDepth = 100;
constexpr size_t kMaxSourceBytes = 1 << 20;

// The value of an integer literal: decimal, 0x, 0o or 0b.
Int ParseInt(const std::string& digits, int line) {
  const char prefix = digits.size() > 1 ? digits[1] : '\0';
  const int base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
  Int value = 0;
  const size_t begin = base == 10 ? 0 : 2;
  if (begin == digits.size()) throw Error(absl::StrCat("line ", line, ": a number without digits"));
  for (size_t i = begin; i < digits.size(); ++i) {
    const char c = digits[i];
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    if (digit >= base) throw Error(absl::StrCat("line ", line, ": a wrong digit in ", digits));
    if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value)) {
      throw Error(absl::StrCat("line ", line, ": the integer ", digits, " is too large"));
    }
  }
  return value;
}

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(Lex(source)) {
    for (const char* name : {"loop", "caller", "varargs", "kwargs"}) Symbol(name);
  }

  JinjaTree Run() {
    tree_.body = ParseBody({});
    return std::move(tree_);
  }

 private:
  // Counts how deep the tree is at this point; every recursion passes through one of these.
  class Nested {
   public:
    explicit Nested(Parser* parser) : parser_(parser) {
      if (++parser_->depth_ > kMaxDepth) parser_->Fail(absl::StrCat("nested deeper than ", kMaxDepth));
    }
    ~Nested() { --parser_->depth_; }

   private:
    Parser* parser_;
  };

  // --- tokens ---
  const Token& Peek() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token Take() {
    Token token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool IsOp(std::string_view op) const { return Peek().kind == TokenKind::kOperator && Peek().text == op; }
  bool IsWord(std::string_view word) const { return Peek().kind == TokenKind::kName && Peek().text == word; }
  bool SkipOp(std::string_view op) {
    const bool is = IsOp(op);
    if (is) Take();
    return is;
  }
  bool SkipWord(std::string_view word) {
    const bool is = IsWord(word);
    if (is) Take();
    return is;
  }
  void ExpectOp(std::string_view op) {
    if (!SkipOp(op)) FailExpected(absl::StrCat("'", std::string(op), "'"));
  }
  void ExpectWord(std::string_view word) {
    if (!SkipWord(word)) FailExpected(absl::StrCat("'", std::string(word), "'"));
  }
  void ExpectBlockEnd() {
    if (Peek().kind != TokenKind::kBlockEnd) FailExpected("end of statement block");
    Take();
  }
  std::string ExpectName() {
    if (Peek().kind != TokenKind::kName) FailExpected("a name");
    return Take().text;
  }
  [[noreturn]] void Fail(const std::string& what) const { throw Error(absl::StrCat("line ", Peek().line, ": ", what)); }
  [[noreturn]] void FailExpected(const std::string& what) const {
    Fail(absl::StrCat("expected ", what, ", got '", Peek().text, "'"));
  }

  int Symbol(const std::string& name) {
    auto [place, is_new] = symbols_.try_emplace(name, static_cast<int>(tree_.names.size()));
    if (is_new) tree_.names.push_back(name);
    return place->second;
  }

  // --- nodes ---
  static ExprPtr NewExpr(Expr::Kind kind, int line) {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = line;
    return expr;
  }
  ExprPtr NewExpr(Expr::Kind kind) const { return NewExpr(kind, Peek().line); }

  // A run of operators of one rank over operands that `parse` reads: one flat node, however long the run.
  template <class ParseOperand, class TakeOperator>
  ExprPtr ParseRun(Expr::Kind kind, ParseOperand parse, TakeOperator take) {
    ExprPtr first = parse();
    ExprPtr run;
    for (Op op; take(&op);) {
      if (run == nullptr) {
        run = NewExpr(kind, first->line);
        run->parts.push_back(std::move(first));
      }
      run->ops.push_back(op);
      run->parts.push_back(parse());
    }
    return run == nullptr ? std::move(first) : std::move(run);
  }

  bool TakeAnyOp(std::initializer_list<std::pair<std::string_view, Op>> table, Op* op) {
    for (const auto& [word, meaning] : table) {
      if (SkipOp(word)) {
        *op = meaning;
        return true;
      }
    }
    return false;
  }

  // --- expressions, loosest first ---
  ExprPtr ParseExpression() {
    Nested nested(this);
    ExprPtr value = ParseOr();
    if (!IsWord("if")) return value;
    ExprPtr choice = NewExpr(Expr::Kind::kIf);
    Take();
    choice->parts.push_back(ParseOr());
    choice->parts.push_back(std::move(value));
    if (SkipWord("else")) choice->parts.push_back(ParseExpression());
    return choice;
  }

  ExprPtr ParseOr() {
    Nested nested(this);
    return ParseRun(
        Expr::Kind::kOr, [this] { return ParseAnd(); },
        [this](Op* op) {
          *op = Op::kIn;
          return SkipWord("or");
        });
  }
  ExprPtr ParseAnd() {
    return ParseRun(
        Expr::Kind::kAnd, [this] { return ParseNot(); },
        [this](Op* op) {
          *op = Op::kIn;
          return SkipWord("and");
        });
  }
  ExprPtr ParseNot() {
    if (!IsWord("not")) return ParseCompare();
    Nested nested(this);
    ExprPtr negation = NewExpr(Expr::Kind::kNot);
    Take();
    negation->parts.push_back(ParseNot());
    return negation;
  }
  ExprPtr ParseCompare() {
    return ParseRun(
        Expr::Kind::kCompare, [this] { return ParseSum(); }, [this](Op* op) { return TakeComparison(op); });
  }
  bool TakeComparison(Op* op) {
    if (SkipWord("in")) {
      *op = Op::kIn;
      return true;
    }
    if (IsWord("not") && Ahead().kind == TokenKind::kName && Ahead().text == "in") {
      Take();
      Take();
      *op = Op::kNotIn;
      return true;
    }
    return TakeAnyOp({{"==", Op::kEqual},
                      {"!=", Op::kNotEqual},
                      {"<=", Op::kLessEqual},
                      {"<", Op::kLess},
                      {">=", Op::kGreaterEqual},
                      {">", Op::kGreater}},
                     op);
  }
  ExprPtr ParseSum() {
    return ParseRun(
        Expr::Kind::kArithmetic, [this] { return ParseConcat(); },
        [this](Op* op) {
          return TakeAnyOp({{"+", Op::kAdd}, {"-", Op::kSubtract}}, op);
        });
  }
  ExprPtr ParseConcat() {
    return ParseRun(
        Expr::Kind::kArithmetic, [this] { return ParseProduct(); },
        [this](Op* op) {
          return TakeAnyOp({{"~", Op::kConcat}}, op);
        });
  }
  ExprPtr ParseProduct() {
    return ParseRun(
        Expr::Kind::kArithmetic, [this] { return ParsePower(); },
        [this](Op* op) {
          return TakeAnyOp({{"*", Op::kMultiply}, {"//", Op::kFloorDivide}, {"/", Op::kDivide}, {"%", Op::kModulo}},
                           op);
        });
  }
  ExprPtr ParsePower() {
    return ParseRun(
        Expr::Kind::kArithmetic, [this] { return ParseUnary(/*with_filters=*/true); },
        [this](Op* op) {
          return TakeAnyOp({{"**", Op::kPower}}, op);
        });
  }
  // Filters bind to the signed value: -1 | abs is (-1) | abs.
  ExprPtr ParseUnary(bool with_filters) {
    Nested nested(this);
    ExprPtr value;
    if (IsOp("-") || IsOp("+")) {
      value = NewExpr(IsOp("-") ? Expr::Kind::kNegative : Expr::Kind::kPositive);
      Take();
      value->parts.push_back(ParseUnary(/*with_filters=*/false));
    } else {
      value = ParsePrimary();
    }
    return ParsePostfix(std::move(value), with_filters);
  }

  ExprPtr ParsePrimary() {
    const Token token = Peek();
    switch (token.kind) {
      case TokenKind::kName:
        return ParseNameOrConstant();
      case TokenKind::kString:
        return ParseString();
      case TokenKind::kInteger:
        Take();
        return Constant(Value::Integer(ParseInt(token.text, token.line)), token.line);
      case TokenKind::kFloat:
        Take();
        return Constant(Value::Float(std::strtod(token.text.c_str(), nullptr)), token.line);
      default:
        break;
    }
    if (SkipOp("(")) {
      ExprPtr inside = ParseTuple(/*may_be_empty=*/true, /*with_condition=*/true);
      ExpectOp(")");
      return inside;
    }
    if (IsOp("[")) return ParseList();
    if (IsOp("{")) return ParseDict();
    Fail(absl::StrCat("unexpected '", token.text, "'"));
  }

  static ExprPtr Constant(Value value, int line) {
    ExprPtr expr = NewExpr(Expr::Kind::kConstant, line);
    expr->constant = std::move(value);
    return expr;
  }

  ExprPtr ParseNameOrConstant() {
    const Token token = Take();
    if (token.text == "true" || token.text == "True") return Constant(Value::Bool(true), token.line);
    if (token.text == "false" || token.text == "False") return Constant(Value::Bool(false), token.line);
    if (token.text == "none" || token.text == "None") return Constant(None{}, token.line);
    ExprPtr expr = NewExpr(Expr::Kind::kName, token.line);
    expr->name = Symbol(token.text);
    tree_.words.insert(token.text);
    names_read_.push_back(expr->name);
    return expr;
  }

  // Strings that stand side by side are one.
  ExprPtr ParseString() {
    const int line = Peek().line;
    std::string content;
    while (Peek().kind == TokenKind::kString) content += Take().text;
    tree_.words.insert(content);
    return Constant(ConstantText(std::move(content)), line);
  }

  bool AtExpressionEnd() const {
    return Peek().kind == TokenKind::kPrintEnd || Peek().kind == TokenKind::kBlockEnd || IsOp(")");
  }

  // a, b, c or a lone expression. `with_condition`: `x if y` may stand in it.
  ExprPtr ParseTuple(bool may_be_empty, bool with_condition) {
    Nested nested(this);
    ExprPtr tuple = NewExpr(Expr::Kind::kTuple);
    bool is_tuple = false;
    while (!AtExpressionEnd()) {
      tuple->parts.push_back(with_condition ? ParseExpression() : ParseOr());
      if (!SkipOp(",")) break;
      is_tuple = true;
    }
    if (!is_tuple && tuple->parts.size() == 1) return std::move(tuple->parts[0]);
    if (tuple->parts.empty() && !may_be_empty) Fail(absl::StrCat("expected an expression, got '", Peek().text, "'"));
    return tuple;
  }

  ExprPtr ParseList() {
    ExprPtr list = NewExpr(Expr::Kind::kList);
    ExpectOp("[");
    while (!IsOp("]")) {
      list->parts.push_back(ParseExpression());
      if (!SkipOp(",")) break;
    }
    ExpectOp("]");
    return list;
  }

  ExprPtr ParseDict() {
    ExprPtr dict = NewExpr(Expr::Kind::kDict);
    ExpectOp("{");
    while (!IsOp("}")) {
      dict->parts.push_back(ParseExpression());
      ExpectOp(":");
      dict->parts.push_back(ParseExpression());
      if (!SkipOp(",")) break;
    }
    ExpectOp("}");
    return dict;
  }

  // --- what follows a value ---
  ExprPtr ParsePostfix(ExprPtr base, bool with_filters) {
    std::vector<Postfix> chain;
    bool filtered = false;  // behind a filter or test only calls, filters and tests may follow
    while (true) {
      if (!filtered && IsOp(".")) {
        chain.push_back(ParseDot());
      } else if (!filtered && IsOp("[")) {
        chain.push_back(ParseSubscript());
      } else if (IsOp("(") && (with_filters || !filtered)) {
        chain.push_back(NewPostfix(Postfix::Kind::kCall));
        chain.back().arguments = ParseArguments();
      } else if (with_filters && IsOp("|")) {
        Take();
        chain.push_back(ParseFilter());
        filtered = true;
      } else if (with_filters && IsWord("is")) {
        chain.push_back(ParseTest());
        filtered = true;
        if (chain.back().name == "none" && EndsInContent(*base, chain, chain.size() - 1))
          tree_.tests_content_none = true;
      } else {
        break;
      }
    }
    if (chain.empty()) return base;
    ExprPtr expr = NewExpr(Expr::Kind::kPostfix, base->line);
    expr->parts.push_back(std::move(base));
    expr->postfix = std::move(chain);
    return expr;
  }

  Postfix NewPostfix(Postfix::Kind kind) const {
    Postfix postfix;
    postfix.kind = kind;
    postfix.line = Peek().line;
    return postfix;
  }

  Postfix ParseDot() {
    Postfix postfix = NewPostfix(Postfix::Kind::kAttribute);
    ExpectOp(".");
    const Token token = Take();
    if (token.kind == TokenKind::kName) {
      postfix.name = token.text;
      tree_.words.insert(token.text);
    } else if (token.kind == TokenKind::kInteger) {
      postfix.kind = Postfix::Kind::kItem;
      postfix.key = Constant(Value::Integer(ParseInt(token.text, token.line)), token.line);
    } else {
      Fail("expected a name or number behind '.'");
    }
    return postfix;
  }

  Postfix ParseSubscript() {
    Postfix postfix = NewPostfix(Postfix::Kind::kItem);
    ExpectOp("[");
    auto at_part_end = [this] { return IsOp(":") || IsOp("]"); };
    if (!at_part_end()) postfix.key = ParseExpression();
    if (IsOp(",")) Fail("subscripts of several places are not supported");
    if (SkipOp(":")) {
      postfix.kind = Postfix::Kind::kSlice;
      if (!at_part_end()) postfix.stop = ParseExpression();
      if (SkipOp(":") && !at_part_end()) postfix.step = ParseExpression();
    } else if (postfix.key == nullptr) {
      Fail("expected an expression in '[]'");
    }
    ExpectOp("]");
    return postfix;
  }

  CallArguments ParseArguments() {
    CallArguments arguments;
    ExpectOp("(");
    while (!IsOp(")")) {
      ParseArgument(&arguments);
      if (!SkipOp(",")) break;
    }
    ExpectOp(")");
    return arguments;
  }

  void ParseArgument(CallArguments* arguments) {
    if (SkipOp("*")) {
      if (arguments->star != nullptr || arguments->star_star != nullptr) Fail("'*' arguments twice");
      arguments->star = ParseExpression();
    } else if (SkipOp("**")) {
      if (arguments->star_star != nullptr) Fail("'**' arguments twice");
      arguments->star_star = ParseExpression();
    } else if (Peek().kind == TokenKind::kName && Ahead().kind == TokenKind::kOperator && Ahead().text == "=") {
      std::string name = Take().text;
      Take();
      arguments->named.emplace_back(std::move(name), ParseExpression());
    } else {
      if (!arguments->named.empty() || arguments->star || arguments->star_star) {
        Fail("an argument without a name behind one with a name");
      }
      arguments->positional.push_back(ParseExpression());
    }
  }

  std::string ParseDottedName() {
    std::string name = ExpectName();
    while (SkipOp(".")) absl::StrAppend(&name, ".", ExpectName());
    return name;
  }

  // The name and arguments behind '|'.
  Postfix ParseFilter() {
    Postfix postfix = NewPostfix(Postfix::Kind::kFilter);
    postfix.name = ParseDottedName();
    if (IsOp("(")) postfix.arguments = ParseArguments();
    return postfix;
  }

  Postfix ParseTest() {
    Postfix postfix = NewPostfix(Postfix::Kind::kTest);
    ExpectWord("is");
    if (SkipWord("not")) postfix.kind = Postfix::Kind::kTestNot;
    postfix.name = ParseDottedName();
    if (IsOp("(")) {
      postfix.arguments = ParseArguments();
    } else if (StartsBareArgument()) {
      if (IsWord("is")) Fail("tests cannot be chained with 'is'");
      Nested nested(this);
      postfix.arguments.positional.push_back(ParsePostfix(ParsePrimary(), /*with_filters=*/false));
    }
    return postfix;
  }

  // `is divisibleby 3`: one argument without parentheses.
  bool StartsBareArgument() const {
    switch (Peek().kind) {
      case TokenKind::kString:
      case TokenKind::kInteger:
      case TokenKind::kFloat:
        return true;
      case TokenKind::kOperator:
        return IsOp("[") || IsOp("{");
      // `and`, `or`, `else` go on behind the test; so do `if`, `not in` and `in`, where a name could not stand.
      case TokenKind::kName:
        return !IsWord("else") && !IsWord("or") && !IsWord("and") && !IsWord("if") && !IsWord("in") && !IsWord("not");
      default:
        return false;
    }
  }

  // True for x.content, x['content'], x.get('content') and names that were set from one, with `steps` postfixes.
  bool EndsInContent(const Expr& base, const std::vector<Postfix>& chain, size_t steps) const {
    auto is_content = [](const Expr* key) {
      return key != nullptr && key->constant.text() != nullptr && key->constant.text()->bytes == "content";
    };
    if (steps == 0) {
      return base.kind == Expr::Kind::kName &&
             (tree_.names[base.name] == "content" || content_names_.contains(base.name));
    }
    const Postfix& last = chain[steps - 1];
    if (last.kind == Postfix::Kind::kAttribute) return last.name == "content";
    if (last.kind == Postfix::Kind::kItem) return is_content(last.key.get());
    return last.kind == Postfix::Kind::kCall && steps > 1 && chain[steps - 2].name == "get" &&
           !last.arguments.positional.empty() && is_content(last.arguments.positional[0].get());
  }
  bool IsContent(const Expr& expr) const {
    if (expr.kind == Expr::Kind::kPostfix) return EndsInContent(*expr.parts[0], expr.postfix, expr.postfix.size());
    return EndsInContent(expr, {}, 0);
  }

  // --- statements ---
  static bool Contains(std::initializer_list<std::string_view> words, std::string_view word) {
    for (std::string_view each : words) {
      if (each == word) return true;
    }
    return false;
  }

  // Statements up to a tag of `ends`, whose {% and name are still to be read; to the template's end when it is empty.
  Body ParseBody(std::initializer_list<std::string_view> ends) {
    Nested nested(this);
    Body body;
    while (true) {
      switch (Peek().kind) {
        case TokenKind::kText:
          body.push_back(NewNode(Node::Kind::kText));
          body.back()->text = Take().text;
          break;
        case TokenKind::kPrintBegin:
          body.push_back(ParsePrint());
          break;
        case TokenKind::kBlockBegin:
          if (Ahead().kind == TokenKind::kName && Contains(ends, Ahead().text)) return body;
          body.push_back(ParseStatement());
          break;
        case TokenKind::kEnd:
          if (ends.size() == 0) return body;
          Fail(absl::StrCat("unexpected end of template: '", std::string(*(ends.end() - 1)), "' is missing"));
        default:
          Fail(absl::StrCat("unexpected '", Peek().text, "'"));
      }
    }
  }

  // Reads "{% word" and returns the word.
  std::string TakeTag() {
    Take();
    return ExpectName();
  }
  void TakeEndTag(std::string_view word) {
    Take();
    ExpectWord(word);
    ExpectBlockEnd();
  }

  std::unique_ptr<Node> NewNode(Node::Kind kind) const {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->line = Peek().line;
    return node;
  }

  std::unique_ptr<Node> ParsePrint() {
    Take();
    auto node = NewNode(Node::Kind::kPrint);
    node->exprs.push_back(ParseTuple(/*may_be_empty=*/false, /*with_condition=*/true));
    if (Peek().kind != TokenKind::kPrintEnd) FailExpected("end of print statement");
    Take();
    return node;
  }

  std::unique_ptr<Node> ParseStatement() {
    const std::string tag = TakeTag();
    if (tag == "if") return ParseIf();
    if (tag == "for") return ParseFor();
    if (tag == "set") return ParseSet();
    if (tag == "macro") return ParseMacro();
    if (tag == "call") return ParseCallBlock();
    if (tag == "filter") return ParseFilterBlock();
    if (tag == "with") return ParseWith();
    if (tag == "generation") return ParseGeneration();
    if (tag == "break" || tag == "continue") return ParseLoopControl(tag == "break");
    const bool is_jinja =
        Contains({"include", "import", "from", "extends", "block", "autoescape", "print", "do", "trans", "debug"}, tag);
    Fail(absl::StrCat(is_jinja ? "tag not supported: '" : "encountered unknown tag '", tag, "'"));
  }

  std::unique_ptr<Node> ParseIf() {
    auto node = NewNode(Node::Kind::kIf);
    while (true) {
      node->exprs.push_back(ParseTuple(/*may_be_empty=*/false, /*with_condition=*/false));
      ExpectBlockEnd();
      node->bodies.push_back(ParseBody({"elif", "else", "endif"}));
      const std::string tag = TakeTag();
      if (tag == "elif") continue;
      ExpectBlockEnd();
      if (tag == "endif") return node;
      node->bodies.push_back(ParseBody({"endif"}));
      TakeEndTag("endif");
      return node;
    }
  }

  std::unique_ptr<Node> ParseFor() {
    auto node = NewNode(Node::Kind::kFor);
    node->targets.push_back(ParseTarget(/*may_be_attribute=*/false));
    ExpectWord("in");
    node->exprs.push_back(ParseTuple(/*may_be_empty=*/false, /*with_condition=*/false));
    if (IsContent(*node->exprs[0])) tree_.loops_over_content = true;
    node->exprs.push_back(SkipWord("if") ? ParseExpression() : nullptr);
    if (IsWord("recursive")) Fail("recursive loops are not supported");
    ExpectBlockEnd();
    ++loops_;
    node->bodies.push_back(ParseBody({"else", "endfor"}));
    --loops_;
    if (Ahead().text == "else") {
      TakeEndTag("else");
      node->bodies.push_back(ParseBody({"endfor"}));
    }
    TakeEndTag("endfor");
    return node;
  }

  Target ParseTarget(bool may_be_attribute) {
    Target target = ParseOneTarget(may_be_attribute);
    if (!IsOp(",")) return target;
    Target tuple;
    tuple.parts.push_back(std::move(target));
    while (SkipOp(",")) {
      if (IsWord("in") || IsOp("=") || IsOp(")")) break;
      tuple.parts.push_back(ParseOneTarget(may_be_attribute));
    }
    return tuple;
  }

  Target ParseOneTarget(bool may_be_attribute) {
    Nested nested(this);
    if (SkipOp("(")) {
      Target target = ParseTarget(may_be_attribute);
      ExpectOp(")");
      return target;
    }
    Target target;
    const std::string name = ExpectName();
    if (Contains({"true", "false", "none", "True", "False", "None", "loop"}, name)) {
      Fail(absl::StrCat("'", name, "' cannot be set"));
    }
    target.name = Symbol(name);
    if (may_be_attribute && SkipOp(".")) target.attribute = ExpectName();
    return target;
  }

  std::unique_ptr<Node> ParseSet() {
    auto node = NewNode(Node::Kind::kSet);
    node->targets.push_back(ParseTarget(/*may_be_attribute=*/true));
    if (SkipOp("=")) {
      node->exprs.push_back(ParseTuple(/*may_be_empty=*/false, /*with_condition=*/true));
      ExpectBlockEnd();
      const Target& target = node->targets[0];
      if (target.name >= 0 && target.attribute.empty() && IsContent(*node->exprs[0]))
        content_names_.insert(target.name);
      return node;
    }
    node->kind = Node::Kind::kSetBlock;
    while (SkipOp("|")) node->filters.push_back(ParseFilter());
    ExpectBlockEnd();
    node->bodies.push_back(ParseBody({"endset"}));
    TakeEndTag("endset");
    return node;
  }

  // (a, b=2)
  void ParseParameters(Node* node) {
    ExpectOp("(");
    while (!IsOp(")")) {
      node->parameter_names.push_back(ExpectName());
      node->parameters.push_back(Symbol(node->parameter_names.back()));
      if (SkipOp("=")) {
        node->defaults.push_back(ParseExpression());
      } else if (!node->defaults.empty()) {
        Fail("a parameter without a default behind one with a default");
      }
      if (!SkipOp(",")) break;
    }
    ExpectOp(")");
  }

  // The body of a macro or call block, and which of the three hidden arguments it reads.
  void ParseMacroBody(Node* node, std::string_view end) {
    ExpectBlockEnd();
    const size_t names_before = names_read_.size();
    const int loops_outside = std::exchange(loops_, 0);
    node->bodies.push_back(ParseBody({end}));
    loops_ = loops_outside;
    TakeEndTag(end);
    for (size_t i = names_before; i < names_read_.size(); ++i) {
      node->takes_caller |= names_read_[i] == kSymbolCaller;
      node->takes_varargs |= names_read_[i] == kSymbolVarargs;
      node->takes_kwargs |= names_read_[i] == kSymbolKwargs;
    }
  }

  std::unique_ptr<Node> ParseMacro() {
    auto node = NewNode(Node::Kind::kMacro);
    node->text = ExpectName();
    node->symbol = Symbol(node->text);
    ParseParameters(node.get());
    ParseMacroBody(node.get(), "endmacro");
    return node;
  }

  std::unique_ptr<Node> ParseCallBlock() {
    auto node = NewNode(Node::Kind::kCallBlock);
    node->text = "caller";
    if (IsOp("(")) ParseParameters(node.get());
    node->exprs.push_back(ParseExpression());
    const Expr& call = *node->exprs[0];
    if (call.kind != Expr::Kind::kPostfix || call.postfix.back().kind != Postfix::Kind::kCall) Fail("expected a call");
    ParseMacroBody(node.get(), "endcall");
    return node;
  }

  std::unique_ptr<Node> ParseFilterBlock() {
    auto node = NewNode(Node::Kind::kFilterBlock);
    node->filters.push_back(ParseFilter());
    while (SkipOp("|")) node->filters.push_back(ParseFilter());
    ExpectBlockEnd();
    node->bodies.push_back(ParseBody({"endfilter"}));
    TakeEndTag("endfilter");
    return node;
  }

  std::unique_ptr<Node> ParseWith() {
    auto node = NewNode(Node::Kind::kWith);
    while (Peek().kind != TokenKind::kBlockEnd) {
      if (!node->targets.empty()) ExpectOp(",");
      node->targets.push_back(ParseOneTarget(/*may_be_attribute=*/false));
      ExpectOp("=");
      node->exprs.push_back(ParseExpression());
    }
    ExpectBlockEnd();
    node->bodies.push_back(ParseBody({"endwith"}));
    TakeEndTag("endwith");
    return node;
  }

  std::unique_ptr<Node> ParseGeneration() {
    auto node = NewNode(Node::Kind::kGeneration);
    ExpectBlockEnd();
    node->bodies.push_back(ParseBody({"endgeneration"}));
    TakeEndTag("endgeneration");
    return node;
  }

  std::unique_ptr<Node> ParseLoopControl(bool is_break) {
    auto node = NewNode(is_break ? Node::Kind::kBreak : Node::Kind::kContinue);
    if (loops_ == 0) Fail("'break' or 'continue' outside a loop");
    ExpectBlockEnd();
    return node;
  }

  const std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;
  JinjaTree tree_;
  absl::flat_hash_map<std::string, int> symbols_;
  absl::flat_hash_set<int> content_names_;  // names that were set from a message's content
  std::vector<int> names_read_;
};

}  // namespace
}  // namespace jinja

absl::StatusOr<JinjaTree> ParseJinja(std::string_view source) {
  if (source.size() > jinja::kMaxSourceBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("chat template: ", source.size(), " bytes; at most ", jinja::kMaxSourceBytes, " are allowed"));
  }
  if (!jinja::IsWellFormed(source)) return absl::InvalidArgumentError("chat template: not well-formed UTF-8");
  try {
    return jinja::Parser(source).Run();
  } catch (const jinja::Error& error) {
    return absl::InvalidArgumentError(absl::StrCat("chat template, ", error.what()));
  }
}

}  // namespace braid
