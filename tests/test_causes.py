"""What hangs on what: a cause is told, and not what it explains; what fails together is told together; nothing is lost."""

from collections import Counter

import pytest
from house_of import AFTER, GRACE, RULES, House
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_of import rule

PLANT = [f"f{number}" for number in range(1, 6)]


def plant(count: int = 5, **more) -> House:
    return House({"plant": [f"f{number}" for number in range(1, count + 1)]}, **more).run(20)


# ---------------------------------------------------------------- a cause that the hub sees


def test_a_dead_bus_is_told_and_not_the_devices_on_it() -> None:
    """One moment when it fails, one when it is over, whatever hangs on it; and it says how many do."""
    house = plant(30).fail("bus.plant").run(300).mend("bus.plant").run(200)
    assert house.said() == [("bus.plant/state", "opened"), ("bus.plant/state", "closed")]
    opened, closed = house.told
    assert opened.says == "bus plant has been silent for 10 s. All 30 devices behind it are silent: f1, f2 and 28 more."
    assert opened.affected == 30
    assert closed.says == "bus plant is heard again after 5 min. 30 episodes that it explains had not been told."
    assert not house.engine.open_episodes()


def test_the_owner_of_the_line_is_told_why() -> None:
    opened = plant(30).fail("bus.plant").run(60).told[0]
    assert opened.fault is not None
    assert (opened.fault.layer, opened.fault.where) == ("bus", "bus.plant")
    assert opened.fault.because == "bus plant itself is down: the line, not the 30 devices on it"


def test_what_does_not_follow_its_cause_is_told_by_itself_after_a_while() -> None:
    """The bus is back, and one device is not."""
    house = plant().fail("bus.plant", "f2").run(60).mend("bus.plant").run(GRACE - 1)
    assert house.said() == [("bus.plant/state", "opened"), ("bus.plant/state", "closed")]
    assert [one.why for one in house.engine.withheld()] == ["bus-down:bus.plant/state#1"]
    house.take()
    (told,) = house.run(5).take()
    assert (told.point.id, told.phase.value, told.caused_by) == ("f2/state", "opened", "")
    assert told.fault is not None
    assert told.fault.because == "4 of the 4 other devices on bus plant answer: the device, not the line"
    assert house.mend("f2").run(5).said() == [("f2/state", "closed")]


def test_a_cause_that_fails_again_before_its_time_is_over_holds_them_further() -> None:
    house = plant().fail("bus.plant", "f2").run(60).mend("bus.plant").run(GRACE / 2).fail("bus.plant").run(2 * GRACE)
    assert [point for point, _ in house.said()] == ["bus.plant/state"] * 3


def test_the_order_in_which_cause_and_effects_are_noticed_does_not_matter() -> None:
    """Devices that are given up sooner than their bus wait for it while its state says that it may be down."""
    rules = RULES | {
        "device-silent": rule("silent", "[!b]*/state", after=8.0),
        "bus-down": rule("silent", "bus.*/state", after=20.0),
    }
    house = plant(rules=rules).fail("bus.plant").run(100)
    assert house.said() == [("bus.plant/state", "opened")]


def test_what_had_been_told_before_its_cause_keeps_its_case_and_is_handed_over() -> None:
    """It fell silent with the bus, and the bus was slow to be noticed: whoever got the case is told once what explains it."""
    rules = RULES | {"device-silent": rule("silent", "f1/state", after=8.0), "bus-down": rule("silent", "bus.*/state", after=100.0)}
    house = plant(rules=rules).fail("bus.plant").run(150)
    first, bus, handed = house.told
    assert [change.phase.value for change in house.told] == ["opened", "opened", "handed_over"]
    assert handed.episode == first.episode
    assert handed.caused_by == bus.episode
    assert handed.fault is not None
    assert handed.fault.where == "bus.plant"
    closed = [change for change in house.mend("bus.plant").run(20).told if change.episode == first.episode][-1]
    assert (closed.phase.value, closed.caused_by) == ("closed", bus.episode)


SLOW_BUS = RULES | {
    "device-silent": rule("silent", "f1/state", after=8.0),
    "bus-down": rule("silent", "bus.*/state", after=100.0),
}


def alone(bus_after: float = 100.0, gap: float = 0.0) -> House:
    """One device on the bus, and one beside it."""
    silent = rule("silent", "f1/state", after=8.0, gap=gap)
    rules = {"device-silent": silent, "bus-down": rule("silent", "bus.*/state", after=bus_after)}
    return House({"plant": ["f1"], "cellar": ["g1"]}, rules=rules).run(20)


