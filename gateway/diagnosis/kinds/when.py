"""when: a condition over several points, of one device or of many.

Claims      The condition held at the last reading of each of its points, and at every reading of any of them since it began to, for
            at least `lasting`. The episode lasts until it no longer holds, for `clear_lasting`.
Assumes     What a point said last is still so, until it says something else or its device is away: then it is unknown, and so may
            the condition be. An unknown condition neither opens nor closes anything.
Method      The grammar and the three-valued logic of `gateway/diagnosis/expression`. Readings of one poll are judged together.
Sleeps      While a point that is only compared with numbers of the text is between two of them. It wakes at every reading of any
            other point, and when what the text says of time (`for`, `hour`, ...) is up.

With `on` there is one episode for each of the devices that it names and that has all points of the condition; without, one in all.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from drivers.contract import NoValue, Outcome, Value
from gateway.diagnosis.columns import missing
from gateway.diagnosis.contract import Mistake, Phase, PointInfo, RuleKeys
from gateway.diagnosis.expression import Expression, ExpressionError, Scope, bind, nearest, read
from gateway.diagnosis.expression.checking import wrong
from gateway.diagnosis.watch import ANYTHING, Rule, ToUnit, Verdict, Watch, all_of
from gateway.diagnosis.words import PLACEHOLDERS, duration


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "when"."""

    WORDS: ClassVar[tuple[str, ...]] = (*PLACEHOLDERS, "values")

    condition: Annotated[
        str,
        Meta(
            description="When it is unhappy, over several points; {limit} is this text, {values} what its points say.",
            examples=["boiler/supply_temp > 60 °C and not pump/running for 2 min"],
        ),
    ]
    on: Annotated[
        tuple[str, ...],
        Meta(description='Devices, globs allowed: "heat-pump-*". A point of the condition that names no device is one of each.'),
    ] = ()


def fits(point: PointInfo) -> str | None:  # noqa: ARG001
    """Any point may be in a condition."""
    return None


def mistakes(written: Mapping[str, Any], points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Mistake]:
    """What is wrong with a rule that is written so, key by key, seen with all the points there are."""
    on: tuple[str, ...] = written.get("on", ())
    devices = {point.device: None for point in points}
    for number, glob in enumerate(on):
        if not any(fnmatchcase(device, glob) for device in devices):
            yield _no_device(glob, devices)._replace(lacks=glob, path=("on", number))
    if "condition" not in written:
        return
    reading, everything = read(written["condition"]), Scope(points, to_unit)
    if on and reading.tree and all("/" in node.name for node in reading.names):
        yield Mistake("devices that the condition does not ask", "a point without its device in it, or no on", path=("on",))
    scopes = [everything.of(device) for device in _covered(devices, on, ())] if on else [everything]
    yield from (mistake._replace(path=("condition",)) for mistake in wrong(reading, scopes))


def _no_device(glob: str, devices: Iterable[str]) -> Mistake:
    """What is wrong with a glob that no device matches."""
    device, slash, _ = glob.partition("/")
    if slash:
        return Mistake(f'"{glob}" is for points', "", f'"{device}"')
    near = nearest(glob, devices)
    near = re.sub("[0-9]+$", "*", near) if "*" in glob else near
    return Mistake(f'no device is called "{glob}"', "" if near else 'devices such as "heat-pump-*"', near and f'"{near}"')


