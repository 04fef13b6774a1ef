"""One connection to the broker: aiomqtt's client on a socket that is already open, with what a hub needs to know of each answer.

The only file that imports the MQTT library. Sessions are clean and each connection has a client of its own, so that the outbox is
the only memory of what is to be sent: nothing in the library is sent twice, or kept when it should be gone.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

import aiomqtt
from paho.mqtt.client import Client as Paho
from paho.mqtt.client import ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.backoff import WINDOW
from gateway.clock import Clock
from gateway.config import model
from gateway.dial import UplinkFault, dial
from gateway.reason_codes import ABOUT_WHAT_WAS_SENT, BUSY, HOPELESS, QUOTA, REFUSED, UNCLEAR

ANSWER_TIMEOUT = 10.0  # s for the broker's answer to CONNECT and to a state message
ACK_TIMEOUT = 60.0  # s without any acknowledgement while some are due
HANG_UP = 0.5  # s for the last packet
LARGEST = 2**18  # bytes of a packet that the broker may send
HELD = 8  # commands that the broker may send before the first is taken
PUBACK = 0x40

Result = TypeVar("Result")

# What paho logs is said by the uplink, in other words and once.
_silent = logging.getLogger("gateway.link.paho")
_silent.disabled = True


class Publication(NamedTuple):
    """Something published, as a subscriber gets it.

    reply_to, correlation: where its publisher wants an answer, and what to send along with that.
    """

    topic: str
    payload: bytes
    retained: bool
    reply_to: str = ""
    correlation: bytes = b""


Hear = Callable[[Publication, Callable[[], None]], None]
"""hear(publication, taken): called on the loop; `taken` is to be called when the next may come."""


class Link(aiomqtt.Client):
    """One connection.

    It also hears what aiomqtt keeps to itself: the reason code of each PUBACK (without it, a moment that the broker has refused
    would count as delivered) and how many messages the broker takes at once. Publishing returns at once; the answers are collected
    here, so that there is no task for each moment and a group of answers is one commit of the outbox.

    in_flight: packet id -> (seq, when sent), with None for what is no moment. taken, put_off, refused: what the broker answered.
    culprits: moments of which one made the broker end the connection, and `why`. window, largest: what it takes, of moments at
    once and of bytes in a packet. answering: packet id -> key of an answer to a command; answered: (key, why the broker does not
    take it, if it does not).

    hear: is given what was subscribed to; without it, that waits in `messages`. The broker keeps back what is more than `HELD`.
    """

    def __init__(
        self,
        config: model.Uplink,
        client_id: str,
        sock: socket.socket,
        wake: asyncio.Event,
        will: tuple[str, bytes] | None,
        hear: Hear | None = None,
    ) -> None:
        modern = config.protocol == "5"
        super().__init__(
            config.host,
            config.port,
            identifier=client_id,
            username=config.username or None,
            password=config.password or None,
            protocol=aiomqtt.ProtocolVersion.V5 if modern else aiomqtt.ProtocolVersion.V311,
            clean_session=None if modern else True,
            keepalive=max(int(config.keep_alive * 0.75), 1),  # paho gives up after two of these without a word
            timeout=ANSWER_TIMEOUT,
            will=aiomqtt.Will(*will, 1, retain=True) if will else None,
            logger=_silent,
            max_inflight_messages=WINDOW,  # never fewer than ours: paho would keep the rest in a queue of its own
            max_queued_incoming_messages=1 if will else 0,  # who has a last will sends, and is sent nothing that it asked for
            properties=_limits(hears=hear is not None) if modern else None,
        )
        self._client.manual_ack_set(hear is not None)
        self._receive = self._client._sock_recv  # noqa: SLF001
        self._client._sock_recv = self._receive_some  # type: ignore[method-assign]  # noqa: SLF001
        self._client._create_socket_connection = lambda: sock  # type: ignore[method-assign]  # noqa: SLF001
        self._disconnected.add_done_callback(self._gone)
        self._wake = wake
        self._hear = hear
        self._fault: UplinkFault | None = None
        self._heard = 0.0
        self.window = WINDOW
        self.largest = 2**28
        self.in_flight: dict[int, tuple[int | None, float]] = {}
        self.taken: list[int] = []
        self.put_off: list[tuple[int, int, str]] = []
        self.refused: list[tuple[int, str]] = []
        self.culprits: list[int] = []
        self.why = ""
        self.answering: dict[int, str] = {}
        self.answered: list[tuple[str, str]] = []
        self._modern = modern
        self._retains = True

    async def come_up(self) -> None:
        """Connect, and wait for the broker's answer. Raises UplinkFault.

        `Client.__aenter__` lets paho connect in a thread, which would go on when this is cancelled. The socket is open: nothing
        blocks here, and paho has it before anybody can cancel, so that `hang_up` finds all that is to be undone.
        """
        self._client_connect()
        try:
            await self._wait_for(self._connected, None)
        except aiomqtt.MqttError as error:
            if isinstance(error, aiomqtt.MqttCodeError) and isinstance(error.rc, ReasonCode):
                raise refusal(error.rc) from error
            raise UplinkFault("the broker does not answer", "is it a broker that listens there?") from error

    async def hang_up(self) -> None:
        """End the connection, with a last packet if there is time for one."""
        self.timeout = HANG_UP
        try:
            with suppress(aiomqtt.MqttError):
                await self.__aexit__(None, None, None)
        finally:
            self._client._sock_close()  # noqa: SLF001

    async def _wait_for(self, fut: Awaitable[Result], timeout: float | None) -> Result:  # noqa: ASYNC109  (aiomqtt's signature)
        """As aiomqtt does, but for `asyncio.wait_for`: before Python 3.12 that loses a cancellation that comes with the answer."""
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError as error:
            raise aiomqtt.MqttError("Operation timed out") from error

    # ------------------------------------------------------------ sending

    def send(self, topic: str, seq: int, wire: bytes, encoding: str = "") -> None:
        """Publish a moment with QoS 1 and return; the answer is told by `wake`. encoding: how the bytes are packed."""
        properties = self._described("application/cloudevents+json")
        if properties and encoding:
            properties.UserProperty = ("content-encoding", encoding)
        self._publish(topic, wire, properties, seq=seq)

    def tell(self, topic: str, payload: bytes) -> int:
        """Publish retained with QoS 1 and return the packet id."""
        return self._publish(topic, payload, None, retain=self._retains)

    def answer(self, key: str, topic: str, payload: bytes, correlation: bytes) -> None:
        """Publish the answer to a command with QoS 1 and return; what becomes of it is in `answered`."""
        properties = self._described("application/json")
        if properties and correlation:
            properties.CorrelationData = correlation
        self.answering[self._publish(topic, payload, properties)] = key

    def _described(self, content: str) -> Properties | None:
        if not self._modern:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = content
        return properties

    async def say(self, topic: str, payload: bytes) -> None:
        """Publish retained with QoS 1 and wait for the answer; `Client.publish` would wait on when the connection is lost."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                while len(self.in_flight) >= self.window:
                    await self._answer()
                number = self.tell(topic, payload)
                while number in self.in_flight:
                    await self._answer()
        except TimeoutError:
            raise UplinkFault("the broker no longer answers") from None

    async def _answer(self) -> None:
        self._wake.clear()
        await self._wake.wait()
        self.check()

    def _publish(
        self, topic: str, payload: bytes, properties: Properties | None, *, seq: int | None = None, retain: bool = False
    ) -> int:
        info = self._client.publish(topic, payload, 1, retain, properties)
        if info.rc:
            raise self._fault or UplinkFault("the connection was lost")
        self.in_flight[info.mid] = seq, self._loop.time()
        return info.mid

    async def subscribe_to_commands(self, topic: str) -> str:
        """Hear what is published on a topic from now on; returns why the broker does not let us, or "".

        What was retained before is not sent, and what is published to be retained says so; in MQTT 3.1.1 it is the other way round.
        """
        options = SubscribeOptions(1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        try:
            (answer,) = await (self.subscribe(topic, options=options) if self._modern else self.subscribe(topic, 1))
        except aiomqtt.MqttError as error:
            raise self._fault or UplinkFault("the broker no longer answers") from error
        code = answer.value if isinstance(answer, ReasonCode) else answer
        return str(answer) if code >= 0x80 else ""

    def _acknowledge(self, number: int) -> None:
        if not self._fault:
            self._client.ack(number, 1)

    def check(self) -> None:
        """Raise what has ended the connection, if it has ended."""
        if self._fault:
            raise self._fault

    def unsettled(self) -> list[int]:
        """What must not be sent now: on its way, or answered and not yet deleted."""
        return self._sent() + self.taken + [seq for seq, *_ in self.put_off] + [seq for seq, _ in self.refused]

    def _sent(self) -> list[int]:
        return [seq for seq, _ in self.in_flight.values() if seq is not None]

    async def news(self, wake: asyncio.Event, longest: float) -> None:
        """Wait for an answer, a new moment or the end of the connection; raise when answers are overdue."""
        due = None
        if self.in_flight:
            oldest = next(iter(self.in_flight.values()))[1]
            due = max(oldest, self._heard) + ACK_TIMEOUT
            longest = min(longest, due - self._loop.time())
        try:
            async with asyncio.timeout(longest):
                await wake.wait()
        except TimeoutError:
            if due is not None and self._loop.time() >= due:
                raise UplinkFault("the broker does not acknowledge what it is sent", "look at the broker's own log") from None

    # ------------------------------------------------------------ what paho tells, on the loop

    def _receive_some(self, bufsize: int) -> bytes:
        """Called with what is missing of a packet; paho would keep one of 256 MiB in memory."""
        if bufsize > LARGEST:
            raise ValueError(f"a packet of {bufsize} bytes")
        return self._receive(bufsize)

    def _on_connect(
        self, client: Paho, userdata: Any, flags: ConnectFlags, reason_code: ReasonCode, properties: Properties | None = None
    ) -> None:
        self.window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        self.largest = getattr(properties, "MaximumPacketSize", self.largest)
        self._retains = bool(getattr(properties, "RetainAvailable", 1))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_message(self, client: Paho, userdata: Any, message: MQTTMessage) -> None:
        if self._hear is None:
            super()._on_message(client, userdata, message)
            return
        said = message.properties
        reply_to, correlation = getattr(said, "ResponseTopic", ""), getattr(said, "CorrelationData", b"")
        publication = Publication(message.topic, bytes(message.payload), message.retain, reply_to, correlation)
        self._hear(publication, partial(self._acknowledge, message.mid) if message.qos else lambda: None)

    def _on_publish(self, client: Paho, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties) -> None:
        super()._on_publish(client, userdata, mid, reason_code, properties)
        if client._in_packet["command"] & 0xF0 != PUBACK:  # noqa: SLF001  (paho takes those of QoS 2 for the same)
            self._lose(_nonsense())
            return
        seq, _ = self.in_flight.pop(mid, (None, 0.0))
        code = reason_code.value
        if (key := self.answering.pop(mid, None)) is not None:
            self.answered.append((key, str(reason_code) if code >= 0x80 else ""))
        elif seq is not None and code in REFUSED:
            self.refused.append((seq, str(reason_code)))
        elif code == QUOTA or code in UNCLEAR:
            if seq is not None:
                self.put_off.append((seq, code, str(reason_code)))
        elif code >= 0x80:
            self._fault = refusal(reason_code)
        elif seq is not None:
            self.taken.append(seq)
        self._heard = self._loop.time()
        self._wake.set()

    def _on_disconnect(
        self,
        client: Paho,  # noqa: ARG002
        userdata: Any,  # noqa: ARG002
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,  # noqa: ARG002
    ) -> None:
        self._lose(self._end(flags, reason_code))
        if not self._disconnected.done():
            self._disconnected.set_result(None)

    def _gone(self, ended: asyncio.Future[None]) -> None:
        """What paho cannot read ends here, and not in `_on_disconnect`."""
        if not ended.cancelled() and ended.exception():
            self._lose(_nonsense())

    def _lose(self, fault: UplinkFault) -> None:
        self._fault = self._fault or fault
        if not self._connected.done():  # aiomqtt would wait for an answer that cannot come any more
            self._connected.set_exception(self._fault)
            self._connected.exception()  # nobody may be there to see it
        self._wake.set()

    def _on_socket_register_write(self, client: Paho, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        # At once: aiomqtt does it a turn of the loop later, when the socket may be closed and its number another's.
        self._loop.add_writer(sock, client.loop_write)

    def _end(self, flags: DisconnectFlags, reason_code: ReasonCode) -> UplinkFault:
        if flags.is_disconnect_packet_from_server and reason_code.value >= 0x80:
            if reason_code.value in ABOUT_WHAT_WAS_SENT:
                # An answer goes to a topic of its asker's choice: it is the first to blame.
                self.culprits, self.why = [] if self.answering else self._sent(), str(reason_code)
                self.answered += [(key, self.why) for key in self.answering.values()]
            return refusal(reason_code)
        if reason_code.value == 0x8D:
            return UplinkFault("the broker no longer answers")
        if not self._connected.done():
            return UplinkFault(
                "the broker ends the connection before it answers",
                "is the port right, does it want TLS, or a certificate of this hub?",
            )
        return UplinkFault("the connection was lost")


def _limits(*, hears: bool) -> Properties:
    """What the broker is told at the start of how much it may send at once (MQTT 5)."""
    limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    limits.MaximumPacketSize = LARGEST
    if hears:
        limits.ReceiveMaximum = HELD
    return limits


def _nonsense() -> UplinkFault:
    return UplinkFault("what the broker says makes no sense", "is it a broker, and does it speak this `protocol`?")


def refusal(reason: ReasonCode) -> UplinkFault:
    """What a reason code that ends a connection, or prevents it, means to the hub."""
    code = reason.value
    return UplinkFault(
        f"the broker refuses this hub: {reason}", HOPELESS.get(code, ""), patient=code in HOPELESS, busy=code in BUSY
    )


@asynccontextmanager
async def connected(
    config: model.Uplink,
    client_id: str,
    clock: Clock,
    wake: asyncio.Event,
    will: tuple[str, bytes] | None = None,
    hear: Hear | None = None,
) -> AsyncIterator[Link]:
    """A link that is up; hung up afterwards, whatever happens. Raises UplinkFault."""
    with await dial(config.host, config.port, config.tls if config.secure else None, clock) as sock:
        link = Link(config, client_id, sock, wake, will, hear)
        try:
            await link.come_up()
            yield link
        finally:
            await link.hang_up()


@asynccontextmanager
async def listen(config: model.Uplink, topic: str, clock: Clock) -> AsyncIterator[AsyncIterator[Publication]]:
    """What the other side sees, for the demo and for tests: all that is published on a topic (wildcards allowed) from now on.

    `async with listen(...) as publications: async for publication in publications: ...`; UplinkFault when it cannot go on.
    """
    async with connected(config, "", clock, asyncio.Event()) as link:
        try:
            (answer,) = await link.subscribe(topic, 1)
        except aiomqtt.MqttError as error:
            raise UplinkFault("the broker no longer answers") from error
        if isinstance(answer, ReasonCode) and answer.value >= 0x80:
            raise refusal(answer)
        yield _publications(link)


async def _publications(link: Link) -> AsyncIterator[Publication]:
    try:
        async for message in link.messages:
            yield Publication(str(message.topic), bytes(message.payload), bool(message.retain))
    except aiomqtt.MqttError as error:
        raise UplinkFault("the connection was lost") from error
