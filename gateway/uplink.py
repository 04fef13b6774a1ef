"""Hub to cloud by MQTT: a plain loop that connects, sends what waits in the outbox, and deletes what the broker has taken.

Promises
- A moment is deleted from the outbox only after the broker's PUBACK for it. A connection that breaks in between means that it is
  sent again, with the same id: the broker gets it at least once.
- Moments go out on one topic, `canary/{hub}/moments`, many at once, as many as the broker allows, and one of a case at a time: so
  their order within a case holds whatever the broker answers. (A topic for each kind would lose it: brokers promise order within a
  topic only.) After an outage what is fresh goes first, and a quarter of the places in flight is kept for it.
- Reason codes are honoured (`reason_codes.py`): a moment that is refused for good is set aside and told, holding up none; a broker
  that has had enough gets less, and later (`backoff.py`); where only a person can help (password, certificate, a second hub of the
  same name) the log says what to do and the attempts are a quarter of an hour apart.
- `canary/{hub}/state` is retained and says whether the hub is online, with its vital figures: within a minute of a change, and now
  and then without. The last will makes it true after a crash or a cut cable.
- Being offline is a state: nothing is raised, each reason is logged once an outage, and one line says when it is over. Pauses
  between attempts double and are drawn by lot over their whole length, so that a fleet does not come back all at once.
- A link that is half open is noticed within one and a half keep-alives.

The only file that imports the MQTT library. Sessions are clean and each connection has a client of its own, so that the outbox is
the only memory of what is to be sent: nothing in the library is sent twice, or kept when it should be gone.
"""

import asyncio
import logging
import socket
from collections import Counter
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

from gateway.backoff import WINDOW, Backoff, Pace
from gateway.clock import Clock
from gateway.config import model
from gateway.dial import UplinkFault, dial
from gateway.moments import restamped
from gateway.outbox import Entry, Outbox, Stats
from gateway.reason_codes import ABOUT_WHAT_WAS_SENT, BUSY, HOPELESS, QUOTA, REFUSED, UNCLEAR
from gateway.store import StoreError

log = structlog.get_logger("uplink")

ANSWER_TIMEOUT = 10.0  # s for the broker's answer to CONNECT and to a state message
ACK_TIMEOUT = 60.0  # s without any acknowledgement while some are due
FAREWELL = 1.5  # s for the last words, and
HANG_UP = 0.5  # s for the last packet
DISK_PAUSE = 10.0  # s until a full disk is tried again
LARGEST = 2**18  # bytes of a packet that the broker may send
PUBACK = 0x40
STATE_SPACING = 60.0  # s between two states at least: 0.6 kB each
TRIES = 5  # for a moment that the broker refuses without saying why
ENVELOPE = 80  # bytes of a packet besides topic and payload, at most
FIGURES = {"outbox", "wear"}  # parts of the state that move all the time, and so are no news

