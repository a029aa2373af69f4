#!/bin/sh
# Prints a folder for PYTHONPATH in which nats-py is: the PyPI wheel by pinned hash, unpacked into the project's cache.
# It is pure Python and needs nothing else. Nothing is installed system-wide.
set -eu
version=2.16.0
hash=aeb1ff123966c05833d26c7df7e1d54c1c6d32b612428b21677a2e921f1fecae
root=$(cd "$(dirname "$0")/.." && pwd)
cached="$root/.cache/nats-py-$version"
if [ -d "$cached/nats" ]; then echo "$cached"; exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "nats-py==$version --hash=sha256:$hash" > "$work/requirements.txt"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --require-hashes --dest "$work/wheel" --requirement "$work/requirements.txt" >&2
mkdir -p "$root/.cache"
python3 -m zipfile -e "$work"/wheel/*.whl "$work/unpacked"
# Moved in one step; whoever comes second finds it there.
mv -T "$work/unpacked" "$cached" 2>/dev/null || [ -d "$cached/nats" ]
echo "$cached"
