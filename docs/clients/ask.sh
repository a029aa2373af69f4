#!/bin/sh
# Asks one validator over HTTP, with curl, in each form that it takes.
# usage: ask.sh URL CERTIFICATE [INTERMEDIATE...]      (PEM files; URL like http://127.0.0.1:8444)
# More words for curl (--cacert, --cert, --key for a door with TLS) stand in CURL_OPTIONS.
set -eu
url=$1 certificate=$2
shift 2

# CURL_OPTIONS is split into words on purpose.
# shellcheck disable=SC2086
ask() { curl --silent --show-error --fail-with-body ${CURL_OPTIONS:-} "$@"; echo; }

# The certificate, and what may help to build paths after it, in one PEM file. Options stand in the URL.
cat "$certificate" "$@" |
    ask --header 'Content-Type: application/pem-certificate-chain' --data-binary @- "$url/v1/validate?explain=true"

# DER.
openssl x509 -in "$certificate" -outform der |
    ask --header 'Content-Type: application/pkix-cert' --data-binary @- "$url/v1/validate"

# Every certificate of a file is asked about.
cat "$certificate" "$@" |
    ask --header 'Content-Type: application/pem-certificate-chain' --data-binary @- "$url/v1/validate?each=true"

# JSON: up to 256 certificates in base64, up to 64 intermediates, and the options in the body.
printf '{"certificates": ["%s"], "options": {"explain": false}}' \
    "$(openssl x509 -in "$certificate" -outform der | base64 | tr -d '\n')" |
    ask --header 'Content-Type: application/json' --data-binary @- "$url/v1/validate"
