#!/usr/bin/env bash
# Builds the fuzz targets and runs each for a while, two at a time, on seeds made of tests/data and on the kept corpora.
# usage: tests/fuzz/run.sh [--seconds N] [TARGET...]     default: 30 seconds, all targets
# What it finds lies in build/fuzz/found/TARGET; new inputs in build/fuzz/corpus/TARGET. Exit 1 when anything was found.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=30
if [ "${1:-}" = --seconds ]; then
  seconds=$2
  shift 2
fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(http request safetensors gguf config tokenizer template grammar regex sse peer)

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz
cd build/fuzz
python3 ../../tests/fuzz/seeds.py seeds

# Sanitizers and a busy machine make an input many times slower: 20 s stand for one.
fuzz() {
  local target=$1 kept=../../tests/fuzz/corpus/$1
  mkdir -p "corpus/$target" "found/$target" "scratch/$target"
  [ -d "$kept" ] || kept=
  if TMPDIR=$PWD/scratch/$target "bin/${target}_fuzz" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=16384 \
      -artifact_prefix="found/$target/" -print_final_stats=1 "corpus/$target" $kept "seeds/$target" >"$target.log" 2>&1 </dev/null; then
    echo "$target: $(grep -c '' <(find "corpus/$target" -type f)) inputs, $(grep -o 'cov: [0-9]*' "$target.log" | tail -1)," \
      "$(grep -o 'number_of_executed_units: [0-9]*' "$target.log" | grep -o '[0-9]*') executions"
    rm -rf "scratch/$target"
  else
    tail -n 40 "$target.log"
    echo "FOUND by $target: $(ls "found/$target")"
    return 1
  fi
}
export -f fuzz
export seconds
printf '%s\n' "${targets[@]}" | xargs -P 2 -I {} bash -c 'fuzz {}'
