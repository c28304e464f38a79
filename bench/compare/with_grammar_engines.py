#!/usr/bin/env python3
"""Our grammar engine, xgrammar and llguidance in turn on the same schemas, vocabulary and token walks: compile time and
time of a mask, in CPU time of one thread. Prints the best compile and the pooled masks of all rounds, and the ratios.

usage: with_grammar_engines.py VOCAB.json.gz [--end ID] [--rounds N] [--bench FILE] [--json FILE]
VOCAB is a byte-level BPE tokenizer.json. Needs xgrammar, llguidance and tokenizers in a virtual environment of their
own, and build/release/engine/grammar/grammar_mask_bench. "first" masks follow a fresh compile, "later" ones come from
texts after it; llguidance keeps nothing between texts. What a Python call costs (about 1 us) is in the peers' times."""
import argparse
import gzip
import importlib.machinery
import json
import pathlib
import subprocess
import sys
import time
import types

import numpy

BENCH = pathlib.Path(__file__).resolve().parents[2] / "build/release/engine/grammar/grammar_mask_bench"
TEXTS = 5  # after the first


def load_xgrammar():
    """xgrammar imports torch for its array types alone; without it numpy's arrays serve."""
    try:
        import torch  # noqa: F401
    except ImportError:
        import transformers  # noqa: F401  (asks for torch: before the stand-in is there)
        import tvm_ffi  # noqa: F401
        stand_in = types.ModuleType("torch")
        stand_in.__spec__ = importlib.machinery.ModuleSpec("torch", None)
        stand_in.__version__, stand_in.int32, stand_in.Tensor = "0", numpy.int32, numpy.ndarray
        stand_in.tensor = lambda values, dtype=None, **_: numpy.array(values, dtype=dtype)
        stand_in.full = lambda shape, value, dtype=None: numpy.full(shape, value, dtype=dtype)
        stand_in.cuda = types.SimpleNamespace(is_available=lambda: False)
        stand_in.__getattr__ = lambda name: type(name, (), {})
        sys.modules["torch"] = stand_in
        import xgrammar
        del sys.modules["torch"]
        return xgrammar
    import xgrammar
    return xgrammar


def byte_alphabet():
    """The letters in which byte-level BPE writes bytes."""
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    rest = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(rest)}


def token_bytes(tokenizer_json):
    """The bytes of each id; nothing for added tokens."""
    source = json.loads(tokenizer_json)
    letters = byte_alphabet()
    added = {token["id"] for token in source["added_tokens"]}
    vocabulary = source["model"]["vocab"]
    tokens = [b""] * (max(max(vocabulary.values()), max(added, default=0)) + 1)
    for text, token in vocabulary.items():
        if token not in added:
            tokens[token] = bytes(letters[c] for c in text)
    return tokens


def micros():
    return time.thread_time_ns() / 1e3


def walk(ids, fill, accept, mask, times):
    for token in ids:
        begin = micros()
        fill()
        times.append(micros() - begin)
        assert mask[0, token >> 5] >> (token & 31) & 1, token
        assert accept(token), token


