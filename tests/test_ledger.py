"""The outage ledger: the edition of a minute, and that its book finds what there is to find."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.diagnosis.contract import Phase
from gateway.moments import Moment, numbered, to_wire

from ledger.book import Book
from ledger.machines import STEP
from ledger.run import Report
from ledger.schedule import KINDS, schedule
from moments_of import moment

PHASES = (Phase.OPENED, Phase.WORSENED, Phase.CLOSED)


def told(seq: int, *, generation: str = "GEN") -> Moment:
    """The moment about reading `seq` of a machine, three to an episode."""
    case, phase = divmod(seq - 1, 3)
    one = numbered(moment(case), generation, seq)
    value = (phase + 1) % 3 * STEP + seq
    return replace(one, subject="machine-1/level", data=replace(one.data, phase=PHASES[phase], value=value))


def line(one: Moment) -> str:
    return f"<6>hub: moment | says=something phase={one.data.phase.value} case={one.data.case}"


def book_of(*arrivals: Moment, promised: int = 9) -> Book:
    book = Book()
    for seq in range(1, promised + 1):
        book.journal(line(told(seq)))
    for one in arrivals:
        book.arrive(to_wire(one))
    return book


ALL = [told(seq) for seq in range(1, 10)]


def test_a_run_without_a_fault_is_clean():
    verdict = book_of(*ALL).close()
    assert verdict.clean
    assert (verdict.promised, verdict.arrived, verdict.repeats) == (9, 9, 0)


def test_a_repeat_under_the_same_id_is_no_second_telling():
    verdict = book_of(*ALL, ALL[3], ALL[4]).close()
    assert verdict.clean
    assert verdict.repeats == 2


@pytest.mark.parametrize("missing", range(9))
def test_what_the_journal_names_and_nobody_gets_is_lost(missing):
    verdict = book_of(*ALL[:missing], *ALL[missing + 1 :]).close()
    assert verdict.lost


def test_what_lies_in_the_file_and_nobody_gets_is_lost():
    book = book_of(*ALL)
    book.found([to_wire(told(10))])
    assert book.awaited() == 1
    (lost,) = book.close().lost
    assert "the hub's file" in lost


def test_a_number_that_no_moment_had_is_lost():
    (lost,) = book_of(*ALL, told(13), promised=0).close().lost[:1]
    assert "no moment has the number 10" in lost


def test_the_same_under_two_ids_is_told_twice():
    again = numbered(ALL[4], "GEN", 10)
    assert book_of(*ALL, again).close().twice


def test_a_point_that_is_opened_while_it_is_open_is_told_twice():
    """The hub has forgotten in a restart that it had told: another case for the same trouble."""
    again = replace(told(4), data=replace(told(4).data, case="hub-0042-new"))
    verdict = book_of(told(1), told(2), again, told(5), told(6), promised=0).close()
    assert "begins hub-0042-new while hub-0042-0 is open" in verdict.twice[0]


def test_a_case_whose_end_comes_before_its_beginning_is_out_of_order():
    verdict = book_of(*ALL[:4], ALL[5], ALL[4], *ALL[6:]).close()
    assert verdict.disordered
    assert not verdict.lost


def test_cases_may_overtake_one_another():
    assert book_of(*ALL[3:6], *ALL[:3], *ALL[6:]).close().clean


def test_two_moments_under_one_id_are_found():
    other = replace(told(5), data=replace(told(5).data, says="something else", case="hub-0042-x"))
    assert book_of(*ALL, other).close().garbled


def test_bytes_that_are_no_moment_are_found():
    book = book_of(*ALL)
    book.arrive(b'{"id": "half')
    assert book.close().garbled


def test_what_was_exposed_to_damage_is_counted_apart():
    book = book_of(*ALL[:6])
    book.damage("GEN", 9, [to_wire(one) for one in ALL[6:]])
    verdict = book.close()
    assert verdict.clean
    assert verdict.destroyed == 3


def test_what_was_not_there_when_the_damage_came_is_not_excused_by_it():
    book = book_of(*ALL[:6])
    book.damage("GEN", 9, [to_wire(ALL[8])])
    assert len(book.close().lost) == 4  # two moments, and the two places in the sequence


def test_what_was_on_its_way_when_the_file_was_damaged_may_come_later():
    """It lay in a slow link; the hub has forgotten that it told it, and tells it under another id."""
    book = book_of(*ALL[:6])
    book.damage("GEN", 9, [])
    for one in (*ALL[6:], numbered(ALL[8], "NEXT", 1)):
        book.arrive(to_wire(one))
    verdict = book.close()
    assert verdict.clean
    assert len(verdict.after_damage) == 2  # a phase of a case, and a reading


@pytest.mark.parametrize("ids", [[("GEN", 9), ("GEN", 10)], [("GEN", 11), ("GEN", 12)], [("NEXT", 1), ("NEXT", 2)]])
def test_what_is_told_twice_with_no_damage_in_between_is_not_excused_by_damage(ids):
    book = book_of(*ALL[:8])
    book.damage("GEN", 10, [])
    for generation, seq in ids:
        book.arrive(to_wire(numbered(ALL[8], generation, seq)))
    verdict = book.close()
    assert len(verdict.twice) == 2
    assert not verdict.after_damage


def test_a_case_that_was_open_when_the_file_was_damaged_may_be_forgotten_and_no_other():
    """The hub begins another case for the same trouble."""
    for counted, excused in ((2, True), (1, False)):
        book = book_of(told(1), told(2), promised=0)
        book.damage("GEN", counted, [])
        book.arrive(to_wire(replace(told(4), data=replace(told(4).data, case="hub-0042-new"))))
        assert bool(book.close().after_damage) == excused


def test_a_seed_gives_the_same_faults_again_and_every_kind_in_a_minute():
    for seed in range(20):
        faults = schedule(seed, 60)
        assert faults == schedule(seed, 60)
        assert {fault.kind for fault in faults} == set(KINDS)
    assert schedule(1, 60) != schedule(2, 60)
    assert random.Random(faults[0].luck).random() == random.Random(faults[0].luck).random()


@pytest.mark.parametrize(
    ("ended", "clean"),
    [
        ([], True),
        (
            ["exit code 1: canary.db: malformed; if it stays so after a restart, the disk or card may be failing"],
            True,
        ),
        (["exit code 1: something else"], False),
        (["it did not end within 10 s"], False),
    ],
)
def test_a_hub_that_ends_by_itself_or_will_not_end_is_found(ended, clean):
    verdict = book_of(*ALL).close()
    assert Report(verdict, 9, Counter(), 1, ended, [], (0.0, ""), [], 60.0, small_disk=True).clean == clean


@pytest.mark.slow
def test_a_minute_of_everything_that_can_go_wrong_loses_nothing_and_tells_nothing_twice():
    argv = [sys.executable, "-m", "ledger", "--minutes", "1", "--seed", "11"]
    run = subprocess.run(argv, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
