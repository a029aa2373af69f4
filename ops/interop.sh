#!/bin/sh
# The foreign programs that `make interop` runs against, from the distribution's packages.
set -eu
if command -v openssl >/dev/null; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openssl >/dev/null
else
    echo "make interop needs the openssl command line: install it and run again" >&2
    exit 1
fi
