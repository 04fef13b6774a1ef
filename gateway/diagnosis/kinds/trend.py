"""trend: will cross its limit, and when.

Claims      "If it goes on like this, the point reaches its limit in about so many days; eight times in ten between so many and so
            many." It is told only when the crossing lies within `lead` at the stated `confidence`, told again when the date has
            become wrong by much, and closed as "came true" or "averted", or withdrawn.
Assumes     The point moves slowly against the bucket: whole rhythms, so that a daily rhythm averages out, and about a twentieth of
            `lead`. What went on over the last few leads goes on over the next one; how true that was so far is measured, not
            assumed. There is no forecast before eleven buckets: eleven days, where nothing else is written.
Method      Robust slopes over three windows, blended by how good the forecasts of each were, with steps taken out; the interval is
            made of the errors of earlier forecasts (`buckets.py`, `trend_line.py`). When it speaks, and its score: `forecast.py`.
Sleeps      Between samples: 72 readings a rhythm are enough, however many there are.

With `model` there is no limit and no line: the model, learnt from units of the same make that were run to their end, says from
several points of a device how much life is left (`life.py`), and the rule has one episode for each device.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Seconds, Value
from gateway.diagnosis.buckets import SAMPLES, SLOTS, Bucket
from gateway.diagnosis.contract import Evidence, Phase, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.evidence import Sample, thin
from gateway.diagnosis.forecast import Outlook, Terms, Turn
from gateway.diagnosis.foreseen import Foreseen, Sampler, about
from gateway.diagnosis.life import decode
from gateway.diagnosis.trend_line import LEAST, Line, News
from gateway.diagnosis.unit_life import UnitLife
from gateway.diagnosis.watch import ANOTHER, NEVER, REPLACED, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import PLACEHOLDERS, duration

DAY = 86400.0
BUCKETS = 21  # to a lead, as nearly as whole rhythms allow
RHYTHMS = 3  # to a lead at the least
HUGE = 1e100  # further past a limit than this, nothing is measured
HOLD, HOLD_LIFE = 1, 3  # forecasts in a row that must agree; a line is drawn every other bucket, a life is judged at every row


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "trend"."""

    WORDS: ClassVar[tuple[str, ...]] = (*PLACEHOLDERS, "in", "earliest", "latest")

    above: Annotated[Quantity | None, Meta(description='Where it must not rise to: "250 Pa".')] = None
    below: Annotated[Quantity | None, Meta(description='Where it must not fall to: "15 %".')] = None
    model: Annotated[
        str, Meta(description="Instead of a limit: what `canary learn` made of past units, by its name.", extra={"model": True})
    ] = ""
    lead: Annotated[Seconds, Meta(ge=60, description="How far ahead it is told.")] = 28 * DAY
    confidence: Annotated[float, Meta(ge=0.5, lt=1, description="How sure it must be that it comes within that time.")] = 0.9
    rhythm: Annotated[Seconds | None, Meta(description='What averages out: a day where the lead is long, else "0 s".')] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        ends = [key for key in ("above", "below", "model") if getattr(self, key)]
        if not ends:
            raise KeyMistake("", "no limit", 'above = "..." or below = "..."')
        if len(ends) > 1:
            raise KeyMistake(ends[1], f"{ends[0]} and {ends[1]}", "one rule for each")
        if self.rhythm is not None and RHYTHMS * self.rhythm > self.lead:
            raise KeyMistake("rhythm", "a lead of less than three of them", 'a longer lead, or "0 s"')
        for key in ("lasting", "clear_lasting"):
            if getattr(self, key) is not None:
                raise KeyMistake(key, "a time to wait", "confidence alone")
        if self.model:
            try:
                decode(self.model)
            except ValueError as error:
                raise KeyMistake("model", str(error), "a file that `canary learn` wrote") from None


