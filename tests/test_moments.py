import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.contract import NoValue
from gateway import moments
from gateway.diagnosis import contract
from gateway.diagnosis.contract import Phase, RuleKeys
from gateway.moments import MAX_BYTES, MAX_POINTS, compose, from_wire, numbered, rank, rule_version, schema, to_wire

from moments_of import START, change, moment

ROOT = Path(__file__).parent.parent


def utc(at: float) -> datetime:
    return START + timedelta(seconds=at)


def told(step: contract.Change, **parts) -> moments.Moment:
    """The moment about this change, numbered."""
    given = {
        "hub_id": "hub-0042",
        "hub": moments.Hub(clock="synced", version="0.1.0"),
        "case": "hub-0042-2N7K",
        "owner": moments.Owner(id="installer", name="CoolTech", because='the rule "freezer-warm" names them'),
        "desk": moments.Desk(name="CoolCare", contact="tel:+32 9 000 00 00"),
        "device": moments.Device(id="freezer-1", model="Arctic 3", serial="S-100234", warranty_until=date(2027, 5, 1)),
        "utc": utc,
    }
    return numbered(compose(step, **(given | parts)), "7KQ2MX", 317)


# ---------------------------------------------------------------- the shape


def test_a_moment_is_a_cloud_event_in_the_shape_of_the_design():
    forecast = contract.Forecast(crosses=-15.0, in_s=518400.2, earliest_s=345600.0, latest_s=777600.0, confidence=0.9)
    evidence = contract.Evidence("°C", 0.0, 300.0, (-18.0, None, -12.5), 600)
    rule = RuleKeys(kind="trend", on=("freezer-*/core_temp",), advice=("Clean the condenser",))
    told_now = told(
        change(kind="prediction", severity="warning", rule=rule, forecast=forecast, evidence=evidence), caused_by="hub-0042-9ZZZ"
    )
    assert json.loads(to_wire(told_now)) == {
        "specversion": "1.0",
        "id": "hub-0042/7KQ2MX/00000317",
        "source": "/hubs/hub-0042",
        "type": "canary.prediction.opened.v1",
        "subject": "freezer-1/core_temp",
        "time": "2026-01-01T12:10:00Z",
        "datacontenttype": "application/json",
        "data": {
            "seq": 317,
            "generation": "7KQ2MX",
            "case": "hub-0042-2N7K",
            "kind": "prediction",
            "phase": "opened",
            "severity": "warning",
            "rule": {"id": "freezer-warm", "kind": "trend", "version": rule_version(rule)},
            "device": {"id": "freezer-1", "model": "Arctic 3", "serial": "S-100234", "warranty_until": "2027-05-01"},
            "says": "Freezer 1 has been too warm (-12.5 °C) for 10 min.",
            "because": "above -15 °C for 10 min",
            "value": -12.5,
            "advice": ["Clean the condenser"],
            "since": "2026-01-01T12:00:00Z",
            "forecast": {"crosses": -15.0, "in_s": 518400, "earliest_s": 345600, "latest_s": 777600, "confidence": 0.9},
            "evidence": {
                "unit": "°C",
                "from": "2026-01-01T12:00:00Z",
                "every_s": 300.0,
                "values": [-18.0, None, -12.5],
                "readings": 600,
            },
            "owner": {"id": "installer", "name": "CoolTech", "because": 'the rule "freezer-warm" names them'},
            "desk": {"name": "CoolCare", "contact": "tel:+32 9 000 00 00"},
            "caused_by": "hub-0042-9ZZZ",
            "hub": {"clock": "synced", "version": "0.1.0"},
        },
    }


def test_what_is_not_known_is_left_out():
    step = change(value=NoValue("sensor open"), forecast=contract.Forecast(-15.0, 60.0, 30.0, float("inf"), 0.8))
    data = json.loads(to_wire(told(step, device=None, desk=moments.Desk())))["data"]
    assert not {"value", "device", "desk", "evidence", "how", "caused_by"} & set(data)
    assert data["forecast"] == {"crosses": -15.0, "in_s": 60, "earliest_s": 30, "confidence": 0.8}


