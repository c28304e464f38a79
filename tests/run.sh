#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test; ends with ctest's summary.
# usage: tests/run.sh [PRESET]      release (default), asan, tsan
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}

. deploy/packages.sh
install_packages "${build_packages[@]}" "${model_packages[@]}" "${serve_packages[@]}" "${test_packages[@]}"
cmake --preset "$preset" -DBRAID_TESTS=ON
cmake --build "build/$preset"

# The real model and the real clients, for the end-to-end tests; kept from run to run.
BRAID_TEST_MODEL=$(deploy/default_model.sh)
export BRAID_TEST_MODEL
venv=build/clients
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check -r tests/end_to_end/requirements.txt

ctest --preset "$preset"
