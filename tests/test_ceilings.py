"""Between the desk and the outbox: how much a hub tells at most, and what becomes of the rest."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway import moments
from gateway.clock import VirtualClock
from gateway.config.model import Config, Desk, Hub, Limits
from gateway.diagnosis.contract import Phase
from gateway.moments import MAX_BYTES, from_wire, to_wire
from gateway.outbox import Outbox
from gateway.service import own_health
from gateway.service.ceilings import DAY, GOOD_TO_KNOW, HOUR, LAST, NUMBERS, Ceilings
from gateway.service.desk import Desk as ServiceDesk
from gateway.store import Store

from moments_of import moment


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        yield store


def step(case, rule="warm", phase="opened", *, caused_by="", **facts) -> moments.Moment:
    made = moment(case, phase=phase, **facts)
    return replace(made, data=replace(made.data, rule=moments.Rule(id=rule, kind="threshold", version="0"), caused_by=caused_by))


def numbers(admitted) -> list[int]:
    return [int(each.data.case.removeprefix("hub-0042-")) for each in admitted.moments]


def desk(store) -> ServiceDesk:
    config = Config(hub=Hub(id="hub-0042"), uplink=None, desk=Desk(), owners={}, buses={}, devices={}, rules={})
    return ServiceDesk(config, store, VirtualClock(), lambda: moments.Hub(clock="synced", version="0"))


# ---------------------------------------------------------------- what is told of the rest


def test_what_a_rule_says_beyond_its_hour_is_folded_and_counted(store):
    ceilings = Ceilings(store, Limits(moments_per_rule_and_hour=4))
    first = ceilings.admit([step(number, severity="critical") for number in range(9)], 100.0)
    assert numbers(first) == [0, 1, 2, 3]
    (begun,) = first.notices
    assert (begun.phase, begun.because) == (Phase.OPENED, 'the ceiling of 4 moments of the rule "warm" an hour is reached')
    other = ceilings.admit([step(20, "dry"), step(21, severity="critical"), step(0, phase="closed")], 200.0)
    assert (numbers(other), other.notices) == ([20, 0], [])
    assert ceilings.due == 100.0 + HOUR
    after = ceilings.admit([step(30, severity="critical")], ceilings.due)
    (ended,) = after.notices
    assert (numbers(after), ended.phase, ended.counts) == ([30], Phase.CLOSED, {"warm": 6})
    assert ended.says == "6 moments were counted instead of told."
    assert ceilings.due == float("inf")


def test_a_restart_begins_no_day_anew(tmp_path):
    told = 0
    for restart in range(20):
        with Store.open(tmp_path / "canary.db") as store:
            ceilings = Ceilings(store, Limits(moments_per_day=50))
            told += len(ceilings.admit([step(restart * 10 + n, f"rule-{n}", severity="critical") for n in range(10)], 60.0).moments)
    assert 20 < told < 25  # each of them may need another one, to be closed


def test_what_is_rolled_back_is_not_counted(store):
    ceilings = Ceilings(store, Limits(moments_per_day=10))
    for _ in range(50):
        with pytest.raises(ZeroDivisionError), store.transaction():
            ceilings.admit([step(1, severity="critical")], 0.0)
            _ = 1 / 0
    assert numbers(ceilings.admit([step(1, severity="critical")], 0.0)) == [1]


def test_causes_win_over_symptoms(store):
    """Forty devices fall silent, and only then is it known that their bus is dead: there is still room to say that."""
    ceilings = Ceilings(store, Limits(moments_per_day=20))
    for number in range(40):
        ceilings.admit([step(number, f"rule-{number}", caused_by="hub-0042-0")], float(number))
    assert numbers(ceilings.admit([step(99, "bus", severity="critical")], 50.0)) == [99]


def test_in_one_commit_the_cause_is_counted_first(store):
    ceilings = Ceilings(store, Limits(moments_per_day=10))
    storm = [step(number, caused_by="hub-0042-99") for number in range(9)] + [step(99, severity="critical"), step(98)]
    assert numbers(ceilings.admit(storm, 0.0)) == [99, 98]


def test_what_has_been_told_is_closed_also_when_nothing_else_may_be_told(store):
    ceilings = Ceilings(store, Limits(moments_per_day=10))
    told = numbers(ceilings.admit([step(number, f"rule-{number}", severity="critical") for number in range(30)], 0.0))
    assert told == [0, 1, 2, 3]
    closings = [step(number, f"rule-{number}", "closed") for number in reversed(range(30))]
    assert numbers(ceilings.admit(closings, 10.0)) == told[::-1]


def test_a_case_that_was_not_told_is_told_once_it_gets_worse_and_there_is_room(store):
    ceilings = Ceilings(store, Limits(moments_per_rule_and_hour=4))
    assert numbers(ceilings.admit([step(number) for number in range(5)], 0.0)) == [0, 1, 2]
    later = ceilings.admit([step(4, phase="worsened", severity="critical"), step(3, phase="closed")], HOUR)
    assert numbers(later) == [4]
    assert numbers(ceilings.admit([step(4, phase="closed")], HOUR + 1)) == [4]


def test_a_last_moment_that_is_too_large_loses_its_evidence_and_not_its_place(store):
    ceilings = Ceilings(store, Limits(kib_per_day=64, moments_per_rule_and_hour=1000))
    wide = moments.Evidence(from_=datetime(2026, 1, 1, tzinfo=UTC), every_s=1.0, values=(1234.5678,) * 60, readings=60)

    def large(number, phase):
        made = step(number, phase=phase, severity="critical", says="x" * 1500)
        return replace(made, data=replace(made.data, evidence=wide))

    told = ceilings.admit([large(number, "opened") for number in range(50)], 0.0)
    closed = ceilings.admit([large(number, "closed") for number in numbers(told)], 1.0)
    assert numbers(closed) == numbers(told)
    spent = sum(len(to_wire(each)) + NUMBERS for each in told.moments + closed.moments)
    assert 50_000 < spent < 64 * 1024
    assert any(each.data.evidence is None for each in closed.moments)


steps = st.tuples(
    st.integers(0, 30),  # case
    st.integers(0, 3),  # rule
    st.sampled_from(["info", "warning", "critical"]),
    st.sampled_from(["", "hub-0042-99"]),
    st.sampled_from([0, 0, 400, 3000]),  # characters
)


@settings(max_examples=60)
@given(
    rounds=st.lists(st.tuples(st.sampled_from([1.0, HOUR / 3, HOUR, DAY / 3]), st.lists(steps, max_size=40)), max_size=15),
    a_day=st.integers(10, 60),
    kib=st.sampled_from([64, 100, 1000]),
    an_hour=st.integers(4, 12),
)
def test_whatever_happens_the_ceilings_hold_and_every_moment_is_told_or_counted(tmp_path_factory, rounds, a_day, kib, an_hour):
    """Cases open, change and close at random; nothing but the store knows what was before."""
    store = Store.open(tmp_path_factory.mktemp("store") / "canary.db")
    limits = Limits(moments_per_day=a_day, kib_per_day=kib, moments_per_rule_and_hour=an_hour)
    now, day = 0.0, 0.0
    open_, told_cases, lost = {}, set(), Counter()
    counted, spent, by_rule, hour = 0, 0, Counter(), 0
    serial = 0
    for passing, happening in rounds:
        now += passing
        batch = []
        for case, rule, severity, caused_by, length in happening:
            what = {"severity": severity, "caused_by": caused_by, "says": "x" * length}
            if case not in open_:
                serial += 1
                open_[case] = serial
                batch.append(step(serial, f"rule-{rule}", **what))
            else:
                batch.append(step(open_[case], f"rule-{rule}", "worsened" if length == 400 else "closed", **what))
                if length != 400:
                    del open_[case]
        with store.transaction():
            admitted = Ceilings(store, limits).admit(batch, now)
            notices = [own_health.told(notice, desk(store), now) for notice in admitted.notices]
        if now - day >= DAY:
            day, counted, spent, hour, by_rule = now, 0, 0, 0, Counter()
        if int((now - day) // HOUR) != hour:
            hour, by_rule = int((now - day) // HOUR), Counter()
        counted += len(admitted.moments) + len(notices)
        spent += sum(len(to_wire(each)) + NUMBERS for each in admitted.moments + notices)
        by_rule.update(each.data.rule.id for each in admitted.moments if each.data.phase not in LAST)
        assert counted <= a_day
        assert spent <= kib * 1024
        assert all(number <= an_hour for number in by_rule.values())
        for each in batch:
            place = next((place for place, one in enumerate(admitted.moments) if one.data.case == each.data.case), None)
            if each.data.phase in LAST:
                assert (place is not None) == (each.data.case in told_cases or _told_in(admitted, each))
                told_cases.discard(each.data.case)
            elif any(one is each for one in admitted.moments):
                told_cases.add(each.data.case)
            else:
                lost[each.data.rule.id] += 1
        for notice in admitted.notices:
            lost.subtract(notice.counts)
    with store:
        for notice in Ceilings(store, limits).admit([], now + DAY).notices:
            lost.subtract(notice.counts)
    assert not any(lost.values())


def _told_in(admitted, moment) -> bool:
    return any(one.data.case == moment.data.case and one.data.phase not in LAST for one in admitted.moments)


# ---------------------------------------------------------------- the hub's own moments


def test_the_hub_tells_what_it_dropped_and_why(store):
    notice = own_health.dropped({"full": 3, "expired": 1})
    told = own_health.told(notice, desk(store), 50.0)
    assert told.type == "canary.hub.closed.v1"
    assert told.data.says == "4 moments never left this hub."
    assert told.data.because == "3 because there was no room for them, 1 because they had waited too long"
    assert told.data.counts == {"full": 3, "expired": 1}
    assert told.data.value == 4
    assert len(told.data.advice) == 2
    assert store.execute("SELECT count(*) FROM cases").fetchone() == (0,)


def test_folding_is_one_case_from_its_beginning_to_its_end(store):
    service = desk(store)
    begun = own_health.told(own_health.folding("500 moments a day"), service, 0.0)
    ended = own_health.told(own_health.folding_ended({f"rule-{n}": n for n in range(1, 14)}, 3600.0), service, 3600.0)
    assert begun.data.case == ended.data.case
    assert (ended.time - ended.data.since).total_seconds() == 3600.0
    assert ended.data.counts["rule-13"] == 13
    assert ended.data.counts["3 other rules"] == 6
    assert len(ended.data.counts) == 11
    outbox = Outbox(store)
    outbox.put(begun, ended)
    assert (
        from_wire(outbox.peek(1)[0].wire).data.says == "More happens on this hub than it may tell one by one; the rest is counted."
    )


def test_a_hub_that_has_told_enough_today_says_nothing_of_itself_either(store):
    ceilings = Ceilings(store, Limits(moments_per_day=10))
    told = own_health.told(own_health.dropped({"full": 3}), desk(store), 0.0)
    assert [ceilings.admit_own(told, 0.0) for _ in range(10)].count(True) == 8
    assert ceilings.admit_own(told, DAY)


@pytest.mark.parametrize("kind", sorted({*GOOD_TO_KNOW, "visit"}))
def test_what_is_told_once_keeps_no_room_for_an_end(store, kind):
    ceilings = Ceilings(store, Limits(moments_per_day=100, moments_per_rule_and_hour=1000))
    most = 48 if kind in GOOD_TO_KNOW else 73  # a half of the ceiling, or three quarters
    batch = [step(number, kind=kind, severity="info") for number in range(90)]
    assert len(ceilings.admit(batch, 0.0, once={each.data.case for each in batch}).moments) == most


def test_an_insight_with_an_end_keeps_its_own_room_and_takes_nobody_elses(store):
    """A tag that is there and goes again is told both times; its end gives back what its beginning took, and no more."""
    ceilings = Ceilings(store, Limits(moments_per_day=20, moments_per_rule_and_hour=1000))
    tags = [step(number, "tag", kind="insight", severity="info") for number in range(20)]
    told = numbers(ceilings.admit(tags, 0.0))
    assert told == [0, 1, 2, 3]  # half of 20, with room for as many ends and the hub's own two
    ends = [replace(each, data=replace(each.data, phase=Phase.CLOSED)) for each in tags]
    problems = [step(number, "warm", severity="critical") for number in range(100, 130)]
    open_ = numbers(ceilings.admit(problems, 1.0))
    assert numbers(ceilings.admit(ends, 2.0)) == told, "and of what was not told there is no end either"
    assert numbers(ceilings.admit([step(number, "warm", "closed") for number in open_], 3.0)) == open_
    assert open_ == [100, 101, 102, 103]


def test_an_account_of_what_was_over_before_gives_back_no_room(store):
    """Of a mute there is one moment, and it is a last one."""
    ceilings = Ceilings(store, Limits(moments_per_day=20, moments_per_rule_and_hour=1000))
    told = numbers(ceilings.admit([step(number, severity="critical") for number in range(9)], 0.0))
    accounts = [step(number, "mute.x", "closed", kind="insight", severity="info") for number in range(100, 109)]
    ceilings.admit(accounts, 1.0, once={each.data.case for each in accounts})
    assert numbers(ceilings.admit([step(number, phase="closed") for number in told], 2.0)) == told


def test_all_that_the_hub_may_say_of_itself_fits(store):
    counts = {"r" * 63 + str(number): 10**6 for number in range(99)}
    told = own_health.told(own_health.folding_ended(counts, 1.0), desk(store), 0.0)
    assert len(to_wire(told)) < MAX_BYTES / 2


def test_what_the_outbox_adds_to_a_moment_is_counted_too():
    """The longest name that a hub may have, and more moments than it will ever tell."""
    made = replace(moment(), source=f"/hubs/{'h' * 63}")
    assert len(to_wire(moments.numbered(made, "2N7KXY", 10**9))) - len(to_wire(made)) <= NUMBERS
