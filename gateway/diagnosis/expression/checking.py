"""Whether a condition means something, seen with the points there are, before any of them has said anything."""

from collections.abc import Iterator, Sequence

from gateway.diagnosis.contract import Mistake
from gateway.diagnosis.expression import ExpressionError, Reading, Scope, bind


def wrong(reading: Reading, scopes: Sequence[Scope]) -> Iterator[Mistake]:
    """What is wrong with a condition that is asked in each of these scopes: of each device that a rule or a remedy is for.

    It has to make sense in one of them. A device that lacks a point of it is then one that was not meant; what else is wrong with
    any of them is told.
    """
    yield from reading.mistakes
    found = sorted((_unbound(reading, scope) for scope in scopes), key=lambda some: sum(bool(one.lacks) for one in some))
    meant = [one for one in found if not any(mistake.lacks for mistake in one)] or found[:1]
    yield from {mistake.offset: mistake for some in meant for mistake in some}.values()


def _unbound(reading: Reading, scope: Scope) -> Sequence[Mistake]:
    """Why it has no meaning in a scope, beyond what is wrong with its text."""
    try:
        bind(reading, scope)
    except ExpressionError as error:
        return [mistake for mistake in error.mistakes if mistake not in reading.mistakes]
    return []
