"""An MQTT broker for the demo, so that it needs nothing installed: 3.1.1 and 5.0, on loopback only.

It is a whole broker for well-behaved clients of one machine: QoS 0 and 1, retained messages, wildcards, last will, keep-alive,
receive maximum. It has no sessions that outlive a connection, no QoS 2, no shared subscriptions and no passwords, and says so in
its CONNACK. (The brokers that can be installed as libraries speak 3.1.1 only and bring a dozen packages.)

Promises
- A packet that is malformed, or against the protocol, ends that connection and no other.
- Everything is bounded: clients, subscriptions, retained topics, packet size, and what waits for a client that does not read.

Section numbers are those of the OASIS standard "MQTT Version 5.0".
"""

import asyncio
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from gateway.demo.packets import Breach, Packet, malformed, read, text, variable

HOST = "127.0.0.1"
MAX_CLIENTS = 32
MAX_SUBSCRIPTIONS = 64  # of one client
MAX_RETAINED = 1000  # topics
MAX_PACKET = 64 * 1024  # bytes
MAX_UNREAD = 4 * 2**20  # bytes, and
MAX_WAITING = 1000  # messages with QoS 1, that wait for a client
WINDOW = 100  # messages with QoS 1 on their way to a client, at most
CONNECT_TIMEOUT = 10.0  # s for the first packet

CONNECT, CONNACK, PUBLISH, PUBACK = 0x10, 0x20, 0x30, 0x40
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 0x82, 0x90, 0xA2, 0xB0
PINGREQ, PINGRESP, DISCONNECT = 0xC0, 0xD0, 0xE0

ASSIGNED_ID, WILL_DELAY, RECEIVE_MAXIMUM, TOPIC_ALIAS = 0x12, 0x18, 0x21, 0x23

# Section 3.2.2.3: QoS 1 at most, packets of MAX_PACKET at most, no shared subscriptions, no subscription identifiers.
LIMITS = struct.pack(">BBBIBBBB", 0x24, 1, 0x27, MAX_PACKET, 0x2A, 0, 0x29, 0)


