#!/usr/bin/env bash
# Makes sure that Azurite is there, Microsoft's own server of Azure's storage protocol that uploads are tested against:
# installs it with npm into the user's cache, 190 MB. Prints how to get npm, and goes on, where that is missing: the
# tests that want Azurite then say that they were skipped.
set -euo pipefail

# The newest that runs on the Node.js of Debian 12 and 13 (18, 20).
version=3.35.0
directory=${XDG_CACHE_HOME:-$HOME/.cache}/vtap/azurite

installed() {
  [[ -f $directory/version && $(<"$directory/version") == "$version" ]]
}

if installed; then exit; fi
if ! command -v npm >/dev/null; then
  echo 'azurite: npm is missing, so tests of uploads are skipped: apt-get install nodejs npm' >&2
  exit
fi
echo "azurite: installing version $version into $directory" >&2
mkdir -p "$directory"
if ! npm install --prefix "$directory" --no-save --no-audit --no-fund --loglevel=error "azurite@$version" >&2; then
  echo 'azurite: npm could not install it, so tests of uploads are skipped' >&2
  exit
fi
printf '%s\n' "$version" >"$directory/version"
