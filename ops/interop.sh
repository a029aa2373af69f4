#!/bin/sh
# The foreign programs that `make interop` runs against: openssl and curl from the distribution's packages, nats-py from
# PyPI into the project's cache.
set -eu
missing=
for program in openssl curl; do command -v "$program" >/dev/null || missing="$missing $program"; done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # Split into words on purpose.
        # shellcheck disable=SC2086
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
    else
        echo "make interop needs$missing on the command line: install and run again" >&2
        exit 1
    fi
fi
sh "$(dirname "$0")/nats-py.sh" >/dev/null