def fits(point: PointInfo) -> str | None:
    """Why this kind can do nothing with a point; None where it can."""
    return None if point.type == "number" else f"a {point.type} has no trend"


def unfit(keys: Keys, points: Iterable[PointInfo]) -> str | None:
    """Why a rule can do nothing with the points that it is written for; None where it can."""
    if not keys.model:
        return None
    needed = set(decode(keys.model).points)
    found: dict[str, set[str]] = {}
    for point in points:
        found.setdefault(point.device, set()).add(point.name)
    for device, names in found.items():
        if lacking := needed - names:
            some = ", ".join(sorted(lacking)[:3]) + (", ..." if len(lacking) > 3 else "")
            return f"the model needs points of {device} that the rule does not cover: {some}"
    return None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point; with a model, one a device that has all its points, and an eye on each of these."""
    keys = rule.keys
    assert isinstance(keys, Keys)
    mine = list(matching(rule, points, fits))
    if not keys.model:
        pace = Pace(keys)
        for point in mine:
            yield Trend(rule, point, to_unit, pace)
        return
    model, terms = decode(keys.model), Terms(keys.lead, keys.confidence, HOLD_LIFE)
    for device in dict.fromkeys(point.device for point in mine):
        named = {point.name: point for point in mine if point.device == device}
        if all(name in named for name in model.points):
            head = UnitLife(rule, [named[name] for name in model.points], model, terms)
            yield head
            yield from head.eyes


class Pace:
    """How a rule divides time; shared by its watches."""

    def __init__(self, keys: Keys) -> None:
        self.terms = Terms(keys.lead, keys.confidence, HOLD)
        width = keys.lead / BUCKETS
        rhythm = (DAY if keys.lead >= RHYTHMS * DAY else 0.0) if keys.rhythm is None else keys.rhythm
        self.slot = (rhythm or width) / SLOTS
        self.slots = SLOTS * max(1, int(width / rhythm)) if rhythm else SLOTS  # to a bucket
        self.width = self.slot * self.slots
        self.sample = self.slot / SAMPLES
        self.unit = next((unit for unit in (DAY, 3600.0) if keys.lead >= 2 * unit), 60.0)  # in which slopes are told


class Trend(Foreseen):
    """One point on its way to one limit. Inside, times are seconds since its first reading, values distances past the limit."""

    __slots__ = ("began", "bucket", "level", "line", "pace", "sampler", "sign")

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit, pace: Pace) -> None:
        super().__init__(rule, point, pace.terms)
        keys = rule.keys
        assert isinstance(keys, Keys)
        limit = keys.above or keys.below
        assert limit is not None
        self.pace = pace
        self.sign = 1.0 if keys.above else -1.0
        self.level = to_unit(limit, point.unit)
        self.began = NEVER  # when its first reading was
        self.sampler = Sampler()
        self.bucket = Bucket()
        self.line = Line()

    def start(self, now: float) -> None:  # noqa: ARG002
        """See `Watch.start`."""
        self.sampler.rest(self)

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:
        """See `Watch.look`."""
        assert not isinstance(value, str)
        self.turn = None
        if at >= self.sampler.wanted:
            self.turn = self._take(value, at)
        self.sampler.rest(self)
        if is_open and not self.line.is_drawn and self.announcer.ended is None:  # of a rule that has been changed
            return Verdict.UNKNOWN
        return self.verdict()

    def _take(self, value: float, at: float) -> Turn | None:
        if self.began == NEVER:
            self.began = at
        pace = self.pace
        past = max(-HUGE, min(HUGE, self.sign * (value - self.level)))
        ended = self.bucket.add(at - self.began, past, pace.slot, pace.slots)
        self.sampler.take(at, pace.sample, self.bucket.next_in(pace.slot))
        if ended is None:
            return None
        return self._turn(self.line.add(ended, pace.width, pace.terms, abs(self.level)), ended.at)

    def _turn(self, news: News, at: float) -> Turn | None:
        turn = None
        if News.CROSSED in news:
            turn = self.announcer.crossed(at)
        if turn is None and News.PUT_RIGHT in news:
            turn = self.announcer.put_right()
        if turn is None and News.FITTED in news and not self.line.is_over:
            turn = self.announcer.hear(at, self.line.outlook(at))
        return turn

    def lost(self, at: float) -> Verdict:
        """See `Watch.lost`."""
        self.turn = None
        return super().lost(at)

    def noted(self, event: str, at: float) -> None:  # noqa: ARG002
        """See `Watch.noted`: the forecast was about one that is no longer there."""
        if event == REPLACED:
            self.began, self.sampler, self.bucket, self.line = NEVER, Sampler(), Bucket(), Line()
            self.turn = self.announcer.put_right()
            self.sampler.rest(self)

    def outlook(self, at: float) -> Outlook | None:
        """See `Foreseen.outlook`."""
        return self.line.outlook(at - self.began) if self.line.is_drawn else None

    def evidence(self) -> Evidence | None:
        """See `Watch.evidence`: the buckets of the last weeks, each a robust mean; None right after a step."""
        seen = self.line.seen()
        if len(seen) < LEAST:
            return None
        samples = [Sample(self.began + at, 1, value, value) for at, value in ((at, self.level + self.sign * y) for at, y in seen)]
        return thin(samples, self.point.unit)

    @property
    def learning(self) -> float:
        """See `Watch.learning`."""
        return self.line.drawn

    def end(self) -> float:
        """See `Foreseen.end`."""
        return self.level

    def limit(self) -> str:
        """See `Watch.limit`."""
        return self.written(self.level)

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        side = "above" if self.sign > 0 else "below"
        if phase is Phase.CLOSED:
            if self.announcer.ended is Turn.CAME_TRUE:
                return f"{{point}} is {side} {{limit}}, as was foretold."
            return "{point} is no longer on its way to {limit}."
        if phase is Phase.WITHDRAWN:
            return f"{{point}} is not expected to be {side} {{limit}} soon, after all."
        return f"{{point}} will be {side} {{limit}} in about {{about}}."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        line = self.line
        level = self.written(self.level + self.sign * line.level)
        slope = self.sign * line.slope * self.pace.unit
        goes = f"{'rises' if slope > 0 else 'falls'} by {self.written(abs(slope))} {_PER[self.pace.unit]} and has come to {level}"
        ended = self.announcer.ended
        if ended is Turn.CAME_TRUE:
            told = f"{duration(lasting)} ago it was foretold for in about {self._promised()}"
            return f"its mean has reached the limit of {self.limit()}; {told}{self.past()}"
        if ended is Turn.AVERTED and not line.is_drawn:
            return f"{ANOTHER}{self.past()}"
        if ended is Turn.AVERTED:
            return f"it has made a step away from the limit of {self.limit()}, to about {level}{self.past()}"
        if phase is Phase.WITHDRAWN and ended is None:
            return "the rule has been changed since, and foretells nothing"
        return f"it {goes}; the limit is {self.limit()}{self.past()}"

    def _promised(self) -> str:
        """What was foretold when the episode opened."""
        promise, episode = self.announcer.promise, self.episode
        if promise is None or episode is None:
            return "some time"
        return about(Outlook(*promise[1:]).after(episode.since - self.began - promise.at))

    def memory(self) -> Any:
        """See `Watch.memory`."""
        if self.began == NEVER:
            return None
        parts = (self.sampler, self.bucket, self.line, self.announcer)
        return [self.began, *(part.memory() for part in parts)]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        began, sampler, bucket, line, announcer = memory
        self.began = began + shift
        self.sampler.recall(sampler, shift)
        self.bucket.recall(bucket)
        self.line.recall(line)
        self.announcer.recall(announcer)


_PER = {DAY: "a day", 3600.0: "an hour", 60.0: "a minute"}
