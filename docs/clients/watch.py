#!/usr/bin/env python3
"""Watches a certificate, and prints each verdict on it as a line of JSON: over NATS, for as long as it runs.

    watch.py [--policy NAME] [--count N] CERTIFICATE     (file, DER or PEM)

It asks `pki.watch`, listens to `pki.told.<watch>`, and asks again whenever anything is heard there and before its lease
ends: the answer is the verdict that stands. What is heard is only a reason to ask.

Where the broker is and who watches stand in the environment: NATS_URL, NATS_USER, NATS_PASSWORD.
"""

import argparse
import asyncio
import base64
import json
import os
import signal
import ssl
import sys
import uuid

import nats
from nats.errors import Error as NatsError

JSON = {"Content-Type": "application/json"}
LEASE_S = 60


def der(path):
    with open(path, "rb") as file:
        content = file.read()
    if content.startswith(b"-----BEGIN"):
        content = ssl.PEM_cert_to_DER_cert(content.decode())
    return base64.b64encode(content).decode()


def connection():
    user = os.environ.get("NATS_USER")
    options = {"servers": os.environ.get("NATS_URL", "nats://127.0.0.1:4222"), "name": "watch.py"}
    if user:
        # The broker's permissions bind each user to inboxes of its own.
        options |= {"user": user, "password": os.environ["NATS_PASSWORD"], "inbox_prefix": f"_INBOX_{user}"}
    return nats.connect(**options)


class Watch:
    """One certificate under watch, under a name that is this process's alone."""

    def __init__(self, client, certificate, policy):
        self.client = client
        self.request = {
            "client": f"watch-{uuid.uuid4().hex[:16]}",
            "certificate": certificate,
            "options": {"policy": policy},
        }

    async def ask(self, interest):
        request = json.dumps(self.request | {"interest": interest}).encode()
        message = await self.client.request("pki.watch", request, timeout=10, headers=JSON)
        return json.loads(message.data)

    async def stands(self):
        """Starts or renews the watch; the verdict that stands."""
        answer = await self.ask({"start": {"lease_s": LEASE_S}})
        if "accepted" not in answer:
            raise ValueError(json.dumps(answer))
        return answer["accepted"]["verdict"]


async def verdicts(watch, count):
    first = await watch.stands()
    heard = asyncio.Event()

    async def hear(_):
        heard.set()

    await watch.client.subscribe(f"pki.told.{first['watch']}", cb=hear)
    # What was told between the first answer and the listening is in the next one.
    before, seen = None, 0
    while count is None or seen < count:
        heard.clear()
        verdict = await watch.stands()
        if (verdict["outcome"], verdict["reason"]) != before:
            print(json.dumps(verdict), flush=True)
            before, seen = (verdict["outcome"], verdict["reason"]), seen + 1
            continue
        try:
            await asyncio.wait_for(heard.wait(), LEASE_S / 3)
        except asyncio.TimeoutError:
            pass


async def run(arguments):
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with await connection() as client:
        watch = Watch(client, der(arguments.certificate), arguments.policy)
        try:
            await verdicts(watch, arguments.count)
        except asyncio.CancelledError:
            pass
        finally:
            await watch.ask("stop")


def main():
    parser = argparse.ArgumentParser(description="Prints each verdict on a certificate.")
    parser.add_argument("--policy", help="a policy of the validators' configuration")
    parser.add_argument("--count", type=int, help="ends after so many verdicts")
    parser.add_argument("certificate")
    try:
        asyncio.run(run(parser.parse_args()))
    except (OSError, NatsError, ValueError) as error:
        print(f"watch.py: {error or type(error).__name__}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
