"""A broker that means no good, or is broken: each trick is what one connection gets."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress

from gateway.demo.packets import read, variable

MOST = 2**20  # bytes of a packet that it reads
QUIET = 0.05  # s
CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ = 0x10, 0x30, 0x40, 0x82, 0xC0
WELCOME = bytes([0x20, 3, 0, 0, 0])
FLOOD = 32 * 2**20  # bytes

Answer = Callable[["Session"], Awaitable[None]]


class Session:
    """One connection with a hub. `pile`: packet ids of moments that were published and not acknowledged, with what each holds.

    answers: what was published on other topics but that of the state. refuse: the reason code with which that is acknowledged; None
    leaves it unacknowledged.
    """

    def __init__(self, hostile: "Hostile", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hostile, self.reader, self.writer = hostile, reader, writer
        self.pile: dict[bytes, bytes] = {}
        self.answers: list[tuple[str, bytes]] = []
        self.refuse: int | None = 0

    def say(self, *packets: bytes) -> None:
        """Send some bytes."""
        self.writer.write(b"".join(packets))

    def take(self, number: bytes) -> None:
        """Acknowledge one; what it holds is the broker's from now on."""
        self.hostile.heard(self.pile.pop(number))
        self.say(bytes([PUBACK, 2]), number)

    async def listen(self) -> None:
        """Take in what the hub says until it is quiet; it has to be answered when it says that it is online."""
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(QUIET if self.pile else None):
                    kind, packet = await read(self.reader, MOST)
                if kind == PINGREQ:
                    self.say(b"\xd0\0")
                elif kind == SUBSCRIBE:
                    self.say(b"\x90\4", packet.take(2), b"\0\1")
                elif kind & 0xF0 == PUBLISH:
                    topic, number = packet.text(), packet.take(2)
                    packet.properties()
                    if topic.endswith("/state"):
                        self.say(bytes([PUBACK, 2]), number)
                    elif topic.endswith("/moments"):
                        self.pile[number] = packet.take(packet.left)
                    else:
                        self.answers.append((topic, packet.take(packet.left)))
                        if self.refuse is not None:
                            self.say(bytes([PUBACK, 3]), number, bytes([self.refuse]))


class Hostile:
    """`asyncio.start_server(Hostile(heard), "127.0.0.1", 0)`; `trick` is for the connections to come, `played` is set by each.

    heard: is given each moment that this broker has acknowledged, and so is answerable for.
    """

    def __init__(self, heard: Callable[[bytes], object]) -> None:
        self.heard = heard
        self.trick: Answer = acks_backwards
        self.played = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, until the hub has had enough of it."""
        session = Session(self, reader, writer)
        with closing(writer), suppress(asyncio.IncompleteReadError, OSError):
            kind, _ = await read(reader, MOST)
            assert kind == CONNECT
            await self.trick(session)


async def _for_ever(session: Session, answer: Callable[[Session], None]) -> None:
    session.say(WELCOME)
    while True:
        await session.listen()
        answer(session)
        session.hostile.played.set()


async def acks_backwards(session: Session) -> None:
    """The newest first."""
    await _for_ever(session, lambda session: [session.take(number) for number in reversed(list(session.pile))] and None)


async def acks_twice(session: Session) -> None:
    """Every acknowledgement comes again."""

    def answer(session: Session) -> None:
        for number in list(session.pile):
            session.take(number)
            session.say(bytes([PUBACK, 2]), number)

    await _for_ever(session, answer)


async def acks_what_nobody_sent(session: Session) -> None:
    """The packet ids are of nothing that is under way."""

    def answer(session: Session) -> None:
        for number in session.pile:
            session.say(bytes([PUBACK, 2]), ((int.from_bytes(number, "big") + 20_000) % 65_536).to_bytes(2, "big"))
        session.pile.clear()

    await _for_ever(session, answer)


async def acks_as_of_another_quality(session: Session) -> None:
    """With the packets of QoS 2, in the wrong order."""

    def answer(session: Session) -> None:
        for number in session.pile:
            session.say(bytes([0x70, 2]), number, bytes([0x50, 2]), number)
        session.pile.clear()

    await _for_ever(session, answer)


async def acks_with_a_broken_reason(session: Session) -> None:
    """A reason code that no version knows, and properties longer than their packet."""

    def answer(session: Session) -> None:
        for number in session.pile:
            session.say(bytes([PUBACK, 4]), number, b"\x7b\xff")
        session.pile.clear()

    await _for_ever(session, answer)


async def acks_as_if_busy(session: Session) -> None:
    """Quota exceeded, for everything."""

    def answer(session: Session) -> None:
        for number in session.pile:
            session.say(bytes([PUBACK, 3]), number, b"\x97")
        session.pile.clear()

    await _for_ever(session, answer)


async def takes_and_never_acks(session: Session) -> None:
    """It listens, and says nothing."""
    await _for_ever(session, lambda session: session.pile.clear())


async def babbles(session: Session) -> None:
    """Random bytes after the welcome."""
    session.say(WELCOME, random.Random(1).randbytes(5000))
    session.hostile.played.set()
    await session.listen()


async def answers_what_nobody_asked(session: Session) -> None:
    """SUBACK, UNSUBACK, PINGRESP, a second welcome, AUTH."""
    session.say(WELCOME, b"\x90\4\0\7\0\0", b"\xb0\4\0\7\0\0", b"\xd0\0", WELCOME, b"\xf0\0")
    session.hostile.played.set()
    await session.listen()


async def allows_nothing(session: Session) -> None:
    """Receive maximum 0, which the standard forbids (3.2.2.3.3)."""
    session.say(bytes([0x20, 6, 0, 0, 3, 0x21, 0, 0]))
    session.hostile.played.set()
    while True:
        await session.listen()


async def is_never_ready(session: Session) -> None:
    """Server unavailable."""
    session.say(bytes([0x20, 3, 0, 0x88, 0]))
    session.hostile.played.set()
    await session.listen()


async def sends_a_packet_that_is_too_large(session: Session) -> None:
    """A message of 200 MiB is announced, and as much of it sent as the hub will take."""
    body = b"\0\1x\0"
    session.say(WELCOME, bytes([0x30]), variable(200 * 2**20), body)
    await pour(session, lambda: bytes(65536))


async def floods(session: Session) -> None:
    """Messages that nobody subscribed to, as many as the hub will take."""
    one = b"\0\1x\0" + bytes(1000)
    session.say(WELCOME)
    await pour(session, lambda: (bytes([0x30]) + variable(len(one)) + one) * 64)


async def pour(session: Session, more: Callable[[], bytes], flood: int = FLOOD) -> None:
    poured = 0
    try:
        while poured < flood:
            data = more()
            session.say(data)
            poured += len(data)
            await session.writer.drain()
    finally:
        session.hostile.played.set()
    await session.listen()


TRICKS = (
    acks_backwards,
    acks_twice,
    acks_what_nobody_sent,
    acks_as_of_another_quality,
    acks_with_a_broken_reason,
    acks_as_if_busy,
    takes_and_never_acks,
    babbles,
    answers_what_nobody_asked,
    allows_nothing,
    is_never_ready,
    sends_a_packet_that_is_too_large,
    floods,
)
