"""Whether a remedy may be tried now, and if not, why, in words: the same answer for the hub itself and for whoever asks for one.

Promises
- Neither a restart, a reload nor a leap of the wall clock gives a remedy one try more than its limits: tries are counted when they
  begin, on the hub's own timeline. Where nobody knows how long the hub was off, it counts as no time.
- What is not known does not hold: a precondition, and the hours while the clock is not trusted.
- A try that was cut short, of which nobody knows how far it came, is followed by another one of the same remedy only where what was
  read since still shows what is wrong.
- Nobody is interfered with: while a visit or a maintenance window is on, nothing is tried.
"""

from collections.abc import Container, Iterator
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from msgspec import field

from gateway.config.model import Config
from gateway.config.remedies import Remedy
from gateway.diagnosis.causes import SEVERITIES
from gateway.diagnosis.hours import Hours
from gateway.diagnosis.watch import is_meant
from gateway.diagnosis.words import duration
from gateway.service.casebook import Case
from gateway.service.contract import Facts

DAY = 86400.0


class Spent(msgspec.Struct, kw_only=True):
    """What has been tried so far. Times in seconds of the hub's timeline.

    began: the tries of the last day, and the last one, by remedy. tries: how many there were in each case that is not closed, by
    its key and by remedy. harmed: cases in which a remedy did harm. doubted: of remedies whose last try was cut short, since when a
    reading counts that shows that they are still needed, by case and remedy.
    """

    began: dict[str, list[float]] = field(default_factory=dict)
    tries: dict[str, dict[str, int]] = field(default_factory=dict)
    harmed: list[str] = field(default_factory=list)
    doubted: dict[str, dict[str, float]] = field(default_factory=dict)


