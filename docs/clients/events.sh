#!/bin/sh
# Prints what happens in one validator, as it happens: CRLs that come to be enforced, receipts.
# usage: events.sh URL [QUERY]      (URL like http://127.0.0.1:8444, QUERY like event=applied&kind=complete)
# More words for curl (--cacert, --cert, --key for a door with TLS) stand in CURL_OPTIONS.
set -eu
# shellcheck disable=SC2086
exec curl --silent --show-error --fail-with-body --no-buffer ${CURL_OPTIONS:-} \
    --header 'Accept: text/event-stream' "$1/v1/events?${2:-event=applied,receipt}"
