#!/usr/bin/env bash
# Installs what is missing, builds, serves the default model and streams a first chat answer; then goes on serving.
# usage: deploy/quickstart.sh [--once] [--port PORT]       --once: stop after the answer
set -euo pipefail
cd "$(dirname "$0")/.."
once=0 port=8000
while [ $# -gt 0 ]; do
  case $1 in
    --once) once=1 ;;
    --port) port=${2:?--port needs a number}; shift ;;
    *) echo "usage: deploy/quickstart.sh [--once] [--port PORT]" >&2; exit 2 ;;
  esac
  shift
done

. deploy/packages.sh
install_packages "${build_packages[@]}" "${model_packages[@]}" "${serve_packages[@]}"
# Its own build folder, without tests, so that neither set-up disturbs the other's options.
cmake --preset release -DBRAID_TESTS=OFF -B build/release >&2
cmake --build build/release --target braid braid-bench >&2
model=$(deploy/default_model.sh)

build/release/braid serve "$model" --port "$port" --served-model-name smollm2 &
server=$!
trap 'kill -TERM $server 2>/dev/null || true' INT TERM
url=http://127.0.0.1:$port
until curl -fs "$url/readyz" >/dev/null 2>&1; do
  kill -0 $server 2>/dev/null || { wait $server; exit $?; }
  sleep 0.1
done

question='What is the capital of France?'
printf '\n> %s\n' "$question"
curl -sN "$url/v1/chat/completions" -H 'Content-Type: application/json' \
  -d "{\"model\":\"smollm2\",\"stream\":true,\"temperature\":0,\"max_tokens\":64,
       \"messages\":[{\"role\":\"user\",\"content\":\"$question\"}]}" |
  python3 -c '
import json, sys
answer = ""
for line in sys.stdin:
    if not line.startswith("data: {"): continue
    event = json.loads(line[6:])
    if "error" in event: sys.exit(event["error"]["message"])
    for choice in event["choices"]:
        text = choice["delta"].get("content") or ""
        answer += text
        print(text, end="", flush=True)
print()
if not answer: sys.exit("error: no answer came")'

if [ $once -eq 1 ]; then
  kill -TERM $server
  wait $server
  exit $?
fi
printf '\nserving at %s (OpenAI base URL %s/v1, model smollm2); Ctrl-C ends it\n' "$url" "$url"
wait $server