class Xgrammar:
    name = "xgrammar"

    def __init__(self, tokenizer_json, tokens, end):
        self.package = load_xgrammar()
        info = self.package.TokenizerInfo(tokens, stop_token_ids=[end], vocab_size=len(tokens))
        self.compiler = self.package.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self.mask = numpy.zeros((1, (len(tokens) + 31) // 32), dtype=numpy.int32)

    def compile(self, schema):
        return self.compiler.compile_json_schema(json.dumps(schema), strict_mode=False)

    def walk(self, grammar, schema, ids, times):
        matcher = self.package.GrammarMatcher(grammar)
        walk(ids, lambda: matcher.fill_next_token_bitmask(self.mask), matcher.accept_token, self.mask, times)


class Llguidance:
    name = "llguidance"

    def __init__(self, tokenizer_json, tokens, end):
        import llguidance
        import llguidance.numpy
        self.package = llguidance
        self.tokenizer = llguidance.LLTokenizer(tokenizer_json, n_vocab=len(tokens), eos_token=end)
        self.mask = llguidance.numpy.allocate_token_bitmask(1, len(tokens))

    def compile(self, schema):
        matcher = self.package.LLMatcher(
            self.tokenizer, self.package.LLMatcher.grammar_from_json_schema(schema))
        assert not matcher.get_error(), matcher.get_error()
        return matcher

    def walk(self, grammar, schema, ids, times):
        matcher = grammar.deep_copy()
        fill = self.package.numpy.fill_next_token_bitmask
        walk(ids, lambda: fill(matcher, self.mask, 0), matcher.consume_token, self.mask, times)


def summary(times):
    times = sorted(times)
    return dict(p50_us=times[len(times) // 2], p99_us=times[int(len(times) * 0.99)], max_us=times[-1])


def measure(engine, case):
    begin = micros()
    grammar = engine.compile(case["json_schema"])
    compile_ms = (micros() - begin) / 1e3
    first, later = [], []
    engine.walk(grammar, case["json_schema"], case["ids"], first)
    for _ in range(TEXTS):
        engine.walk(grammar, case["json_schema"], case["ids"], later)
    return dict(compile_ms=compile_ms, first=summary(first), later=summary(later))


def ours(bench, options, name):
    line = subprocess.run([bench, *options, "--json", "--only", name], check=True, capture_output=True, text=True).stdout
    row = json.loads(line.splitlines()[0])
    row["compile_ms"] += row["grammar_ms"]
    return row


def best(rounds):
    """The round least disturbed, number by number."""
    merged = dict(compile_ms=min(r["compile_ms"] for r in rounds))
    for part in ("first", "later"):
        merged[part] = {key: min(r[part][key] for r in rounds) for key in ("p50_us", "p99_us", "max_us")}
    return merged


def cells(row):
    masks = [" / ".join(f"{row[part][key]:.1f}" for key in ("p50_us", "p99_us", "max_us")) for part in ("first", "later")]
    return f"{row['compile_ms']:.2f} | {masks[0]} | {masks[1]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("vocabulary")
    parser.add_argument("--end", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bench", default=str(BENCH))
    parser.add_argument("--json")
    arguments = parser.parse_args()
    options = [arguments.vocabulary, "--end", str(arguments.end)]
    open_file = gzip.open if arguments.vocabulary.endswith(".gz") else open
    with open_file(arguments.vocabulary, "rb") as file:
        tokenizer_json = file.read().decode()
    tokens = token_bytes(tokenizer_json)
    peers = [engine(tokenizer_json, tokens, arguments.end) for engine in (Xgrammar, Llguidance)]
    lines = subprocess.run([arguments.bench, *options, "--cases"], check=True, capture_output=True, text=True).stdout
    cases = [json.loads(line) for line in lines.splitlines()]
    print("| schema | engine | compile ms | first mask p50 / p99 / max us | later mask p50 / p99 / max us "
          "| peer over ours: compile, later p50, later p99 |\n| --- | --- | --- | --- | --- | --- |")
    results = {}
    for case in cases:
        rounds = {"braid": []} | {peer.name: [] for peer in peers}
        for _ in range(arguments.rounds):
            rounds["braid"].append(ours(arguments.bench, options, case["schema"]))
            for peer in peers:
                rounds[peer.name].append(measure(peer, case))
        rows = {name: best(all_rounds) for name, all_rounds in rounds.items()}
        results[case["schema"]] = rows
        for name, row in rows.items():
            mine = rows["braid"]
            ratios = "" if name == "braid" else ", ".join(
                f"{a / b:.1f}" for a, b in ((row["compile_ms"], mine["compile_ms"]),
                                            (row["later"]["p50_us"], mine["later"]["p50_us"]),
                                            (row["later"]["p99_us"], mine["later"]["p99_us"])))
            print(f"| {case['schema']} | {name} | {cells(row)} | {ratios} |", flush=True)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
