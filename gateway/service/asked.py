"""What a person at the hub, or the cloud, may ask of the service: its commands, a line each.

Promises
- A command that was answered is safe: what it changed has been stored, together with what is told of it.
- A command that is refused has changed nothing.

The commands themselves are beside the parts that carry them out; each part's method takes one and returns what is to be said.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from gateway.clock import Clock
from gateway.commands import Answer, Command, Commands, Effect
from gateway.service import digest, visit_commands
from gateway.service.contract import Statement
from gateway.service.service import Service


class Hub(Protocol):
    """Whoever has the service at work."""

    @property
    def service(self) -> Service:
        """The present one: a reload puts another in its place."""

    async def told(self, statements: Sequence[Statement]) -> None:
        """Tell these, and return when they, and what the service remembers, are stored. Raises StoreError."""


Carry = Callable[[Any, float], tuple[Answer, Iterable[Statement]]]
"""From a command and the time to its answer and to what is to be said of it. Raises CommandError; then nothing has changed."""


def offer(commands: Commands, hub: Hub, clock: Clock) -> None:
    """Add the commands of the service."""
    add, by = commands.add, partial(_by, hub, clock)
    add("digest", digest.Ask, lambda _: hub.service.digests.so_far(clock.now()), Effect.NONE, cloud=False)
    add("visit-start", visit_commands.Start, by("visits", lambda service: service.visits.start), Effect.ONCE)
    add("visit-note", visit_commands.Note, by("visits", lambda service: service.visits.note), Effect.ONCE)
    add("visit-found", visit_commands.Found, by("visits", lambda service: service.visits.found), Effect.ONCE)
    add("visit-replaced", visit_commands.Replaced, by("visits", lambda service: service.visits.replaced), Effect.ONCE)
    add("visit-serviced", visit_commands.Serviced, by("visits", lambda service: service.visits.serviced), Effect.REPEATABLE)
    add("visit-end", visit_commands.End, by("visits", lambda service: service.visits.end), Effect.ONCE)


def _by(hub: Hub, clock: Clock, part: str, carry: Callable[[Service], Carry]) -> Callable[[Command], Awaitable[Answer]]:
    """The handler of a command that a part carries out."""

    async def handle(command: Command) -> Answer:
        answer, said = carry(hub.service)(command, clock.now())
        await hub.told(hub.service.say(part, said))
        return answer

    return handle
