#!/usr/bin/env python3
"""Breaks kernels on purpose, one bug at a time, and shows the test that notices.

usage: tests/simt/mutations.py BUILD_DIR     a built tree; nothing in it or in the sources is changed

Each bug is made in a copy of its file. The sources that include it are compiled again as the build compiles them, with
the copy first in the include path, and the test is linked with the new objects instead of the old ones. An inline
function must be broken in every source that has it: the linker keeps one of its bodies.
"""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))

# What is broken, in which file, the text and what takes its place, the sources to compile, the test, what it must say.
MUTATIONS = [
    ("a dropped barrier", "kernels/cuda_device.cuh",
     "  if (threadIdx.x % kWarp == 0) slots[warp] = value;\n  __syncthreads();\n  T sum",
     "  if (threadIdx.x % kWarp == 0) slots[warp] = value;\n  T sum",
     ["kernels/norm/norm_cuda.cu"], "norm_test", "race on shared memory"),
    ("an off-by-one block table", "kernels/rope_kv_write/rope_kv_write_cuda.cu",
     "span.blocks[position / r.block_size]", "span.blocks[(position + 1) / r.block_size]",
     ["kernels/rope_kv_write/rope_kv_write_cuda.cu"], "rope_kv_write_test", "FAILED|out of bounds"),
    ("an off-by-one block table, where it is read", "kernels/attention/attention_tiles_cuda.cuh",
     "span.blocks[position / p.block_size]", "span.blocks[(position + 1) / p.block_size]",
     ["kernels/attention/attention_64_cuda.cu", "kernels/attention/attention_128_cuda.cu",
      "kernels/attention/attention_256_cuda.cu", "kernels/attention/attention_cuda.cu"],
     "attention_test", "FAILED|out of bounds"),
    ("a wrong shuffle mask", "kernels/cuda_device.cuh",
     "value += __shfl_xor_sync(kFullMask, value, lanes)", "value += __shfl_xor_sync(0xffffu, value, lanes)",
     ["kernels/norm/norm_cuda.cu"], "norm_test", "mask 0000ffff"),
    ("an unscaled FP8", "kernels/linear/cuda_packed_weight.cc",
     "const float scale = RowScale(part, row);",
     "const float scale = part.dtype == DType::kF8E4M3 ? 1.0f : RowScale(part, row);",
     ["kernels/linear/cuda_packed_weight.cc"], "linear_test", "FAILED"),
]


def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def must(command, **more):
    done = run(command, **more)
    if done.returncode != 0:
        sys.exit(f"error: {command if isinstance(command, str) else ' '.join(command)}\n{done.stdout[-3000:]}")
    return done.stdout


def compile_command(build, source):
    with open(os.path.join(build, "compile_commands.json")) as file:
        entries = json.load(file)
    path = os.path.join(ROOT, source)
    return next(e for e in entries if os.path.realpath(os.path.join(e["directory"], e["file"])) == path
                and "braid_cuda_emulated" in e["command"])


def mutate(overlay, file, old, new):
    with open(os.path.join(ROOT, file)) as source:
        text = source.read()
    if text.count(old) != 1:
        sys.exit(f"error: {file}: what is to be broken stands there {text.count(old)} times, not once")
    path = os.path.join(overlay, file)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as copy:
        copy.write(text.replace(old, new))


def compile_source(build, overlay, source):
    """Returns the old object's path, as the link names it, and the new one's."""
    entry = compile_command(build, source)
    words = shlex.split(entry["command"])
    old = words[words.index("-o") + 1]
    new = os.path.join(overlay, source.replace("/", "_") + ".o")
    words[words.index("-o") + 1] = new
    changed = os.path.join(overlay, source)
    words[words.index("-c") + 1] = changed if os.path.exists(changed) else os.path.join(ROOT, source)
    words.insert(words.index("-o"), f"-I{overlay}")
    first = next(i for i, word in enumerate(words) if word.startswith("-I"))
    words.insert(first, words.pop(words.index(f"-I{overlay}")))
    must(words, cwd=entry["directory"])
    return old, new


def link(build, overlay, test, objects):
    commands = must(["ninja", "-C", build, "-t", "commands", test]).strip().splitlines()
    command = re.sub(r"^: && | && :$", "", commands[-1])
    for old, new in objects:
        if old not in command:
            sys.exit(f"error: {test} is not linked with {old}")
        command = command.replace(old, new)
    program = os.path.join(overlay, test)
    command = re.sub(r" -o \S+", f" -o {program}", command, count=1)
    must(command, shell=True, cwd=build)
    return program


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = os.path.realpath(sys.argv[1])
    missed = 0
    for what, file, old, new, sources, test, words in MUTATIONS:
        with tempfile.TemporaryDirectory() as overlay:
            mutate(overlay, file, old, new)
            program = link(build, overlay, test, [compile_source(build, overlay, source) for source in sources])
            done = run([program, "--gtest_fail_fast", "--gtest_brief=1"])
        noticed = done.returncode != 0 and re.search(words, done.stdout)
        line = next((x for x in done.stdout.splitlines() if "simt: " in x or "[  FAILED  ]" in x), "")
        print(f"{'caught' if noticed else 'MISSED'}: {what} ({file}) by {test}: {line.strip()}", flush=True)
        missed += 0 if noticed else 1
    sys.exit(1 if missed else 0)


main()