def test_what_does_not_follow_its_cause_is_handed_back() -> None:
    """The bus works again, and after the time that it has for that the device is still silent: so it was the device after all."""
    house = alone().fail("bus.plant", "f1").run(150).mend("bus.plant").run(GRACE - 5)
    assert house.said()[-1] == ("bus.plant/state", "closed")
    first, back = house.told[0], house.run(10).told[-1]
    assert (back.episode, back.phase.value, back.caused_by) == (first.episode, "handed_over", "")
    assert back.because == "bus plant works again, and this has not followed"
    assert back.fault is not None
    assert (back.fault.layer, back.fault.where) == ("device", "f1")
    assert back.fault.because == f"{back.because}; the other device on the hub answers: the device, not the line"
    assert house.run(300).told[-1] is back
    assert house.mend("f1").run(20).said()[-1] == ("f1/state", "closed")


def test_what_fails_again_in_the_time_to_follow_keeps_what_it_explains() -> None:
    house = alone().fail("bus.plant", "f1").run(150).mend("bus.plant").run(GRACE / 2)
    house.fail("bus.plant").run(300)
    assert [phase for point, phase in house.said() if point == "f1/state"] == ["opened", "handed_over"]


def test_what_explains_it_is_the_newest_failure_of_its_cause() -> None:
    house = alone(bus_after=50.0).fail("bus.plant", "f1").run(100).mend("bus.plant").run(5).fail("bus.plant").run(100)
    house.mend("bus.plant", "f1").run(20)
    assert [phase for point, phase in house.said() if point == "f1/state"] == ["opened", "handed_over", "closed"]
    (again,) = [change for change in house.told if change.episode.endswith("#2") and change.phase.value == "opened"]
    (closed,) = [change for change in house.told if change.point.id == "f1/state" and change.phase.value == "closed"]
    assert closed.caused_by == again.episode


def test_what_was_laid_to_a_rule_that_is_no_more_is_handed_back() -> None:
    house = alone().fail("bus.plant", "f1").run(150)
    house.rules = {name: rule for name, rule in house.rules.items() if name != "bus-down"}
    house.restart()
    house.mend("bus.plant").run(GRACE + 5)
    back = house.told[-1]
    assert (back.point.id, back.phase.value, back.caused_by) == ("f1/state", "handed_over", "")
    assert back.because == "What explained this works again, and this has not followed"


def test_what_comes_again_after_its_cause_is_over_is_handed_back_too() -> None:
    """Its end was held back in case it comes again; it does, and the line has nothing to do with it."""
    house = alone(gap=200.0).fail("bus.plant", "f1").run(150).mend("bus.plant", "f1").run(20).fail("f1").run(20 + GRACE + 5)
    steps = [(change.phase.value, bool(change.caused_by)) for change in house.told if change.point.id == "f1/state"]
    assert steps == [("opened", False), ("handed_over", True), ("handed_over", False)]


def test_what_fell_silent_together_and_does_not_follow_its_cause_is_looked_at_again() -> None:
    """The adapter is back, but the line behind it is cut: that is told by itself."""
    house = plant(rules=SLOW_BUS).fail("bus.plant", "line.plant").run(150).mend("bus.plant").run(GRACE + 30)
    together = [(change.phase.value, change.caused_by) for change in house.told if change.rule_id == "common-cause"]
    down = next(change.episode for change in house.told if change.rule_id == "bus-down")
    assert together == [("opened", ""), ("handed_over", down), ("closed", down), ("opened", "")]


def test_a_restart_in_the_time_to_follow_changes_nothing() -> None:
    def told(restarts: int) -> list[tuple[str, str]]:
        house = alone().fail("bus.plant", "f1").run(150).mend("bus.plant").run(GRACE / 2)
        for _ in range(restarts):
            house.restart()
        return house.run(2 * GRACE).said()

    assert told(0) == told(1) == told(2)


def test_what_was_dead_long_before_is_not_laid_to_the_cause() -> None:
    house = plant().fail("f1").run(300).fail("bus.plant").run(100)
    assert house.said() == [("f1/state", "opened"), ("bus.plant/state", "opened")]


def test_a_cause_has_a_cause() -> None:
    """Too little voltage at the hub explains its buses, and they their devices: one moment."""
    house = House({"plant": PLANT, "cellar": ["g1", "g2"]}).run(20).fail("hub", "bus.plant", "bus.cellar").run(100)
    assert house.said() == [("hub/power", "opened")]
    assert house.told[0].kind == "hub"
    assert house.mend("hub").run(GRACE - 5).said() == [("hub/power", "opened"), ("hub/power", "closed")]
    assert house.run(30).said()[2:] == [("hub/*", "opened")]  # what is still down went down together


def test_needs_state_what_the_hub_cannot_know() -> None:
    """A boiler behind a gateway on another bus."""
    house = House({"plant": PLANT, "lan": ["gateway"]}, needs={"f1": ("gateway/state",)}).run(20)
    house.fail("gateway").run(60).fail("f1").run(60)
    assert house.said() == [("gateway/state", "opened")]


