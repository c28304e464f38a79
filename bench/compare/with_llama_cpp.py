#!/usr/bin/env python3
"""Our daemon and llama.cpp in turn on the same GGUF file and threads: output tokens a second over whole runs (prompts
included), greedy, random prompts. Prints each round, the medians and the ratios.

usage: with_llama_cpp.py MODEL.gguf [--threads N] [--rounds N] [--prompt N] [--output N] [--json FILE]
Needs the package llama-cpp-python in a virtual environment of its own, and build/release/braid and braid-bench.
Our side is measured through HTTP by braid-bench, the peer in process: what the wire costs is ours to bear."""
import argparse
import ctypes
import json
import os
import pathlib
import random
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

import llama_cpp

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build" / "release"


class LlamaCpp:
    def __init__(self, model, threads, streams, length):
        llama_cpp.llama_backend_init()
        silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
        self.silent = silent
        llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
        self.model = llama_cpp.llama_model_load_from_file(model.encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = streams * length, 512, 512, streams
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def decode(self, rows):
        """rows of (token, position, sequence, wants logits)"""
        batch = llama_cpp.llama_batch_init(len(rows), 0, 1)
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, logits) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = sequence, logits
        assert llama_cpp.llama_decode(self.context, batch) == 0
        llama_cpp.llama_batch_free(batch)

    def run(self, streams, prompt, output):
        """Output tokens a second of `streams` sequences, prompts first, then one token each a step."""
        import numpy
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        prompts = [[random.randrange(100, self.vocab - 100) for _ in range(prompt)] for _ in range(streams)]
        begin = time.monotonic()
        for s in range(streams):
            self.decode([(token, i, s, i + 1 == prompt) for i, token in enumerate(prompts[s])])
        token = 100
        for step in range(output - 1):
            self.decode([(token, prompt + step, s, True) for s in range(streams)])
            for s in range(streams):
                logits = llama_cpp.llama_get_logits_ith(self.context, s)
                token = int(numpy.ctypeslib.as_array(logits, (self.vocab,)).argmax())
        return streams * output / (time.monotonic() - begin)


class Braid:
    def __init__(self, model, threads):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen([BUILD / "braid", "serve", model, "--port", str(self.port), "--grpc-port", "-1",
                                         "--threads", str(threads)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz")
                return
            except OSError:
                time.sleep(0.05)

    def run(self, streams, prompt, output):
        with tempfile.NamedTemporaryFile() as report:
            subprocess.run([BUILD / "braid-bench", "--url", f"http://127.0.0.1:{self.port}", "--endpoint", "completions",
                            "--ids", "49000", "--requests", str(streams), "--concurrency", str(streams), "--prompt-tokens",
                            str(prompt), "--output-tokens", str(output), "--ignore-eos", "--warmup", "0", "--seed",
                            str(random.randrange(1 << 30)), "--json", report.name], check=True, stdout=subprocess.DEVNULL)
            result = json.load(open(report.name))
        assert result["output_tokens"] == streams * output, result
        return result["output_tokens"] / result["duration_s"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--output", type=int, default=128)
    parser.add_argument("--json")
    args = parser.parse_args()
    peer = LlamaCpp(args.model, args.threads, 16, args.prompt + args.output)
    ours = Braid(args.model, args.threads)
    rows = []
    try:
        for streams, prompt, output in [(1, args.prompt, args.output), (16, args.prompt, args.output)]:
            pairs = [(ours.run(streams, prompt, output), peer.run(streams, prompt, output))
                     for _ in range(args.rounds + 1)][1:]  # the first is the warm-up
            ratios = sorted(a / b for a, b in pairs)
            rows.append({"streams": streams, "prompt_tokens": prompt, "output_tokens": output,
                         "braid_tokens_per_s": [round(a, 1) for a, _ in pairs],
                         "llama_cpp_tokens_per_s": [round(b, 1) for _, b in pairs],
                         "ratio_min_median_max": [round(r, 2) for r in (ratios[0], statistics.median(ratios), ratios[-1])]})
            print(json.dumps(rows[-1]))
    finally:
        ours.process.terminate()
        ours.process.wait()
    if args.json:
        cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        pathlib.Path(args.json).write_text(json.dumps(
            {"cpu": cpu, "threads": args.threads, "commit": commit, "llama_cpp_python": llama_cpp.__version__,
             "command": f"bench/compare/with_llama_cpp.py {pathlib.Path(args.model).name} --rounds {args.rounds}",
             "results": rows}, indent=1) + "\n")


main()
