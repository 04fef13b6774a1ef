"""The life of an episode, as a table and as it is lived."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.diagnosis.contract import Phase
from gateway.diagnosis.episode import NEXT, Episode, State

verdicts = st.sampled_from(["unhappy", "worse", "well", "unknown"])
lives = st.lists(st.tuples(st.sampled_from([0.25, 1.0, 3.0]), verdicts), max_size=40)


def live(episode: Episode, life: list[tuple[float, str]], at: float = 0.0, clear_lasting: float = 2.0) -> list[tuple[float, str]]:
    """Let an episode take verdicts; returns when it told what."""
    told = []
    for dt, verdict in life:
        at += dt
        if verdict == "unknown":
            episode.hold(at)
        elif phase := episode.step(at, verdict != "well", verdict == "worse", clear_lasting):
            told.append((at, phase.value))
    return told


def test_the_table_knows_every_state_and_every_verdict() -> None:
    """No combination is left to chance."""
    assert set(NEXT) == {(state, verdict, up) for state in State for verdict in (True, False) for up in (True, False)}


def test_only_opening_and_closing_are_told_by_the_table() -> None:
    """Opened when it leaves pending for open, closed when it leaves clearing for closed; nothing else is worth a word."""
    told = {(state, following): phase for (state, _, _), (following, phase) in NEXT.items() if phase}
    assert told == {(State.PENDING, State.OPEN): Phase.OPENED, (State.CLEARING, State.CLOSED): Phase.CLOSED}


def test_what_is_closed_stays_closed() -> None:
    """The next time is another episode."""
    assert all(following is State.CLOSED for (state, _, _), (following, _) in NEXT.items() if state is State.CLOSED)


@given(lives, st.sampled_from([0.0, 2.0]), st.sampled_from([0.0, 2.0]))
def test_a_life_is_told_in_order(life: list[tuple[float, str]], lasting: float, clear_lasting: float) -> None:
    """Opened, at most once worsened, closed."""
    phases = [phase for _, phase in live(Episode(0.0, lasting), life, clear_lasting=clear_lasting)]
    assert phases in ([], ["opened"], ["opened", "worsened"], ["opened", "closed"], ["opened", "worsened", "closed"])


@given(lives, st.integers(0, 40))
def test_a_life_goes_on_after_a_restart(life: list[tuple[float, str]], cut: int) -> None:
    """Saved and recalled at any time, through JSON and on another timeline, it tells the same."""
    whole = live(Episode(0.0, 2.0), life)
    episode = Episode(0.0, 2.0)
    told = live(episode, life[:cut])
    at = sum(dt for dt, _ in life[:cut])
    heir = Episode.recall(json.loads(json.dumps(episode.memory())), 1000.0)
    assert told + [(at - 1000.0, phase) for at, phase in live(heir, life[cut:], at + 1000.0)] == whole


@pytest.mark.parametrize(
    ("life", "told"),
    [
        ([(0, "unhappy"), (2, "unhappy")], [(2, "opened")]),
        ([(0, "unhappy"), (1, "well"), (1, "unhappy")], []),
        ([(0, "unhappy"), (1, "unknown"), (9, "unhappy"), (1, "unhappy")], [(11, "opened")]),
        ([(2, "unhappy"), (1, "well"), (2, "well")], [(2, "opened"), (5, "closed")]),
        ([(2, "unhappy"), (1, "well"), (1, "unhappy"), (1, "well"), (2, "well")], [(2, "opened"), (7, "closed")]),
        ([(2, "unhappy"), (1, "well"), (1, "unknown"), (9, "well"), (1, "well")], [(2, "opened"), (14, "closed")]),
        ([(2, "unhappy"), (1, "worse"), (1, "unhappy"), (1, "worse")], [(2, "opened"), (3, "worsened")]),
        ([(2, "worse"), (1, "unhappy"), (1, "worse")], [(2, "opened")]),
    ],
    ids=[
        "lasting",
        "too short",
        "held while pending",
        "clear",
        "clear for too short",
        "held while clearing",
        "worse",
        "worse at once",
    ],
)
def test_lives(life: list[tuple[float, str]], told: list[tuple[float, str]]) -> None:
    """Two seconds until it is told, two until it is over; while nothing is known, both stand still."""
    assert live(Episode(0.0, 2.0), life) == told
