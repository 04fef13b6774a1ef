"""What the cloud, or a person at the hub, may ask about remedies: which there are and how it stands with them, and to try one now.

    remedies  name                 those of the config, or one: what it does, how often it was tried, what stands against it now
    remedy    name case dry_run    try it in a case, within all its limits and conditions; or say what would be done

Nothing that is asked can define a remedy or widen one: that is the config's alone. Whoever asks need not wait until the case is as
old or as severe as the config wants before the hub does it by itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta

from gateway.acting import rehearse
from gateway.clock import Clock
from gateway.commands import Answer, Command, CommandError, Commands, Effect
from gateway.config.model import Config
from gateway.config.problems import nearest, one_of, quoted
from gateway.config.remedies import Remedy
from gateway.diagnosis.expression import read
from gateway.polling import Poller
from gateway.service.casebook import Case
from gateway.service.contract import Statement
from gateway.service.privacy import Privacy
from gateway.service.service import Service
from gateway.store import StoreError

Result = TypeVar("Result")

PRIVATE = "something stands against it that is nobody's business beyond this hub"


class Show(Command, frozen=True, kw_only=True):
    """The remedies of this hub, and how it stands with them."""

    name: Annotated[str, Meta(max_length=63, description="Of one remedy; all of them if not given.")] = ""


class Try(Command, frozen=True, kw_only=True):
    """Try a remedy now, as far as its limits and conditions allow it."""

    name: Annotated[str, Meta(min_length=1, max_length=63, description="Which one.", examples=["restart-router"])]
    case: Annotated[
        str, Meta(max_length=100, examples=["hub-0042-2N7K"], description="In which case; an open one that it is for if not given.")
    ] = ""
    dry_run: Annotated[bool, Meta(description="Only say what would be done, and what stands against it.")] = False


class Hub(Protocol):
    """The hub that is asked. What a reload swaps is asked for each time."""

    @property
    def config(self) -> Config:
        """The config in force."""

    @property
    def service(self) -> Service:
        """The service."""

    @property
    def pollers(self) -> Mapping[str, Poller]:
        """The buses, by name."""

    @property
    def privacy(self) -> Privacy:
        """What may leave."""

    async def ask(self, question: Callable[[], Result]) -> Result:
        """What a question to the store gives, asked in its thread."""

    def case_numbers(self) -> Mapping[str, str]:
        """From the key of each case to its number; a question to the store."""

    async def told(self, statements: Sequence[Statement]) -> None:
        """Tell these, and return when they, and all that is remembered, are stored. Raises StoreError."""


class RemedyCommands:
    """These commands of one hub."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock

    def offer(self, commands: Commands) -> None:
        """Add them."""
        commands.add("remedies", Show, self.show, Effect.NONE)
        commands.add("remedy", Try, self.attempt, Effect.ONCE)

    async def show(self, command: Show) -> Answer:
        """See `Show`."""
        numbers = await self._hub.ask(self._hub.case_numbers)
        names = [command.name] if command.name else list(self._hub.config.remedies)
        return {"remedies": [self._shown(name, self._remedy(name), numbers) for name in names]}

    async def attempt(self, command: Try) -> Answer:
        """See `Try`."""
        remedy = self._remedy(command.name)
        numbers = await self._hub.ask(self._hub.case_numbers)
        if command.dry_run:
            return self._shown(command.name, remedy, numbers, command.case)
        case = self._case(command.name, remedy, numbers, command.case)
        against = self._against(command.name, remedy, case)
        if remedy.dry_run:
            against.insert(0, "it is only rehearsed: its config says dry_run = true")
        if against:
            raise CommandError("not-allowed", "; ".join(against))
        remedies = self._hub.service.remedies
        remedies.begin(command.name, case, self._clock.now())
        try:
            await self._hub.told(())
        except StoreError:
            remedies.withdraw(case, self._clock.now())
            raise
        return {"name": command.name, "case": numbers.get(case.key, ""), "does": rehearse(remedy.action, self._hub.pollers).says}

    # ------------------------------------------------------------ finding

    def _remedy(self, name: str) -> Remedy:
        known = self._hub.config.remedies
        if name not in known:
            near = nearest(name, known)
            expected = "" if near or not known else one_of(list(known))
            found = f"no remedy is called {quoted(name)}" if known else "this hub has no remedies"
            raise CommandError("not-found", found, field="name", expected=expected, suggestion=near and quoted(near))
        return known[name]

    def _cases(self, remedy: Remedy) -> list[Case]:
        """The open cases that a remedy is for."""
        return [case for case in self._hub.service.book if remedy.is_for(case.rule_id, case.point.partition("/")[0])]

    def _case(self, name: str, remedy: Remedy, numbers: Mapping[str, str], number: str) -> Case:
        """The case that is meant: of several the first in which nothing stands against it."""
        book = self._hub.service.book
        if number:
            case = next((one for one in book if numbers.get(one.key) == number), None)
            if case is None:
                raise CommandError("not-found", f"no case {quoted(number)} is open", field="case")
            return case
        cases = self._cases(remedy)
        if not cases:
            raise CommandError("not-found", "no case is open that it is for", field="case")
        return next((case for case in cases if not self._against(name, remedy, case)), cases[0])

    # ------------------------------------------------------------ saying

    def _against(self, name: str, remedy: Remedy, case: Case) -> list[str]:
        """What stands against trying it in a case now."""
        against = [*rehearse(remedy.action, self._hub.pollers).obstacles]
        own = list(self._hub.service.remedies.obstacles(name, case, self._clock.now(), asked=True))
        return [*against, *(own if self._may_say(remedy, case) or not own else [PRIVATE])]

    def _may_say(self, remedy: Remedy, case: Case) -> bool:
        """Whether its conditions are about points of which may be said how they are."""
        return all(
            self._hub.privacy.grain(self._hub.privacy.class_of(point)).text == "full"
            for text in (remedy.when, remedy.proof, remedy.harm)
            for point in _points(text, case.point.partition("/")[0])
        )

    def _shown(self, name: str, remedy: Remedy, numbers: Mapping[str, str], number: str = "") -> dict[str, Any]:
        plan = rehearse(remedy.action, self._hub.pollers)
        allowance = self._hub.service.remedies.allowance
        now = self._clock.now()
        cases = [self._case(name, remedy, numbers, number)] if number else self._cases(remedy)
        return {
            "name": name,
            "label": remedy.label,
            "does": plan.says,
            "for": list(remedy.for_),
            "on": list(remedy.on),
            "dry_run": remedy.dry_run,
            "today": allowance.today(name, now),
            "per_day": remedy.per_day,
            "against": list(plan.obstacles),
            "cases": [
                {
                    "case": numbers.get(case.key, ""),
                    "tries": allowance.tries(name, case),
                    "most": remedy.tries,
                    "against": self._against(name, remedy, case),
                }
                for case in cases
            ],
        }


def _points(condition: str, device: str) -> Iterator[str]:
    """The points that a condition names."""
    names = (node.name for node in read(condition).names) if condition else ()
    return (name if "/" in name else f"{device}/{name}" for name in names)
