#!/usr/bin/env python3
"""Subscribes to the notices of all issuers, and prints each as a line of JSON: over NATS, for as long as it runs.

    follow.py --name NAME [--issuer ID] [--count N]

A subscription is what a validator does: its NAME is in the list of destinations from then on, the authorities hold a
receipt from it owed (`revocast ca revoke --wait` waits for it), and the subscription lapses after its lease unless it is
renewed. So this client takes it back when it ends. Whoever only looks needs no subscription: leave out --name.

Where the broker is and who follows stand in the environment: NATS_URL, NATS_USER, NATS_PASSWORD. A notice is a hint:
enforce nothing before you have verified the CA's signature.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import uuid

import nats
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

JSON = {"Content-Type": "application/json"}
LEASE_S = 60


def connection():
    user = os.environ.get("NATS_USER")
    options = {"servers": os.environ.get("NATS_URL", "nats://127.0.0.1:4222"), "name": "follow.py"}
    if user:
        # The broker's permissions bind each user to inboxes of its own.
        options |= {"user": user, "password": os.environ["NATS_PASSWORD"], "inbox_prefix": f"_INBOX_{user}"}
    return nats.connect(**options)


async def subscription(client, arguments, interest):
    """Starts, renews or stops the subscription; tells what the one responsible answers."""
    request = {"validator": arguments.name, "issuer": arguments.issuer, "interest": interest, "locations": []}
    subject = f"pki.subscribe.{arguments.issuer or 'all'}.{arguments.name}"
    message = await client.request(subject, json.dumps(request).encode(), timeout=5, headers=JSON)
    return json.loads(message.data)


async def keep_subscribed(client, arguments):
    start = {"start": {"payload": "announce", "lease_s": LEASE_S}}
    while True:
        told(subscription=await subscription(client, arguments, start))
        await asyncio.sleep(LEASE_S / 3)


async def notices(client, count):
    """What the stream holds last on each subject, then whatever comes."""
    config = ConsumerConfig(
        name=f"follow-{uuid.uuid4().hex}",
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        ack_policy=AckPolicy.NONE,
        mem_storage=True,
        inactive_threshold=30,
    )
    consumer = await client.jetstream().pull_subscribe("pki.>", stream="NOTICES", config=config)
    seen = 0
    while count is None or seen < count:
        try:
            messages = await consumer.fetch(64, timeout=5)
        except NatsTimeout:
            continue
        for message in messages:
            if message.subject.startswith("pki.notice.crl."):
                told(notice={"subject": message.subject, **{
                    name: value for name, value in (message.headers or {}).items() if name.startswith("Revocast-")
                }})
                seen += 1


def told(**line):
    print(json.dumps(line), flush=True)


async def follow(arguments):
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with await connection() as client:
        work = [asyncio.create_task(notices(client, arguments.count))]
        if arguments.name:
            work.append(asyncio.create_task(keep_subscribed(client, arguments)))
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        except asyncio.CancelledError:
            pass
        finally:
            for one in work:
                one.cancel()
            if arguments.name:
                told(subscription=await subscription(client, arguments, "stop"))


def main():
    parser = argparse.ArgumentParser(description="Follows the notices of CRLs.")
    parser.add_argument("--name", help="subscribes under this name: a subject token")
    parser.add_argument("--issuer", help="subscribes to this issuer only: its id")
    parser.add_argument("--count", type=int, help="ends after so many notices")
    try:
        asyncio.run(follow(parser.parse_args()))
    except (OSError, NatsError, ValueError) as error:
        print(f"follow.py: {error or type(error).__name__}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
