#!/bin/sh
# Makes the development virtualenv from the committed lock, outside the checkout, and links it as .venv.
# Needs: python3 (3.11 or newer). Installs python3-venv where Debian's python3 lacks it.
set -eu
cd "$(dirname "$0")/.."
cache="${LOWBIT_CACHE:-$HOME/.cache/lowbit}"
lock=requirements/dev.txt
stamp=$(python3 -c 'import hashlib, sys; h = hashlib.sha256(open(sys.argv[1], "rb").read() + sys.version.encode()); print(h.hexdigest()[:12])' "$lock")
venv="$cache/venv-$stamp"
if [ ! -e "$venv/.complete" ]; then
  echo "venv: installing $lock into $venv (about a minute)"
  mkdir -p "$cache"
  rm -rf "$venv"
  if ! python3 -c 'import ensurepip' 2>/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "venv: python3-venv is missing. Install it (apt-get install python3-venv), or run as root." >&2; exit 1; }
    apt-get update -qq && apt-get install -y -qq python3-venv
  fi
  python3 -m venv "$venv"
  uv=$(sed -n 's/^\(uv==[^ ]*\) .*/\1/p' "$lock")
  "$venv/bin/pip" install --quiet "$uv"
  # uv brings its own list of authorities, and would not know a company's that pip and apt know.
  certificates=; [ ! -e /etc/ssl/certs/ca-certificates.crt ] || certificates=--system-certs
  # shellcheck disable=SC2086 - one word or none
  "$venv/bin/uv" $certificates pip install --quiet --python "$venv/bin/python" --no-deps --require-hashes -r "$lock"
  touch "$venv/.complete"
fi
ln -sfn "$venv" .venv
