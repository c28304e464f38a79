// Encoding and decoding speed by vocabulary and text: MB/s of one thread.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "kernels/base/errors.h"
#include "models/tokenizer/token_vectors.h"
#include "models/tokenizer/tokenizer.h"

namespace braid {
namespace {

// English prose of `bytes` bytes: sentences of a fixed set of words, of the lengths that English has.
std::string English(size_t bytes) {
  if (const char* path = std::getenv("BRAID_BENCH_TEXT")) {
    std::string text = ReadAll(path);
    CHECK(!text.empty()) << path;
    while (text.size() < bytes) text += std::string(text);
    return text.substr(0, bytes);
  }
  static const char* const kWords[] = {
      "the",       "of",        "and",        "to",          "in",        "is",
      "that",      "it",        "was",        "for",         "on",        "with",
      "as",        "his",       "they",       "at",          "this",      "have",
      "from",      "or",        "which",      "would",       "there",     "their",
      "statement", "exception", "function",   "argument",    "values",    "object",
      "defined",   "language",  "sequence",   "attribute",   "class",     "method",
      "returns",   "evaluated", "expression", "must",        "operator",  "example",
      "module",    "imported",  "available",  "interpreter", "following", "otherwise",
      "behavior",  "scope",     "namespace",  "doesn't",     "mapping",   "parenthesized",
      "1999",      "Python",    "iterable"};
  std::string text;
  uint32_t state = 1;
  for (int word = 1; text.size() < bytes; ++word) {
    state = state * 1664525 + 1013904223;
    std::string next = kWords[(state >> 16) % std::size(kWords)];
    text += next;
    text += word % 90 == 0 ? ".\n\n" : word % 12 == 0 ? ". " : word % 7 == 0 ? ", " : " ";
  }
  return text.substr(0, bytes);
}

const Tokenizer& Load(const std::string& name) {
  static std::map<std::string, std::unique_ptr<Tokenizer>> loaded;
  if (!loaded.contains(name)) {
    for (const auto& folder : VectorFolders()) {
      const auto path = folder / ("vocabs/" + name + ".json.gz");
      if (!std::filesystem::exists(path)) continue;
      auto tokenizer = Tokenizer::FromJson(ReadAll(path));
      CHECK(tokenizer.ok()) << tokenizer.status().ToString();
      loaded[name] = *std::move(tokenizer);
    }
  }
  return *loaded[name];
}

void Encode(benchmark::State& state, const std::string& name, const std::string& text) {
  const Tokenizer& tokenizer = Load(name);
  size_t tokens = 0;
  for (auto _ : state) tokens = tokenizer.Encode(text, {}).size();
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.counters["tokens"] = static_cast<double>(tokens);
}

void Decode(benchmark::State& state, const std::string& name, const std::string& text) {
  const Tokenizer& tokenizer = Load(name);
  const auto ids = tokenizer.Encode(text, {});
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.Decode(ids, true));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * ids.size()));
}

void LoadFile(benchmark::State& state, const std::string& json) {
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::FromJson(json).ok());
}

void Register() {
  for (const std::string name : {"smollm2", "mistral1", "nemotron3", "llama3"}) {
    for (const auto& folder : VectorFolders()) {
      const auto path = folder / ("vocabs/" + name + ".json.gz");
      if (!std::filesystem::exists(path)) continue;
      const auto add = [&](const std::string& what, auto... arguments) {
        benchmark::RegisterBenchmark(("BM_" + what + "/vocab:" + name).c_str(), arguments...)
            ->Unit(benchmark::kMillisecond);
      };
      add("EncodeEnglish", Encode, name, English(1'000'000));
      add("EncodeRun", Encode, name, std::string(100'000, 'a'));
      add("Decode", Decode, name, English(1'000'000));
      add("Load", LoadFile, ReadAll(path));
      break;
    }
  }
}

const bool kRegistered = (Register(), true);

}  // namespace
}  // namespace braid
