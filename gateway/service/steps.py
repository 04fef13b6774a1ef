"""Self-help: the hub follows what people do about a case, and says in its end which step it was that helped.

Promises
- A step has helped when the condition that shows it comes true and did not hold before: not when the case opened, or not when the
  step's turn began. What held all the while shows nothing.
- Steps have turns, in their order, each for as long as its effect may take. Of several that are shown at once it is the one whose
  turn it is; and while one that has helped takes effect, no other is credited with that.
- Nothing is told of it at the time. It is written into the case, and so into whatever is told of that from then on.
- What a remedy or a visit has brought about is not laid to a step.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import field

from gateway.config.model import Config
from gateway.diagnosis.contract import Step
from gateway.service.casebook import Case, Casebook
from gateway.service.contract import NEVER, Facts, Statement, Try

LOOK = 5.0  # s between two looks at what would show a step


class Course(msgspec.Struct, kw_only=True):
    """How far people are with the steps of one case. Times in seconds of the hub's timeline; steps count from 0.

    turn: the step whose turn it is. until: when that is over; None once all have had theirs. fresh: steps whose conditions have
    been seen not to hold. shown: steps that have helped. takes_effect: the step whose turn it is has helped, and may yet do
    more.
    """

    openings: int
    turn: int = 0
    until: float | None = None
    fresh: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    takes_effect: bool = False


class Steps:
    """The part that follows the steps of the rules."""

    def __init__(self, config: Config, facts: Facts, book: Casebook) -> None:
        self.next_due = NEVER
        self._facts = facts
        self._book = book
        self._steps = {name: rule.steps for name, rule in config.rules.items() if any(step.shown_by for step in rule.steps)}
        self._courses: dict[str, Course] = {}  # by the key of the case

    def take(self, statement: Statement) -> Iterator[Statement]:
        """See `Part.take`. What holds when a case opens is noted at once."""
        if self._steps:
            self._follow(statement.change.at)
        yield statement

    def tick(self, now: float) -> Iterator[Statement]:
        """See `Part.tick`."""
        self._follow(now)
        yield from ()

    def _follow(self, now: float) -> None:
        followed = {}
        for case in self._book:
            if steps := self._steps.get(case.rule_id, ()):
                course = self._courses.get(case.key)
                if course is None or course.openings != case.openings or max([course.turn, *course.shown]) > len(steps):
                    course = Course(openings=case.openings)
                    self._begin(course, steps, now)
                followed[case.key] = course
                self._look(case, course, steps, now)
        self._courses = followed
        self.next_due = now + LOOK if followed else NEVER

    def _look(self, case: Case, course: Course, steps: tuple[Step, ...], now: float) -> None:
        device = case.point.partition("/")[0]
        came_true = []
        for number, step in enumerate(steps):
            if not step.shown_by or number in course.shown:
                continue
            holds = self._facts.holds(step.shown_by, device)
            if holds is False and number not in course.fresh:
                course.fresh.append(number)
            elif holds and number in course.fresh:
                course.fresh.remove(number)
                came_true.append(number)
        if came_true and not course.takes_effect and not _is_somebody_elses(case):
            self._credit(case, course, steps, course.turn if course.turn in came_true else came_true[0], now)
        elif course.until is not None and now >= course.until and case.stage == "open":
            course.turn += 1
            self._begin(course, steps, now)

    def _begin(self, course: Course, steps: tuple[Step, ...], now: float) -> None:
        """A turn begins."""
        while course.turn in course.shown:
            course.turn += 1
        course.takes_effect = False
        course.until = now + steps[course.turn].within if course.turn < len(steps) else None

    def _credit(self, case: Case, course: Course, steps: tuple[Step, ...], number: int, now: float) -> None:
        step = steps[number]
        course.shown.append(number)
        course.turn, course.until, course.takes_effect = number, now + step.within, True
        says = f"{step.do} That has helped: {step.shown_by}."
        case.tried.append(Try(what=f"step {number + 1}", at=now, result="worked", says=says))
        case.credit = f"by step {number + 1}: {step.do.rstrip('.')}"

    def memory(self) -> Any:
        """See `Part.memory`."""
        return msgspec.to_builtins(self._courses)

    def recall(self, memory: Any, shift: float, now: float) -> Iterator[Statement]:
        """See `Part.recall`."""
        self._courses = msgspec.convert(memory, dict[str, Course])
        for course in self._courses.values():
            course.until = None if course.until is None else course.until + shift
        self.next_due = now if self._courses else NEVER
        yield from ()


def _is_somebody_elses(case: Case) -> bool:
    """Whether something else is at work on a case, or has put it right."""
    at_work = bool(case.visit) or any(one.result == "begun" for one in case.tried)
    return at_work or bool(case.credit and not case.credit.startswith("by step "))
