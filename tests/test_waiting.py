"""What waits for a full disk: the least important goes first, and no case is told by halves."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.diagnosis.contract import Phase
from gateway.service.contract import Statement
from gateway.waiting import Waiting

from moments_of import change


def said(case, phase="opened", severity="warning", **more):
    return Statement(change=change(episode=case, phase=Phase(phase), severity=severity), **more)


def left(waiting):
    return [(one.change.episode, one.change.phase.value) for one in waiting.statements]


def test_the_least_important_goes_first_and_is_counted():
    waiting = Waiting(2)
    waiting.add([said("a", severity="info"), said("b", severity="critical"), said("c")])
    assert left(waiting) == [("b", "opened"), ("c", "opened")]
    assert waiting.dropped == 1


def test_of_a_case_that_nobody_was_told_of_all_of_it_goes():
    waiting = Waiting(3)
    waiting.add([said("a"), said("a", "worsened"), said("b", severity="critical"), said("c", severity="critical")])
    assert left(waiting) == [("b", "opened"), ("c", "opened")]
    assert waiting.dropped == 2
    waiting.add([said("a", "eased"), said("a", "closed")])
    assert left(waiting) == [("b", "opened"), ("c", "opened")]
    assert waiting.dropped == 2, "it was counted when it began"


def test_what_gets_worse_is_told_from_there_on():
    waiting = Waiting(1)
    waiting.add([said("a", severity="info"), said("b", severity="critical")])
    waiting.take()
    waiting.add([said("a", "worsened")])
    waiting.take()
    waiting.add([said("a", "closed")])
    assert left(waiting) == [("a", "closed")]


def test_who_was_told_that_it_opened_is_told_that_it_is_over():
    waiting = Waiting(2)
    waiting.add([said("told before", "closed", "info"), said("a", severity="critical"), said("b", severity="critical")])
    assert ("told before", "closed") in left(waiting)


def test_what_could_not_be_told_waits_before_what_has_come_since():
    waiting = Waiting(9)
    waiting.add([said("a")])
    taken = waiting.take()
    waiting.add([said("b")])
    waiting.put_back(*taken)
    assert left(waiting) == [("a", "opened"), ("b", "opened")]


LIFE = ["opened", "worsened", "eased", "handed_over", "closed"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["info", "warning", "critical"]), st.booleans()), max_size=60))
def test_no_case_is_told_by_halves_and_memory_is_bounded(events):
    """Whatever comes: what is told of a case begins with its opening, or with its getting worse, and ends at most once."""
    waiting, steps, told = Waiting(4), dict.fromkeys("abcd", 0), []
    turn = dict.fromkeys("abcd", 0)
    for case, severity, disk_works in events:
        phase = LIFE[steps[case] % len(LIFE)]
        waiting.add([said(f"{case}{turn[case]}", phase, severity)])
        steps[case] += 1
        turn[case] += phase == "closed"
        assert len(waiting.statements) <= 4
        if disk_works:
            told += left(waiting)
            waiting.take()
    begun: set[str] = set()
    ended: set[str] = set()
    for name, phase in told:
        assert name not in ended
        if phase in {"opened", "worsened"}:
            begun.add(name)
        assert name in begun
        if phase == "closed":
            ended.add(name)
