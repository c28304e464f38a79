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
if [ "$preset" = release ]; then
  cmake --preset fuzz && cmake --build --preset fuzz
fi

# The real model and the real clients, for the end-to-end tests; kept from run to run.
BRAID_TEST_MODEL=$(deploy/default_model.sh)
export BRAID_TEST_MODEL
# make_environment NAME REQUIREMENTS: a virtual environment with the clients that one set of tests drives.
make_environment() {
  [ -x "build/$1/bin/python" ] || python3 -m venv "build/$1"
  "build/$1/bin/python" -m pip install -q --disable-pip-version-check -r "tests/end_to_end/$2"
}
make_environment clients requirements.txt
make_environment frameworks requirements-frameworks.txt

ctest --preset "$preset"
