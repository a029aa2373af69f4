#!/usr/bin/env python3
"""Asks the fleet whether certificates are valid: over NATS, in JSON.

    ask.py [--explain] [--policy NAME] [--validator NAME] CERTIFICATE...     (files, DER or PEM)

Where the broker is and who asks stand in the environment: NATS_URL, NATS_USER, NATS_PASSWORD.
Prints the answer as JSON. Exit codes: 0 all valid, 1 one is revoked or invalid, 2 one is indeterminate,
4 nobody answered with verdicts.
"""

import argparse
import asyncio
import base64
import json
import os
import ssl
import sys

import nats
from nats.errors import Error as NatsError

JSON = {"Content-Type": "application/json; charset=utf-8"}


def der(path):
    with open(path, "rb") as file:
        content = file.read()
    if content.startswith(b"-----BEGIN"):
        content = ssl.PEM_cert_to_DER_cert(content.decode())
    return base64.b64encode(content).decode()


def connection():
    user = os.environ.get("NATS_USER")
    options = {"servers": os.environ.get("NATS_URL", "nats://127.0.0.1:4222"), "name": "ask.py"}
    if user:
        # The broker's permissions bind each user to inboxes of its own.
        options |= {"user": user, "password": os.environ["NATS_PASSWORD"], "inbox_prefix": f"_INBOX_{user}"}
    return nats.connect(**options)


async def ask(arguments):
    if arguments.validator:
        subject = f"pki.validate.{arguments.validator}"
    else:
        subject = "pki.explain" if arguments.explain else "pki.validate"
    question = {
        "certificates": [der(path) for path in arguments.certificate],
        "options": {"policy": arguments.policy, "explain": arguments.explain},
    }
    async with await connection() as client:
        message = await client.request(subject, json.dumps(question).encode(), timeout=10, headers=JSON)
    return json.loads(message.data)


def exit_code(answer):
    if answer.get("error") or answer["refused"]:
        return 4
    outcomes = {judgement["outcome"] for judgement in answer["judgements"]}
    if outcomes & {"revoked", "invalid"}:
        return 1
    return 2 if "indeterminate" in outcomes else 0


def main():
    parser = argparse.ArgumentParser(description="Asks the fleet whether certificates are valid.")
    parser.add_argument("--explain", action="store_true", help="wants the paths and checks told")
    parser.add_argument("--policy", help="a policy of the validators' configuration")
    parser.add_argument("--validator", help="asks this one, instead of whichever is free")
    parser.add_argument("certificate", nargs="+")
    try:
        answer = asyncio.run(ask(parser.parse_args()))
    except (OSError, NatsError, ValueError) as error:
        print(f"ask.py: {error or type(error).__name__}", file=sys.stderr)
        return 4
    print(json.dumps(answer, indent=2))
    return exit_code(answer)


if __name__ == "__main__":
    sys.exit(main())
