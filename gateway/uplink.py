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
- Each wait has a bound, and before each it promises to be back by then (`watchdog.py`): an outage of whatever length keeps every
  promise, and an uplink that hangs breaks the next.
- Where there is a downlink it is subscribed to before the hub says that it is online. Its answers go beside the moments, and
  whatever the broker makes of them costs no moment.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec
import structlog

from gateway.backoff import Backoff, Pace
from gateway.clock import Clock
from gateway.config import model
from gateway.dial import LONGEST, UplinkFault
from gateway.downlink import Downlink
from gateway.link import ANSWER_TIMEOUT, HANG_UP, Link, connected
from gateway.moments import restamped
from gateway.outbox import Entry, Outbox, Stats
from gateway.reason_codes import QUOTA
from gateway.store import StoreError
from gateway.watchdog import Pulse

log = structlog.get_logger("uplink")

COMING_UP = LONGEST + 3 * ANSWER_TIMEOUT + HANG_UP  # s at most: the answers to CONNECT, SUBSCRIBE and the hub's first word
FAREWELL = 1.5  # s for the last words
DISK_PAUSE = 10.0  # s until a full disk is tried again
STATE_SPACING = 60.0  # s between two states at least: 0.6 kB each
TRIES = 5  # for a moment that the broker refuses without saying why
ENVELOPE = 80  # bytes of a packet besides topic and payload, at most
FIGURES = {"outbox", "wear"}  # parts of the state that move all the time, and so are no news

