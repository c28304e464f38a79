// Templates that nobody would write: each must end soon, with a text or an error, on a small stack.
#include <gtest/gtest.h>
#include <pthread.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/testing/instrumented.h"
#include "models/chat/chat_template.h"
#include "models/chat/jinja_render.h"

namespace braid {
namespace {

constexpr const char* kPieces[] = {"{{",
                                   "}}",
                                   "{%",
                                   "%}",
                                   "{#",
                                   "#}",
                                   "{%-",
                                   "-%}",
                                   "{{-",
                                   "-}}",
                                   "{% raw %}",
                                   "{% endraw %}",
                                   " if ",
                                   " else ",
                                   " for ",
                                   " in ",
                                   " is ",
                                   " not ",
                                   "{% endif %}",
                                   "{% endfor %}",
                                   "{% else %}",
                                   "{% macro f(x) %}",
                                   "{% endmacro %}",
                                   "{{ f(f) }}",
                                   "messages",
                                   "loop.",
                                   "namespace(",
                                   "range(99999)",
                                   " * 99999",
                                   " ~ ",
                                   " ** 9",
                                   "[::-1]",
                                   "[-1]",
                                   "(",
                                   ")",
                                   "[",
                                   "]",
                                   "{",
                                   "}",
                                   "'",
                                   "\"",
                                   "\\",
                                   "\\u",
                                   "|",
                                   "|list",
                                   "|tojson",
                                   "|join('x'*999)",
                                   "|map('upper')",
                                   "|sort",
                                   "|indent(9999)",
                                   ".split('')",
                                   ".format(1)",
                                   "%s",
                                   "{0}",
                                   "{% set x = x ~ x %}",
                                   "{% set ns.a = ns %}",
                                   "{% for a in range(9999) %}",
                                   "{% call f() %}",
                                   "{% endcall %}",
                                   "{% filter upper %}",
                                   "{% endfilter %}",
                                   "{% break %}",
                                   "{% continue %}",
                                   "none",
                                   "true",
                                   "1e999",
                                   "0x",
                                   "_",
                                   ".",
                                   ",",
                                   ":",
                                   "\xc3\xa9",
                                   "\xff",
                                   "\xe2\x82",
                                   "\n",
                                   "  "};

// The template with a few random changes: bytes, cuts, repeats, pieces of syntax.
std::string Mutated(std::string source, std::mt19937& random) {
  auto below = [&](size_t n) { return n == 0 ? 0 : random() % n; };
  const int changes = 1 + static_cast<int>(below(6));
  for (int i = 0; i < changes; ++i) {
    const size_t at = below(source.size());
    switch (below(5)) {
      case 0:
        if (!source.empty()) source[at] = static_cast<char>(random());
        break;
      case 1:
        source.erase(at, below(40));
        break;
      case 2:
        source.insert(below(source.size()), source.substr(at, below(200)));
        break;
      default:
        source.insert(at, kPieces[below(std::size(kPieces))]);
    }
  }
  return source;
}

std::vector<std::string> PublishedTemplates() {
  std::vector<std::string> sources;
  for (const auto& entry : std::filesystem::directory_iterator(BRAID_SOURCE_DIR "/tests/data/templates/templates")) {
    std::ifstream file(entry.path(), std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    sources.push_back(text.str());
  }
  std::sort(sources.begin(), sources.end());
  return sources;
}

Json Conversation() {
  return *ParseJson(R"([{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"u"}]},
    {"role":"assistant","content":"","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":{"a":[1,2.5,null]}}}]},
    {"role":"tool","name":"f","tool_call_id":"1","content":"ok"},{"role":"user","content":"x"}])");
}

Json Tools() {
  return *ParseJson(R"([{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object",
    "properties":{"a":{"type":"array","items":{"type":"number"}},"b":{"oneOf":[{"type":"string"},{"type":"object"}]}},"required":["a"]}}}])");
}

// Parses and renders; only the time is judged here, the rest by the process staying alive.
void Try(const std::string& source) {
  static const Json messages = Conversation(), tools = Tools();
  const auto begin = std::chrono::steady_clock::now();
  const auto chat_template = ChatTemplate::Parse(source, "<s>", "</s>");
  if (chat_template.ok()) (void)(*chat_template)->Render({.messages = &messages, .tools = &tools});
  if (testing::kInstrumented) return;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10)) << source.substr(0, 2000);
}

// Runs `work` on a thread with a stack of `bytes`.
void OnStack(size_t bytes, std::function<void()> work) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, bytes);
  pthread_t thread;
  auto run = [](void* given) -> void* {
    (*static_cast<std::function<void()>*>(given))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &work), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kStack = 16 << 20;  // sanitizers' frames are many times as large
#else
constexpr size_t kStack = 2 << 20;
#endif

std::string Repeated(const std::string& piece, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += piece;
  return out;
}

