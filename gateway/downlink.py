"""Cloud to hub: what is published on `canary/{hub}/do/{command}` is done, and answered once.

Promises
- Off unless the config turns it on. What may be asked is in `commands.py`; how, in `question.py`.
- Each question gets one answer: what came of it, or a named error. The answer is sent until the broker has taken it, after a lost
  connection or a restart too (`answers.py`).
- A question that comes again, under the same `id`, is not done again: it gets the answer of before, byte for byte. A question that
  was refused was not begun, and may be asked again.
- A flood neither grows the memory nor keeps the hub from its work: so many commands a minute are done, others wait, here and at the
  broker (receive maximum; Mosquitto 2.0 does not keep to it), and what is more than that is dropped and counted.
- What is in a command is never logged, only its name, its id and how it ended.

`hear` and `replies` are the uplink's, on the loop; `run` is a task.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Coroutine, Iterable
from concurrent.futures import Executor
from datetime import timedelta
from itertools import count
from typing import Any, NamedTuple, TypeVar

import msgspec
import structlog

from gateway.answers import Answers, Known
from gateway.clock import Clock
from gateway.commands import CommandError, Commands, Effect, Request
from gateway.config.downlink import Downlink as Config
from gateway.config.problems import nearest, one_of
from gateway.link import Publication
from gateway.question import Place, Question, Refusal, read
from gateway.store import Store, StoreError

log = structlog.get_logger("downlink")

WAITING, WAITING_BYTES = 100, 2**20  # commands that were heard and not yet looked at
AT_WORK = 8  # commands that are being done
OUTGOING = 50  # answers that wait for the broker; while there are so many, no command is taken
RECENT, RECENT_BYTES = 50, 256 * 1024  # answers that are kept in memory
BURST = 20  # commands that may come at once
LARGEST_ANSWER = 64 * 1024
TRIES = 5  # connections that may end while an answer is on its way, before it is thought to be why

Start = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
Result = TypeVar("Result")


class Reply(NamedTuple):
    """An answer on its way; `is_kept` where it is on the disk, too."""

    key: str
    id: str
    do: str
    place: Place
    payload: bytes
    is_kept: bool


class Downlink:
    """The downlink of one hub. `topic` is what to subscribe to."""

    def __init__(
        self,
        hub: str,
        config: Config,
        clock: Clock,
        commands: Commands,
        *,
        store: Store,
        thread: Executor,
        wake: asyncio.Event,
    ) -> None:
        """thread: where the store is used. wake: set when there is something for the uplink to send."""
        self.topic = f"canary/{hub}/do/#"
        self._hub = hub
        self._config = config
        self._clock = clock
        self._commands = commands
        self._answers = Answers(store)
        self._thread = thread
        self._wake = wake
        self._heard: deque[tuple[Publication, Callable[[], None]]] = deque()
        self._heard_bytes = 0
        self._dropped = 0
        self._news = asyncio.Event()  # something was heard, or there is room for answers again
        self._keys = count(1)
        self._outgoing: dict[str, Reply] = {}
        self._losses: Counter[str] = Counter()  # connections that ended while an answer was on its way
        self._recent: OrderedDict[str, Known] = OrderedDict()  # the last questions
        self._at_work: dict[str, tuple[str, asyncio.Task[None]]] = {}  # id -> digest, task
        self._budget = float(BURST)
        self._counted_at = clock.now()

    def adopt(self, config: Config) -> None:
        """Go by this config from now on."""
        self._config = config
        known = self._commands.names("cloud")
        for name in config.allow:
            if name not in known:
                near = nearest(name, known)
                hint = f'did you mean "{near}"?' if near else one_of(known, len(known))
                log.warning("there is no command of this name", allow=name, hint=hint)

    # ------------------------------------------------------------ what the uplink asks

    def hear(self, publication: Publication, taken: Callable[[], None]) -> None:
        """Somebody has published a command; returns at once. `taken` is called when the next may come."""
        size = len(publication.payload)
        if len(self._heard) >= WAITING or self._heard_bytes + size > WAITING_BYTES:
            self._dropped += 1
            if self._dropped == 1:
                log.warning("more commands than can wait; some are dropped", waiting=len(self._heard))
            return
        self._heard_bytes += size
        self._heard.append((publication, taken))
        self._news.set()

    def replies(self, without: Collection[str]) -> list[Reply]:
        """Answers to be sent, but for those with these keys, which are on their way."""
        return [reply for key, reply in self._outgoing.items() if key not in without]

    def lost(self, keys: Iterable[str]) -> None:
        """The connection has ended while these answers were on their way: they are sent again, but not for ever."""
        for key in keys:
            self._losses[key] += 1

    async def settle(self, answered: Iterable[tuple[str, str]]) -> None:
        """The broker has taken these answers, or refuses them for a reason."""
        given_up = [(key, "the connection ends whenever it is sent") for key, times in self._losses.items() if times >= TRIES]
        for key, refused in (*answered, *given_up):
            reply = self._outgoing.pop(key, None)
            del self._losses[key]
            if reply and refused:
                log.warning("the broker does not take an answer", do=reply.do, topic=reply.place.topic, reason=refused)
            if reply and reply.is_kept:
                await self._stored(self._answers.sent, reply.id)
        self._news.set()

    def shortened(self, reply: Reply, most: int) -> Reply:
        """The answer, or a word in its place where the broker takes only so many bytes."""
        if len(reply.payload) <= most:
            return reply
        error = CommandError("too-large", f"the answer has {len(reply.payload)} bytes, and the broker takes {most}")
        return reply._replace(payload=self._written(reply.id, reply.do, error))

    # ------------------------------------------------------------ from a question to its answer

    async def run(self, start: Start) -> None:
        """Take commands until cancelled. start: makes a task of the hub's tree."""
        try:
            await self._take_up()
            while True:
                publication, taken = await self._next()
                taken()
                await self._take(publication, start)
        finally:
            if tasks := [task for _, task in self._at_work.values()]:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def _next(self) -> tuple[Publication, Callable[[], None]]:
        while not self._heard or len(self._outgoing) >= OUTGOING:
            if self._dropped and not self._heard:
                log.warning("commands were dropped", number=self._dropped)
                self._dropped = 0
            self._news.clear()
            await self._news.wait()
        rate = self._config.per_minute / 60.0
        while True:
            now = self._clock.now()
            self._budget = min(BURST, self._config.per_minute, self._budget + (now - self._counted_at) * rate)
            self._counted_at = now
            if self._budget >= 1.0:
                self._budget -= 1.0
                publication, taken = self._heard.popleft()
                self._heard_bytes -= len(publication.payload)
                return publication, taken
            await asyncio.sleep((1.0 - self._budget) / rate)

    async def _take(self, publication: Publication, start: Start) -> None:
        try:
            question = read(
                publication.topic,
                publication.payload,
                retained=publication.retained,
                reply_to=publication.reply_to,
                correlation=publication.correlation,
                hub=self._hub,
                beyond=self._config.reply_to,
            )
            if question.retained or not await self._is_repeat(question):
                await self._begin(question, start)
        except Refusal as refusal:
            log.info("command refused", do=refusal.do, id=refusal.id, error=refusal.error.name)
            if refusal.place:
                self._send(refusal.id, refusal.do, refusal.place, self._written(refusal.id, refusal.do, refusal.error))

    async def _is_repeat(self, question: Question) -> bool:
        """Whether it was asked before: then its answer is sent again, or will be when there is one. Raises Refusal."""
        try:
            known = self._recent.get(question.id) or await self._call(self._answers.find, question.id)
        except StoreError as error:
            raise question.refused(CommandError("failed", str(error))) from error
        if question.id in self._at_work:
            known = Known(self._at_work[question.id][0], None)
        if known is None:
            return False
        if known.digest != question.digest:
            raise question.refused(CommandError("id-reused", "something else was asked under this id", field="id"))
        log.info("command repeated", do=question.do, id=question.id)
        if known.answer is not None:
            self._send(question.id, question.do, question.place, known.answer)
        return True

    async def _begin(self, question: Question, start: Start) -> None:
        """Raises Refusal; then nothing was begun."""
        now = self._clock.utc(self._clock.now()) if self._clock.synced() else None
        request = question.request(self._commands, self._config.allow, now, self._config.max_age)
        if len(self._at_work) >= AT_WORK:
            raise question.refused(CommandError("busy", f"{AT_WORK} commands are being done; ask again when some are answered"))
        if now and request.offer.effect is not Effect.NONE:
            assert question.issued, "the envelope has no mistake"
            valid_until = question.issued + timedelta(seconds=self._config.max_age)
            try:
                await self._call(self._answers.begin, question, valid_until.timestamp(), now.timestamp())
            except (CommandError, StoreError) as error:
                refusal = error if isinstance(error, CommandError) else CommandError("failed", str(error))
                raise question.refused(refusal) from error
        task = start(self._perform(question, request), f"command:{question.id}")
        self._at_work[question.id] = question.digest, task

    async def _perform(self, question: Question, request: Request) -> None:
        is_kept = request.offer.effect is not Effect.NONE
        ended = "done"
        try:
            try:
                answer = self._written(question.id, question.do, await request.perform())
            except CommandError as error:
                ended = error.name
                answer = self._written(question.id, question.do, error)
            if is_kept:
                await self._stored(self._answers.answer, question.id, answer)
            self._remember(question.id, Known(question.digest, answer))
            log.info("command", do=question.do, id=question.id, ended=ended)
            self._send(question.id, question.do, question.place, answer, is_kept=is_kept)
        finally:
            del self._at_work[question.id]

    def _remember(self, id_: str, known: Known) -> None:
        self._recent[id_] = known
        while len(self._recent) > RECENT or sum(len(one.answer or b"") for one in self._recent.values()) > RECENT_BYTES:
            self._recent.popitem(last=False)

    def _written(self, id_: str, do: str, outcome: bytes | CommandError) -> bytes:
        """An answer as it goes on the wire."""
        if isinstance(outcome, bytes) and len(outcome) > LARGEST_ANSWER:
            outcome = CommandError("too-large", f"the answer has {len(outcome)} bytes", expected="a question with a smaller answer")
        at = self._clock.utc(self._clock.now()).replace(microsecond=0)
        head = {"id": id_, "do": do, "hub": self._hub, "at": at, "ok": isinstance(outcome, bytes)}
        return msgspec.json.encode(
            head | ({"answer": msgspec.Raw(outcome)} if isinstance(outcome, bytes) else {"error": outcome.wire()})
        )

    def _send(self, id_: str, do: str, place: Place, payload: bytes, *, is_kept: bool = False) -> None:
        key = str(next(self._keys))
        self._outgoing[key] = Reply(key, id_, do, place, payload, is_kept)
        self._wake.set()

    # ------------------------------------------------------------ across a restart

    async def _take_up(self) -> None:
        """Say of what was interrupted that it was, and send what was not sent."""
        try:
            for begun in await self._call(self._answers.begun):
                try:
                    request = self._commands.read(begun.do, begun.fields, "cloud")
                    if request.offer.effect is Effect.REPEATABLE:
                        await self._call(self._answers.forget, begun.id)
                        continue
                    answer = self._written(begun.id, begun.do, request.after_restart())
                except CommandError as error:
                    answer = self._written(begun.id, begun.do, error)
                await self._call(self._answers.answer, begun.id, answer)
                log.warning("a command was interrupted", do=begun.do, id=begun.id)
            for unsent in await self._call(self._answers.unsent):
                self._send(unsent.id, unsent.do, unsent.place, unsent.answer, is_kept=True)
        except StoreError as error:
            log.error("what was asked before the restart is not answered", fault=error)

    async def _stored(self, function: Callable[..., Any], *values: Any) -> None:
        """Note something that can be done without."""
        try:
            await self._call(function, *values)
        except StoreError as error:
            log.warning("the answer to a command cannot be noted", fault=error)

    async def _call(self, function: Callable[..., Result], *values: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *values)