def test_a_rule_may_need_something_too() -> None:
    """Too warm, but the breaker is known to be open: that is told, and this is not."""
    rules = RULES | {"warm": rule("threshold", "f1/x", above=50, needs=("hub/power",))}
    house = House({"plant": ["f1"]}, rules=rules).run(20).fail("hub")
    house.wrong.clear()
    house.run(60)
    assert house.said() == [("hub/power", "opened")]


def test_two_that_need_each_other_do_not_explain_each_other_away() -> None:
    house = House({"a": ["f1"], "b": ["f2"]}, needs={"f1": ("f2/state",), "f2": ("f1/state",)}).run(20)
    house.fail("f1", "f2").run(100)
    assert len(house.said()) == 1


# ---------------------------------------------------------------- a cause that the hub does not see


def test_a_cut_line_is_told_once_for_all_devices_on_it() -> None:
    """The port is well, and nothing on it answers."""
    house = plant(30).fail("line.plant").run(120)
    (told,) = house.told
    assert (told.point.id, told.phase.value, told.rule_id, told.affected) == ("bus.plant/state", "opened", "common-cause", 30)
    assert told.says == "All 30 devices on bus plant fell silent within 4.5 s: f1, f2 and 28 more."
    assert (
        told.because == "each fell silent at the same moment, and what they share is the line: its cable, its power or its adapter"
    )
    assert told.fault is not None
    assert told.fault.where == "bus.plant"
    house.mend("line.plant").run(120)
    assert house.said()[1:] == [("bus.plant/state", "closed")]
    assert house.told[1].episode == told.episode


def test_tags_that_a_deaf_adapter_misses_have_not_left() -> None:
    rules = {"bus-down": RULES["bus-down"], "left": rule("presence", "tag-*/x", after=AFTER)}
    house = House({"air": ["tag-1", "tag-2"]}, rules).run(60).fail("bus.air").run(60)
    assert house.said() == [("bus.air/state", "opened")]
    assert {one.rule_id for one in house.engine.withheld()} == {"left"}
    assert house.mend("bus.air").run(60).said()[1:] == [("bus.air/state", "closed")]


def test_a_tag_that_leaves_while_the_others_are_heard_has_left() -> None:
    rules = {"left": rule("presence", "tag-*/x", after=AFTER)}
    house = House({"air": ["tag-1", "tag-2", "tag-3"]}, rules).run(60).fail("tag-2").run(60)
    assert house.said() == [("tag-2/x", "opened")]


def test_some_devices_of_a_line_are_told_as_some() -> None:
    house = plant(30).fail("f3", "f4", "f5", "f6", "f7").run(120)
    (told,) = house.told
    assert told.says == "5 of 30 devices on bus plant fell silent within 2 s: f3, f4 and 3 more."
    assert "a cable, a connector or what powers these" in told.because


def test_devices_that_fail_at_different_times_are_told_each_by_itself() -> None:
    house = plant(30)
    for device in ("f3", "f9", "f21"):
        house.fail(device).run(100)
    assert house.said() == [("f3/state", "opened"), ("f9/state", "opened"), ("f21/state", "opened")]


def test_one_that_fails_later_is_not_laid_to_what_failed_together() -> None:
    house = plant(30).fail("f3", "f4", "f5").run(100).fail("f9").run(100)
    assert house.said() == [("bus.plant/state", "opened"), ("f9/state", "opened")]


def test_devices_on_different_buses_are_looked_for_up_the_tree() -> None:
    """What they share: a switch that a technician named, or the hub."""
    buses = {"plant": PLANT, "cellar": ["g1", "g2", "g3"]}
    needs = dict.fromkeys(("f1", "f2", "g1"), ("switch/state",))
    house = House(buses | {"lan": ["switch"]}, needs=needs).run(20).fail("f1", "f2", "g1").run(100)
    assert [told.says for told in house.told] == ["All 3 devices on switch fell silent within 4.5 s: f1, f2 and g1."]
    house = House(buses).run(20).fail("f1", "f2", "g1").run(100)
    assert [told.says for told in house.told] == ["3 of 8 devices on the hub fell silent within 4.5 s: f1, f2 and g1."]


def test_a_line_that_is_dead_and_others_that_died_with_it_share_more_than_the_line() -> None:
    """Both devices of one line, and three of five of another: what they share is above both lines."""
    house = House({"lan": ["g1", "g2"], "plant": PLANT}).run(20).fail("g1", "g2", "f1", "f2", "f3").run(100)
    assert [told.says for told in house.told] == ["5 of 7 devices on the hub fell silent within 4.5 s: g1, g2 and 3 more."]
    house = House({"lan": ["g1", "g2"], "plant": PLANT}).run(20).fail("g1", "g2").run(100)
    assert [told.says for told in house.told] == ["Both devices on bus lan fell silent within 4.5 s: g1 and g2."]


