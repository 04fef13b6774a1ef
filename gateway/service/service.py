"""The service layer as a whole: the parts in their order, and how they are kept across restarts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from gateway.config.model import Config
from gateway.diagnosis import mute
from gateway.diagnosis.contract import Change
from gateway.service.casebook import Casebook
from gateway.service.casework import Casework
from gateway.service.contract import Deed, Facts, Part, Statement
from gateway.service.digest import Digests
from gateway.service.insights import Insights
from gateway.service.life import Life
from gateway.service.milestones import Milestones
from gateway.service.records import Records
from gateway.service.remedies import Remedies
from gateway.service.steps import Steps
from gateway.service.visits import Visits


class Service:
    """From changes to statements. Made anew for each config; what it knows goes on by `memory` and `recall`."""

    def __init__(self, config: Config, facts: Facts) -> None:
        self.book = Casebook(config, facts)
        self.casework = Casework(config, facts, self.book)
        self.records = Records(config)
        self.visits = Visits(config, facts, self.book, self.records)
        self.remedies = Remedies(config, facts, self.book)
        self.digests = Digests(config, facts, self.book, self.visits.waits)
        self._parts: dict[str, Part] = {
            "cases": self.casework,
            "visits": self.visits,
            "steps": Steps(config, facts, self.book),
            "remedies": self.remedies,
            "life": Life(config, facts, self.book, self.records),
            "milestones": Milestones(config, facts, self.book),
            "insights": Insights(config, facts),
            "digest": self.digests,
        }
        self.next_due = min(part.next_due for part in self._parts.values())  # when `tick` has something to do

    def take(self, changes: Sequence[Change]) -> list[Statement]:
        """What is to be told of some changes, in order."""
        self.casework.look_ahead(changes)
        said = [Statement(change=change, once=change.rule.kind in (mute.WINDOW, mute.PERSON)) for change in changes]
        return self._planned(self._through(said, 0))

    def tick(self, now: float) -> list[Statement]:
        """What is to be told because time has passed."""
        told: list[Statement] = []
        for place, part in enumerate(self._parts.values()):
            if part.next_due <= now:
                told += self._said_by(place, part.tick(now))
        return self._planned(told)

    def say(self, name: str, statements: Iterable[Statement]) -> list[Statement]:
        """What a part says when somebody has asked it to do something: a command, or the result of an action."""
        return self._planned(self._said_by(list(self._parts).index(name), statements))

    def _planned(self, told: list[Statement]) -> list[Statement]:
        self.next_due = min(part.next_due for part in self._parts.values())
        return [self._stamped(statement) for statement in told]

    def _stamped(self, statement: Statement) -> Statement:
        """A statement with what its case has been about, and about a device that is another one than the config says."""
        case = self.book.get(statement.change.episode)
        if case and not statement.about:
            statement = replace(statement, about=case.about)
        device = self.records.device(statement.change.point.device)
        return replace(statement, device=device) if device else statement

    def deeds(self) -> list[Deed]:
        """What was done since this was last asked, for the diagnosis to know of."""
        done = [*self.visits.deeds, *self.remedies.deeds]
        self.visits.deeds, self.remedies.deeds = [], []
        return done

    def _said_by(self, place: int, statements: Iterable[Statement]) -> list[Statement]:
        """What a part says by itself, after the parts behind it; what a visit is about waits for its end, whoever says it."""
        said = list(statements)
        if place > list(self._parts).index("visits"):
            said = [passed for statement in said for passed in self.visits.take(statement)]
        return self._through(said, place + 1)

    def _through(self, statements: Iterable[Statement], first: int) -> list[Statement]:
        """Statements on their way through the parts from a place on."""
        found = list(statements)
        for part in list(self._parts.values())[first:]:
            found = [passed for statement in found for passed in part.take(statement)]
        return found

    def memory(self) -> dict[str, Any]:
        """Everything that must survive, a part each."""
        return {name: part.memory() for name, part in self._parts.items()}

    def recall(self, memory: Mapping[str, Any], shift: float, now: float, off: float = 0.0) -> list[Statement]:
        """Take up what `memory` gave; returns what is to be told of that. A part that is new here begins anew.

        off: how long the hub read nothing (s).
        """
        said = [
            (place, list(part.recall(memory[name], shift, now)))
            for place, (name, part) in enumerate(self._parts.items())
            if memory.get(name) is not None
        ]
        self.casework.pause(off)
        told: list[Statement] = []
        for place, statements in said:  # only now: what one part says concerns what those behind it remember
            told += self._said_by(place, statements)
        return self._planned(told)
