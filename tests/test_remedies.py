"""Remedies are tried within their limits and never blindly; what helps, fails, harms or is cut short is on the record and told."""

import dataclasses
from datetime import timedelta

import pytest
from freezer_of import House
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drivers.contract import NoValue
from gateway.config.actions import Cycle, Reopen, Write
from gateway.store import Store

COLDER = """
[remedy.colder]
for = "warm"
on = "freezer"
write = "freezer/setpoint"
value = -24.0
when = "door == off"
proof = "core < -16 °C"
harm = "core > 0 °C"
within = "10 min"
tries = 2
spacing = "5 min"
"""
CYCLE = """
[remedy.cycle]
for = "warm"
on = "freezer"
label = "it was switched off and on"
cycle = "freezer/relay"
within = "10 min"
tries = 2
spacing = "1 min"
"""
PLUG = """
[device.plug]
bus = "plant"
unit = 3
points.relay = { coil = 0, writable = true }
"""
BY_VISIT = "a visit is on"


@pytest.fixture
def make(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        yield lambda more, **how: House(tmp_path, store, more, **how)


def again(house):
    """Everything is read anew after a restart."""
    return house.read(core=-10.0, door=False, setpoint=-18.0, relay=True)


# ---------------------------------------------------------------- one that helps


def test_what_has_helped_is_told_once_with_before_and_after_and_that_nobody_has_to_come(make):
    house = make(COLDER).read(core=-10.0)
    assert house.given[0].action == Write("freezer", "setpoint", -24.0)
    house.finish(before=-18.0)
    house.wait(60).read(core=-17.0).wait(10)
    opened, recovery = (moment.data for moment in house.moments)
    assert house.said()[1] == ("recovery", "opened", "info")
    assert recovery.case == opened.case
    assert (
        recovery.says
        == "Freezer: the hub has put it right (the remedy colder). Freezer core was -10 °C, and is -17 °C. No visit is needed."
    )
    assert [(one.point, one.unit, one.before, one.after) for one in recovery.comparisons] == [("freezer/core", "°C", -10.0, -17.0)]
    assert [(one.what, one.result) for one in recovery.tried] == [("remedy colder", "worked")]
    house.wait(400).read(core=-17.0).wait(60)
    assert house.said()[2:] == [("problem", "closed", "warning")]
    assert house.moments[-1].data.how == "by the remedy colder"
    assert house.moments[-1].data.case == opened.case


def test_without_a_proof_of_its_own_it_has_helped_when_the_case_is_over(make):
    house = make(CYCLE).read(core=-10.0)
    house.finish()
    house.read(core=-17.0).wait(10)
    assert house.said()[1] == ("recovery", "opened", "info")
    assert house.moments[1].data.tried[0].result == "worked"


def test_a_case_that_is_closed_at_once_is_credited_too_and_the_recovery_comes_before_its_end(make):
    house = make(CYCLE, rule='proof = "0 s"\n').read(core=-10.0)
    house.finish()
    house.read(core=-17.0)
    assert house.said()[1:] == [("recovery", "opened", "info"), ("problem", "closed", "warning")]
    assert {moment.data.case for moment in house.moments} == {house.moments[0].data.case}
    assert house.moments[2].data.how == "by the remedy cycle"
    assert [moment.data.tried[0].result for moment in house.moments[1:]] == ["worked", "worked"]
    assert house.desk.numbers() == {}, "the number of a closed case is not kept"


def test_what_is_over_before_it_was_done_is_not_its_merit(make):
    house = make(CYCLE).read(core=-10.0)
    house.read(core=-17.0).wait(10)
    assert house.case.credit == ""
    house.finish(done=False, says="the relay does not answer")
    house.wait(400).read(core=-17.0).wait(60)
    assert house.said()[1:] == [("problem", "closed", "warning")]
    assert house.moments[-1].data.how == "by itself"


def test_the_diagnosis_hears_that_something_was_done(make):
    noted = []
    house = make(COLDER)
    house.engine.note, note = lambda *deed: noted.append(deed) or note(*deed), house.engine.note
    house.read(core=-10.0)
    assert noted == []
    house.finish()
    assert [deed[:2] for deed in noted] == [("remedy", "freezer")]


# ---------------------------------------------------------------- one that does not


def test_after_the_last_try_in_vain_the_case_is_more_severe_and_says_what_was_tried(make):
    house = make(COLDER).read(core=-10.0)
    house.finish(before=-18.0)
    house.wait(700).read(core=-10.0).wait(10)
    assert house.tried() == [("remedy colder", "failed"), ("remedy colder", "begun")]
    assert len(house.moments) == 1, "nothing is told while there is another try"
    house.finish(before=-24.0)
    house.wait(700)
    assert house.said()[1:] == [("problem", "worsened", "critical")]
    worsened = house.moments[1].data
    assert worsened.says == "Freezer core is -10 °C: the hub has tried to put it right twice (the remedy colder), in vain."
    assert [(one.what, one.result) for one in worsened.tried] == [("remedy colder", "failed")] * 2
    assert worsened.tried[0].says == "It was done. It did not come to hold that core < -16 °C within 10 min."
    house.wait(86400)
    assert house.given == []


def test_what_cannot_be_done_counts_as_a_try(make):
    house = make(COLDER).read(core=-10.0)
    house.finish(done=False, says="no answer within 1 s")
    house.wait(310)
    house.finish(done=False, says="no answer within 1 s")
    assert house.tried() == [("remedy colder", "impossible")] * 2
    assert house.said()[1:] == [("problem", "worsened", "critical")]
    assert house.case.tried[0].says == "No answer within 1 s."


def test_a_relay_that_may_have_been_left_off_is_switched_on_until_it_is_on(make):
    house = make(CYCLE).read(core=-10.0)
    house.finish(done=False, says="freezer/relay may be left off")
    for _ in range(20):
        order = house.given[0]
        assert order.restores
        assert isinstance(order.action, Cycle)
        house.finish(done=False, says="no answer")
        house.wait(30)
        assert house.given == [], "it is not hammered"
        house.wait(35)
    assert house.said()[1:] == [("problem", "worsened", "critical")], "that is told once"
    house.finish(says="freezer/relay was set to on and reads on")
    house.wait(120)
    assert house.case.tried[0].says.endswith("Freezer/relay was set to on and reads on.")
    assert [order.restores for order in house.given] == [False], "only then it is tried again"


def test_another_remedy_takes_over_at_once_and_nothing_is_told_as_worse_before_that_has_failed(make):
    house = make(COLDER.replace("tries = 2", "tries = 1") + CYCLE.replace("tries = 2", "tries = 1")).read(core=-10.0)
    assert isinstance(house.finish().action, Write)
    house.wait(620)
    assert len(house.moments) == 1
    assert isinstance(house.finish().action, Cycle)
    house.wait(620)
    assert house.said()[1:] == [("problem", "worsened", "critical")]


def test_the_case_stays_as_severe_as_its_failed_remedies_made_it(make):
    """What comes to it and goes again takes nothing back of that."""
    hot = '[rule.hot]\nkind = "threshold"\non = "freezer/core"\nabove = "-5 °C"\nseverity = "critical"\n'
    house = make(COLDER.replace("tries = 2", "tries = 1"), rule=hot).read(core=-10.0)
    house.finish()
    house.wait(700)
    assert house.case.severity == "critical"
    house.read(core=-2.0).wait(60).read(core=-10.0).wait(60)
    assert len(house.case.episodes) == 1
    assert house.case.severity == "critical"
    assert house.said() == [("problem", "opened", "warning"), ("problem", "worsened", "critical")]


# ---------------------------------------------------------------- one that does harm


def test_at_the_first_sign_of_harm_everything_stops_what_was_written_is_put_back_and_the_owner_hears_of_it(make):
    house = make(COLDER + CYCLE).read(core=-10.0)
    house.finish(before=-18.0)
    house.wait(30).read(core=1.0).wait(10)
    assert house.said()[1:] == [("problem", "worsened", "critical")]
    worsened = house.moments[1].data
    assert worsened.because == "it holds that core > 0 °C"
    assert worsened.says == (
        "Freezer core is 1 °C: what the hub tried (the remedy colder) has made it worse. "
        "It is being undone: the hub writes -18 to freezer/setpoint. It tries nothing more."
    )
    assert house.tried() == [("remedy colder", "harmed")]
    assert house.given[0].action == Write("freezer", "setpoint", -18.0)
    house.finish(says="freezer/setpoint was set to -18 and reads -18")
    house.read(core=-10.0).wait(86400)
    assert house.given == [], "no remedy is tried any more in this case"
    assert house.against("cycle")[0] == "a remedy has done harm in this case"


def test_a_value_that_will_not_go_back_is_told_once_and_given_up_after_a_while(make):
    house = make(COLDER).read(core=-10.0)
    house.finish(before=-18.0)
    house.read(core=1.0).wait(10)
    for _ in range(5):
        assert house.given[0].action == Write("freezer", "setpoint", -18.0)
        house.finish(done=False, says="no answer")
        house.wait(61)
    assert house.given == []
    assert house.said()[1:] == [("problem", "worsened", "critical")] * 2


def test_a_case_that_gets_worse_is_harm(make):
    house = make(COLDER, rule='worse = "-5 °C"\n').read(core=-10.0)
    house.finish(before=-18.0)
    house.read(core=-4.0)
    assert house.tried() == [("remedy colder", "harmed")]
    assert house.said()[1:] == [("problem", "worsened", "critical")] * 2
    assert house.moments[2].data.because.startswith("it got worse: ")


def test_a_case_that_has_merely_been_open_for_long_is_no_harm(make):
    house = make(COLDER, rule='escalate = "2 min"\n').read(core=-10.0)
    house.finish(before=-18.0)
    house.wait(130)
    assert house.said()[1:] == [("problem", "worsened", "critical")]
    assert house.tried() == [("remedy colder", "begun")]


def test_what_does_harm_while_it_is_being_done_is_broken_off_and_switched_on(make):
    house = make(CYCLE + 'harm = "core > 0 °C"\n').read(core=-10.0)
    number = house.given[0].number
    assert house.service.remedies.stopped() == set()
    house.read(core=2.0).wait(10)
    assert house.service.remedies.stopped() == {number}
    assert house.said()[1:] == [("problem", "worsened", "critical")]
    house.break_off()
    assert house.service.remedies.stopped() == set()
    assert house.tried() == [("remedy cycle", "harmed")]
    assert [order.restores for order in house.given] == [True]


def test_a_write_that_is_broken_off_is_put_back_to_what_was_read_last(make):
    """Whether the device took it is not known."""
    house = make(COLDER).read(core=-10.0)
    house.read(core=1.0).wait(10)
    house.break_off()
    assert [order.action for order in house.given] == [Write("freezer", "setpoint", -18.0)]


def test_what_does_harm_before_it_was_begun_is_not_begun(make):
    house = make(COLDER)
    house.service.remedies.hand_out = lambda _: False  # the disk takes nothing
    house.read(core=-10.0).read(core=1.0).wait(10)
    assert house.tried() == [("remedy colder", "impossible")]
    assert house.said() == [("problem", "opened", "warning")]


# ---------------------------------------------------------------- one that is cut short


def test_what_was_under_way_when_the_hub_was_killed_is_known_as_such_and_told(make):
    house = make(COLDER).read(core=-10.0)
    house.restart(off=60.0)
    assert house.tried() == [("remedy colder", "interrupted")]
    assert house.said()[1:] == [("problem", "worsened", "warning")]
    assert house.moments[1].data.says.endswith("the hub was stopped while it tried to put it right (the remedy colder).")
    assert [(one.what, one.result) for one in house.moments[1].data.tried] == [("remedy colder", "interrupted")]


def test_it_is_tried_again_only_when_everything_that_it_asks_for_is_given_again_and_that_is_a_try(make):
    house = make(COLDER).read(core=-10.0)
    house.restart(off=600.0).wait(660)
    assert house.against("colder")[-1] == "it is not known whether door == off"
    again(house).wait(10)
    assert house.tried() == [("remedy colder", "interrupted"), ("remedy colder", "begun")]
    house.restart(off=600.0)
    assert house.said()[-1] == ("problem", "worsened", "critical"), "that was its last try"
    again(house).wait(86400)
    assert house.given == []


UNCONDITIONAL = COLDER.replace('when = "door == off"\n', "")
CUT_SHORT = "its last try was cut short, and nothing that was read since shows that it is still needed"


def test_it_is_not_tried_again_while_the_one_that_was_cut_short_may_still_show_its_effect(make):
    """It may have been done; also where no condition stands against another one, and with nothing else in the way."""
    house = make(UNCONDITIONAL).read(core=-10.0)
    house.restart(off=600.0)
    for _ in range(59):
        house.read(core=-10.0).wait(9)
        assert house.against("colder")[0] == "the remedy colder was cut short, and may still show its effect in this case"
    house.read(core=-10.0).wait(60).read(core=-10.0).wait(10)
    assert house.tried() == [("remedy colder", "interrupted"), ("remedy colder", "begun")]


def test_it_is_not_tried_again_before_a_reading_shows_that_it_is_still_needed(make):
    """One that was read before its effect could have shown says nothing, and no reading says nothing either."""
    house = make(UNCONDITIONAL).read(core=-10.0)
    house.restart(off=600.0)
    again(house).wait(590).read(core=-10.0).wait(86400)
    assert house.against("colder") == [CUT_SHORT]
    house.restart(off=600.0).wait(86400)
    assert house.against("colder") == [CUT_SHORT]
    house.read(state="mute").read(core=NoValue("sensor open")).wait(60)
    assert house.against("colder") == [CUT_SHORT]
    house.read(state="well").read(core=-10.0).wait(10)
    assert [order.action for order in house.given] == [Write("freezer", "setpoint", -24.0)]


def test_it_is_not_tried_again_while_it_is_getting_well(make):
    house = make(UNCONDITIONAL.replace("-16 °C", "-20 °C"), rule='clear_lasting = "1 h"\n').read(core=-10.0)
    house.restart(off=600.0)
    house.read(core=-17.0).wait(1200)
    house.read(core=-17.0).wait(60)
    assert house.against("colder") == [CUT_SHORT]
    house.read(core=-10.0).wait(10)
    assert len(house.given) == 1


def test_for_a_silent_device_its_silence_since_the_restart_shows_that_it_is_still_needed(make):
    silent = '[rule.quiet]\nkind = "silent"\non = "freezer/state"\nafter = "1 min"\nproof = "0 s"\n'
    house = make(CYCLE.replace('"warm"', '"quiet"'), rule=silent).read(state="mute")

    def pass_by(minutes):
        for _ in range(2 * minutes):
            house.read(device="cellar", core=-18.0).wait(30)

    pass_by(3)
    assert [order.restores for order in house.given] == [False]
    house.restart(off=60.0)
    house.finish(says="it is on")
    pass_by(20)
    assert house.against("cycle") == [CUT_SHORT], "since the restart nobody has asked it in vain"
    house.read(state="mute").wait(10)
    assert [order.restores for order in house.given] == [False]


def test_what_was_switched_on_again_gets_its_time_from_then_on(make):
    house = make(CYCLE).read(core=-10.0)
    house.restart(off=5.0).wait(1200)
    house.read(core=-10.0).finish(says="it is on")
    house.read(core=-10.0).wait(590).read(core=-10.0).wait(5)
    assert house.given == []
    house.wait(10).read(core=-10.0).wait(10)
    assert [order.restores for order in house.given] == [False]


def test_nothing_else_is_tried_while_one_that_was_cut_short_may_still_show_its_effect(make):
    house = make(COLDER + CYCLE).read(core=-10.0)
    house.restart(off=5.0)
    again(house).wait(590)
    assert house.given == []
    assert house.against("cycle") == ["the remedy colder was cut short, and may still show its effect in this case"]
    house.read(core=-10.0, door=True).wait(30)
    assert [type(order.action) for order in house.given] == [Cycle], "and then it may"


def test_harm_that_one_does_that_was_cut_short_is_undone(make):
    """It may have been done, so it is watched as if it had."""
    house = make(COLDER).read(core=-10.0)
    house.restart(off=5.0)
    again(house).read(core=1.0).wait(10)
    assert house.tried() == [("remedy colder", "harmed")]
    assert [order.action for order in house.given] == [Write("freezer", "setpoint", -18.0)]
    assert house.case.tried[0].says == (
        "The hub was stopped in the middle of it; nobody knows how far it came. It holds that core > 0 °C."
    )


def test_harm_that_was_being_stopped_when_the_hub_was_killed_is_undone_after_it_and_told_once(make):
    house = make(COLDER).read(core=-10.0)
    house.read(core=1.0).wait(10)
    assert len(house.service.remedies.stopped()) == 1
    told = house.said()
    house.restart(off=5.0)
    assert [order.action for order in house.given] == [Write("freezer", "setpoint", -18.0)]
    assert (house.tried(), house.said()) == ([("remedy colder", "harmed")], told)


def test_what_gets_well_after_one_was_cut_short_is_nobodys_merit(make):
    house = make(COLDER).read(core=-10.0)
    house.restart(off=5.0)
    again(house).read(core=-17.0).wait(400).read(core=-17.0).wait(60)
    assert house.said()[2:] == [("problem", "closed", "warning")]
    assert house.moments[-1].data.how == "by itself"
    assert [one.result for one in house.moments[-1].data.tried] == ["interrupted"]
    assert house.service.memory()["remedies"]["attempts"] == []


def test_another_restart_tells_nothing_twice_and_shortens_nothing(make):
    house = make(UNCONDITIONAL).read(core=-10.0)
    house.restart(off=5.0)
    again(house).wait(580)
    told = house.said()
    house.restart(off=5.0)
    assert house.said() == told
    again(house).wait(50)
    assert house.given == []
    house.wait(20).read(core=-10.0).wait(10)
    assert len(house.given) == 1


def test_what_a_kill_may_have_left_off_is_switched_on_before_anything_else(make):
    house = make(CYCLE).read(core=-10.0)
    house.restart(off=5.0)
    assert [(order.restores, type(order.action)) for order in house.given] == [(True, Cycle)]
    again(house).wait(1200)
    assert len(house.given) == 1, "nothing else is tried on it before"
    house.restart(off=5.0)
    assert [order.restores for order in house.given] == [True], "also when it is killed in the middle of that"
    house.finish(says="it is on")
    again(house).wait(700)
    again(house).wait(10)
    assert [order.restores for order in house.given] == [False]


def test_a_kill_before_the_try_was_stored_leaves_nothing_behind(make):
    house = make(COLDER)
    before = house.stored
    house.read(core=-10.0)
    house.stored = before
    house.restart(off=5.0)
    again(house).wait(10)
    assert house.tried() == [("remedy colder", "begun")]


def test_an_effect_is_waited_for_across_a_restart(make):
    house = make(COLDER).read(core=-10.0)
    house.finish(before=-18.0)
    house.restart(off=3600.0)
    assert house.tried() == [("remedy colder", "begun")], "it was done; only its effect is open, and nothing is read yet"
    again(house).read(core=-17.0).wait(10)
    assert house.tried() == [("remedy colder", "worked")]
    assert house.given == []


def test_after_it_has_helped_a_restart_tells_nothing_twice(make):
    house = make(COLDER).read(core=-10.0)
    house.finish(before=-18.0)
    house.read(core=-17.0).wait(10)
    house.restart(off=10.0).read(core=-17.0, door=False, setpoint=-24.0).wait(30)
    assert [kind for kind, _, _ in house.said()].count("recovery") == 1


def test_what_is_broken_off_in_an_orderly_way_is_as_after_a_kill(make):
    house = make(CYCLE).read(core=-10.0)
    house.break_off()
    assert house.tried() == [("remedy cycle", "interrupted")]
    assert [order.restores for order in house.given] == [True]
    assert house.said()[1:] == [("problem", "worsened", "warning")]


# ---------------------------------------------------------------- whether it may be tried


def obstacles(make, keys="", rule="", **values):
    house = make(COLDER + keys, rule=rule).read(**values) if values else make(COLDER + keys, rule=rule)
    house.read(core=-10.0).wait(10)
    return house, (house.against("colder") if not house.given else [])


def test_it_is_not_tried_while_its_precondition_does_not_hold_or_is_not_known(make):
    house, against = obstacles(make, door=True)
    assert against == ["it does not hold that door == off"]
    house.read(state="mute")
    assert "it is not known whether door == off" in house.against("colder")
    house.read(state="well").read(core=-10.0, door=False).wait(10)
    assert len(house.given) == 1


def test_how_long_a_precondition_has_held_is_counted_from_the_opening_of_the_case(make):
    """Also while something else stands against it, so that it need not be waited for twice."""
    house = make(COLDER.replace('"door == off"', '"door == off for 5 min"') + 'after = "4 min"\n').read(core=-10.0)
    house.wait(290)
    assert house.against("colder") == ["it does not hold that door == off for 5 min"]
    house.wait(15)
    assert len(house.given) == 1


def test_it_is_not_tried_when_the_harm_or_the_proof_is_there_already(make):
    house = make(COLDER.replace('harm = "core > 0 °C"', 'harm = "relay == on"')).read(core=-10.0).wait(10)
    assert house.against("colder") == ["it holds already that relay == on, which would be the harm done"]
    house = make(COLDER.replace('proof = "core < -16 °C"', 'proof = "relay == on"')).read(core=-10.0).wait(10)
    assert house.against("colder") == ["it holds already that relay == on, which would be the proof"]


@pytest.mark.parametrize(
    ("keys", "waits", "why"),
    [
        ('after = "2 min"', 130, "the case has to be open for 1 min 50 s more"),
        ('severity = "critical"', 0, "the case is of severity warning, below critical"),
        ('hours = "10:00..11:00"', 2 * 3600, "it is not one of its hours, 10:00..11:00"),
        ('hours = ["Tue 08:00..09:00"]', 24 * 3600, "it is not one of its hours, Tue 08:00..09:00"),
    ],
)
def test_it_waits_for_its_time(make, keys, waits, why):
    house, against = obstacles(make, keys)
    assert against == [why]
    house.wait(waits)
    assert len(house.given) == (1 if waits else 0)


def test_it_is_tried_so_often_in_a_day_and_so_far_apart_and_no_more(make):
    limits = COLDER.replace('within = "10 min"', 'within = "1 min"').replace("tries = 2", "tries = 9") + "per_day = 2\n"
    house = make(limits).read(core=-10.0)
    begun = []
    for _ in range(3 * 24 * 60):
        while house.given:
            begun.append(house.now())
            house.finish(before=-18.0)
        house.wait(60)
    first, second, third, fourth, *_ = [round(at - begun[0]) for at in begun]
    assert 300 <= second - first < 400
    assert 86400 <= third - first < 86500
    assert 86400 <= fourth - second < 86500
    assert house.against("colder")[0] == "it has been tried twice in 24 hours, which is all that it may"


def test_hours_are_not_known_while_the_clock_is_not_trusted(make):
    house = make(COLDER + 'hours = "00:00..24:00"')
    house.clock.trusted = False
    house.read(core=-10.0).wait(60)
    assert house.against("colder") == ["it has its hours, and the clock is not trusted"]
    house.clock.trusted = True
    house.wait(10)
    assert len(house.given) == 1


def test_nobody_who_is_at_work_is_interfered_with(make):
    house, _ = obstacles(make, '[maintenance.clean]\non = "cellar"\nfrom = 08:00:00\nto = 09:00:00\n')
    assert len(house.given) == 1, "a window for something else"
    house = make(COLDER + 'after = "1 min"\n[maintenance.clean]\non = "freezer"\nfrom = 08:01:00\nto = 09:00:00\n')
    house.read(core=-10.0).wait(120)
    assert house.against("colder") == ['the maintenance window "clean" is on']
    house.wait(3600)
    assert len(house.given) == 1


def test_not_in_a_case_that_a_visit_holds_or_that_another_case_explains_or_that_is_over(make):
    house, _ = obstacles(make, door=True)
    house.case.visit, house.case.caused_by = "visit#1", "bus-down:bus.plant/state#1"
    assert house.against("colder")[:2] == ["another case explains it", BY_VISIT]
    house.case.visit, house.case.caused_by = "", ""
    house.read(core=-17.0)
    assert house.against("colder")[0] == "the case is over, which is being proven"


def test_what_shows_while_somebody_is_at_work_is_not_its_merit(make):
    house = make(COLDER).read(core=-10.0)
    house.finish(before=-18.0)
    house.service.book.at_work = frozenset({"freezer"})
    house.wait(10)
    assert house.tried() == [("remedy colder", "failed")]
    assert len(house.moments) == 1, "who is there knows"
    assert "somebody is at work on freezer" in house.against("colder")


def test_a_try_that_nobody_could_write_down_is_not_made_later(make):
    """A full disk, for one: by the time it has space again nobody knows whether the remedy still is one."""
    house = make(COLDER)
    hand_out, house.service.remedies.hand_out = house.service.remedies.hand_out, lambda _: False
    house.read(core=-10.0).wait(120)
    assert house.tried() == [("remedy colder", "impossible")]
    house.service.remedies.hand_out = hand_out
    house.wait(120)
    assert house.given == []


def test_one_at_a_time_for_each_device_also_where_two_cases_want_it(make):
    other = '[remedy.other]\nfor = "warm"\non = "cellar"\nwrite = "freezer/relay"\nvalue = true\n'
    house = make(CYCLE.replace('on = "freezer"', 'on = "*"') + other).read(core=-10.0)
    house.read(device="cellar", core=-10.0).wait(60)
    assert [type(order.action) for order in house.given] == [Cycle]
    _, cellar = house.service.book
    against = list(house.service.remedies.obstacles("other", cellar, house.now()))
    assert against == ["the remedy cycle is being tried on freezer"]


def test_a_bus_is_not_opened_again_while_something_is_tried_on_a_device_of_it(make):
    reopen = '[remedy.reopen]\nfor = "warm"\non = "cellar"\nreopen = "bus.plant"\n'
    house = make(COLDER + reopen).read(core=-10.0)
    house.read(device="cellar", core=-10.0).wait(60)
    assert [type(order.action) for order in house.given] == [Write]
    house.finish()
    house.wait(30)
    assert house.given == [], "while its effect is waited for"
    house.read(core=-17.0).wait(10)
    assert [type(order.action) for order in house.given] == [Reopen]


def test_a_rehearsal_tells_once_what_would_have_been_done_and_does_nothing(make):
    house = make(COLDER + "dry_run = true\n").read(core=-10.0).wait(3600)
    assert house.given == []
    assert house.said() == [("problem", "opened", "warning"), ("insight", "opened", "info")]
    case, insight = (moment.data for moment in house.moments)
    assert insight.says.startswith(
        "Not done, because it is only rehearsed: the hub writes -24 to freezer/setpoint (the remedy colder)."
    )
    assert insight.caused_by == case.case
    assert insight.case != case.case
    assert list(house.desk.numbers().values()) == [case.case], "it is told and done with"
    house.restart(off=10.0)
    again(house).wait(60)
    assert len(house.moments) == 2


def test_a_remedy_that_is_taken_out_of_the_config_is_forgotten_and_what_it_left_off_is_not(make):
    house = make(CYCLE).read(core=-10.0)
    house.reload()
    assert house.tried() == [("remedy cycle", "interrupted")]
    assert [order.restores for order in house.given] == [True]
    house = make(COLDER).read(core=-10.0)
    house.finish(before=-18.0)
    house.reload().wait(10)
    assert house.tried() == [("remedy colder", "failed")]
    assert house.service.memory()["remedies"]["attempts"] == []


def test_what_cannot_be_put_right_because_the_config_has_it_no_longer_is_given_up(make):
    house = make(CYCLE.replace("freezer/relay", "plug/relay") + PLUG).read(core=-10.0)
    house.reload(CYCLE.replace("freezer/relay", "plug/relay") + PLUG)
    assert [order.restores for order in house.given] == [True]
    house.finish(done=False, says="no answer")
    house.reload()
    assert house.service.memory()["remedies"]["mendings"] == []
    assert house.wait(600).given == []
    assert house.case.tried[0].says.endswith("It cannot be put right any more, because it was taken out of the config.")


def test_its_memory_does_not_change_while_nothing_happens_and_is_empty_when_all_is_over(make):
    house = make(COLDER).read(core=-10.0)
    house.finish()
    before = house.service.memory()["remedies"]
    assert house.wait(300).service.memory()["remedies"] == before
    house.read(core=-17.0).wait(10)
    house.wait(400).read(core=-17.0).wait(60)
    after = house.service.memory()["remedies"]
    assert (after["attempts"], after["mendings"], after["rehearsed"], after["spent"]["tries"]) == ([], [], {}, {})


def test_a_person_at_the_terminal_sees_what_is_under_way(make):
    house = make(CYCLE).read(core=-10.0)
    account = house.service.remedies.account
    assert list(account(house.now() + 30.0)) == ["remedy cycle for freezer, begun 30 s ago: it is being carried out"]
    house.finish()
    assert list(account(house.now() + 30.0)) == ["remedy cycle for freezer, begun 30 s ago: its effect is waited for"]
    house.wait(610)
    house.wait(60)
    house.break_off()
    assert list(account(house.now())) == [
        "remedy cycle for freezer, begun 1 min 10 s ago: it was cut short, and may still show its effect",
        "remedy cycle for freezer: what it may have left off has to be put right; tried 0 times so far",
    ]


# ---------------------------------------------------------------- for any course of things

LIMITS = """
[remedy.colder]
for = "warm"
on = "freezer"
write = "freezer/setpoint"
value = -24.0
when = "door == off"
proof = "core < -16 °C"
harm = "core > 0 °C"
within = "5 min"
tries = 3
spacing = "7 min"
per_day = 4
hours = "08:00..20:00"
[remedy.cycle]
for = "warm"
on = "*"
cycle = "freezer/relay"
within = "5 min"
tries = 2
spacing = "11 min"
per_day = 3
"""
SPACING = {"colder": 420.0, "cycle": 660.0}
PER_DAY = {"colder": 4, "cycle": 3}
TRIES = {"colder": 3, "cycle": 2}


@dataclasses.dataclass
class Record:
    """What came out of the hub, on a timeline of its own."""

    begun: dict = dataclasses.field(default_factory=lambda: {"colder": [], "cycle": []})
    cases: dict = dataclasses.field(default_factory=dict)
    harmed: set = dataclasses.field(default_factory=set)
    cut: dict = dataclasses.field(default_factory=dict)  # when a try was known to have been cut short, by its case, name and time
    warm: dict = dataclasses.field(default_factory=dict)  # when a device was last read as too warm


WITHIN = 300.0


class Watched(House):
    """The hub, with everything held against the limits at the moment that an order goes out."""

    record: Record

    def check(self, order):
        super().check(order)
        if order.restores:
            return
        attempt = next((one for one in self.service.remedies._attempts.values() if one.number == order.number), None)
        if attempt is None:  # it puts something back
            return
        name, now, record = attempt.remedy, self.now(), self.record
        wall = self.clock.utc(now) + timedelta(0)
        assert all(now - at >= SPACING[name] for at in record.begun[name]), "spacing"
        assert sum(now - at < 86400 for at in record.begun[name]) < PER_DAY[name], "per_day"
        tries = record.cases.setdefault((attempt.case, name), [])
        assert len(tries) < TRIES[name], "tries"
        assert attempt.case not in record.harmed, "harm"
        assert name != "colder" or (self.clock.trusted and 8 <= wall.hour < 20), "hours"
        assert name != "colder" or self.service.remedies._facts.holds("door == off", "freezer"), "precondition"
        assert all(one.restores or one.number == order.number for one in self.given), "one at a time"
        before = [one for one in self.service.book.get(attempt.case).tried if one.what == f"remedy {name}"][:-1]
        if before and before[-1].result == "interrupted":
            cut = record.cut[attempt.case, name, before[-1].at]
            assert record.warm.get(attempt.device, 0.0) >= cut + WITHIN, "not blindly"
        record.begun[name].append(now)
        tries.append(now)

    def read(self, device="freezer", **values):
        if values.get("core", -18.0) > -15.0:
            self.record.warm[device] = self.now() + 0.1
        return super().read(device, **values)


STEPS = st.one_of(
    st.tuples(st.just("core"), st.sampled_from([-18.0, -10.0, -10.0, -10.0, 2.0])),
    st.tuples(st.just("cellar"), st.sampled_from([-18.0, -10.0])),
    st.tuples(st.just("door"), st.booleans()),
    st.tuples(st.just("state"), st.sampled_from(["mute", "well"])),
    st.tuples(st.just("wait"), st.sampled_from([5.0, 60.0, 301.0, 421.0, 1800.0, 9000.0])),
    st.tuples(st.just("finish"), st.booleans()),
    st.tuples(st.just("break_off"), st.none()),
    st.tuples(st.just("restart"), st.sampled_from([1.0, 100.0, 5000.0])),
    st.tuples(st.just("reload"), st.none()),
    st.tuples(st.just("leap"), st.sampled_from([-86400.0, -3600.0, 3600.0, 40000.0, 90000.0])),
    st.tuples(st.just("trust"), st.booleans()),
)


def play(house, step, value):
    """One thing happens."""
    match step:
        case "core" | "door" | "state":
            house.read(**{step: value})
        case "cellar":
            house.read(device="cellar", core=value)
        case "wait":
            house.wait(value)
        case "finish" if house.given:
            house.finish(done=value, before=-18.0)
        case "break_off" if house.given:
            house.break_off()
        case "restart":
            house.restart(off=value)
        case "reload":
            house.reload(LIMITS)
        case "leap":
            house.clock.leap(value)
        case "trust":
            house.clock.trusted = value


OTHERWISE = [("wait", 421.0), ("finish", False), ("finish", True), ("wait", 60.0)]  # another remedy is tried meanwhile, in vain


@given(st.lists(STEPS, max_size=40))
@example([("core", 2.0), ("wait", 5.0)])  # harm before it was done
@example([("restart", 1.0), ("door", False), *OTHERWISE])  # cut short, and nothing is read since
@example([("restart", 1.0), ("door", False), ("core", -10.0), *OTHERWISE])  # and only before it could show
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_limits_hold_and_no_order_goes_out_that_is_not_remembered(tmp_path_factory, steps):
    """Nor one blindly. For any interleaving of readings, results, kills, reloads and clocks."""
    folder = tmp_path_factory.mktemp("hub")
    with Store.open(folder / "canary.db") as store:
        Watched.record = Record()
        house = Watched(folder, store, LIMITS)
        for step, value in [("door", False), ("core", -10.0), *steps]:
            play(house, step, value)
            cases = {case.key: case for case in house.service.book}
            house.record.harmed |= {key for key, case in cases.items() if any(one.result == "harmed" for one in case.tried)}
            under_way = house.service.remedies._attempts
            for case in cases.values():
                for one in case.tried:
                    if one.result == "interrupted":
                        house.record.cut.setdefault((case.key, one.what.removeprefix("remedy "), one.at), house.now())
                begun = [one for one in case.tried if one.result == "begun"]
                goes_on = case.key in under_way and under_way[case.key].stage in ("ordered", "watched")
                assert len(begun) == goes_on, "what is not under way has a result"
                assert all(one.what.startswith("remedy ") for one in case.tried)