Result = TypeVar("Result")


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
        leaving: Callable[[bytes], bytes] = bytes,
        downlink: Downlink | None = None,
        together: bool = False,
        pulse: Pulse | None = None,
    ) -> None:
        """random: uniform in [0, 1), for the pauses. vitals: facts for the state message, asked about once a minute.

        account: called in the thread of the outbox when the link is back and when something was dropped, so that a moment can tell
        of it. leaving: what may leave, when it is sent, of a moment that has waited.

        downlink: hears what is asked of this hub, and has the answers; without one, nothing is subscribed to. together: others may
        be starting just now, as after a power cut; then the first attempt is drawn by lot as well. pulse: where it promises, as the
        task "uplink"; whoever ends it sees to it that it is forgotten.
        """
        self._config = config
        self._hub_id = hub_id
        self._clock = clock
        self._vitals = vitals
        self._account = account
        self._leaving = leaving
        self._downlink = downlink
        self._together = together
        self._pulse = pulse or Pulse()
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
        if self._together:
            pause = self.backoff.before_the_first()
            log.info("waits before it connects", seconds=round(pause), because="the machine has just started, and others may have")
            await self._rest(pause)
        while True:
            since = self._clock.now()
            try:
                await self._connection(post, wake)
            except UplinkFault as fault:
                await self._tell_lost(fault, post)
                await self._rest(self.backoff.pause(fault, lasted=self._clock.now() - since))

    def _back_within(self, seconds: float) -> None:
        self._pulse.expect("uplink", self._clock.now() + seconds)

    async def _rest(self, seconds: float) -> None:
        self._back_within(seconds)
        await asyncio.sleep(seconds)

    async def _connection(self, post: "_Post", wake: asyncio.Event) -> None:
        """One connection, from the first packet to the last. Raises UplinkFault when it is over."""
        will = self._state, self._state_message(online=False, because="the connection was lost")
        hear = self._downlink.hear if self._downlink else None
        self._back_within(COMING_UP)
        async with connected(self._config, self._hub_id, self._clock, wake, will, hear) as link:
            try:
                await self._listen(link)  # before the world is told that this hub is there
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
                if self._downlink:
                    self._downlink.lost(link.answering.values())
                    await self._downlink.settle(link.answered)

    async def _send(self, link: Link, post: "_Post", wake: asyncio.Event, spoken: "_Spoken", backlog: int) -> None:
        """Send until the link ends. backlog: the last place of what had waited when the link came up."""
        while True:
            wake.clear()
            link.check()
            await self._answer(link)
            settled = await self._settle(link, post)
            held = self._pace.hold_until - self._clock.now()
            if settled and held <= 0:
                places, unsettled = min(link.window, self._pace.places), link.unsettled()
                room = min(places - len(unsettled), link.window - len(link.in_flight))
                if room > 0:
                    for entry in await post.call(_next, post.outbox, room, places, unsettled, backlog):
                        self._send_one(link, entry)
            if settled and link.refused:
                continue
            spoken = await self._speak(link, post, spoken)
            longest = min(DISK_PAUSE if not settled else STATE_SPACING, held if held > 0 else STATE_SPACING)
            self._back_within(longest)
            await link.news(wake, longest)

    def _send_one(self, link: Link, entry: Entry) -> None:
        wire, encoding = self._leaving(restamped(entry.wire, self._clock)), ""
        if self._pack and len(wire) > self._config.compress_above:
            wire, encoding = self._pack(wire), self._config.compress
        if len(wire) + len(self._moments) + ENVELOPE > link.largest:
            link.refused.append((entry.seq, f"the broker takes no more than {link.largest} bytes"))
        else:
            link.send(self._moments, entry.seq, wire, encoding)

    async def _settle(self, link: Link, post: "_Post") -> bool:
        """Delete what the broker has taken; False when the disk does not let us, and then it is known as taken until it does."""
        taken = list(link.taken)
        self._judge(link)
        refused = list(link.refused)
        for seq in (*taken, *(seq for seq, _ in refused)):
            self._tries.pop(seq, None)
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

    def _judge(self, link: Link) -> None:
        """What becomes of moments that the broker did not take this time."""
        for seq, code, reason in link.put_off:
            if code != QUOTA:
                self._tries[seq] += 1
            if self._tries[seq] >= TRIES:
                link.refused.append((seq, reason))
            else:
                self._tell_once("the broker takes less for now", reason=reason)
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

    # ------------------------------------------------------------ the downlink's errands

    async def _listen(self, link: Link) -> None:
        if self._downlink and (why := await link.subscribe_to_commands(self._downlink.topic)):
            log.warning("the broker lets this hub hear no commands", topic=self._downlink.topic, reason=why)

    async def _answer(self, link: Link) -> None:
        """Send the answers that there are, as far as the broker takes more at once."""
        if self._downlink is None:
            return
        answered, link.answered = link.answered, []
        if answered:
            await self._downlink.settle(answered)
        for reply in self._downlink.replies(set(link.answering.values())):
            if len(link.in_flight) >= link.window:
                return
            (topic, correlation), most = (
                reply.place,
                link.largest - len(reply.place.topic) - len(reply.place.correlation) - ENVELOPE,
            )
            link.answer(reply.key, topic, self._downlink.shortened(reply, most).payload, correlation)

    # ------------------------------------------------------------ the retained state

    async def _speak(self, link: Link, post: "_Post", spoken: "_Spoken") -> "_Spoken":
        """Renew the state where it is time; returns what was said last, and when it was looked at."""
        now = self._clock.now()
        if now - spoken.looked_at < STATE_SPACING or len(link.in_flight) >= link.window:
            return spoken
        stats = await post.call(post.outbox.stats)
        if stats.untold:
            await self._tell_drops(post)
        facts = self._facts(post.outbox, stats)
        if _news(facts) == spoken.news and now - spoken.at < self._config.state_every:
            return spoken._replace(looked=now)
        link.tell(self._state, self._state_message(online=True, **facts))
        return _Spoken(now, _news(facts))

    def _facts(self, outbox: Outbox, stats: Stats) -> dict[str, Any]:
        figures = {"waiting": stats.rows, "bytes": stats.bytes, "oldest": stats.oldest}
        return {**self._vitals(), "generation": outbox.generation, "dropped": stats.dropped, "outbox": figures}

    async def _say_goodbye(self, link: Link) -> None:
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


def _next(outbox: Outbox, room: int, places: int, unsettled: list[int], backlog: int) -> list[Entry]:
    """What is to be sent now, at most `room`: what is fresh, then what had waited, which may take three quarters of the places."""
    chosen = outbox.peek(room, unsettled, since=backlog)
    for_backlog = places - places // 4 - sum(seq <= backlog for seq in unsettled)
    if (more := min(room - len(chosen), for_backlog)) > 0:
        chosen += outbox.peek(more, [*unsettled, *(entry.seq for entry in chosen)])
    return chosen


class _Post(NamedTuple):
    """The outbox and the thread in which it is called."""

    outbox: Outbox
    thread: Executor

    async def call(self, function: Callable[..., Result], *values: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, *values)