Result = TypeVar("Result")

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
        account: Callable[[], object] = lambda: None,
    ) -> None:
        """random: uniform in [0, 1), for the pauses. vitals: facts for the state message, asked about once a minute.

        account: called in the thread of the outbox when the link is back and when a moment was refused, so that a moment can tell
        what was dropped.
        """
        self._config = config
        self._hub_id = hub_id
        self._clock = clock
        self._vitals = vitals
        self._account = account
        self.backoff = Backoff(config.retry_first, config.retry_longest, random)
        self._pace = Pace(random)
        self._tries: Counter[int] = Counter()  # of moments that were refused without a reason
        self._pack = _packer(config.compress)
        self._broker = f"{config.host}:{config.port}"
        self._moments = f"canary/{hub_id}/moments"
        self._state = f"canary/{hub_id}/state"
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
                await self._tell_lost(fault, post)
                await asyncio.sleep(self.backoff.pause(fault, lasted=self._clock.now() - since))

    async def _connection(self, post: "_Post", wake: asyncio.Event) -> None:
        """One connection, from the first packet to the last. Raises UplinkFault when it is over."""
        will = aiomqtt.Will(self._state, self._state_message(online=False, because="the connection was lost"), 1, retain=True)
        async with _connected(self._config, self._hub_id, self._clock, wake, will) as link:
            try:
                stats = await post.call(post.outbox.stats)
                facts = self._facts(post.outbox, stats)
                await link.say(self._state, self._state_message(online=True, **facts))
                self.online = True
                self._tell_back(stats)
                await self._tell_drops(post)
                await self._send(link, post, wake, _Spoken(self._clock.now(), _news(facts)), backlog=stats.seq)
            except asyncio.CancelledError:
                await self._say_goodbye(link)
                raise
            finally:
                self.online = False
                await self._settle(link, post)

    async def _send(self, link: "_Link", post: "_Post", wake: asyncio.Event, spoken: "_Spoken", backlog: int) -> None:
        """Send until the link ends. backlog: the last place of what had waited when the link came up."""
        while True:
            wake.clear()
            link.check()
            settled = await self._settle(link, post)
            held = self._pace.hold_until - self._clock.now()
            if settled and held <= 0:
                for entry in await post.call(self._next, link, post.outbox, backlog):
                    self._send_one(link, entry)
            if settled and link.refused:
                continue
            spoken = await self._speak(link, post, spoken)
            longest = min(DISK_PAUSE if not settled else STATE_SPACING, held if held > 0 else STATE_SPACING)
            await link.news(wake, longest)

    def _next(self, link: "_Link", outbox: Outbox, backlog: int) -> list[Entry]:
        """What is to be sent now: what is fresh, then what had waited, which may take three quarters of the places."""
        places, unsettled = min(link.window, self._pace.places), link.unsettled()
        room = places - len(unsettled)
        if room <= 0:
            return []
        chosen = outbox.peek(room, unsettled, since=backlog)
        for_backlog = places - places // 4 - sum(seq <= backlog for seq in unsettled)
        if (more := min(room - len(chosen), for_backlog)) > 0:
            chosen += outbox.peek(more, [*unsettled, *(entry.seq for entry in chosen)])
        return chosen

    def _send_one(self, link: "_Link", entry: Entry) -> None:
        wire, encoding = restamped(entry.wire, self._clock), ""
        if self._pack and len(wire) > self._config.compress_above:
            wire, encoding = self._pack(wire), self._config.compress
        if len(wire) + len(self._moments) + ENVELOPE > link.largest:
            link.refused.append((entry.seq, f"the broker takes no more than {link.largest} bytes"))
        else:
            link.send(self._moments, entry.seq, wire, encoding)

    async def _settle(self, link: "_Link", post: "_Post") -> bool:
        """Delete what the broker has taken; False when the disk does not let us, and then it is known as taken until it does."""
        taken = list(link.taken)
        self._judge(link)
        refused = list(link.refused)
        try:
            if taken:
                await post.call(post.outbox.ack, taken)
                del link.taken[: len(taken)]
                self._pace.taken(len(taken))
            for seq, reason in refused:
                log.warning("the broker refuses a moment for good", seq=seq, reason=reason)
                await post.call(partial(post.outbox.ack, [seq], refused=reason))
                link.refused.remove((seq, reason))
        except StoreError as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                log.error("sent moments cannot be deleted", fault=error)
            return False
        if refused:
            await self._tell_drops(post)
        return True

    def _judge(self, link: "_Link") -> None:
        """What becomes of moments that the broker did not take this time."""
        for seq, reason in link.put_off:
            self._tries[seq] += reason.value != QUOTA
            if self._tries[seq] >= TRIES:
                link.refused.append((seq, str(reason)))
            else:
                self._tell_once("the broker takes less for now", reason=str(reason))
                self._pace.enough(self._clock.now())
        link.put_off.clear()
        if link.culprits:
            self._pace.one_by_one()
            if len(link.culprits) == 1:
                link.refused += [(seq, link.why) for seq in link.culprits]
            link.culprits.clear()

    async def _tell_drops(self, post: "_Post") -> None:
        try:
            await post.call(self._account)
        except StoreError as error:
            log.warning("what was dropped is told later", fault=error)

    # ------------------------------------------------------------ the retained state

    async def _speak(self, link: "_Link", post: "_Post", spoken: "_Spoken") -> "_Spoken":
        """Renew the state where it is time; returns what was said last, and when it was looked at."""
        now = self._clock.now()
        if now - spoken.looked_at < STATE_SPACING or len(link.in_flight) >= link.window:
            return spoken
        facts = self._facts(post.outbox, await post.call(post.outbox.stats))
        if _news(facts) == spoken.news and now - spoken.at < self._config.state_every:
            return spoken._replace(looked=now)
        link.tell(self._state, self._state_message(online=True, **facts))
        return _Spoken(now, _news(facts))

    def _facts(self, outbox: Outbox, stats: Stats) -> dict[str, Any]:
        figures = {"waiting": stats.rows, "bytes": stats.bytes, "oldest": stats.oldest}
        return {**self._vitals(), "generation": outbox.generation, "dropped": stats.dropped, "outbox": figures}

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

    def _tell_once(self, event: str, **facts: Any) -> None:
        if event not in self._told:
            self._told.add(event)
            log.warning(event, **facts)

    def _tell_back(self, stats: Stats) -> None:
        self._told.clear()
        if self._lost_at is None:
            log.info("online", broker=self._broker)
            return
        away = timedelta(seconds=round(self._clock.now() - self._lost_at))
        self._lost_at = None
        log.info("online again", broker=self._broker, after=str(away), waiting=stats.rows)


