"""Self-help is followed: which step has helped is known by what it changes, not by what was so before or came of something else."""

import pytest
from freezer_of import House

from gateway.store import Store

DOOR = '{ do = "Close the door.", shown_by = "door == off", within = "10 min" }'
DEFROST = '{ do = "Defrost it.", by = "technician", shown_by = "core < -16 °C", within = "1 h" }'
LOOK = '{ do = "Look at the plug.", by = "customer", shown_by = "core < -16 °C", within = "10 min" }'
ASK = '{ do = "Ask the desk.", by = "desk" }'


@pytest.fixture
def make(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        yield lambda *steps: House(tmp_path, store, rule=f"steps = [{', '.join(steps)}]\n")


def test_the_moment_carries_the_steps_in_their_order_until_there_is_nothing_left_to_do(make):
    house = (
        make('{ do = "Close the door.", effect = "It cools." }', ASK)
        .read(core=-10.0)
        .read(core=-20.0)
        .wait(400)
        .read(core=-20.0)
        .wait(60)
    )
    opened, closed = house.moments
    assert [(step.do, step.by, step.effect) for step in opened.data.steps] == [
        ("Close the door.", "customer", "It cools."),
        ("Ask the desk.", "desk", ""),
    ]
    assert closed.data.phase == "closed"
    assert closed.data.steps == ()


def test_a_step_whose_effect_is_seen_is_credited_with_the_end_of_the_case(make):
    house = make(DOOR, ASK).read(door=True).read(core=-10.0)
    house.wait(60).read(door=False).wait(10)
    assert house.tried() == [("step 1", "worked")]
    assert len(house.moments) == 1, "it is told with the end, and not by itself"
    house.read(core=-20.0).wait(400).read(core=-20.0).wait(60)
    closed = house.moments[-1].data
    assert (closed.phase, closed.how) == ("closed", "by step 1: Close the door")
    assert [(one.what, one.result) for one in closed.tried] == [("step 1", "worked")]


def test_what_held_all_the_while_shows_nothing(make):
    house = make(DOOR).read(core=-10.0).wait(600).read(core=-20.0).wait(30)
    assert house.tried() == []


def test_what_came_true_before_the_case_opened_shows_nothing(make):
    house = make(DOOR).read(door=True).wait(60).read(door=False).read(core=-10.0).wait(60)
    assert house.tried() == []


def test_what_is_not_known_shows_nothing_until_it_has_been_seen_not_to_hold(make):
    house = make(DOOR).read(state="mute").wait(10)
    house.read(core=-10.0).wait(10).read(door=False).wait(10)
    assert house.tried() == []
    house.read(door=True).wait(10).read(door=False).wait(10)
    assert house.tried() == [("step 1", "worked")]


def test_of_steps_with_the_same_effect_it_is_the_one_whose_turn_it_is(make):
    early = make(LOOK, DEFROST).read(core=-10.0).wait(300).read(core=-20.0).wait(10)
    assert early.tried() == [("step 1", "worked")]


def test_the_turn_goes_on_when_the_effect_of_a_step_has_not_shown_in_its_time(make):
    late = make(LOOK, DEFROST).read(core=-10.0).wait(900).read(core=-20.0).wait(10)
    assert late.tried() == [("step 2", "worked")]


def test_a_step_that_is_taken_before_its_turn_is_credited_by_its_own_effect(make):
    house = make(LOOK, DOOR).read(door=True).read(core=-10.0).wait(60).read(door=False).wait(10)
    assert house.tried() == [("step 2", "worked")]


def test_what_follows_from_a_step_that_has_helped_is_not_laid_to_another(make):
    house = make(DOOR, DEFROST).read(door=True).read(core=-10.0).wait(60).read(door=False).wait(300)
    house.read(core=-20.0).wait(60)
    assert house.tried() == [("step 1", "worked")]
    assert house.case.credit == "by step 1: Close the door"


def test_a_step_that_shows_and_does_not_cure_leaves_the_next_its_turn(make):
    house = make(DOOR, DEFROST).read(door=True).read(core=-10.0).wait(60).read(door=False).wait(900)
    house.read(core=-20.0).wait(60)
    assert house.tried() == [("step 1", "worked"), ("step 2", "worked")]
    assert house.case.credit == "by step 2: Defrost it"


def test_what_a_remedy_or_a_visit_has_done_is_not_laid_to_a_step(make):
    for credit, visit in (("by the remedy defrost", ""), ("", "visit#1")):
        house = make(DOOR).read(door=True).read(core=-10.0).wait(60)
        house.case.credit, house.case.visit = credit, visit
        house.read(door=False).wait(10)
        assert house.tried() == []
        assert house.case.credit == credit


def test_a_restart_neither_forgets_how_far_people_are_nor_credits_a_step_twice(make):
    house = make(DOOR, DEFROST).read(door=True).read(core=-10.0).wait(60).read(door=False).wait(10)
    house.tell([])
    house.restart(off=100.0).read(core=-10.0, door=False, setpoint=-18.0, relay=True).wait(60)
    assert house.tried() == [("step 1", "worked")]
    house.wait(600).read(core=-20.0).wait(60)
    assert house.tried() == [("step 1", "worked"), ("step 2", "worked")]


def test_what_is_back_is_helped_anew(make):
    house = make(DOOR).read(door=True).read(core=-10.0).wait(60).read(door=False).wait(10).read(core=-20.0).wait(30)
    house.read(door=True).read(core=-10.0).wait(30)
    assert house.case.openings == 2
    assert house.case.credit == ""
    house.read(door=False).wait(10)
    assert house.tried() == [("step 1", "worked"), ("step 1", "worked")]


def test_its_memory_does_not_change_while_nothing_happens(make):
    house = make(DOOR, DEFROST).read(door=True).read(core=-10.0).wait(30)
    before = house.service.memory()["steps"]
    assert house.wait(300).service.memory()["steps"] == before


def test_another_config_with_other_steps_begins_anew(make):
    house = make(ASK, ASK, DOOR).read(door=True).read(core=-10.0).wait(30 * 60 + 30 * 60 + 60)
    house.reload(rule=f"steps = [{DOOR}]\n").wait(10).read(door=False).wait(10)
    assert house.tried() == [("step 1", "worked")]
