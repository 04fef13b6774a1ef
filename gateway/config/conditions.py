"""Conditions that stand in the config outside of a rule: what shows that a step has helped, when a remedy may be tried."""

from collections.abc import Iterable
from functools import cached_property

from gateway.config import units
from gateway.config.findings import Findings
from gateway.config.problems import Path
from gateway.config.watched import Points
from gateway.diagnosis.expression import Scope, read
from gateway.diagnosis.expression.checking import wrong


class Conditions:
    """Checks them against all the points there are."""

    def __init__(self, points: Points, findings: Findings) -> None:
        self._points = points
        self._findings = findings

    @cached_property
    def _everything(self) -> Scope:
        return Scope(self._points.everything(), units.convert)

    def check(self, text: str, at: Path, devices: Iterable[str]) -> None:
        """Tell what is wrong with the condition at a path; a point without its device in it is one of each of these devices."""
        scopes = [self._everything.of(device) for device in devices] or [self._everything]
        for mistake in wrong(read(text), scopes):
            if mistake.lacks and (not self._findings.whole or self._points.may_match(mistake.lacks)):
                continue
            self._findings.add(at, mistake.found, mistake.expected, mistake.suggestion, offset=mistake.offset)