def test_the_schema_file_is_the_types():
    """After a change of the types: python -c "from gateway import moments; print(moments.schema().decode(), end='')" > the file."""
    assert (ROOT / "config/moment.schema.json").read_bytes() == schema()


def test_a_reader_ignores_fields_that_it_does_not_know():
    wire = json.loads(to_wire(told(change())))
    wire["traceparent"] = wire["data"]["added_later"] = wire["data"]["rule"]["too"] = {"x": 1}
    assert from_wire(json.dumps(wire).encode()) == told(change())


@pytest.mark.parametrize("wire", [b"", b"{}", b"null", b'{"specversion": "2.0"}', b"\xff"])
def test_what_is_no_moment_is_refused_with_one_kind_of_error(wire):
    with pytest.raises(msgspec.DecodeError):
        from_wire(wire)


def test_every_kind_and_phase_has_its_own_type():
    for kind in contract.Kind.__args__:
        for phase in Phase:
            assert told(change(kind=kind, phase=phase)).type == f"canary.{kind}.{phase.value}.v1"


def test_the_version_of_a_rule_changes_with_any_of_its_keys():
    rule = RuleKeys(kind="threshold", on=("a/b",))
    others = [
        RuleKeys(kind="stuck", on=("a/b",)),
        RuleKeys(kind="threshold", on=("a/c",)),
        RuleKeys(kind="threshold", on=("a/b",), lasting=1.0),
        RuleKeys(kind="threshold", on=("a/b",), says="{device}"),
    ]
    assert rule_version(rule) == rule_version(RuleKeys(kind="threshold", on=("a/b",)))
    assert len({rule_version(each) for each in [rule, *others]}) == 5


def test_critical_moments_are_the_last_to_be_dropped_and_good_news_the_first():
    order = [
        moment(severity="critical", kind="problem"),
        moment(severity="warning", kind="prediction"),
        moment(severity="info", kind="recovery"),
        moment(severity="warning", kind="digest"),
    ]
    assert [rank(each) for each in order] == [0, 1, 2, 3]


# ---------------------------------------------------------------- evidence

values = st.one_of(st.floats(), st.integers(-(2**40), 2**40), st.booleans(), st.none())


@given(st.lists(values, max_size=300), st.sampled_from([0.1, 1.0, 60.0]))
def test_thinned_evidence_has_at_most_60_values_and_keeps_minimum_and_maximum(series, every):
    evidence = told(change(evidence=contract.Evidence("°C", 0.0, every, tuple(series), len(series)))).data.evidence
    assert evidence
    assert len(evidence.values) <= MAX_POINTS
    before = [value for value in series if value is not None and abs(value) < float("inf")]
    after = [value for value in evidence.values if value is not None]
    # A float that is not finite is no value. The extremes of the rest are there, as near as rounding to the span allows.
    if before and all(value is None or abs(value) < float("inf") for value in series):
        span = max(before) - min(before)
        for extreme in (min, max):
            assert float(extreme(after)) == pytest.approx(float(extreme(before)), abs=span / 1000, rel=1e-6)


@given(st.integers(1, 500))
def test_thinned_values_stay_at_their_times(count):
    """The middle of each group at the middle of its time; only the extremes, here the first and the last, are up to a step off."""
    series = tuple(float(number) for number in range(count))
    evidence = told(change(evidence=contract.Evidence("", 0.0, 60.0, series, count))).data.evidence
    assert evidence
    start = (evidence.from_ - START).total_seconds()
    off = [abs(start + place * evidence.every_s - value * 60.0) for place, value in enumerate(evidence.values)]
    assert max(off) <= evidence.every_s
    assert not any(off[1:-1])


def test_a_small_leak_shows_on_a_meter_that_stands_high():
    """Rounding goes by the span that is shown, not by the size of the numbers."""
    series = tuple(123456.7 + hour * 0.012 for hour in range(24))
    evidence = told(change(evidence=contract.Evidence("m3", 0.0, 3600.0, series, 24))).data.evidence
    assert evidence
    assert len(set(evidence.values)) == 24


