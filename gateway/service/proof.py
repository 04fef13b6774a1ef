"""Proof of repair: whether what was wrong has been well for long enough, with values throughout, for its case to be closed.

Promises
- Nothing is closed because data stopped: while there is no value the proof waits, and when there are values again it begins anew.
- Nor is it closed while a rule is about to be unhappy about it again.
- What is read regularly is closed by a value that comes when the time is over, never by the time alone.
"""

from collections.abc import Mapping

from gateway.diagnosis.causes import COMMON
from gateway.diagnosis.contract import HUB, SHORTEST_PROOF, STATE, RuleKeys
from gateway.service.casebook import Case
from gateway.service.contract import NEVER, Facts

LOOK = 60.0  # s at most until it is looked again whether there are values
NEXT = 10.0  # s until a value is looked for, of a point of which nobody knows how often it is read


class Proof:
    """What the rules ask for, and what the hub sees."""

    def __init__(self, rules: Mapping[str, RuleKeys], facts: Facts) -> None:
        self._rules = rules
        self._facts = facts

    def lasts(self, case: Case) -> float:
        """How long it must stay well (s): as long as the most demanding of its rules wants."""
        rules = [self._rules.get(rule_id) for rule_id in case.rules]
        return max((rule.proven_after if rule else SHORTEST_PROOF for rule in rules), default=SHORTEST_PROOF)

    def begun(self, case: Case) -> float | None:
        """Since when it has been well with values throughout; None while there is no value."""
        assert case.well_since is not None
        known = self._known_since(self._point(case))
        return None if known is None else max(case.well_since, known)

    def over(self, case: Case, now: float) -> float:
        """When its proof is over; a time after `now` that is no promise where a value has to come first."""
        begun, lasts = self.begun(case), self.lasts(case)
        if begun is None:
            return now + max(min(lasts, LOOK), 1.0)
        if now < begun + lasts:
            return begun + lasts
        name = self._point(case)
        if self._facts.is_suspect(name):  # it may be about to come back
            return now + NEXT
        point = self._facts.point(name)
        if point is None or point.name == STATE or point.device == HUB:  # told when it changes, or not read at all
            return now
        last = self._facts.last(name)
        fresh = last is not None and last[1] >= begun + lasts
        return now if fresh else now + min(point.every or NEXT, LOOK)

    def is_gone(self, case: Case) -> bool:
        """Whether its rules, or all points of a case, are no longer in the config."""
        watched = any(rule_id in self._rules or rule_id == COMMON for rule_id in case.rules)
        return not watched or not self._is_there(self._point(case))

    def _point(self, case: Case) -> str:
        """The point that proves a case: its own, or another that it is about where the config has that no longer."""
        return next(filter(self._is_there, (case.point, *case.points)), case.point)

    def _is_there(self, point_id: str) -> bool:
        device, _, name = point_id.partition("/")
        of_several = "#" in name or "*" in name  # a name for them together, which is no point of the config
        return device == HUB or self._facts.point(f"{device}/{STATE}" if of_several else point_id) is not None

    def _known_since(self, point_id: str) -> float | None:
        """Since when there has been a value without a break; of a device's state, since when its points have had any."""
        device, _, name = point_id.partition("/")
        is_bus = device.startswith("bus.")  # which has no points but its state, and that is told when it changes
        if self._facts.point(point_id) is None:  # several points together, none of which is read under this name
            return -NEVER if is_bus else self._facts.known_since(f"{device}/*")
        if name != STATE:
            return self._facts.known_since(point_id)
        if not is_bus:
            return self._facts.known_since(f"{device}/*")
        last = self._facts.last(point_id)
        return None if last is None else last[1]