class _Spoken(NamedTuple):
    """The state that was said last: when, what of it is news where it changes, and when that was last looked at."""

    at: float
    news: Mapping[str, Any]
    looked: float = 0.0

    @property
    def looked_at(self) -> float:
        return max(self.at, self.looked)


def _news(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if name not in FIGURES}


def _packer(compress: str) -> Callable[[bytes], bytes] | None:
    """What packs a payload; None where nothing is to be packed, or cannot be."""
    if not compress:
        return None
    try:
        import zstandard
    except ImportError:
        log.warning("moments are sent unpacked", hint='install the package "zstandard", or leave `compress` in [uplink] out')
        return None
    return zstandard.ZstdCompressor(level=9).compress


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

    in_flight: packet id -> (seq, when sent), with None for what is no moment. taken, put_off, refused: what the broker answered.
    culprits: moments of which one made the broker end the connection, and `why`. window, largest: what it takes, of moments at
    once and of bytes in a packet.
    """

    def __init__(
        self, config: model.Uplink, client_id: str, sock: socket.socket, wake: asyncio.Event, will: aiomqtt.Will | None
    ) -> None:
        modern = config.protocol == "5"
        limits = Properties(PacketTypes.CONNECT) if modern else None  # type: ignore[no-untyped-call]
        if limits:
            limits.MaximumPacketSize = LARGEST
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
            max_queued_incoming_messages=1 if will else 0,  # who has a last will sends, and is sent nothing that it asked for
            properties=limits,
        )
        self._receive = self._client._sock_recv  # noqa: SLF001
        self._client._sock_recv = self._receive_some  # type: ignore[method-assign]  # noqa: SLF001
        self._client._create_socket_connection = lambda: sock  # type: ignore[method-assign]  # noqa: SLF001
        self._disconnected.add_done_callback(self._gone)
        self._sock = sock
        self._wake = wake
        self._fault: UplinkFault | None = None
        self._heard = 0.0
        self.window = WINDOW
        self.largest = 2**28
        self.in_flight: dict[int, tuple[int | None, float]] = {}
        self.taken: list[int] = []
        self.put_off: list[tuple[int, ReasonCode]] = []
        self.refused: list[tuple[int, str]] = []
        self.culprits: list[int] = []
        self.why = ""
        self._modern = modern
        self._retains = True

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

    def send(self, topic: str, seq: int, wire: bytes, encoding: str = "") -> None:
        """Publish a moment with QoS 1 and return; the answer is told by `wake`. encoding: how the bytes are packed."""
        self._publish(topic, seq, wire, self._described(encoding))

    def tell(self, topic: str, payload: bytes) -> int:
        """Publish retained with QoS 1 and return the packet id."""
        return self._publish(topic, None, payload, None)

    def _described(self, encoding: str) -> Properties | None:
        if not self._modern:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = "application/cloudevents+json"
        if encoding:
            properties.UserProperty = ("content-encoding", encoding)
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

    def _publish(self, topic: str, seq: int | None, payload: bytes, properties: Properties | None) -> int:
        info = self._client.publish(topic, payload, 1, seq is None and self._retains, properties)
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
        return self._sent() + self.taken + [seq for seq, _ in self.put_off] + [seq for seq, _ in self.refused]

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

    def _on_publish(self, client: Paho, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties) -> None:
        super()._on_publish(client, userdata, mid, reason_code, properties)
        if client._in_packet["command"] & 0xF0 != PUBACK:  # noqa: SLF001  (paho takes those of QoS 2 for the same)
            self._lose(_nonsense())
            return
        seq, _ = self.in_flight.pop(mid, (None, 0.0))
        code = reason_code.value
        if seq is not None and code in REFUSED:
            self.refused.append((seq, str(reason_code)))
        elif code == QUOTA or code in UNCLEAR:
            if seq is not None:
                self.put_off.append((seq, reason_code))
        elif code >= 0x80:
            self._fault = _refusal(reason_code)
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
        if ended.exception():
            self._lose(_nonsense())

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
            if reason_code.value in ABOUT_WHAT_WAS_SENT:
                self.culprits, self.why = self._sent(), str(reason_code)
            return _refusal(reason_code)
        if reason_code.value == 0x8D:
            return UplinkFault("the broker no longer answers")
        if not self._connected.done():
            return UplinkFault(
                "the broker ends the connection before it answers",
                "is the port right, does it want TLS, or a certificate of this hub?",
            )
        return UplinkFault("the connection was lost")


def _nonsense() -> UplinkFault:
    return UplinkFault("what the broker says makes no sense", "is it a broker, and does it speak this `protocol`?")


def _refusal(reason: ReasonCode) -> UplinkFault:
    code = reason.value
    return UplinkFault(
        f"the broker refuses this hub: {reason}", HOPELESS.get(code, ""), patient=code in HOPELESS, busy=code in BUSY
    )


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