class Allowance:
    """What the remedies of a config have been allowed, and what they still are."""

    def __init__(self, config: Config, facts: Facts) -> None:
        self._facts = facts
        self._devices = config.devices
        self._windows = {name: one.window() for name, one in config.maintenance.items()}
        self._hours = {name: Hours(remedy.hours) for name, remedy in config.remedies.items() if remedy.hours}
        self._spent = Spent()

    # ------------------------------------------------------------ counting

    def begin(self, name: str, case: Case, now: float) -> None:
        """A try begins."""
        recent = [at for at in self._spent.began.get(name, []) if now - at < DAY]
        self._spent.began[name] = [*recent, now]
        tries = self._spent.tries.setdefault(case.key, {})
        tries[name] = tries.get(name, 0) + 1
        self._spent.doubted.get(case.key, {}).pop(name, None)

    def doubt(self, name: str, case: Case, now: float) -> None:
        """A try that was cut short has had its time, and nobody knows whether it was done."""
        self._spent.doubted.setdefault(case.key, {})[name] = now

    def bar(self, case: Case) -> None:
        """Harm was done: nothing more is tried in this case."""
        if case.key not in self._spent.harmed:
            self._spent.harmed.append(case.key)

    def keep(self, keys: Container[str]) -> None:
        """Only these cases are not closed."""
        self._spent.tries = {key: tries for key, tries in self._spent.tries.items() if key in keys}
        self._spent.harmed = [key for key in self._spent.harmed if key in keys]
        self._spent.doubted = {key: names for key, names in self._spent.doubted.items() if key in keys}

    def tries(self, name: str, case: Case) -> int:
        """How often a remedy was tried in a case."""
        return self._spent.tries.get(case.key, {}).get(name, 0)

    def today(self, name: str, now: float) -> int:
        """How often a remedy was tried in the last 24 hours."""
        return sum(now - at < DAY for at in self._spent.began.get(name, ()))

    # ------------------------------------------------------------ what stands against it

    def is_over(self, name: str, remedy: Remedy, case: Case) -> bool:
        """Whether it can never be tried in this case (again)."""
        return case.key in self._spent.harmed or self.tries(name, case) >= remedy.tries

    def obstacles(self, name: str, remedy: Remedy, case: Case, now: float, *, asked: bool = False) -> Iterator[str]:
        """Why it may not be tried in a case now; nothing where it may.

        asked: somebody has asked for it, so that how severe and how old the case is does not matter. Its conditions are asked each
        time, whatever else stands against it: what they say of the past is counted while they are.
        """
        device = case.point.partition("/")[0]
        if not remedy.is_for(case.rule_id, device):
            yield f'it is not for the rule "{case.rule_id}" on {device}'
            return
        conditions = list(self._of_conditions(remedy, device))
        yield from self._of_case(case, now)
        yield from self._of_limits(name, remedy, case, now)
        yield from self._of_last_try(name, case)
        if not asked and SEVERITIES.index(case.severity) < SEVERITIES.index(remedy.severity):
            yield f"the case is of severity {case.severity}, below {remedy.severity}"
        if not asked and (left := case.opened_at + remedy.after - now) > 0:
            yield f"the case has to be open for {duration(left)} more"
        yield from conditions

    def _of_case(self, case: Case, now: float) -> Iterator[str]:
        if case.stage != "open":
            yield "the case is over, which is being proven"
        if case.caused_by:
            yield "another case explains it"
        if case.visit:
            yield "a visit is on"
        if name := self._maintenance(case, now):
            yield f'the maintenance window "{name}" is on'
        if case.key in self._spent.harmed:
            yield "a remedy has done harm in this case"

    def _of_limits(self, name: str, remedy: Remedy, case: Case, now: float) -> Iterator[str]:
        if (tries := self.tries(name, case)) >= remedy.tries:
            yield f"it has been tried {times(tries)} in this case, which is all that it may"
        if (today := self.today(name, now)) >= remedy.per_day:
            yield f"it has been tried {times(today)} in 24 hours, which is all that it may"
        last = max(self._spent.began.get(name, ()), default=None)
        if last is not None and (left := last + remedy.spacing - now) > 0:
            yield f"it was tried not long ago; it has to wait for {duration(left)} more"
        if hours := self._hours.get(name):
            here = self._facts.wall(now)
            if here is None:
                yield "it has its hours, and the clock is not trusted"
            elif not hours.at(here.weekday() * DAY + here.hour * 3600.0 + here.minute * 60.0 + here.second).inside:
                yield f"it is not one of its hours, {', '.join(remedy.hours)}"

    def _of_last_try(self, name: str, case: Case) -> Iterator[str]:
        since = self._spent.doubted.get(case.key, {}).get(name)
        if since is not None and not self._facts.is_shown(case.lead, since):
            yield "its last try was cut short, and nothing that was read since shows that it is still needed"

    def _of_conditions(self, remedy: Remedy, device: str) -> Iterator[str]:
        when, harm, proof = (bool(text) and self._facts.holds(text, device) for text in (remedy.when, remedy.harm, remedy.proof))
        if remedy.when and not when:
            yield f"it is not known whether {remedy.when}" if when is None else f"it does not hold that {remedy.when}"
        if harm:
            yield f"it holds already that {remedy.harm}, which would be the harm done"
        if proof:
            yield f"it holds already that {remedy.proof}, which would be the proof"

    def _maintenance(self, case: Case, now: float) -> str:
        """The name of a window that is on for what a case is about."""
        if not self._windows or (here := self._facts.wall(now)) is None:
            return ""
        device = case.point.partition("/")[0]
        bus = self._devices[device].common.bus if device in self._devices else ""
        names = {case.rule_id, device, f"bus.{bus}"}
        wall = (here.toordinal() - MONDAY) * DAY + here.hour * 3600.0 + here.minute * 60.0 + here.second
        for name, window in self._windows.items():
            is_about = is_meant(case.point, window.on) or any(fnmatchcase(one, glob) for one in names for glob in window.on)
            if is_about and window.edge(wall)[0]:
                return name
        return ""

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Part.memory`."""
        return msgspec.to_builtins(self._spent)

    def recall(self, memory: Any, shift: float) -> None:
        """See `Part.recall`."""
        self._spent = msgspec.convert(memory, Spent)
        self._spent.began = {name: [at + shift for at in began] for name, began in self._spent.began.items()}
        self._spent.doubted = {key: {name: at + shift for name, at in names.items()} for key, names in self._spent.doubted.items()}


MONDAY = 719_167  # the ordinal of 1970-01-05, from which the diagnosis counts days


def times(count: int) -> str:
    """How often, in words."""
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"