def _covered(devices: Iterable[str], on: Sequence[str], except_: Sequence[str]) -> list[str]:
    """The devices that a rule is for."""
    left_out = [glob.partition("/")[0] for glob in except_]
    return [
        device
        for device in devices
        if any(fnmatchcase(device, glob) for glob in on) and not any(fnmatchcase(device, glob) for glob in left_out)
    ]


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One head a device, or one in all; an eye on each of its points."""
    keys = rule.keys
    assert isinstance(keys, Keys)
    reading, everything = read(keys.condition), Scope(points, to_unit)
    for device in _covered({point.device: None for point in points}, keys.on, keys.except_) if keys.on else [""]:
        try:
            expression = bind(reading, everything.of(device))
        except ExpressionError:  # one of the devices that lack a point of the condition
            continue
        head = When(rule, expression, device)
        yield head
        yield from head.eyes


class When(Watch):
    """Stands for the points of one condition."""

    __slots__ = ("answer", "at", "expression", "leading")

    def __init__(self, rule: Rule, expression: Expression, device: str) -> None:
        points = sorted(expression.points, key=lambda point: point.device != device) if device else expression.points
        super().__init__(rule, all_of(points))
        self.expression = expression
        self.at: float | None = None  # when it was judged last, and how
        self.answer = Verdict.UNKNOWN
        self.eyes: Sequence[Eye] = [Eye(self, point, index) for index, point in enumerate(expression.points)]
        numbers = [point for point in points if point.type == "number" and point.unit]
        self.leading = self.eyes[expression.points.index((numbers or points)[0])]  # the point whose value and past are shown

    @property
    def about(self) -> PointInfo:
        """See `Watch.about`."""
        return self.leading.point

    def start(self, now: float) -> None:  # noqa: ARG002
        """See `Watch.start`: the eyes are awake, and will say when there is something to wait for."""
        self.low, self.high = ANYTHING

    def judge(self, at: float) -> Verdict:
        """What the condition says now."""
        answer = self.expression.evaluate([eye.present() for eye in self.eyes], at, self.sight.local)
        self.low, self.high = ANYTHING
        self.due = self.expression.due
        self.at = at
        self.answer = Verdict.UNKNOWN if answer is None else Verdict.UNHAPPY if answer else Verdict.WELL
        return self.answer

    def value(self, value: Outcome | None) -> Outcome | None:  # noqa: ARG002
        """See `Watch.value`: of the point that it is about."""
        return self.leading.shown()

    def limit(self) -> str:
        """See `Watch.limit`: the condition."""
        return self.expression.text

    def words(self, at: float) -> Mapping[str, str]:  # noqa: ARG002
        """See `Watch.words`."""
        return {"values": self._values()}

    def _values(self) -> str:
        said = [f"{eye.point.label} is {eye.written(eye.shown())}" for eye in self.eyes]
        return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"

    def says(self, phase: Phase, lasting: float) -> str:
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            return "{device} is well again after {lasting}: {values}."
        return "{device}: {values}" + (", for {lasting}." if lasting else ".")

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        if phase is Phase.CLOSED:
            return f"it no longer holds that {self.limit()}"
        waits = f"; the rule waits {duration(self.lasting)}" if self.lasting else ""
        return f"it holds that {self.limit()}{waits}"

    def memory(self) -> Any:
        """See `Watch.memory`."""
        values = [eye.present() for eye in self.eyes]
        kept = self.expression.memory()
        return [values, kept] if kept or any(value is not None for value in values) else None

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        values, kept = memory
        if len(values) == len(self.eyes):
            for eye, value in zip(self.eyes, values, strict=True):
                eye.known = value
        self.expression.recall(kept, shift)

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`."""
        self.expression.pause(seconds)


class Eye(Watch):
    """One point of a condition."""

    __slots__ = ("index", "known")

    TEXT: ClassVar[bool] = True

    def __init__(self, when: When, point: PointInfo, index: int) -> None:
        super().__init__(when.rule, point)
        self.head: When = when
        self.index = index
        self.known: Value | None = None  # its value, as of when it was last asked for

    def present(self) -> Value | None:
        """Its value, also where it came in the batch at hand and nobody was shown it yet; None where there is none.

        One that comes back in that batch is known as soon as it is shown, and what is unknown until then decides nothing.
        """
        sight = self.sight
        last = sight.last()
        if last is None:  # not since the hub has been restarted
            return None if sight.missing else self.known
        self.known = None if sight.missing or missing(last[0]) else last[0]  # type: ignore[assignment]
        return self.known

    def shown(self) -> Outcome | None:
        """Its value, or why there is none."""
        value = self.present()
        if value is not None:
            return value
        last = self.sight.last()
        return self.sight.missing or (last[0] if last and isinstance(last[0], NoValue) else None)

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`. Where several points of one batch wake, the first of them has judged all."""
        head = self.head
        verdict = head.answer if at == head.at and value is self.known else head.judge(at)
        self.low, self.high = head.expression.rest(self.index, value)
        return verdict

    def lost(self, at: float) -> Verdict:
        """See `Watch.lost`: the other points may decide."""
        return self.head.judge(at)
