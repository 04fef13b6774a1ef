"""Hub to cloud by MQTT: a plain loop that connects, sends what waits in the outbox, and deletes what the broker has taken.

Promises
- A moment is deleted from the outbox only after the broker's PUBACK for it. A connection that breaks in between means that it is
  sent again, with the same id: the broker gets it at least once.
- Moments go out in the order of `seq` on one topic, `canary/{hub}/moments`, so that MQTT itself keeps the order of a case. (A topic
  for each kind would not: brokers promise order within a topic only.) Many are in flight at once, as many as the broker allows.
- `canary/{hub}/state` is retained and says whether the hub is online; the last will makes it true after a crash or a cut cable.
- Being offline is a state: nothing is raised, each reason is logged once an outage, and one line says when it is over. Pauses
  between attempts double and are drawn by lot over their whole length, so that a fleet does not come back all at once. Where only
  a person can help (password, certificate, a second hub of the same name) the attempts are a quarter of an hour apart.
- A link that is half open is noticed within one and a half keep-alives.

The only file that imports the MQTT library. Sessions are clean and each connection has a client of its own, so that the outbox is
the only memory of what is to be sent: nothing in the library is sent twice, or kept when it should be gone.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

import aiomqtt
import msgspec
import structlog
from paho.mqtt.client import Client as Paho
from paho.mqtt.client import ConnectFlags, DisconnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.clock import Clock
from gateway.config import model
from gateway.dial import UplinkFault, dial
from gateway.moments import restamped
from gateway.outbox import Outbox
from gateway.store import StoreError

log = structlog.get_logger("uplink")

WINDOW = 32  # moments in flight: at most 256 KiB, and at 100 ms there and back 320 moments a second
ANSWER_TIMEOUT = 10.0  # s for the broker's answer to CONNECT and to a state message
ACK_TIMEOUT = 60.0  # s without any acknowledgement while some are due
FAREWELL = 1.5  # s for the last words, and
HANG_UP = 0.5  # s for the last packet
FIRST_PAUSE = 2.0  # s: the longest first pause, doubled with each failure
LONGEST_PAUSE = 120.0  # s
PATIENCE = 900.0  # s between attempts where only a person can help
STEADY = 60.0  # s that a connection must last before the pauses start from the first again
DISK_PAUSE = 10.0  # s until a full disk is tried again

Result = TypeVar("Result")

CHECK_HUB = "check `id` in [hub] and what the broker allows it"
CHECK_LOGIN = "check `username` and `password` in [uplink]"

# Reason codes of MQTT 5 (table 2-6) at which trying again soon is pointless: what to do. Those of 3.1.1 are translated by paho.
HOPELESS = {
    0x84: 'set `protocol = "3.1.1"` in [uplink]',
    0x85: CHECK_HUB,
    0x86: CHECK_LOGIN,
    0x87: f"{CHECK_LOGIN}, and its rights to publish on the broker",
    0x8A: CHECK_HUB,
    0x8C: CHECK_LOGIN,
    0x8E: "does a second hub run with the same `id` in [hub]?",
    0x9C: "ask for the new `url`",
    0x9D: "ask for the new `url`",
}
# Reason codes of a PUBACK that will be the same however often this moment is sent: topic name invalid, payload format invalid.
REFUSED_FOR_GOOD = {0x90, 0x99}

# What paho logs is said here, in other words and once.
_silent = logging.getLogger("gateway.uplink.paho")
_silent.disabled = True


class Publication(NamedTuple):
    """Something published, as a subscriber gets it."""

    topic: str
    payload: bytes
    retained: bool


class Uplink:
    """Sends what waits in the outbox to the broker. `online` says whether it could, just now."""

    def __init__(
        self,
        config: model.Uplink,
        hub_id: str,
        clock: Clock,
        *,
        random: Callable[[], float],
        vitals: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """random: uniform in [0, 1), for the pauses. vitals: facts for the state message, asked at each connect."""
        self._config = config
        self._hub_id = hub_id
        self._clock = clock
        self._random = random
        self._vitals = vitals
        self._broker = f"{config.host}:{config.port}"
        self._moments = f"canary/{hub_id}/moments"
        self._state = f"canary/{hub_id}/state"
        self._failures = 0
        self._lost_at: float | None = None
        self._told: set[str] = set()
        self.online = False

    async def run(self, outbox: Outbox, thread: Executor, wake: asyncio.Event) -> None:
        """Send until cancelled, then say goodbye within 2 s.

        thread: where all calls of the outbox are made. wake: set by whoever has put a moment; cleared here. Raises StoreError when
        the outbox cannot be read; nothing that the network does.
        """
        post = _Post(outbox, thread)
        while True:
            since = self._clock.now()
            try:
                await self._connection(post, wake)
            except UplinkFault as fault:
                if self._clock.now() - since > STEADY:
                    self._failures = 0
                await self._tell_lost(fault, post)
                await asyncio.sleep(self.pause(fault))

    def pause(self, fault: UplinkFault) -> float:
        """How long to wait after this failure, in seconds. Each one in a row doubles the range that it is drawn from."""
        if fault.patient:
            return PATIENCE * (0.5 + self._random() / 2)
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**self._failures)
        self._failures = min(self._failures + 1, 30)
        return self._random() * longest

    async def _connection(self, post: "_Post", wake: asyncio.Event) -> None:
        """One connection, from the first packet to the last. Raises UplinkFault when it is over."""
        will = aiomqtt.Will(self._state, self._state_message(online=False, because="the connection was lost"), 1, retain=True)
        async with _connected(self._config, self._hub_id, self._clock, wake, will) as link:
            try:
                await link.say(self._state, self._state_message(online=True, **self._vitals()))
                self.online = True
                await self._tell_back(post)
                await self._send(link, post, wake)
            except asyncio.CancelledError:
                await self._say_goodbye(link)
                raise
            finally:
                self.online = False
                await self._settle(link, post)

    async def _send(self, link: "_Link", post: "_Post", wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            link.check()
            settled = await self._settle(link, post)
            room = link.window - len(link.in_flight) - len(link.taken)
            if settled and room > 0:
                for entry in await post.call(post.outbox.peek, room, link.unsettled()):
                    link.send(self._moments, entry.seq, restamped(entry.wire, self._clock))
            await link.news(wake, None if settled else DISK_PAUSE)

    async def _settle(self, link: "_Link", post: "_Post") -> bool:
        """Delete what the broker has taken; False when the disk does not let us, and then it is known as taken until it does."""
        taken, refused = list(link.taken), list(link.refused)
        try:
            if taken:
                await post.call(post.outbox.ack, taken)
                del link.taken[: len(taken)]
            for seq, reason in refused:
                log.warning("the broker refuses a moment for good", seq=seq, reason=reason)
                await post.call(partial(post.outbox.ack, [seq], refused=reason))
                link.refused.remove((seq, reason))
        except StoreError as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                log.error("sent moments cannot be deleted", fault=error)
            return False
        return True

    async def _say_goodbye(self, link: "_Link") -> None:
        """Answers come in order: when these words are acknowledged, every moment before them is."""
        try:
            async with asyncio.timeout(FAREWELL):
                await link.say(self._state, self._state_message(online=False, because="the hub was stopped"))
        except (TimeoutError, UplinkFault):
            pass  # then the last will says it

    def _state_message(self, *, online: bool, **facts: Any) -> bytes:
        at = self._clock.utc(self._clock.now()).replace(microsecond=0)
        return msgspec.json.encode({"online": online, "hub": self._hub_id, "at": at, **facts})

    # ------------------------------------------------------------ what a person reads

    async def _tell_lost(self, fault: UplinkFault, post: "_Post") -> None:
        if self._lost_at is None:
            self._lost_at = self._clock.now()
        if str(fault) not in self._told:
            self._told.add(str(fault))
            stats = await post.call(post.outbox.stats)
            log.warning("offline", fault=fault.what, hint=fault.hint, waiting=stats.rows)

    async def _tell_back(self, post: "_Post") -> None:
        self._told.clear()
        if self._lost_at is None:
            log.info("online", broker=self._broker)
            return
        away = timedelta(seconds=round(self._clock.now() - self._lost_at))
        self._lost_at = None
        stats = await post.call(post.outbox.stats)
        log.info("online again", broker=self._broker, after=str(away), waiting=stats.rows)


class _Post(NamedTuple):
    """The outbox and the thread in which it is called."""

    outbox: Outbox
    thread: Executor

    async def call(self, function: Callable[..., Result], *values: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, *values)


# ---------------------------------------------------------------- one connection


class _Link(aiomqtt.Client):
    """One connection: aiomqtt's client on a socket that is already open.

    It also hears what aiomqtt keeps to itself: the reason code of each PUBACK (without it, a moment that the broker has refused
    would count as delivered) and how many messages the broker takes at once. Publishing returns at once; the answers are collected
    here, so that there is no task for each moment and a group of answers is one commit of the outbox.

    in_flight: packet id -> (seq, when sent), with a seq of 0 for what is no moment. taken, refused: what the broker has answered.
    """

    def __init__(
        self, config: model.Uplink, client_id: str, sock: socket.socket, wake: asyncio.Event, will: aiomqtt.Will | None
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
            will=will,
            logger=_silent,
            max_inflight_messages=WINDOW,  # never fewer than ours: paho would keep the rest in a queue of its own
        )
        self._client._create_socket_connection = lambda: sock  # type: ignore[method-assign]  # noqa: SLF001
        self._disconnected.add_done_callback(self._gone)
        self._sock = sock
        self._wake = wake
        self._fault: UplinkFault | None = None
        self._heard = 0.0
        self.window = WINDOW
        self.in_flight: dict[int, tuple[int, float]] = {}
        self.taken: list[int] = []
        self.refused: list[tuple[int, str]] = []
        self._kind = Properties(PacketTypes.PUBLISH) if modern else None  # type: ignore[no-untyped-call]
        if self._kind:
            self._kind.ContentType = "application/cloudevents+json"

    async def hang_up(self) -> None:
        """End the connection, with a last packet if there is time for one."""
        self.timeout = HANG_UP
        try:
            with suppress(aiomqtt.MqttError):
                await self.__aexit__(None, None, None)
        finally:
            if self._sock.fileno() >= 0:
                with suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)  # a thread that still connects finds this, and lets go
                self._client._sock_close()  # noqa: SLF001

    async def _wait_for(self, fut: Awaitable[Result], timeout: float | None) -> Result:  # noqa: ASYNC109  (aiomqtt's signature)
        """As aiomqtt does, but for `asyncio.wait_for`: before Python 3.12 that loses a cancellation that comes with the answer."""
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError as error:
            raise aiomqtt.MqttError("Operation timed out") from error

    # ------------------------------------------------------------ sending

    def send(self, topic: str, seq: int, wire: bytes) -> None:
        """Publish with QoS 1 and return; the answer is told by `wake`."""
        self._publish(topic, seq, wire, retain=False)

    async def say(self, topic: str, payload: bytes) -> None:
        """Publish retained with QoS 1 and wait for the answer; `Client.publish` would wait on when the connection is lost."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                while len(self.in_flight) >= self.window:
                    await self._answer()
                number = self._publish(topic, 0, payload, retain=True)
                while number in self.in_flight:
                    await self._answer()
        except TimeoutError:
            raise UplinkFault("the broker no longer answers") from None

    async def _answer(self) -> None:
        self._wake.clear()
        await self._wake.wait()
        self.check()

    def _publish(self, topic: str, seq: int, payload: bytes, *, retain: bool) -> int:
        info = self._client.publish(topic, payload, 1, retain, self._kind if seq else None)
        if info.rc:
            raise self._fault or UplinkFault("the connection was lost")
        self.in_flight[info.mid] = seq, self._loop.time()
        return info.mid

    def check(self) -> None:
        """Raise what has ended the connection, if it has ended."""
        if self._fault:
            raise self._fault

    def unsettled(self) -> list[int]:
        """What must not be sent now: on its way, or answered and not yet deleted."""
        return [seq for seq, _ in self.in_flight.values()] + self.taken + [seq for seq, _ in self.refused]

    async def news(self, wake: asyncio.Event, longest: float | None) -> None:
        """Wait for an answer, a new moment or the end of the connection; raise when answers are overdue."""
        due = None
        if self.in_flight:
            oldest = next(iter(self.in_flight.values()))[1]
            due = max(oldest, self._heard) + ACK_TIMEOUT
            longest = min(longest or ACK_TIMEOUT, due - self._loop.time())
        try:
            async with asyncio.timeout(longest):
                await wake.wait()
        except TimeoutError:
            if due is not None and self._loop.time() >= due:
                raise UplinkFault("the broker does not acknowledge what it is sent", "look at the broker's own log") from None

    # ------------------------------------------------------------ what paho tells, on the loop

    def _on_connect(
        self, client: Paho, userdata: Any, flags: ConnectFlags, reason_code: ReasonCode, properties: Properties | None = None
    ) -> None:
        self.window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(self, client: Paho, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties) -> None:
        super()._on_publish(client, userdata, mid, reason_code, properties)
        seq, _ = self.in_flight.pop(mid, (0, 0.0))
        if seq and reason_code.value in REFUSED_FOR_GOOD:
            self.refused.append((seq, str(reason_code)))
        elif reason_code.value >= 0x80:
            self._fault = _refusal(reason_code)
        elif seq:
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
        if ended.exception():
            self._lose(UplinkFault("what the broker says makes no sense", "is it a broker, and does it speak this `protocol`?"))

    def _lose(self, fault: UplinkFault) -> None:
        self._fault = self._fault or fault
        if not self._connected.done():  # aiomqtt would wait for an answer that cannot come any more
            self._connected.set_exception(self._fault)
            self._connected.exception()  # nobody may be there to see it
        self._wake.set()

    def _on_socket_register_write(self, client: Paho, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        def watch() -> None:
            # A turn of the loop later, because paho may call from the thread in which it connects. By then all may be written, or
            # the socket be closed and its number another's; aiomqtt's own version does not look.
            if sock.fileno() >= 0 and client.want_write():
                self._loop.add_writer(sock, client.loop_write)

        self._loop.call_soon_threadsafe(watch)

    def _end(self, flags: DisconnectFlags, reason_code: ReasonCode) -> UplinkFault:
        if flags.is_disconnect_packet_from_server and reason_code.value >= 0x80:
            return _refusal(reason_code)
        if reason_code.value == 0x8D:
            return UplinkFault("the broker no longer answers")
        if not self._connected.done():
            return UplinkFault(
                "the broker ends the connection before it answers",
                "is the port right, does it want TLS, or a certificate of this hub?",
            )
        return UplinkFault("the connection was lost")


def _refusal(reason: ReasonCode) -> UplinkFault:
    return UplinkFault(f"the broker refuses this hub: {reason}", HOPELESS.get(reason.value, ""), patient=reason.value in HOPELESS)


@asynccontextmanager
async def _connected(
    config: model.Uplink, client_id: str, clock: Clock, wake: asyncio.Event, will: aiomqtt.Will | None = None
) -> AsyncIterator[_Link]:
    """A link that is up; hung up afterwards, whatever happens. Raises UplinkFault."""
    sock = await dial(config.host, config.port, config.tls if config.secure else None, clock)
    link = _Link(config, client_id, sock, wake, will)
    try:
        try:
            await link.__aenter__()
        except aiomqtt.MqttError as error:
            if isinstance(error, aiomqtt.MqttCodeError) and isinstance(error.rc, ReasonCode):
                raise _refusal(error.rc) from error
            raise UplinkFault("the broker does not answer", "is it a broker that listens there?") from error
        yield link
    finally:
        await link.hang_up()


@asynccontextmanager
async def listen(config: model.Uplink, topic: str, clock: Clock) -> AsyncIterator[AsyncIterator[Publication]]:
    """What the other side sees, for the demo and for tests: all that is published on a topic (wildcards allowed) from now on.

    `async with listen(...) as publications: async for publication in publications: ...`; UplinkFault when it cannot go on.
    """
    async with _connected(config, "", clock, asyncio.Event()) as link:
        try:
            (answer,) = await link.subscribe(topic, 1)
        except aiomqtt.MqttError as error:
            raise UplinkFault("the broker no longer answers") from error
        if isinstance(answer, ReasonCode) and answer.value >= 0x80:
            raise _refusal(answer)
        yield _publications(link)


async def _publications(link: _Link) -> AsyncIterator[Publication]:
    try:
        async for message in link.messages:
            yield Publication(str(message.topic), bytes(message.payload), bool(message.retain))
    except aiomqtt.MqttError as error:
        raise UplinkFault("the connection was lost") from error
