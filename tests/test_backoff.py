"""How long hubs wait, each for itself and ten thousand together."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backoff import LONGEST_HOLD, PATIENCE, WINDOW, Backoff, Pace
from gateway.config.model import Uplink
from gateway.dial import UplinkFault

HUBS = 10_000
LOST = UplinkFault("the connection was lost")
KEYS = Uplink(url="mqtt://localhost")


@settings(max_examples=30)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 20))
def test_a_pause_is_drawn_from_zero_to_a_length_that_doubles_up_to_a_longest(luck, failures):
    backoff = Backoff(2.0, 120.0, lambda: luck)
    pauses = [backoff.pause(LOST) for _ in range(failures + 1)]
    assert pauses[-1] == luck * min(120.0, 2.0 * 2.0**failures)
    assert PATIENCE / 2 <= backoff.pause(UplinkFault("bad password", patient=True)) <= PATIENCE
    assert Backoff(2.0, 120.0, lambda: luck).pause(UplinkFault("busy", busy=True)) == luck * 120.0
    assert backoff.pause(LOST, lasted=100.0) == luck * 2.0


def come_back(outage: float, chance: random.Random) -> tuple[Counter[int], list[float]]:
    """Attempts of the whole fleet in each second, and when each hub is back, after the broker was gone for so long."""
    attempts: Counter[int] = Counter()
    back = []
    for _ in range(HUBS):
        backoff = Backoff(KEYS.retry_first, KEYS.retry_longest, chance.random)
        at = backoff.pause(LOST, lasted=3600.0)
        while at < outage:
            attempts[int(at)] += 1
            at += backoff.pause(LOST)
        attempts[int(at)] += 1
        back.append(at - outage)
    return attempts, back


@pytest.mark.parametrize("outage", [0.5, 10.0, 60.0, 600.0])
def test_ten_thousand_hubs_that_lose_their_broker_at_once_do_not_come_back_at_once(outage):
    """By the very pauses of the uplink: never more than a twentieth of the fleet is back within a second, and hardly more try."""
    attempts, back = come_back(outage, random.Random(4))
    assert max(attempts.values()) < HUBS * 0.06
    assert max(Counter(map(int, back)).values()) < HUBS * 0.05
    assert max(back) <= KEYS.retry_longest
    assert sorted(back)[HUBS // 2] < 45.0


def test_ten_thousand_hubs_that_start_at_once_do_not_connect_at_once():
    """As when the power of a town is back: hubs of one kind take the same time to start."""
    chance = random.Random(4)
    first = [Backoff(KEYS.retry_first, KEYS.retry_longest, chance.random).before_the_first() for _ in range(HUBS)]
    assert max(Counter(map(int, first)).values()) < HUBS * 0.05
    assert max(first) <= KEYS.retry_first


def test_a_broker_that_has_had_enough_gets_less_and_later_and_slowly_more_again():
    pace = Pace(lambda: 1.0)
    assert pace.places == WINDOW
    pace.enough(100.0)
    pace.enough(100.5)  # one of those that were in flight at that time
    assert (pace.places, pace.hold_until) == (WINDOW // 2, 102.0)
    pace.enough(103.0)
    assert (pace.places, pace.hold_until) == (WINDOW // 4, 107.0)
    for again in range(20):
        pace.enough(1000.0 * again)
    assert (pace.places, pace.hold_until) == (1, 19_000.0 + LONGEST_HOLD)
    for _ in range(600):
        pace.taken(1)
    assert pace.places == WINDOW
    pace.enough(1e6)
    assert pace.hold_until == 1e6 + 2.0


def test_when_something_is_not_to_be_borne_moments_go_one_by_one():
    pace = Pace(lambda: 0.0)
    pace.one_by_one()
    assert pace.places == 1
    pace.taken(1)
    assert pace.places == 2
