"""usage: so much has been used, so a service falls due.

Claims      What is counted (hours run, starts, an amount on a meter, or plain time) has reached its limit, or will within `lead` at
            the pace of the last one or two weeks. When it is reached, that is told as worsened.
Assumes     Of hours and starts: that readings come often enough to see each run. Of an amount: a meter that only rises. One that
            begins anew where its digits run out is followed; one that was put back or replaced is counted on from its new place,
            and the moment says so. While the hub is off nothing is counted, but for a meter and for plain time.
Method      Counting; and for the pace the mean over a stretch of whole weeks (or of the lead, where that is shorter), which evens
            out the rhythm of the week. Nothing is foreseen from less than half of such a stretch.
Sleeps      Until it starts or stops, or reaches the limit; the pace is looked at eight times a stretch.

The count begins when the rule does, with what is written as used `before`, and again when a service is noted.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Seconds, Value
from gateway.diagnosis.contract import Difference, Kind, Phase, PointInfo, Quantity, Severity
from gateway.diagnosis.running import Running, RunningKeys
from gateway.diagnosis.tally import Age, HoursRun, Risen, Starts, Tally
from gateway.diagnosis.watch import ANYTHING, NEVER, NOTHING, REPLACED, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import PLACEHOLDERS, duration

STRETCH = 7 * 86400.0  # s over which a pace is taken at least; at most twice that
LOOKS = 8  # at the pace in a stretch
SLOWER = 1.25  # leads: further off than this, what was told is taken back
SERVICE = "service"
"""The event after which the count begins anew; see `Watch.noted`."""


class Keys(RunningKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "usage"; `says` may also hold {in}, the time until it is due."""

    WORDS: ClassVar[tuple[str, ...]] = (*PLACEHOLDERS, "in")

    hours: Annotated[Annotated[Seconds, Meta(gt=0)] | None, Meta(description='Due after running for so long: "2000 h".')] = None
    starts: Annotated[Annotated[int, Meta(gt=0)] | None, Meta(description="Due after so many starts.")] = None
    amount: Annotated[Difference | None, Meta(description='Due when the meter has risen by so much: "500 m³".')] = None
    age: Annotated[Annotated[Seconds, Meta(gt=0)] | None, Meta(description='Due after so long, run or not: "365 d".')] = None
    before: Annotated[Seconds, Meta(description="Hours run, or age, before the hub counted.")] = 0.0
    starts_before: Annotated[int, Meta(ge=0, description="Starts before the hub counted.")] = 0
    start: Annotated[
        Quantity | None, Meta(description='What the meter read at the last service: "1200 m³"; what it reads first if left out.')
    ] = None
    lead: Annotated[Seconds, Meta(ge=60, description="Told when it will be due within this time at the present pace.")] = (
        14 * 86400.0
    )
    what: Annotated[str, Meta(min_length=1, description='What falls due, for the text: "service", "filter change".')] = "service"
    severity: Severity = "info"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [key for key in ("hours", "starts", "amount", "age") if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "nothing to count"
            raise KeyMistake(
                given[1] if given else "", found, 'one of hours = "2000 h", starts = 5000, amount = "..." and age = "365 d"'
            )
        if self.amount is not None and self.amount.value <= 0:
            raise KeyMistake("amount", f"{self.amount.value:g}", "an amount greater than 0")
        if self.lasting is not None:
            raise KeyMistake("lasting", "a time to wait beside a limit that stays reached", "only lead")
        counted = given[0]
        for key, fitting in (("before", ("hours", "age")), ("starts_before", ("starts",)), ("start", ("amount",))):
            if getattr(self, key) and counted not in fitting:
                raise KeyMistake(key, f"nothing that {counted} has a use for", f"it only beside {' or '.join(fitting)}")
        if self.on_above and counted in ("amount", "age"):
            raise KeyMistake("on_above", f"nothing that {counted} has a use for", "it only beside hours or starts")


def fits(point: PointInfo) -> str | None:  # noqa: ARG001
    """Any point may tell that something runs; a text by what it says."""
    return None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point."""
    keys = rule.keys
    assert isinstance(keys, Keys)
    for point in matching(rule, points, fits):
        if keys.amount is not None:
            if point.type != "text":
                start = to_unit(keys.start, point.unit) if keys.start else None
                yield Usage(rule, point, Risen(point.unit, start), to_unit(keys.amount, point.unit, difference=True))
        elif keys.age is not None:
            yield Ageing(rule, point, Age(keys.before), keys.age)
        elif keys.hours is not None:
            yield Usage(rule, point, HoursRun(Running(keys, point.unit, to_unit), keys.before), keys.hours)
        elif keys.starts is not None:
            yield Usage(rule, point, Starts(Running(keys, point.unit, to_unit), keys.starts_before), float(keys.starts))


class Usage(Watch):
    """A tally, its limit, and its pace."""

    __slots__ = ("check_at", "full", "keys", "marks", "pace", "stretch", "tally", "used", "verdict")

    KIND: ClassVar[Kind] = "insight"
    TEXT: ClassVar[bool] = True
    LEARNS: ClassVar[bool] = True

    def __init__(self, rule: Rule, point: PointInfo, tally: Tally, full: float) -> None:
        super().__init__(rule, point)
        assert isinstance(rule.keys, Keys)
        self.keys = rule.keys
        self.tally = tally
        self.full = full  # when this is reached, it is due
        self.used = 0.0  # when last judged
        self.stretch = min(rule.keys.lead, STRETCH)
        self.marks: list[tuple[float, float]] = []  # two times, and what had been used by then
        self.pace = 0.0  # per second, when last looked at
        self.check_at = -NEVER  # when to look at it next
        self.verdict = Verdict.WELL

    @property
    def lasting(self) -> float:
        """See `Watch.lasting`: what is due stays due."""
        return 0.0

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        if isinstance(value, str) and isinstance(self.tally, Risen):
            return Verdict.UNKNOWN
        self.tally.take(value, at)
        if at >= self.check_at or (self.verdict is not Verdict.WORSE and self.tally.total(at) >= self.full):
            self.tally.mark()
        self.low, self.high = self.tally.band(self.full)
        return self.judge(at)

    def judge(self, at: float) -> Verdict:
        """Whether it is due, or soon will be; states the next deadline."""
        self.used = self.tally.total(at)
        checks = at >= self.check_at
        if checks:
            self._look_at_pace(at)
        if self.used >= self.full:
            self.verdict = Verdict.WORSE
        elif checks or self.verdict is Verdict.WORSE:
            lead = self.keys.lead * (1.0 if self.verdict is Verdict.WELL else SLOWER)
            self.verdict = Verdict.UNHAPPY if self.full - self.used <= lead * self.pace else Verdict.WELL
        self.due = self.check_at if self.verdict is Verdict.WORSE else min(self.check_at, self.tally.full_at(self.full))
        return self.verdict

    def _look_at_pace(self, at: float) -> None:
        self.check_at = at + self.stretch / LOOKS
        self.pace = 0.0
        if self.marks:
            since, then = self.marks[0]
            if at - since >= self.stretch / 2:
                self.pace = max(0.0, self.used - then) / (at - since)
        if not self.marks or at - self.marks[-1][0] >= self.stretch:
            self.marks = [*self.marks[-1:], (at, self.used)]

    def lost(self, at: float) -> Verdict:
        """See `Watch.lost`: what was used stays used."""
        self.tally.lost(at)
        self.used = self.tally.total(at)
        return self.verdict

    def noted(self, event: str, at: float) -> None:
        """See `Watch.noted`."""
        if event in (SERVICE, REPLACED):
            self.tally.begin(at)
            self.marks = []
            self.check_at = self.due = at
            self.low, self.high = NOTHING

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`: nothing was counted, so the pace stands still too."""
        self.tally.pause(seconds)
        self.marks = [(at + seconds, used) for at, used in self.marks]

    # ------------------------------------------------------------ in words

    def value(self, value: Outcome | None) -> Outcome | None:  # noqa: ARG002
        """See `Watch.value`: what has been used, and not the reading."""
        return self.used / self.tally.per

    def written(self, value: Outcome | None, apart_from: float | None = None) -> str:  # noqa: ARG002
        """See `Watch.written`."""
        return self.tally.words(value * self.tally.per) if isinstance(value, (int, float)) else ""

    def words(self, at: float) -> dict[str, str]:  # noqa: ARG002
        """See `Watch.words`."""
        left = max(0.0, self.full - self.used)
        return {"in": duration(left / self.pace if self.pace else 0.0)}

    def limit(self) -> str:
        """See `Watch.limit`."""
        return self.tally.words(self.full)

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            return f"{{device}}: {self.keys.what} is no longer due; {{value}} of {{limit}}."
        if self.verdict is Verdict.WORSE:
            return f"{{device}}: {self.keys.what} is due; {{value}} of {{limit}}."
        return f"{{device}}: {self.keys.what} is due in about {{in}} at the present pace; {{value}} of {{limit}}."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        odd = f"; {self.tally.odd()}" if self.tally.odd() else ""
        if phase is Phase.CLOSED:
            return ("it was done, and the count has begun anew" if self._done() else "the pace has become slower") + odd
        if self.verdict is Verdict.WORSE:
            return f"{self.limit()} are reached{odd}"
        pace = f"{self.tally.words(self.pace * 86400.0)} a day"
        return f"it goes on at {pace}; the rule looks {duration(self.keys.lead)} ahead{odd}"

    def how(self) -> str:
        """See `Watch.how`."""
        return "by a service" if self._done() else "by itself"

    def _done(self) -> bool:
        return len(self.marks) < 2 and self.pace == 0.0

    # ------------------------------------------------------------ across a restart

    def _basis(self) -> list[Any]:
        """What the count hangs on: whoever writes another start wants it counted anew."""
        keys = self.keys
        return [type(self.tally).__name__, keys.before, keys.starts_before, list(keys.start) if keys.start else None]

    def memory(self) -> Any:
        """See `Watch.memory`."""
        check_at = None if self.check_at == -NEVER else self.check_at
        return [self._basis(), self.tally.memory(), self.used, self.marks, self.pace, check_at, int(self.verdict)]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`: also of a rule that has changed, as long as it counts the same from the same start."""
        basis, tally, used, marks, pace, check_at, verdict = memory
        if basis == self._basis():
            self.tally.recall(tally, shift)
            self.used, self.pace = used, pace
            self.check_at = -NEVER if check_at is None else check_at + shift
            self.marks = [(at + shift, used) for at, used in marks]
            self.verdict = Verdict(verdict)


class Ageing(Usage):
    """Time needs no readings, and its pace is known."""

    __slots__ = ()

    def start(self, now: float) -> None:
        """See `Watch.start`."""
        self.pace = 1.0
        self.low, self.high = ANYTHING
        self.used = self.tally.total(now)
        self._await(now)

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        return self.elapse(at)

    def elapse(self, at: float) -> Verdict:
        """See `Watch.elapse`."""
        self.low, self.high = ANYTHING
        self.used = self.tally.total(at)
        full_at = self.tally.full_at(self.full)
        self.verdict = Verdict.WORSE if at >= full_at else Verdict.UNHAPPY if at >= full_at - self.keys.lead else Verdict.WELL
        self._await(at)
        return self.verdict

    def _await(self, now: float) -> None:
        full_at = self.tally.full_at(self.full)
        self.due = next((at for at in (full_at - self.keys.lead, full_at) if at > now), NEVER)

    def _done(self) -> bool:
        return True
