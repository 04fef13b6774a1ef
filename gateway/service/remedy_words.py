"""What is said of remedies."""

from collections.abc import Iterable, Iterator, Mapping

from gateway.config.actions import RESTORED
from gateway.config.remedies import Remedy
from gateway.diagnosis.words import duration, quantity
from gateway.moments import Comparison
from gateway.service.attempt import Attempt, Stage, reads
from gateway.service.contract import Facts
from gateway.service.mending import Mending

STANDS: Mapping[Stage, str] = {
    "ordered": "it is being carried out",
    "stopped": "it is being broken off",
    "watched": "its effect is waited for",
    "doubted": "it was cut short, and may still show its effect",
}


class RemedyWords:
    """The texts about the remedies of one config, with what the points say at the moment."""

    def __init__(self, remedies: Mapping[str, Remedy], facts: Facts) -> None:
        self._remedies = remedies
        self._facts = facts

    def title(self, name: str) -> str:
        """What people call a remedy."""
        remedy = self._remedies.get(name)
        return (remedy and remedy.label) or f"the remedy {name}"

    def here(self, point_id: str) -> str:
        """How a point is now: "Freezer 1 core is -9 °C:"."""
        now = self._now(point_id)
        label = self._label(point_id)
        return f"{label}:" if now.after is None else f"{label} is {quantity(now.after, now.unit)}:"

    def well(self, attempt: Attempt) -> str:
        """That it has helped."""
        point, compared = self._facts.point(attempt.point), self.comparison(attempt)
        was = f" {self._label(attempt.point)} was {quantity(compared.before, compared.unit)}, and is "
        change = "" if compared.before is None or compared.after is None else f"{was}{quantity(compared.after, compared.unit)}."
        device = point.device_label if point else attempt.device
        return f"{device}: the hub has put it right ({self.title(attempt.remedy)}).{change} No visit is needed."

    def cut_short(self, attempt: Attempt) -> str:
        """That the hub was stopped in the middle of it."""
        first = " What it may have left off is switched on first." if isinstance(attempt.action, RESTORED) else ""
        return (
            f"{self.here(attempt.point)} the hub was stopped while it tried to put it right ({self.title(attempt.remedy)}).{first}"
        )

    def comparison(self, attempt: Attempt) -> Comparison:
        """What its case is about, before and after."""
        now = self._now(attempt.point)
        return Comparison(point=now.point, unit=now.unit, before=attempt.before, after=now.after)

    def account(self, attempts: Iterable[Attempt], mendings: Iterable[Mending], now: float) -> Iterator[str]:
        """What is under way, for a person at a terminal."""
        for one in attempts:
            yield f"remedy {one.remedy} for {one.device}, begun {duration(now - one.at)} ago: {STANDS[one.stage]}"
        for other in mendings:
            what = "what it may have left off" if other.restores else "what it wrote"
            yield f"remedy {other.remedy} for {other.device}: {what} has to be put right; tried {other.tried} times so far"

    def _label(self, point_id: str) -> str:
        point = self._facts.point(point_id)
        return point.label if point else point_id

    def _now(self, point_id: str) -> Comparison:
        point = self._facts.point(point_id)
        return Comparison(point=point_id, unit=point.unit if point else "", after=reads(self._facts.last(point_id)))
