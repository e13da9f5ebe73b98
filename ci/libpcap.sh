#!/usr/bin/env bash
# Makes sure that a Rust build can link libpcap: installs its development package, and a C compiler where there is none,
# with the system's package manager. Does nothing when both are there. Uses sudo only when not root.
set -euo pipefail

have_compiler() {
  command -v cc >/dev/null
}

# Tells by linking, which is what the build does; pkg-config answers for places the linker does not search by itself.
have_libpcap() {
  if command -v pkg-config >/dev/null && pkg-config --exists libpcap; then return; fi
  echo 'int main(void) { return 0; }' | cc -x c - -lpcap -o /dev/null 2>/dev/null
}

fail() {
  printf 'libpcap: %s\n' "$1" >&2
  exit 1
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "run this as root, then try again: $*"
  fi
}

install_packages() {
  if command -v apt-get >/dev/null; then
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends libpcap-dev gcc libc6-dev
  elif command -v dnf >/dev/null; then
    as_root dnf install -y libpcap-devel gcc
  elif command -v apk >/dev/null; then
    as_root apk add libpcap-dev gcc musl-dev
  elif command -v pacman >/dev/null; then
    as_root pacman -S --needed --noconfirm libpcap gcc
  elif command -v zypper >/dev/null; then
    as_root zypper --non-interactive install libpcap-devel gcc
  elif command -v brew >/dev/null; then
    brew install libpcap pkg-config # Homebrew refuses to run as root
  else
    fail "no known package manager: install libpcap's development files and a C compiler, then try again"
  fi
}

if have_compiler && have_libpcap; then exit; fi
echo 'libpcap: its development files or a C compiler are missing, installing them' >&2
install_packages
have_compiler || fail "still no C compiler (cc) after the installation"
have_libpcap || fail "still not found by the linker after the installation"
