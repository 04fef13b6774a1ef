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
from gateway.diagnosis.columns import Column, Device, Plan, missing
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
from gateway.diagnosis.memory import digest, recall, remember
from gateway.diagnosis.teller import Teller
from gateway.diagnosis.telling import abandoned
from gateway.diagnosis.watch import NEVER, NOTHING, Local, Rule, ToUnit, Verdict, Watch
from gateway.diagnosis.words import duration, fill

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
        self._local = local
        self._told: list[Change] = []
        self._due: list[tuple[float, int]] = []  # a heap of (time, number of a watch); what is out of date is skipped
        self._devices: dict[str, Device] = {}
        self._columns: dict[str, Column] = {}
        self._watches: list[Watch] = []
        for point in points:
            device = self._devices.setdefault(point.device, Device(local))
            self._columns[point.id] = column = Column(point, device, now)
            device.columns.append(column)
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
        column = self._columns.get(watch.point.id)
        if column is None:  # of a head: nobody reads it
            device = self._devices.get(watch.point.device) or Device(self._local)
            self._columns[watch.point.id] = column = Column(watch.point, device, self._now)
        column.watches = (*column.watches, watch)
        watch.sight = column
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
            device.plan = plan = self._plan(device, batch)
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

    def _plan(self, device: Device, batch: Batch) -> Plan:
        plan = device.plans.get(batch.points)
        if plan is None:
            columns = [self._column(device, batch.device, name) for name in batch.points]
            device.plans[batch.points] = plan = Plan(batch.points, columns)
        plan.points = batch.points
        return plan

    def _column(self, device: Device, device_id: str, name: str) -> Column:
        point_id = f"{device_id}/{name}"
        column = self._columns.get(point_id)
        if column is None:  # no rule knows it, but views may ask for its last value
            column = Column(PointInfo(point_id, device_id, name, "", name, device_id), device, self._now)
            self._columns[point_id] = column
        return column

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
            self._teller.take(watch, self._change(watch, episode, phase, at, value))
            self._plan_ahead()
        if episode.state is State.CLOSED or (phase is Phase.OPENED and watch.kind == "milestone"):
            watch.episode = None

    def _change(self, watch: Watch, episode: Episode, phase: Phase, at: float, value: Outcome | None) -> Change:
        at = max(at, episode.told_at)  # a batch may be a little older than the deadline that came before it
        episode.told_at = at
        keys, point = watch.rule.keys, watch.about
        lasting = at - episode.since
        shown = watch.value(value)
        words = {
            "device": point.device_label,
            "point": point.label,
            "value": watch.written(shown),
            "limit": watch.limit(),
            "lasting": duration(lasting),
            **watch.words(at),
        }
        is_last = phase in (Phase.CLOSED, Phase.WITHDRAWN)
        says = keys.says if keys.says and not is_last else watch.says(phase, lasting)
        because = watch.because(phase, shown, lasting)
        if episode.gap:
            because += f"; nothing was known for {duration(episode.gap)} of that"
        return Change(
            episode=watch.episode_id(),
            rule_id=watch.rule.id,
            rule=keys,
            point=point,
            kind=watch.kind,
            phase=phase,
            severity="info" if watch.kind == "milestone" else episode.severity(keys.severity),
            at=at,
            since=episode.since,
            value=shown,
            says=fill(says, words),
            because=because,
            evidence=watch.evidence() or self.evidence(point, episode.since, at),
            forecast=None if is_last else watch.forecast(at),
            confidence=None if is_last else watch.confidence(),
            how=watch.how() if phase is Phase.CLOSED else "",
        )

    # ------------------------------------------------------------ what the teller asks

    def compose(self, watch: Watch, at: float) -> Change:
        """See `situation.Facts.compose`."""
        assert watch.episode is not None
        column = self._columns[watch.about.id]
        last = column.last()
        return self._change(watch, watch.episode, Phase.OPENED, at, column.missing or (last[0] if last else None))

    def evidence(self, point: PointInfo, since: float, at: float) -> Evidence | None:
        """See `situation.Facts.evidence`."""
        column = self._columns.get(point.id)
        histories = ((plan.history, index) for plan, index in column.places()) if column else ()
        return next((history.evidence(index, point.unit, since, at) for history, index in histories if history), None)

    def heard(self, device: str) -> float | None:
        """See `situation.Facts.heard`."""
        known = self._devices.get(device)
        columns = known.columns if known else ()
        return max((column.seen() for column in columns if column.point.name != STATE), default=None)

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
        why = self._columns[watch.about.id].missing if watch.episode and watch.episode.held_at is not None else None
        return why.reason if why else ""

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
        column = self._columns.get(point_id)
        return column.last() if column else None

    def known_since(self, point_id: str) -> float | None:
        """Since when a point has had a value without a break, None while it has none. "device/*" stands for all that have one."""
        device, _, name = point_id.partition("/")
        if name == "*":
            known = self._devices.get(device)
            columns = [column for column in known.columns if column.point.name != STATE] if known else []
        else:
            columns = [column] if (column := self._columns.get(point_id)) else []
        times = [column.known_since for column in columns if column.missing is None]
        return max((time for time in times if time is not None), default=None)

    def past(self) -> Iterator[Batch]:
        """What is remembered of all watched points, in the order of time; see `History.past`. What was no number is left out."""
        return heapq.merge(
            *(
                self._remembered(name, plan)
                for name, device in self._devices.items()
                for plan in device.plans.values()
                if plan.history
            ),
            key=lambda batch: batch.at,
        )

    def past_of(self, point_id: str) -> list[tuple[float, float]]:
        """Times and values that are remembered of one point; see `History.past`."""
        column = self._columns.get(point_id)
        places = column.places() if column else ()
        pairs = ((at, row[index]) for plan, index in places if plan.history for at, row in plan.history.past())
        return sorted((at, value) for at, value in pairs if math.isfinite(value))

    @staticmethod
    def _remembered(device: str, plan: Plan) -> Iterator[Batch]:
        assert plan.history
        for at, row in plan.history.past():
            known = [(name, value) for name, value in zip(plan.points, row, strict=True) if math.isfinite(value)]
            yield Batch(device, at, tuple(name for name, _ in known), tuple(value for _, value in known))

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
        rules: dict[str, dict[str, Any]] = {}
        for watch in self._watches:
            if not (calm or watch.episode or watch.count or watch.LEARNS or watch.GATHERS):
                continue
            entry = remember(watch)
            if telling := self._teller.memory_of(watch):
                entry["telling"] = telling
            if entry:
                rule = rules.setdefault(watch.rule.id, {"kind": watch.rule.keys.kind, "keys": digest(watch.rule), "points": {}})
                rule["points"][watch.point.id] = entry
        plans = [
            {
                "device": name,
                "points": list(plan.points),
                "at": plan.at,
                "history": plan.history.memory() if history and plan.history else None,
                "values": [None if missing(value) else value for value in plan.values] if history else [],
            }
            for name, device in self._devices.items()
            for plan in device.plans.values()
        ]
        voids = {
            column.point.id: [column.seen_before, column.missing.reason if column.missing else None]
            for column in self._columns.values()
            if column.seen() == column.seen_before
        }
        telling = self._teller.memory()
        return {"version": VERSION, "now": self._now, "rules": rules, "plans": plans, "voids": voids, "telling": telling}

    def restore(self, state: Mapping[str, Any], *, shift: float = 0.0, off: float = 0.0) -> Sequence[Change]:
        """Take up what `state` gave; to be called before the first batch.

        `shift` is added to its times, where the timeline begins anew; `off` is how long the hub read nothing (s), which counts
        neither as silence nor as lasting. Returns the closing of episodes that no rule stands for any more. What belongs to a
        rule that has changed is judged anew, but its open episodes go on. Raises ValueError for data of another version.
        """
        if state.get("version") != VERSION:
            raise ValueError(f"the saved state is of version {state.get('version')!r}; this program reads {VERSION}")
        self._now = max(self._now, state["now"] + shift)
        for kept in state["plans"]:
            self._recall_plan(kept, shift)
        for point_id, (seen_before, reason) in state["voids"].items():
            if column := self._columns.get(point_id):
                column.seen_before = seen_before + shift
                column.missing = None if reason is None else NoValue(reason)
        if off:
            for column in self._columns.values():
                column.seen_before = column.seen() + off
        watches: dict[tuple[str, str], Watch] = {}
        for watch in self._watches:
            watch.low, watch.high = NOTHING
            watch.due = NEVER
            watches[watch.rule.id, watch.point.id] = watch
        closed: list[Change] = []
        for rule_id, rule in state["rules"].items():
            for point_id, entry in rule["points"].items():
                heir, told = watches.get((rule_id, point_id)), entry.get("telling")
                if heir is None or heir.rule.keys.kind != rule["kind"]:
                    closed += abandoned(rule_id, rule["kind"], told, shift, self._now)
                    continue
                recall(heir, entry, rule["keys"] == digest(heir.rule), shift, off)
                if heir.head is not heir or (heir.episode is None and told and told.get("is_open")):  # it is one of several now
                    closed += abandoned(rule_id, rule["kind"], told, shift, self._now)
                elif told:
                    self._teller.recall_of(heir, told, shift, off)
        for watch in self._watches:
            watch.start(self._now)
            self._arm(watch)
        self._teller.recall(state["telling"], shift, off, self._now)
        self._plan_ahead()
        return closed

    def _recall_plan(self, kept: Mapping[str, Any], shift: float) -> None:
        device = self._devices.get(kept["device"])
        if device is not None:
            points = tuple(kept["points"])
            plan = self._plan(device, Batch(kept["device"], 0.0, points, ()))
            plan.at = kept["at"] + shift
            plan.values = tuple(NoValue("not known") if value is None else value for value in kept.get("values", ()))
            for column in plan.columns:
                column.seen_before = -NEVER  # not when this engine began: it was read before, and `voids` knows what was lost
                column.known_since = -NEVER
            if plan.history and kept["history"]:
                plan.history.recall(kept["history"], shift)

    def adopt(self, old: "Engine") -> Sequence[Change]:
        """Go on where the engine of the config before left off, at the same time; see `restore`."""
        self.readings, self.late = old.readings, old.late
        return self.restore(old.state())