class _Message(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: bytes  # as a client of version 5 wrote them


class _Client:
    """One connection that has said CONNECT."""

    def __init__(self, writer: asyncio.StreamWriter, version: int) -> None:
        self.writer = writer
        self.version = version
        self.name = ""
        self.will: _Message | None = None
        self.subscriptions: dict[str, int] = {}  # topic filter -> subscription options (3.8.3.1)
        self.window = WINDOW
        self.in_flight: set[int] = set()
        self.waiting: deque[_Message] = deque()
        self._last_id = 0

    def write(self, kind: int, body: bytes = b"") -> None:
        self.writer.write(bytes([kind]) + variable(len(body)) + body)
        if self.writer.transport.get_write_buffer_size() > MAX_UNREAD:
            self.writer.transport.abort()

    def deliver(self, message: _Message) -> None:
        if message.qos and len(self.in_flight) >= self.window:
            self.waiting.append(message)
            if len(self.waiting) > MAX_WAITING:
                self.writer.transport.abort()
            return
        body = text(message.topic)
        if message.qos:
            self._last_id = next(number for number in self._ids() if number not in self.in_flight)
            self.in_flight.add(self._last_id)
            body += self._last_id.to_bytes(2, "big")
        if self.version == 5:
            body += variable(len(message.properties)) + message.properties
        self.write(PUBLISH | message.qos << 1 | message.retain, body + message.payload)

    def acknowledged(self, number: int) -> None:
        self.in_flight.discard(number)
        if self.waiting and len(self.in_flight) < self.window:
            self.deliver(self.waiting.popleft())

    def close(self, reason: int) -> None:
        """End the connection, telling a client of version 5 why."""
        if self.version == 5:
            self.write(DISCONNECT, bytes([reason]))
        self.writer.close()

    def _ids(self) -> Iterator[int]:
        yield from range(self._last_id + 1, 0x10000)
        yield from range(1, self._last_id + 1)


class Broker:
    """`async with Broker() as broker:` serves at `broker.url` until left. Port 0 takes a free one."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._clients: dict[str, _Client] = {}
        self._retained: dict[str, _Message] = {}
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._count = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"mqtt://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        for client in self._clients.values():
            client.close(0x8B)
        for writer in self._connections.values():
            writer.close()
        for impatience in (1.0, None):
            if self._connections:
                await asyncio.wait(self._connections, timeout=impatience)
            for writer in self._connections.values():
                writer.transport.abort()
        await self._server.wait_closed()

    # ------------------------------------------------------------ one connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections[task] = writer
        client = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                kind, packet = await read(reader, MAX_PACKET)
            if kind != CONNECT or len(self._connections) > MAX_CLIENTS:
                return
            client, keep_alive = self._connect(packet, writer)
            while True:
                async with asyncio.timeout(keep_alive * 1.5 or None):  # 3.1.2.10
                    kind, packet = await read(reader, MAX_PACKET)
                if kind == DISCONNECT:
                    if not (client.version == 5 and packet.left and packet.byte() == 0x04):  # "with will message"
                        client.will = None
                    return
                self._handle(client, kind, packet)
                await writer.drain()
        except Breach as breach:
            if client:
                client.close(breach.reason)
        except (asyncio.IncompleteReadError, OSError):
            pass  # it hung up, or was silent for too long
        finally:
            if client:
                self._forget(client)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            del self._connections[task]

    def _connect(self, packet: Packet, writer: asyncio.StreamWriter) -> tuple[_Client, int]:
        """CONNECT (3.1) and its answer: the client, and how often in seconds it must speak (0: need not)."""
        name, version, flags, keep_alive = packet.text(), packet.byte(), packet.byte(), packet.short()
        if name != "MQTT" or flags & 0x01 or flags & 0x18 > 0x08:
            malformed()
        if version not in {4, 5}:
            writer.write(bytes([CONNACK, 2, 0, 1]))
            malformed()
        client = _Client(writer, version)
        if version == 5:
            windows = [number for name, number, _ in packet.properties() if name == RECEIVE_MAXIMUM]
            client.window = min([WINDOW, *windows]) or malformed()
        client.name = packet.text()
        answer = b""
        if not client.name:
            self._count += 1
            client.name = f"guest-{self._count}"
            answer = bytes([ASSIGNED_ID]) + text(client.name)
        if flags & 0x04:
            # A PUBLISH may not have the delay, and a session that ends with its connection need not wait for it (3.1.3.2.2).
            properties = b"".join(p.raw for p in packet.properties() if p.name != WILL_DELAY) if version == 5 else b""
            client.will = _Message(packet.text(), packet.data(), flags >> 3 & 3, bool(flags & 0x20), properties)
            _check_topic(client.will.topic)
        answer += LIMITS
        client.write(CONNACK, b"\0\0" + (variable(len(answer)) + answer if version == 5 else b""))
        if client.name in self._clients:
            self._clients[client.name].close(0x8E)  # taken over (3.1.4)
            self._forget(self._clients[client.name])
        self._clients[client.name] = client
        return client, keep_alive

    def _forget(self, client: _Client) -> None:
        if self._clients.get(client.name) is client:
            del self._clients[client.name]
        will, client.will = client.will, None
        if will:
            self._publish(will, client)

    # ------------------------------------------------------------ packets

    def _handle(self, client: _Client, kind: int, packet: Packet) -> None:
        if kind & 0xF0 == PUBLISH:
            self._incoming(client, kind, packet)
        elif kind == PUBACK:
            client.acknowledged(packet.short())
        elif kind == SUBSCRIBE:
            self._subscribe(client, packet)
        elif kind == UNSUBSCRIBE:
            self._unsubscribe(client, packet)
        elif kind == PINGREQ:
            client.write(PINGRESP)
        else:
            raise Breach(0x82)

    def _incoming(self, client: _Client, kind: int, packet: Packet) -> None:
        """PUBLISH (3.3)."""
        qos = kind >> 1 & 3
        if qos > 1:
            raise Breach(0x9B if qos == 2 else 0x81)
        topic = packet.text()
        _check_topic(topic)
        number = packet.take(2) if qos else b""
        properties = packet.properties() if client.version == 5 else []
        if any(p.name == TOPIC_ALIAS for p in properties):
            raise Breach(0x94)
        raw = b"".join(p.raw for p in properties)
        self._publish(_Message(topic, packet.take(packet.left), qos, bool(kind & 1), raw), client)
        if qos:
            client.write(PUBACK, number)

    def _publish(self, message: _Message, sender: _Client) -> None:
        if message.retain:
            self._retained.pop(message.topic, None)
            if message.payload and len(self._retained) < MAX_RETAINED:
                self._retained[message.topic] = message
        for client in self._clients.values():
            options = [o for f, o in client.subscriptions.items() if matches(f, message.topic)]
            options = [o for o in options if not (o & 0x04 and client is sender)]  # no local
            if options:
                retain = message.retain and any(o & 0x08 for o in options)  # retain as published
                client.deliver(message._replace(qos=min(message.qos, max(o & 3 for o in options)), retain=retain))

    def _subscribe(self, client: _Client, packet: Packet) -> None:
        """SUBSCRIBE (3.8); then the retained messages, unless the client does not want them (3.8.3.1)."""
        number = packet.take(2)
        if client.version == 5:
            packet.properties()
        reasons = bytearray()
        wanted = []
        while packet.left or not reasons:
            name, options = packet.text(), packet.byte()
            if options & 3 == 3:
                malformed()
            known = name in client.subscriptions
            if not _is_filter(name) or (len(client.subscriptions) >= MAX_SUBSCRIPTIONS and not known):
                reasons.append(0x8F if client.version == 5 else 0x80)
                continue
            options = options & ~3 | min(options & 3, 1)
            client.subscriptions[name] = options
            reasons.append(options & 3)
            handling = options >> 4 & 3
            if handling == 0 or (handling == 1 and not known):
                wanted.append((name, options & 3))
        client.write(SUBACK, number + (b"\0" if client.version == 5 else b"") + reasons)
        for name, qos in wanted:
            for message in self._retained.values():
                if matches(name, message.topic):
                    client.deliver(message._replace(qos=min(message.qos, qos)))

    def _unsubscribe(self, client: _Client, packet: Packet) -> None:
        """UNSUBSCRIBE (3.10)."""
        number = packet.take(2)
        if client.version == 5:
            packet.properties()
        reasons = bytearray()
        while packet.left or not reasons:
            found = client.subscriptions.pop(packet.text(), None)
            reasons.append(0x11 if found is None else 0)
        client.write(UNSUBACK, number + (b"\0" + reasons if client.version == 5 else b""))


# ---------------------------------------------------------------- pieces


def _check_topic(topic: str) -> None:
    if not topic or "+" in topic or "#" in topic:
        raise Breach(0x90)


def _is_filter(name: str) -> bool:
    """Whether it is a topic filter (4.7.1), and none of a shared subscription."""
    levels = name.split("/")
    wild = all(level in {"+", "#"} or not {"+", "#"} & set(level) for level in levels)
    return bool(name) and wild and "#" not in levels[:-1] and levels[0] != "$share"


def matches(name: str, topic: str) -> bool:
    """Whether a topic is one of those that a filter names (4.7)."""
    if topic.startswith("$") and name[0] in "+#":
        return False
    levels = topic.split("/")
    for at, level in enumerate(name.split("/")):
        if level == "#":
            return True
        if at >= len(levels) or level not in {"+", levels[at]}:
            return False
    return len(levels) == len(name.split("/"))