def test_when_some_are_back_the_others_are_on_their_own() -> None:
    house = plant(30).fail("line.plant").run(120).fail("f4").mend("line.plant").run(GRACE + 20)
    assert house.said() == [("bus.plant/state", "opened"), ("bus.plant/state", "closed"), ("f4/state", "opened")]


def test_a_bus_that_turns_out_to_be_down_takes_over_what_fell_silent_together() -> None:
    rules = RULES | {"bus-down": rule("silent", "bus.*/state", after=120.0)}
    house = plant(rules=rules).fail("bus.plant").run(200)
    together, down, handed = house.told
    assert (together.rule_id, down.rule_id, handed.phase.value) == ("common-cause", "bus-down", "handed_over")
    assert (handed.episode, handed.caused_by) == (together.episode, down.episode)


# ---------------------------------------------------------------- whatever happens

BUSES = {"plant": ["f1", "f2", "f3"], "cellar": ["g1", "g2"]}
THINGS = ["f1", "f2", "f3", "g1", "g2", "bus.plant", "bus.cellar", "line.plant", "hub"]
events = st.lists(st.tuples(st.sampled_from(THINGS), st.sampled_from([0.5, 3.0, 12.0, 30.0, 90.0])), max_size=14)


def live(happens, restarts: frozenset[int] = frozenset()) -> House:
    """Each event turns the state of one thing; then time passes."""
    house = House(BUSES).run(20)
    for number, (what, pause) in enumerate(happens):
        if number in restarts:
            house.restart()
        (house.mend if what in house.wrong else house.fail)(what)
        house.run(pause)
    return house


@settings(max_examples=60, deadline=None)
@given(events)
def test_what_is_told_as_opened_is_told_once_as_closed_or_stays_open(happens) -> None:
    house = live(happens)
    for _ in range(2):
        stories: dict[str, list[str]] = {}
        for change in house.told:
            stories.setdefault(change.episode, []).append(change.phase.value)
        for phases in stories.values():
            assert phases[0] == "opened"
            assert Counter(phases)["opened"] == 1
            assert "closed" not in phases[:-1]
        standing = {episode for episode, phases in stories.items() if phases[-1] != "closed"}
        assert {one.episode for one in house.engine.open_episodes()} == standing
        house.mend(*house.wrong).run(AFTER + 2 * GRACE + 30)
    assert not house.engine.open_episodes()
    assert not house.engine.withheld()


@settings(max_examples=60, deadline=None)
@given(events)
def test_nothing_is_told_of_what_hangs_on_something_that_has_been_told_and_is_down(happens) -> None:
    house = live(happens)
    above = {device: {f"bus.{bus}/state", "hub/power"} for bus, devices in BUSES.items() for device in devices}
    above |= {f"bus.{bus}": {"hub/power"} for bus in BUSES}
    down: Counter[str] = Counter()
    for change in house.told:
        if change.phase.value == "opened" and change.rule_id != "common-cause":
            assert not [node for node in above.get(change.point.device, ()) if down[node]], change.says
        if change.rule_id != "common-cause" and change.phase.value in ("opened", "closed"):
            down[change.point.id] += 1 if change.phase.value == "opened" else -1


@settings(max_examples=60, deadline=None)
@given(events)
def test_every_opening_is_told_attached_or_settling(happens) -> None:
    """What the rules see is what is told and what is held back, neither more nor less."""
    house = live(happens)
    seen = {(watch.rule.id, watch.about.id) for watch in house.engine._watches if watch.episode and watch.episode.is_open}
    told = {
        (one.rule_id, one.point.id) for one in house.engine.open_episodes() if one.rule_id != "common-cause" and not one.clearing
    }
    held = {(one.rule_id, one.point.id) for one in house.engine.withheld()}
    assert told | held == seen
    assert not told & held


@settings(max_examples=60, deadline=None)
@given(events, st.frozensets(st.integers(0, 13), max_size=4))
def test_a_run_that_is_cut_by_restarts_tells_the_same(happens, restarts) -> None:
    assert live(happens, restarts).told == live(happens).told


@pytest.mark.parametrize("cut", [30, 60, 100])
def test_a_bus_that_is_taken_out_of_the_config_leaves_nothing_behind(cut) -> None:
    """What it explained is told by itself, or gone with it."""
    house = plant().fail("bus.plant").run(cut)
    state = house.engine.state()
    other = House({"cellar": PLANT})
    closed = other.engine.restore(state)
    assert [change.how for change in closed] == ["no longer watched"]
    assert len(other.run(2 * GRACE).said()) in (0, 1)
