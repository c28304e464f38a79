# Debian 12 packages that build, serve and test braid need. Sourced: install_packages NAME...
set -euo pipefail

build_packages=(ca-certificates g++ cmake ninja-build ccache pkg-config
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev
  libboost-dev libboost-system-dev libboost-context-dev prometheus-cpp-dev nlohmann-json3-dev libcli11-dev
  libspdlog-dev libyaml-cpp-dev libonig-dev libutf8proc-dev libxxhash-dev libssl-dev zlib1g-dev)
model_packages=(python3 python3-venv)
serve_packages=(curl)
test_packages=(libgtest-dev libgmock-dev libbenchmark-dev openssl chromium chromium-driver prometheus
  clang libclang-rt-14-dev llvm)

# Installs those of the named packages that are missing, as root or through sudo.
install_packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "error: install as root, or install sudo: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  echo "installing ${#missing[@]} Debian packages ..." >&2
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >/dev/null
}
