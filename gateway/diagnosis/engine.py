"""From readings to changes: wakes the watches that a reading or a deadline concerns, and keeps their episodes.

Promises
- Driven by batches, by deadlines and by a passed-in `now`; knows no clock, does no I/O. The same batches give the same changes,
  however often `tick` is called.
- A reading that concerns nobody costs one comparison; a rule that sleeps costs nothing; memory is constant for each point.
- A batch that is late, or came before, is counted and changes nothing. "No value" and NaN hold what was thought before.
- A run that is cut anywhere by `state` and `restore` gives the same changes as one that is not.
"""

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drivers.contract import Batch, NoValue, Outcome
from gateway.diagnosis import load_kind
from gateway.diagnosis.causes import Surroundings, unknown
from gateway.diagnosis.columns import Column, Plan, missing
from gateway.diagnosis.composing import compose
from gateway.diagnosis.contract import (
    AWAY,
    HUB,
    STATE,
    Change,
    Evidence,
    Learning,
    OpenEpisode,
    Phase,
    PointInfo,
    RuleKeys,
    Standing,
    Withheld,
)
from gateway.diagnosis.episode import Episode, State
from gateway.diagnosis.memory import recall_all, remember_all
from gateway.diagnosis.table import Table
from gateway.diagnosis.teller import Teller
from gateway.diagnosis.watch import NEVER, NOTHING, Local, Rule, ToUnit, Verdict, Watch

VERSION = 2  # of the plain data that `state` gives