def test_the_noise_of_float_arithmetic_is_not_sent():
    series = (0.1 + 0.2, 0.30000001, 21.999999999, 7.123456789)
    evidence = told(change(evidence=contract.Evidence("", 0.0, 1.0, series, 4))).data.evidence
    assert evidence
    assert evidence.values == (0.3, 0.3, 22.0, 7.12)


# ---------------------------------------------------------------- size

nasty = st.characters(exclude_categories=())  # halves of surrogate pairs, control characters, anything
times = st.sampled_from([1, 1, 50, 3000])
texts = st.builds(lambda piece, times: piece * times, st.text(nasty, max_size=12), times)
toml_texts = st.builds(lambda piece, times: piece * times, st.text(max_size=12), times)


@given(
    says=texts,
    because=texts,
    how=texts,
    advice=st.lists(toml_texts, max_size=20),
    device=st.tuples(texts, texts, texts, texts),
    who=st.tuples(texts, texts, texts),
    value=st.one_of(st.floats(), texts),
    series=st.lists(st.one_of(st.floats(), texts), max_size=120),
    hub_id=st.sampled_from(["h", "x" * 63]),
)
@example(
    "\0" * 9000, "\0" * 9000, "\0" * 9000, ["\0" * 9000] * 20, ("\0" * 9000,) * 4, ("\0" * 9000,) * 3, "\0" * 9000, [], "x" * 63
)
def test_no_moment_exceeds_8_kib_whatever_is_put_into_it(says, because, how, advice, device, who, value, series, hub_id):
    rule = RuleKeys(kind="threshold", on=("a/b",), advice=tuple(advice))
    evidence = contract.Evidence(device[0], 0.0, 60.0, tuple(series), len(series))
    point = contract.PointInfo(device[0] + "/" + device[1], device[0], device[1], "", "", "")
    name, serial, model, firmware = device
    made = told(
        change(says=says, because=because, how=how, rule=rule, rule_id=who[0], value=value, evidence=evidence, point=point),
        hub_id=hub_id,
        device=moments.Device(id=name, label=name, maker=model, model=model, serial=serial, firmware=firmware),
        owner=moments.Owner(id=who[0], name=who[1], contact=who[2], because=who[0]),
        desk=moments.Desk(name=who[1], contact=who[2]),
        hub=moments.Hub(clock="unsynced", version="9" * 30),
    )
    wire = to_wire(made)
    assert len(wire) <= MAX_BYTES
    read = from_wire(wire)
    assert (read.id, read.source, read.type) == (made.id, made.source, made.type)
    assert (read.data.seq, read.data.case, read.data.kind, read.data.phase) == (317, "hub-0042-2N7K", "problem", Phase.OPENED)
    assert to_wire(read) == wire


def test_evidence_is_thinned_before_it_is_dropped_and_dropped_before_a_text_is_cut():
    series = tuple(1000.0 * number + 0.125 for number in range(60))
    wide = contract.Evidence("°C", 0.0, 60.0, series, 60)
    room = MAX_BYTES - len(to_wire(told(change(says="", evidence=wide))))

    def evidence_and_text(length):
        read = from_wire(to_wire(told(change(says="x" * length, evidence=wide)))).data
        return len(read.evidence.values) if read.evidence else 0, len(read.says)

    assert evidence_and_text(room) == (60, room)
    assert evidence_and_text(room + 1) == (30, room + 1)
    assert evidence_and_text(room + 350) == (15, room + 350)
    assert evidence_and_text(room + 560) == (0, room + 560)
    assert evidence_and_text(9000) == (0, 1000)


def test_a_text_that_is_cut_ends_with_an_ellipsis():
    assert from_wire(to_wire(told(change(says="ä" * 9000)))).data.says == "ä" * 999 + "…"


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=50), st.floats(-1e6, 1e6), st.integers(1, 10**12))
def test_what_is_written_is_what_is_read(words, value, seq):
    made = numbered(told(change(says=words, value=value)), "7KQ2MX", seq)
    assert from_wire(to_wire(made)) == made
    assert made.time.tzinfo is UTC
