#!/bin/sh
# Prints a password for each user of nats/accounts.conf and for Grafana, as compose.yaml reads them from .env:
#   sh ops/passwords.sh > .env && chmod 600 .env
set -eu
for user in SYS AUTHORITY REPOSITORY WATCHER VALIDATOR BRIDGE CLIENT MONITOR OPERATOR; do
    # The first letter keeps the broker from reading a number.
    echo "REVOCAST_NATS_$user=p$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
done
echo "GRAFANA_PASSWORD=p$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