class Engine:
    """All rules of a hub at work on all its points. Times are seconds of the hub's timeline."""

    def __init__(
        self,
        rules: Mapping[str, RuleKeys],
        points: Sequence[PointInfo],
        to_unit: ToUnit,
        now: float,
        local: Local = unknown,
        surroundings: Surroundings = Surroundings(),  # noqa: B008  (immutable)
    ) -> None:
        self.readings = 0  # of devices, fed so far; what the hub knows of itself is none
        self.late = 0  # batches that came late or twice, and were left aside
        self.next_due = NEVER  # when `tick` has something to do, as far as is known now
        self._now = now
        self._told: list[Change] = []
        self._due: list[tuple[float, int]] = []  # a heap of (time, number of a watch); what is out of date is skipped
        self._table = Table(points, local, now)
        self._devices = self._table.devices  # at hand for each batch
        self._columns = self._table.columns
        self._watches: list[Watch] = []
        self._own = self._devices.get(HUB)
        for rule_id, keys in rules.items():
            for watch in load_kind(keys.kind).watches(Rule(rule_id, keys), points, to_unit):
                self._place(watch)
        self._teller = Teller(self, surroundings, points, now)
        for watch in self._watches:
            watch.start(now)
            self._arm(watch)
        self._plan_ahead()

    def _place(self, watch: Watch) -> None:
        self._table.place(watch, self._now)
        watch.number = len(self._watches)
        self._watches.append(watch)

    # ------------------------------------------------------------ readings

    def feed(self, batch: Batch) -> Sequence[Change]:
        """Take in one batch; returns what is to be told, which is nearly always nothing."""
        at = batch.at
        device = self._devices.get(batch.device)
        if device is None:
            return ()
        plan = device.plan
        if plan is None or plan.points is not batch.points:
            device.plan = plan = self._table.plan(device, batch, self._now)
        if at <= plan.at:
            self.late += 1
            return ()
        if at > self.next_due:
            self._elapse(math.nextafter(at, -NEVER))  # what was due before it comes before it
        values = batch.values
        before, plan.at = plan.at, at
        plan.values = values
        if device is not self._own:
            self.readings += len(values)
        if at >= self.next_due:
            self._elapse(at)
        if plan.history is not None:
            plan.history.add(at, values)
        for column, value in plan.outside(values):
            self._read(column, value, at, plan, before)
        if not self._told:
            return ()
        told, self._told = self._told, []
        return told

    def _read(self, column: Column, value: Outcome, at: float, plan: Plan, before: float) -> None:
        """A reading that left the band of its column; the one before in this plan was at `before`."""
        void = missing(value)
        if void is not None:
            if column.missing is None:
                self._lose(column, void, at, column.seen_but_for(plan, before))
            return
        assert not isinstance(value, NoValue)
        is_text = isinstance(value, str)
        ask_all = is_text or column.text or column.missing is not None  # or who was told that there is none would not hear of it
        if column.known_since is None or column.missing is not None:
            column.known_since = at
        column.missing = None
        column.text = is_text
        for watch in column.watches:
            if is_text and not watch.TEXT:
                self._step(watch.head, watch.lost(at), at, value)
            elif ask_all or not watch.low <= value <= watch.high:  # type: ignore[operator]
                head = watch.head
                episode = head.episode
                verdict = watch.look(value, at, episode is not None and episode.is_open)
                if episode is not None or verdict is not Verdict.WELL:
                    self._step(head, verdict, at, value)
                if head is not watch:
                    self._arm(head)
                self._arm(watch)
        column.rest(value)
        if column.point.name == STATE and value in AWAY:
            for other in column.device.columns:
                if other is not column and other.missing is None:
                    self._lose(other, NoValue(str(value)), at, other.seen())

    def _lose(self, column: Column, why: NoValue, at: float, seen: float) -> None:
        """From now on there is no value. The watches are told once, not at every reading without one."""
        column.seen_before = seen
        column.missing = why
        for watch in column.watches:
            self._step(watch.head, watch.lost(at), at, why)
            self._arm(watch)
            self._arm(watch.head)
        column.rest(None)

    def note(self, event: str, device: str, at: float) -> Sequence[Change]:
        """Something was done to a device that no point of it tells: see `Watch.noted`. Returns what is to be told."""
        if at >= self.next_due:
            self._elapse(at)
        for watch in self._watches:
            if watch.point.device == device:
                watch.noted(event, at)
                if watch.low > watch.high:
                    self._columns[watch.point.id].wake()
                self._arm(watch)
        told, self._told = self._told, []
        return told

    # ------------------------------------------------------------ deadlines

    def tick(self, now: float) -> Sequence[Change]:
        """Let time pass up to `now`; returns what is to be told."""
        self._now = max(self._now, now)
        if now >= self.next_due:
            self._elapse(now)
        told, self._told = self._told, []
        return told

    def _elapse(self, until: float) -> None:
        heap = self._due
        while heap and heap[0][0] <= until:
            at, number = heapq.heappop(heap)
            watch = self._watches[number]
            if watch.armed == at:
                watch.armed = NEVER
                if self._teller.next_due < at:
                    self._teller.elapse(math.nextafter(at, -NEVER))
                self._ring(watch, at)
        self._teller.elapse(until)
        self._plan_ahead()

    def _plan_ahead(self) -> None:
        self.next_due = min(self._due[0][0] if self._due else NEVER, self._teller.next_due)

    def _ring(self, watch: Watch, at: float) -> None:
        """A deadline of a watch, or of its episode, has come."""
        column = self._columns[watch.point.id]
        episode = watch.episode
        if watch.due <= at:
            verdict = watch.elapse(at)
            if verdict is not None:
                self._step(watch.head, verdict, at, column.missing)
                if watch.head is not watch:
                    self._arm(watch.head)
            if watch.low > watch.high:
                self._wake(watch)
        elif episode is not None and episode.due <= at:
            self._wake(watch)
        self._arm(watch, at)

    def _wake(self, watch: Watch) -> None:
        """The next reading decides, of whichever of its points."""
        for eye in (watch, *watch.eyes):
            eye.low, eye.high = NOTHING
            self._columns[eye.point.id].wake()

    def _arm(self, watch: Watch, after: float = -NEVER) -> None:
        """See to it that the heap knows the next deadline of a watch. An earlier entry will do: it is looked at when it comes."""
        due = watch.due if watch.due > after else NEVER
        episode = watch.episode
        if episode is not None and after < episode.due < due:
            due = episode.due
        if due < watch.armed:
            watch.armed = due
            heapq.heappush(self._due, (due, watch.number))
            self.next_due = min(self.next_due, due)

    # ------------------------------------------------------------ episodes

    def _step(self, watch: Watch, verdict: Verdict, at: float, value: Outcome | None) -> None:
        episode = watch.episode
        if verdict is Verdict.UNKNOWN:
            if episode is not None:
                episode.hold(at)
            return
        if episode is None:
            if verdict is Verdict.WELL:
                return
            watch.episode = episode = Episode(watch.since(at), at + watch.lasting)
        clear_lasting = watch.rule.keys.clear_lasting or 0.0
        phase = episode.step(at, verdict is not Verdict.WELL, verdict is Verdict.WORSE, clear_lasting)
        if phase is Phase.OPENED:
            watch.count += 1
        phase = watch.tells(phase)
        if phase is not None:
            self._teller.take(watch, compose(watch, episode, phase, at, value, self._table))
            self._plan_ahead()
        if episode.state is State.CLOSED or (phase is Phase.OPENED and watch.kind == "milestone"):
            watch.episode = None

    # ------------------------------------------------------------ what the teller asks

    def compose(self, watch: Watch, at: float) -> Change:
        """See `situation.Facts.compose`."""
        assert watch.episode is not None
        column = self._columns[watch.about.id]
        last = column.last()
        value = column.missing or (last[0] if last else None)
        return compose(watch, watch.episode, Phase.OPENED, at, value, self._table)

    def evidence(self, point: PointInfo, since: float, at: float) -> Evidence | None:
        """See `situation.Facts.evidence`."""
        return self._table.evidence(point, since, at)

    def heard(self, device: str) -> float | None:
        """See `situation.Facts.heard`."""
        return self._table.heard(device)

    def is_suspect(self, node: str) -> bool:
        """See `situation.Facts.is_suspect`."""
        column = self._columns.get(node)
        if column is None:
            return False
        last = column.last()
        episodes = (watch.head.episode for watch in column.watches)
        return (last is not None and last[0] in AWAY) or any(one is not None and one.state is State.PENDING for one in episodes)

    def why_held(self, watch: Watch) -> str:
        """See `situation.Facts.why_held`."""
        if watch.episode is None or watch.episode.held_at is None:
            return ""
        why = self._columns[watch.about.id].missing
        return why.reason if why else "another point that it looks at has no value"

    def tell(self, change: Change) -> None:
        """See `situation.Facts.tell`."""
        self._told.append(change)

    # ------------------------------------------------------------ what nobody wants to hear of

    def mute(self, what: str, until: float) -> None:
        """Tell nothing of a rule, device, "bus.NAME" or point (globs allowed) until a time; it is accounted for then."""
        self._teller.mute(what, until)
        self._plan_ahead()

    def muted(self) -> list[tuple[str, float]]:
        """What was muted and is still, and until when; maintenance windows apart."""
        return self._teller.muted()

    # ------------------------------------------------------------ views

    def last(self, point_id: str) -> tuple[Outcome, float] | None:
        """The newest reading of a point and its time; None where there has been none."""
        return self._table.last(point_id)

    def known_since(self, point_id: str) -> float | None:
        """Since when a point has had a value without a break, None while it has none. "device/*" stands for all that have one."""
        return self._table.known_since(point_id)

    def is_shown(self, episode: str, since: float) -> bool:
        """Whether what was read since a time still shows what an episode is about that has been told.

        Not where it is well again and that has merely not lasted yet, nor where nothing is known of it. A state is told when it
        changes, so the last one holds; after a restart there is none until it has been told anew.
        """
        told = next((one for one in self.open_episodes() if one.episode == episode), None)
        if told is None or told.clearing or told.held:
            return False
        last, state = self.last(told.point.id), self.last(f"{told.point.device}/{STATE}")
        is_away = state is not None and state[0] in AWAY
        return is_away or (last is not None and (last[1] >= since or told.point.name == STATE))

    def past(self) -> Iterator[Batch]:
        """What is remembered of all watched points, in the order of time; see `History.past`. What was no number is left out."""
        return self._table.past()

    def past_of(self, point_id: str) -> list[tuple[float, float]]:
        """Times and values that are remembered of one point; see `History.past`."""
        return self._table.past_of(point_id)

    def open_episodes(self) -> list[OpenEpisode]:
        """What has been told as opened and not yet as closed, in the order of rules and points."""
        return list(self._teller.open_episodes())

    def withheld(self) -> list[Withheld]:
        """What is open and not told, because it is muted, explained by something else, or settling."""
        return list(self._teller.withheld())

    def forecasts(self, now: float) -> list[Standing]:
        """What the rules foresee that foresee anything, in the order of rules and points."""
        scores = ((watch, watch.score) for watch in self._watches)
        return [
            Standing(
                rule_id=watch.rule.id,
                point=watch.about,
                forecast=watch.forecast(now),
                is_told=watch.episode is not None and watch.episode.is_open,
                score=score,
            )
            for watch, score in scores
            if score is not None
        ]

    def learning(self) -> list[Learning]:
        """The rules that say nothing yet of a point because they still learn it."""
        shares = ((watch, watch.learning) for watch in self._watches)
        return [Learning(watch.rule.id, watch.point, share) for watch, share in shares if share < 1.0]

    # ------------------------------------------------------------ across a restart

    def state(self, *, history: bool = True, calm: bool = True) -> dict[str, Any]:
        """Everything that must survive, as plain data that JSON can hold.

        Without `history` it is much smaller; then evidence begins anew, and so does the time that a `rate` looks back on. Without
        `calm` it leaves out rules that neither learn nor gather for days, and are not unhappy: what they had begun to time begins
        anew.
        """
        return {
            "version": VERSION,
            "now": self._now,
            "rules": remember_all(self._watches, self._teller, calm=calm),
            **self._table.memory(history=history),
            "telling": self._teller.memory(),
        }

    def restore(self, state: Mapping[str, Any], *, shift: float = 0.0, off: float = 0.0) -> Sequence[Change]:
        """Take up what `state` gave; to be called before the first batch.

        `shift` is added to its times, where the timeline begins anew; `off` is how long the hub read nothing (s), which counts
        neither as silence nor as lasting. Returns the closing of episodes that no rule stands for any more. What belongs to a
        rule that has changed is judged anew, but its open episodes go on. Raises ValueError for data of another version.
        """
        if state.get("version") != VERSION:
            raise ValueError(f"the saved state is of version {state.get('version')!r}; this program reads {VERSION}")
        self._now = max(self._now, state["now"] + shift)
        self._table.recall(state, shift, off, self._now)
        closed = recall_all(state["rules"], self._watches, self._teller, shift, off, self._now)
        for watch in self._watches:
            watch.start(self._now)
            self._arm(watch)
        self._teller.recall(state["telling"], shift, off, self._now)
        self._plan_ahead()
        return closed

    def adopt(self, old: "Engine") -> Sequence[Change]:
        """Go on where the engine of the config before left off, at the same time; see `restore`."""
        self.readings, self.late = old.readings, old.late
        return self.restore(old.state())
