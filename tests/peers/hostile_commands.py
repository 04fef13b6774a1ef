"""Tricks of a hostile broker that knows that the hub takes commands."""

import json
import random
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

from gateway.demo.packets import text, variable

from peers.hostile import WELCOME, Session, pour

HUB = "ledger"
MANY = 3000
numbers = count(1)


def publish(
    do: str, payload: bytes, *, qos: int = 1, number: int = 0, reply_to: bytes = b"", correlation: bytes = b"", retain: bool = False
) -> bytes:
    """A PUBLISH of MQTT 5. number: of the packet, the next where none is given."""
    said = (b"\x08" + struct.pack(">H", len(reply_to)) + reply_to if reply_to else b"") + (
        b"\x09" + struct.pack(">H", len(correlation)) + correlation if correlation else b""
    )
    packet_id = struct.pack(">H", number or next(numbers) % 65_535 + 1) if qos else b""
    body = text(f"canary/{HUB}/do/{do}") + packet_id + variable(len(said)) + said + payload
    return bytes([0x30 | qos << 1 | retain]) + variable(len(body)) + body


def state(id_: str, **more: object) -> bytes:
    """A question that is as it should be."""
    return json.dumps({"id": id_, "issued": datetime.now(UTC).isoformat(), **more}).encode()


async def _serve(session: Session, packets: Iterator[bytes], refuse: int = 0) -> None:
    """Welcome the hub, say all of that, and acknowledge its moments ever after."""
    session.refuse = refuse
    session.say(WELCOME)
    await session.listen()
    for packet in packets:
        session.say(packet)
        await session.writer.drain()
    while True:
        await session.listen()
        for number in list(session.pile):
            session.take(number)
        if session.answers:
            session.hostile.played.set()


async def asks_without_end(session: Session) -> None:
    """Thousands of questions, far beyond the receive maximum."""
    await _serve(session, (publish("state", state(f"many-{number}")) for number in range(MANY)))


async def asks_as_if_nobody_counted(session: Session) -> None:
    """The same with QoS 0, under one id, and large."""
    await _serve(session, (publish("state", state("one", filler="x" * 15_000), qos=0) for _ in range(MANY // 10)))


async def asks_for_nonsense(session: Session) -> None:
    """Payloads of every kind, and a question at the end that shows that all were looked at."""
    luck = random.Random(1)
    bad = [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"id": "deep", "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        state("\ud800"),
        state("a" * 65),
        state("../../x"),
        state("fields", issued=None, expires=[], what={}, more="x"),
        state("large", what="x" * 200_000),
        state("old", issued="1970-01-01T00:00:00Z"),
        state("far", issued="9999-12-31T23:59:59-23:59"),
        *(luck.randbytes(luck.randrange(300)) for _ in range(50)),
    ]
    names = ["mute", "config", "acknowledge", "", "a/b/c", "x" * 1000, "\N{SNOWMAN}"]
    await _serve(session, (publish(luck.choice(names), payload) for payload in [*bad, state("last")]))


async def wants_answers_where_none_go(session: Session) -> None:
    """Response topics that would loop, shout, or lie."""
    places = [*(f"canary/{HUB}/{place}" for place in ("do/state", "#", "state", "moments")), "x" * 60_000, "a/../b", "$SYS/x"]
    asked = [publish("state", state(f"to-{place[:40]}"), reply_to=place.encode(), correlation=b"c" * 60_000) for place in places]
    asked += [publish("state", state(f"to-{number}"), reply_to=place.encode()) for number, place in enumerate(places)]
    await _serve(session, iter(asked))


async def asks_by_broken_rules(session: Session) -> None:
    """Retained, twice under one packet id, and with a quality that was not asked for."""
    await _serve(
        session,
        iter([
            publish("state", state("kept"), retain=True),
            *(publish("state", state("same"), number=7) for _ in range(20)),
            publish("state", state("twice"), qos=2),
        ]),
    )  # fmt: skip


async def refuses_every_answer(session: Session) -> None:
    """Not authorised, for everything that is no moment."""
    await _serve(session, (publish("state", state(f"not-{number}")) for number in range(10)), refuse=0x87)


async def ends_the_connection_at_every_answer(session: Session) -> None:
    """With the reason that the topic is no good: which of those in flight is meant, the hub has to guess."""
    session.refuse = None
    session.say(WELCOME)
    await session.listen()
    session.say(publish("state", state(f"end-{next(numbers)}")))
    while not session.answers:
        await session.listen()
        for number in list(session.pile):
            session.take(number)
    session.hostile.played.set()
    session.say(b"\xe0\2\x90\0")


async def asks_in_a_language_that_is_none(session: Session) -> None:
    """A topic that is no UTF-8."""
    session.say(WELCOME)
    await session.listen()
    session.say(b"\x30\x06\0\2\xff\xfe\0x")
    session.hostile.played.set()
    await session.listen()


async def asks_with_a_property_that_is_none(session: Session) -> None:
    """A response topic with a zero in it."""
    session.say(WELCOME)
    await session.listen()
    session.say(publish("state", state("zero"), reply_to=b"\0"))
    session.hostile.played.set()
    await session.listen()


async def asks_as_fast_as_it_can(session: Session) -> None:
    """Megabytes of small questions, until the hub no longer takes them in at once."""
    session.say(WELCOME)
    await session.listen()
    await pour(session, lambda: publish("state", state("pour")) * 500, 4 * 2**20)


TRICKS = (
    asks_without_end,
    asks_as_if_nobody_counted,
    asks_for_nonsense,
    wants_answers_where_none_go,
    asks_by_broken_rules,
    refuses_every_answer,
    ends_the_connection_at_every_answer,
    asks_in_a_language_that_is_none,
    asks_with_a_property_that_is_none,
    asks_as_fast_as_it_can,
)
