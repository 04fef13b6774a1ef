"""Insights of the service that need to be told where to look: energy at equal degree-days, and things left behind."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from drivers.contract import Keys, Seconds
from gateway.config import units
from gateway.config.findings import Findings
from gateway.config.fragments import Sections
from gateway.config.points import check_name
from gateway.config.problems import Path, Told, described, nearest, one_of, quoted
from gateway.config.tables import table
from gateway.diagnosis.contract import PointInfo, Quantity
from gateway.diagnosis.hours import Hours, HoursText

if TYPE_CHECKING:
    from gateway.config.watched import Points

WARM = Quantity(15.5, "°C")


class Energy(Keys, frozen=True, kw_only=True):
    """`[insight.NAME]` with kind = "energy": a month against the same month last year, at equal degree-days."""

    kind: Literal["energy"]
    meter: Annotated[str, Meta(description='The meter of what heats, a reading that only rises: "heat-pump/energy". kWh, m³, l.')]
    outdoor: Annotated[str, Meta(description='The temperature outdoors: "weather/temperature".')]
    base: Annotated[
        Quantity,
        Meta(description="From which outdoor temperature on nothing is heated: 15.5 °C, or what is usual for degree-days there."),
    ] = WARM


class LeftBehind(Keys, frozen=True, kw_only=True):
    """`[insight.NAME]` with kind = "left-behind": things with a tag that are still there after hours."""

    kind: Literal["left-behind"]
    on: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description='What tells whether a thing is there: "tag-*/state", or a flag that is on while it is. Globs allowed.',
        ),
    ]
    hours: Annotated[
        tuple[HoursText, ...],
        Meta(min_length=1, description='When nobody is there any more: "18:00..07:00", "Mon-Fri 20:00..06:00", local time.'),
    ]
    lasting: Annotated[Seconds, Meta(le=14400, description="How long after closing it is told: somebody may come back.")] = 900.0

    def __post_init__(self) -> None:
        """Refuse hours that are none."""
        Hours(self.hours)


Insight = Energy | LeftBehind
KINDS: Mapping[str, type[Insight]] = {"energy": Energy, "left-behind": LeftBehind}


def read_insights(sections: Sections, points: "Points", findings: Findings) -> dict[str, Insight]:
    """Every insight without a mistake, by name."""
    insights: dict[str, Insight] = {}
    for name, raw in sections["insight"].items():
        at = ("insight", name)
        check_name(at, findings)
        kind = _kind(raw, at, findings)
        if kind is None:
            continue
        try:
            insight = insights[name] = table(kind).read(raw, at, findings)
        except Told:
            continue
        if isinstance(insight, Energy):
            _check_point(insight.meter, ("energy", "volume"), points, (*at, "meter"), findings)
            _check_point(insight.outdoor, ("temperature",), points, (*at, "outdoor"), findings)
            _check_base(insight.base, (*at, "base"), findings)
        else:
            for number, glob in enumerate(insight.on):
                _matching(glob, points, (*at, "on", number) if isinstance(raw["on"], list) else (*at, "on"), findings)
    return insights


def _kind(raw: Mapping[str, Any], at: Path, findings: Findings) -> type[Insight] | None:
    """The class of its kind; None, and told, where there is none."""
    kind = raw.get("kind")
    if isinstance(kind, str) and kind in KINDS:
        return KINDS[kind]
    if kind is not None:
        near = nearest(kind, KINDS) if isinstance(kind, str) else ""
        found = f"no insight is called {quoted(kind)}" if isinstance(kind, str) else f"found {described(kind)}"
        findings.add((*at, "kind"), found, "" if near else one_of(list(KINDS)), near and quoted(near))
    elif findings.whole:
        findings.add(at, '"kind" is missing', one_of(list(KINDS)), key=True)
    return None


def _matching(glob: str, points: "Points", at: Path, findings: Findings) -> Sequence[PointInfo]:
    """The points that are meant; told where there are none."""
    found = points.matching(glob)
    if not found and findings.whole and not points.may_match(glob):
        near = points.nearest(glob)
        findings.add(at, f"no point matches {quoted(glob)}", "" if near else 'a point as "device/point"', near and quoted(near))
    return found


def _check_point(text: str, measures: Sequence[str], points: "Points", at: Path, findings: Findings) -> None:
    """That there is one point of this name, and that it measures what it should."""
    found = _matching(text, points, at, findings)
    if len(found) > 1 or (found and found[0].id != text):
        findings.add(at, f"{quoted(text)} is more than one point", f"one, such as {quoted(found[0].id)}")
    elif found and (of := units.measure(found[0].unit).of) not in measures:
        wanted = " or ".join(measures)
        findings.add(at, f"{text} measures {of}, in {quoted(found[0].unit)}", f"a point that measures {wanted}")


def _check_base(base: Quantity, at: Path, findings: Findings) -> None:
    try:
        warmth = units.convert(base, "°C")
    except units.UnitMismatchError:
        findings.add(at, f"{quoted(units.written(base))} is no temperature", 'a quantity such as "15.5 °C"')
        return
    if not 5.0 <= warmth <= 25.0:
        findings.add(at, f"found {quoted(units.written(base))}", "a temperature from 5 °C to 25 °C")
