"""One moment of each kind and phase, as a hub tells it, for whoever reads moments: `fixtures/moments/v1`.

Realistic steps of cases, through the same desk, privacy and numbering as any other; only what is drawn by lot is fixed.
`pytest tests/test_contract.py --rewrite-golden` writes them.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from gateway import moments
from gateway.clock import VirtualClock
from gateway.config import Config, load
from gateway.diagnosis.contract import Change, Evidence, Fault, Forecast, Phase, PointInfo, RuleKeys
from gateway.service.contract import Statement, Try
from gateway.service.desk import Desk
from gateway.service.privacy import Privacy
from gateway.store import Store

FOLDER = Path(__file__).parent / "fixtures/moments"
GENERATION = "7KQ2MX"
NOW = 1_000_000.0  # s of the hub's timeline
DAY = 86400.0

CONFIG = """
[hub]
id = "hub-0042"
site = "Bakery Janssens, Ghent"
time_zone = "Europe/Brussels"
[desk]
name = "CoolCare"
contact = "tel:+32 9 000 00 00"
[owner.installer]
name = "CoolTech"
role = "installer"
contact = "mailto:desk@cooltech.example"
covers = ["bus.plant"]
[owner.maker]
name = "Arctic"
role = "manufacturer"
covers = ["maker.Arctic"]
[bus.plant]
driver = "modbus-tcp"
host = "127.0.0.1"
[device.freezer-1]
bus = "plant"
unit = 1
label = "Freezer 1"
maker = "Arctic"
model = "AF-300"
serial = "S-100234"
firmware = "2.1"
installed = 2024-05-01
warranty_until = 2027-05-01
[device.freezer-1.points]
core_temp = { input = 100, unit = "°C" }
power = { input = 101, unit = "W" }
[device.shop]
bus = "plant"
unit = 2
label = "Shop"
[device.shop.points]
door = { discrete = 0, label = "Back door", privacy = "household" }
[device.flat]
bus = "plant"
unit = 3
label = "Flat"
[device.flat.points]
motion = { input = 0, label = "Bedroom motion", privacy = "personal" }
[rule.freezer-warm]
kind = "threshold"
on = "freezer-*/core_temp"
above = "-15 °C"
lasting = "10 min"
severity = "critical"
advice = ["Check that the door closes.", "Defrost the evaporator."]
[rule.freezer-trend]
kind = "trend"
on = "freezer-*/core_temp"
above = "-15 °C"
steps = [
    { do = "Clean the condenser.", by = "customer", effect = "The core cools within a day." },
    { do = "Check the refrigerant.", by = "technician" },
]
[rule.back-door]
kind = "threshold"
on = "shop/door"
above = 0
[rule.up-at-night]
kind = "threshold"
on = "flat/motion"
above = 20
"""

TEMP = PointInfo("freezer-1/core_temp", "freezer-1", "core_temp", "°C", "Freezer 1 core temp", "Freezer 1")
DOOR = PointInfo("shop/door", "shop", "door", "", "Back door", "Shop")
MOTION = PointInfo("flat/motion", "flat", "motion", "", "Bedroom motion", "Flat")
UPLINK = PointInfo("hub/uplink", "hub", "uplink", "", "The hub's uplink", "The hub")
LINE = PointInfo("bus.plant/state", "bus.plant", "state", "", "bus plant state", "bus plant")
SITE = PointInfo("hub/*", "hub", "*", "", "The hub", "The hub")

WARM = Evidence("°C", NOW - 3600.0, 60.0, tuple(-18.0 + 0.07 * minute for minute in range(60)), 720)
AJAR = Evidence("", NOW - 4 * 3600.0, 300.0, tuple(float(place > 30) for place in range(48)), 2880)
SOON = Forecast(crosses=-15.0, in_s=6 * DAY, earliest_s=4 * DAY, latest_s=9 * DAY, confidence=0.9)
INSTALLER = moments.Owner(id="installer", name="CoolTech", contact="mailto:desk@cooltech.example", because='they cover "bus.plant"')


class Told(NamedTuple):
    """One moment that is to be there: its file, and what of its change and its statement is its own."""

    name: str
    change: Mapping[str, Any]
    statement: Mapping[str, Any] = {}
    clock: str = "synced"


def tellings() -> Iterator[Told]:
    """All of them, each a file; the name begins with the kind and the phase."""
    yield from _problems()
    yield from _predictions()
    yield from _good_news()
    yield from _private()
    yield from _periodic()
    own = {"point": UPLINK, "rule_id": "hub-uplink", "severity": "warning", "because": "no answer for 10 min", "kind": "hub"}
    yield Told("hub.opened", {**own, "says": "The hub could not reach its broker.", "value": False})
    yield Told("hub.worsened", {**own, "says": "The hub still cannot reach its broker.", "severity": "critical", "value": False})
    yield Told("hub.closed", {**own, "says": "The hub reaches its broker again.", "value": True, "how": "by itself"})


def _periodic() -> Iterator[Told]:
    calm = {"severity": "info", "value": None, "because": "", "point": SITE}
    says = "Visit by An, 45 min: the door seal was replaced."
    yield Told("visit.opened", {**calm, "kind": "visit", "rule_id": "visit", "says": says}, VISIT)
    says = "From 12 to 19 January, CoolCare watched over 3 devices. Prevented: 1 failure, before you could notice it."
    yield Told("digest.opened", {**calm, "kind": "digest", "rule_id": "digest", "says": says}, DIGEST)


def _problems() -> Iterator[Told]:
    yield Told("problem.opened", {"evidence": WARM})
    yield Told("problem.opened.unsynced", {"evidence": WARM}, clock="unsynced")
    yield Told("problem.worsened", {"says": "Freezer 1 is getting warmer (-9 °C).", "value": -9.0, "evidence": WARM})
    yield Told("problem.eased", {"says": "Freezer 1 is getting colder (-13 °C).", "value": -13.0, "severity": "warning"})
    yield Told("problem.opened.again", {"says": "Freezer 1 is too warm again.", "openings": 2, "recurrence": 3})
    bus = Fault("bus", "bus.plant", "its neighbours on the line fell silent at the same moment")
    because = {"caused_by": "bus-down bus.plant/state 1", "fault": bus, "because": "bus plant failed at the same time"}
    handed = {"adds": {"handed_over": moments.HandedOver(from_="maker", to="installer", because=bus.because)}, "owner": INSTALLER}
    yield Told("problem.handed_over", because, handed)
    yield Told(
        "problem.opened.cause", {"point": LINE, "rule_id": "bus-down", "says": "Bus plant is silent.", "affected": 3, "fault": bus}
    )
    yield Told("problem.closed", {"says": "Freezer 1 is cold again.", "value": -18.5, "how": "by remedy defrost"}, TRIED)


def _predictions() -> Iterator[Told]:
    shared = {"kind": "prediction", "rule_id": "freezer-trend", "severity": "warning", "confidence": 0.9}
    says = "Freezer 1 will be too warm in about 6 days (4 to 9)."
    yield Told(
        "prediction.opened", {**shared, "says": says, "forecast": SOON, "evidence": WARM}, {"adds": {"bears_on": ("warranty",)}}
    )
    nearer = SOON._replace(in_s=2 * DAY, earliest_s=DAY, latest_s=float("inf"))
    yield Told("prediction.worsened", {**shared, "says": "In about 2 days now.", "forecast": nearer})
    yield Told("prediction.eased", {**shared, "says": "In about 12 days now.", "forecast": SOON._replace(in_s=12 * DAY)})
    handed = {"adds": {"handed_over": moments.HandedOver(from_="maker", to="installer", because="somebody at the desk said so")}}
    yield Told("prediction.handed_over", {**shared, "says": "Freezer 1 is the installer's now."}, {**handed, "owner": INSTALLER})
    yield Told("prediction.closed", {**shared, "says": "Freezer 1 became too warm as foreseen.", "how": "came true"})
    yield Told("prediction.withdrawn", {**shared, "says": "Freezer 1 will not be too warm after all."})


def _good_news() -> Iterator[Told]:
    good = {"severity": "info", "value": None, "because": "since 12 October 2025"}
    before_and_after = (moments.Comparison(point="freezer-1/core_temp", unit="°C", before=-11.0, after=-18.4),)
    healed = {**TRIED, "adds": {"comparisons": before_and_after}}
    yield Told("recovery.opened", {**good, "kind": "recovery", "says": "Freezer 1 is cold again; no visit needed."}, healed)
    yield Told(
        "milestone.opened",
        {**good, "kind": "milestone", "rule_id": "season", "says": "Freezer 1: a season without a fault."},
        {"once": True},
    )
    yield Told(
        "insight.opened",
        {**good, "kind": "insight", "rule_id": "older-firmware", "says": "Freezer 1 has older firmware than its siblings."},
        {"once": True},
    )
    yield Told(
        "insight.closed", {**good, "kind": "insight", "rule_id": "trolley-left", "says": "The trolley is back.", "how": "by itself"}
    )


def _private() -> Iterator[Told]:
    door = {"point": DOOR, "rule_id": "back-door", "severity": "info", "value": True, "evidence": AJAR}
    yield Told("problem.opened.household", {**door, "says": "Back door is on for 90 min.", "because": "above 0"})
    night = {"point": MOTION, "rule_id": "up-at-night", "severity": "info", "value": 31.0, "evidence": AJAR}
    yield Told("problem.opened.personal", {**night, "says": "Bedroom motion is 31.", "because": "above 20"})


TRIED = {"tried": (Try(what="remedy defrost", at=NOW - 1800.0, result="worked", says="-11 °C before, -18.4 °C after"),)}
VISIT = {
    "adds": {
        "visit": moments.Visit(
            by="An, CoolTech",
            from_=datetime(2026, 1, 12, 9, 0, tzinfo=UTC),
            until=datetime(2026, 1, 12, 9, 45, tzinfo=UTC),
            on=("freezer-1",),
            were_open=1,
            open_before=(
                moments.Mentioned(case="hub-0042-2N7K", subject="freezer-1/core_temp", says="Freezer 1 has been too warm."),
            ),
            done=("Replaced the door seal.",),
            found=("The seal was torn.",),
            replaced=(moments.Replaced(device="freezer-1", serial="S-100500", was="S-100234"),),
        ),
        "comparisons": (moments.Comparison(point="freezer-1/core_temp", unit="°C", before=-11.0, after=-18.4),),
    }
}
DIGEST = {
    "adds": {
        "digest": moments.Digest(
            language="en",
            from_=datetime(2026, 1, 12, tzinfo=UTC),
            until=datetime(2026, 1, 19, tzinfo=UTC),
            devices=3,
            readings=181440,
            noticed={"problem": 2, "prediction": 1},
            prevented=1,
            healed={"remedy": 1, "itself": 1},
            changed={"visits": 1},
            are_open=1,
            open=(
                moments.StillOpen(
                    case="hub-0042-2N7K",
                    subject="freezer-1/core_temp",
                    label="Freezer 1 core temp",
                    severity="warning",
                    since=datetime(2026, 1, 17, 4, 0, tzinfo=UTC),
                    owner="CoolTech",
                ),
            ),
            asks=("Check that the door of Freezer 1 closes.",),
        )
    }
}


def fixtures(folder: Path) -> dict[str, bytes]:
    """The bytes on the wire of each, by name; `folder` is for the store of the hub that tells them."""
    path = folder / "hub.toml"
    path.write_text(CONFIG, encoding="utf-8")
    config, clock = load(path), VirtualClock()
    clock.advance(NOW - clock.now())
    made: dict[str, bytes] = {}
    with Store.open(folder / "canary.db", generation=lambda: GENERATION) as store:
        for seq, told in enumerate(tellings(), 1):
            hub = moments.Hub(clock=told.clock, version="0.1.0", timeline="" if told.clock == "synced" else "4d2c")
            desk = Desk(config, store, clock, lambda hub=hub: hub)
            if caused_by := told.change.get("caused_by"):
                desk.moment(_change(Told("cause", {"episode": caused_by, "point": LINE}), config))
            moment = Privacy(config).leaving(desk.write(Statement(change=_change(told, config), **told.statement)))
            known = {"case": "hub-0042-2N7K", "caused_by": "hub-0042-9ZZZ" if moment.data.caused_by else ""}
            known |= {"rule": replace(moment.data.rule, version="0123456789ab")}  # else a new key of rules would change all of them
            numbered = moments.numbered(replace(moment, data=replace(moment.data, **known)), GENERATION, seq)
            made[told.name] = moments.to_wire(numbered)
    return made


def _change(told: Told, config: Config) -> Change:
    told_phase = (*told.name.split("."), "")[1]
    given: dict[str, Any] = {
        "episode": told.name,
        "rule_id": "freezer-warm",
        "point": TEMP,
        "kind": "problem",
        "phase": Phase(told_phase) if told_phase in list(Phase) else Phase.OPENED,
        "severity": "critical",
        "at": NOW,
        "since": NOW - 600.0,
        "value": -12.5,
        "says": "Freezer 1 has been too warm (-12.5 °C) for 10 min.",
        "because": "above -15 °C for 10 min",
    }
    given |= told.change
    rule = config.rules.get(given["rule_id"]) or RuleKeys(kind=given["kind"], on=(given["point"].id,))
    return Change(rule=rule, **given)