TEST(JinjaRobustness, MutatedTemplatesEndSoon) {
  const std::vector<std::string> sources = PublishedTemplates();
  ASSERT_FALSE(sources.empty());
  OnStack(kStack, [&] {
    std::mt19937 random(20'261'123);
    for (int i = 0; i < 6'000; ++i) Try(Mutated(sources[random() % sources.size()], random));
  });
}

TEST(JinjaRobustness, SplicedTemplatesEndSoon) {
  const std::vector<std::string> sources = PublishedTemplates();
  OnStack(kStack, [&] {
    std::mt19937 random(7);
    for (int i = 0; i < 1'000; ++i) {
      const std::string &a = sources[random() % sources.size()], &b = sources[random() % sources.size()];
      Try(a.substr(0, random() % a.size()) + b.substr(random() % b.size()));
    }
  });
}

TEST(JinjaRobustness, RandomSyntaxEndsSoon) {
  OnStack(kStack, [] {
    std::mt19937 random(11);
    for (int i = 0; i < 20'000; ++i) {
      std::string source;
      for (size_t n = random() % 40; n > 0; --n) source += kPieces[random() % std::size(kPieces)];
      Try(source);
    }
  });
}

TEST(JinjaRobustness, DeepNestingIsRefusedOnASmallStack) {
  OnStack(kStack, [] {
    for (const char* open :
         {"(", "[", "{1:", "-", "not ", "a[", "f(", "1 if ", "1 if 1 else ", "a|f(", "a is b(", "a is b "}) {
      for (int depth : {40, 90, 120, 100'000}) Try("{{ " + Repeated(open, depth));
    }
    for (const char* open : {"{% if 1 %}", "{% for x in y %}", "{% macro f() %}", "{% filter upper %}", "{% set x %}",
                             "{% call f() %}", "{% with %}", "{% generation %}", "{% set (", "{% for ("}) {
      for (int depth : {40, 90, 120, 100'000}) Try(Repeated(open, depth));
    }
  });
}

TEST(JinjaRobustness, DeepCallsAreRefusedOnASmallStack) {
  // A macro whose every call nests as deep as the parser allows.
  const std::string deep = "{{ " + Repeated("(0 + ", 30) + "f(n + 1)" + Repeated(")", 30) + " }}";
  OnStack(kStack, [&] {
    Try("{% macro f(n) %}" + deep + "{% endmacro %}{{ f(0) }}");
    Try("{% macro f(n) %}" + Repeated("{% if true %}", 80) + "{{ f(n) }}" + Repeated("{% endif %}", 80) +
        "{% endmacro %}{{ f(0) }}");
    Try("{% macro f(n) %}{% call f(n) %}{{ caller() }}{% endcall %}{% endmacro %}{{ f(0) }}");
    Try("{{ " + Repeated("1 + ", 100'000) + "1 }}");
    Try("{{ a" + Repeated(".b", 100'000) + " }}");
    Try("{{ 1" + Repeated(" | string", 100'000) + " }}");
  });
}

TEST(JinjaRobustness, WorkIsCountedWhereverItHides) {
  for (const char* source : {
           "{% set ns = namespace(s='a' * 9999999) %}{% for i in range(99999) %}{% set t = ns.s ~ i %}{% endfor %}",
           "{% set s = 'a' * 9999999 %}{% for i in range(99999) %}{% if s == s ~ 'b' %}{% endif %}{% endfor %}",
           "{% set s = 'a' * 9999999 %}{% for i in range(99999) %}{% if 'b' in s %}{% endif %}{% endfor %}",
           "{% set s = 'a' * 9999999 %}{% for i in range(99999) %}{% set t = s.split('b') %}{% endfor %}",
           "{% set s = 'a' * 9999999 %}{% for i in range(99999) %}{% set t = s | upper %}{% endfor %}",
           "{% set s = 'a' * 9999999 %}{% for i in range(99999) %}{% set t = s is lower %}{% endfor %}",
           "{% set s = ' ' * 9999999 %}{% for i in range(99999) %}{% set t = s.strip() %}{% endfor %}",
           "{% set s = 'é' * 4999999 %}{% for i in range(99999) %}{% set t = s[-1] %}{% endfor %}",
           "{% set l = [0] * 400000 %}{% for i in range(99999) %}{% set t = l + [1] %}{% endfor %}",
           "{% set l = [0] * 400000 %}{% for i in range(99999) %}{% set t = l | sort %}{% endfor %}",
           "{% set l = [0] * 400000 %}{% for i in range(99999) %}{% set t = 1 in l %}{% endfor %}",
           "{% set l = [0] * 400000 %}{% for i in range(99999) %}{% set t = l | list %}{% endfor %}",
           "{% set l = [0] * 400000 %}{% for i in range(99999) %}{% set t = l[1:] %}{% endfor %}",
           "{{ ('a' * 800000 ~ 'b').split('a') | length }}",
           "{{ ('a' * 8000000) | list | length }}",
           "{{ ('ab' * 4000000).find('a' * 4000000 ~ 'c') }}",
           "{{ ('a' * 8000000).count('a' * 4000000 ~ 'b') }}",
           "{{ (['a' * 1000000] * 1000) | join | length }}",
           "{{ (['a' * 100000] * 1000) | tojson | length }}",
           "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
           "{{ '%9999s' % 1 * 99999 }}",
           "{{ ('{:>9999}' * 99999).format(*range(99999)) }}",
           "{{ ('%Y' * 9999999) | replace('%', '%') | length }}",
           "{{ strftime_now('%Y' * 4000000) | length }}",
           "{{ ('<' * 4000000) | e | length }}",
       }) {
    Try(source);
  }
}

}  // namespace
}  // namespace braid
