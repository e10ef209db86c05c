#!/bin/sh
# Install locked requirements into /opt/venv, while an image is built.
#   install.sh LOCK [SKIP]    SKIP: an extended regular expression of package names to leave out
# Uses uv where the builder brings it, else fetches it for this one step.
set -eu
lock=$1 skip=${2:-}
# uv and pip would trust certificates of their own; the system's may hold a company's too.
bundle=/etc/ssl/certs/ca-certificates.crt
[ ! -e $bundle ] || export SSL_CERT_FILE=$bundle PIP_CERT=$bundle
export UV_CACHE_DIR=/root/.cache/uv
if ! command -v uv >/dev/null; then
  python3 -m venv /tmp/uv
  /tmp/uv/bin/pip install --quiet uv
  PATH=$PATH:/tmp/uv/bin
fi
[ -e /opt/venv ] || uv venv --quiet --python "$(command -v python3)" /opt/venv
awk -v skip="^(${skip:-$})==" '/^[A-Za-z0-9]/ { leave = ($0 ~ skip) } !leave' "$lock" > /tmp/lock.txt
# Bytecode is made here, as the root file system is read-only where the image runs.
uv pip install --quiet --python /opt/venv/bin/python --no-deps --require-hashes --compile-bytecode --link-mode copy \
  -r /tmp/lock.txt
rm -rf /tmp/uv /tmp/lock.txt
# The builder may lend its cache of packages; one of our own has no place in the image.
grep -q " $UV_CACHE_DIR " /proc/self/mountinfo || rm -rf $UV_CACHE_DIR
