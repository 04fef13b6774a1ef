"""Whatever is found, handed over, tried, repaired, configured and restarted: a case has one opening, one owner at a time, one end.

The steps, and what must be true after each of them, are in `plant_of.py`; below are orders of them that once went wrong.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import Phase as Phases
from hypothesis import settings
from plant_of import HOT, WARM, Service

from gateway.diagnosis.contract import Phase, RuleKeys

from moments_of import change

TestService = Service.TestCase
# Without shrinking: that of a long story may take longer than a run of all tests may.
TestService.settings = settings(max_examples=70, stateful_step_count=30, phases=[Phases.reuse, Phases.generate])
TestService.pytestmark = [pytest.mark.slow]


@contextmanager
def at_work() -> Iterator[Service]:
    """The plant; in the end everything is put right, and no case must be left."""
    plant = Service()
    try:
        yield plant
        plant.each_moment_follows_from_those_before_it()
        plant.no_case_is_lost()
    finally:
        plant.teardown()


def told(plant: Service, number: str) -> list[Phase]:
    plant.each_moment_follows_from_those_before_it()
    return [moment.data.phase for moment in plant.stories[number]]


@pytest.mark.slow
def test_what_a_remedy_has_to_say_of_what_a_visit_is_about_waits_for_its_end() -> None:
    """Also that it was cut short; so nobody hears of an owner before they hear of the hand-over to them."""
    with at_work() as plant:
        plant.something_falls_silent_or_is_heard_again("cellar")
        plant.each_moment_follows_from_those_before_it()
        (number,) = plant.open_numbers()
        assert [order.action.device for order in plant.hub.under_way] == ["relay"]
        plant.a_visit_starts(("bus.plant",), "1 h")
        plant.somebody_hands_a_case_over(0, "wires")
        plant.the_hub_is_killed_and_started(0.5, 0.0)
        plant.each_moment_follows_from_those_before_it()
        assert [moment.data.phase for moment in plant.stories[number]] == [Phase.OPENED]
        plant.the_visit_ends()
        plant.each_moment_follows_from_those_before_it()
        assert [moment.data.phase for moment in plant.stories[number]] == [Phase.OPENED, Phase.HANDED_OVER, Phase.WORSENED]
        assert "was stopped while it tried" in plant.stories[number][-1].data.says


@pytest.mark.slow
def test_who_first_hears_of_a_case_when_it_has_changed_hands_hears_of_one_owner() -> None:
    """A device fell silent during a visit to it, and then its bus was found to be down, which the visit is not about."""
    with at_work() as plant:
        plant.something_falls_silent_or_is_heard_again("cellar")
        plant.a_visit_starts(("freezer",), "1 h")
        plant.something_falls_silent_or_is_heard_again("bus.plant")
        plant.time_passes(50)
        plant.each_moment_follows_from_those_before_it()
        of_the_bus = [moment.data for moment in plant.hub.moments if moment.data.rule.id == "bus-down"]
        assert [(one.phase, one.owner.id, one.handed_over) for one in of_the_bus] == [(Phase.OPENED, "wires", None)]


@pytest.mark.slow
def test_a_digest_during_a_visit_names_no_case_that_nobody_was_told_of() -> None:
    with at_work() as plant:
        plant.it_reads_something_else("cellar", WARM)
        plant.run(20)
        plant.the_hub_is_killed_and_started(50000.0, 0.0)
        plant.a_visit_starts(("freezer",), "24 h")
        plant.something_falls_silent_or_is_heard_again("freezer")
        plant.the_hub_is_killed_and_started(50000.0, 0.0)
        plant.run(20)
        (digest,) = [moment.data.digest for moment in plant.hub.moments if moment.data.digest]
        plant.each_moment_follows_from_those_before_it()
        plant.no_case_is_lost()
        assert [one.subject for one in digest.open] == ["cellar/core"]


def test_the_account_of_a_mute_is_told_once() -> None:
    """It is a last moment without a first one, and no room was kept for it."""
    with at_work() as plant:
        account = change(rule=RuleKeys(kind="mute", on=("freezer",), severity="info"), kind="insight", phase=Phase.CLOSED)
        assert [statement.once for statement in plant.hub.service.take([account])] == [True]


# ---------------------------------------------------------------- another config


@pytest.mark.slow
def test_what_another_config_does_to_a_case_that_a_visit_holds_waits_with_it() -> None:
    """Its owner is gone; who hears of it after the visit hears of the new one only."""
    with at_work() as plant:
        plant.a_visit_starts(("relay",), "1 h")
        plant.something_falls_silent_or_is_heard_again("relay")
        plant.another_config_is_put_to_work("without a rule, an owner and a remedy")
        assert not plant.hub.moments
        plant.the_visit_ends()
        opening = plant.hub.moments[0].data
        assert (opening.phase, opening.owner.id, opening.handed_over) == (Phase.OPENED, "desk", None)


@pytest.mark.slow
def test_a_forecast_that_came_true_ends_where_it_is_no_longer_watched() -> None:
    with at_work() as plant:
        plant.a_forecast("worsened", "warning")
        plant.it_reads_something_else("cellar", HOT)
        plant.each_moment_follows_from_those_before_it()
        (number,) = plant.open_numbers()
        plant.another_config_is_put_to_work("without the cellar")
        assert told(plant, number)[-1] is Phase.CLOSED
        assert plant.stories[number][-1].data.how == "by another configuration"


@pytest.mark.slow
def test_a_case_that_another_config_ends_during_a_visit_is_not_given_a_second_number_by_its_account() -> None:
    with at_work() as plant:
        plant.it_reads_something_else("cellar", WARM)
        plant.time_passes(5)
        plant.a_visit_starts(("bus.plant",), "1 h")
        plant.another_config_is_put_to_work("without the cellar")
        plant.the_visit_ends()
        account = plant.hub.moments[-1].data.visit
        assert account
        assert (account.were_open, account.open_before) == (1, ())


@pytest.mark.slow
def test_a_device_that_is_taken_out_and_put_back_during_a_visit_has_another_case() -> None:
    with at_work() as plant:
        plant.something_falls_silent_or_is_heard_again("cellar")
        plant.a_visit_starts((), "1 h")
        plant.another_config_is_put_to_work("without the cellar")
        plant.another_config_is_put_to_work("whole")
        plant.time_passes(20)
        plant.the_visit_ends()
        plant.each_moment_follows_from_those_before_it()
        ended, begun = (story for story in plant.stories.values() if story[0].subject == "cellar/state")
        assert [moment.data.phase for moment in ended] == [Phase.OPENED, Phase.CLOSED]
        assert [moment.data.phase for moment in begun] == [Phase.OPENED]


@pytest.mark.slow
def test_a_case_is_proven_by_what_is_left_of_it_where_another_config_took_the_rest() -> None:
    """A line is down, which explains its silent device; the device is taken out, and the line is well again."""
    with at_work() as plant:
        plant.something_falls_silent_or_is_heard_again("freezer")
        plant.something_falls_silent_or_is_heard_again("bus.plant")
        plant.time_passes(50)
        plant.each_moment_follows_from_those_before_it()
        (number,) = (number for number, story in plant.stories.items() if story[0].subject == "cellar/state")
        assert Phase.HANDED_OVER in told(plant, number)
        plant.another_config_is_put_to_work("without the cellar")
        assert Phase.CLOSED not in told(plant, number)
        plant.something_falls_silent_or_is_heard_again("bus.plant")
        plant.time_passes(50)
        assert told(plant, number)[-1] is Phase.CLOSED
