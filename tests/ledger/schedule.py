"""What goes wrong, when and for how long: the same for the same seed."""

import random
from typing import NamedTuple

FIRST = 3.0  # s: the hub has begun


class Fault(NamedTuple):
    """One of `KINDS`, from `at` for `lasting` seconds. luck: the seed of whatever else it has to draw."""

    at: float
    kind: str
    lasting: float
    luck: int


KINDS = (
    "hub killed",
    "hub stopped and started",
    "hub suspended",
    "broker killed",
    "broker suspended",
    "link cut in mid-packet",
    "link half open",
    "link refused",
    "link slow",
    "disk full",
    "hub killed on a full disk",
    "torn page",
    "flipped bytes",
    "clock leaps",
)


def schedule(seed: int, seconds: float) -> list[Fault]:
    """Every kind in turn, in an order drawn by lot; the longer the run, the longer each may last. They may overlap."""
    luck = random.Random(seed)
    longest = min(40.0, max(3.0, seconds / 60))
    faults: list[Fault] = []
    deck: list[str] = []
    at = FIRST
    while at < seconds:
        if not deck:
            deck = list(KINDS)
            luck.shuffle(deck)
        faults.append(Fault(at, deck.pop(), luck.uniform(0.3, longest), luck.getrandbits(32)))
        at += luck.uniform(1.0, 1.7 * longest)
    return faults
