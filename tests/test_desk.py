import math
import re

import msgspec
import pytest

from drivers.contract import BusSpec
from gateway import moments
from gateway.clock import VirtualClock
from gateway.config.model import Bus, BusConfig, Config, Desk, Device, DeviceConfig, Hub, Owner
from gateway.diagnosis.contract import Fault, Phase, PointInfo, RuleKeys
from gateway.outbox import Outbox
from gateway.service import desk
from gateway.service.case import STRIDE, Cases, spoken
from gateway.service.owners import owner
from gateway.store import Store

from moments_of import change


def config(**owners: tuple[str, ...]) -> Config:
    """A hub with one freezer on the bus "plant"; owners by name, with what they cover."""
    freezer = Device(bus="plant", maker="Arctic", model="SDM120", label="Freezer 1", serial="S-1", firmware="2.1")
    return Config(
        hub=Hub(id="hub-0042"),
        uplink=None,
        desk=Desk(name="CoolCare", contact="tel:+32 9 000 00 00"),
        owners={
            name: Owner(name=name.title(), contact=f"mailto:{name}@example.com", covers=covers) for name, covers in owners.items()
        },
        buses={
            "plant": BusConfig(name="plant", common=Bus(driver="modbus-rtu"), spec=BusSpec(name="plant", keys=None, devices=()))
        },
        devices={"freezer-1": DeviceConfig(name="freezer-1", common=freezer, keys=None, points={})},
        rules={},
    )


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        yield store


def facts() -> moments.Hub:
    return moments.Hub(clock="synced", version="0.1.0")


# ---------------------------------------------------------------- cases


def test_a_case_number_is_short_and_has_no_sign_that_can_be_misheard(store):
    cases = Cases(store, "hub-0042")
    for number in range(100):
        assert re.fullmatch(r"hub-0042-[0-9A-HJKMNP-TV-Z]{4}", cases.of(f"episode {number}"))


def test_no_two_episodes_get_the_same_number_also_after_a_restart(tmp_path):
    numbers = set()
    for round_ in range(4):
        with Store.open(tmp_path / "canary.db") as store:
            cases = Cases(store, "hub-0042")
            for number in range(20):
                numbers.add(cases.of(f"{round_}/{number}"))
                cases.close(f"{round_}/{number}")
    assert len(numbers) == 80


def test_case_numbers_come_up_once_in_each_block_and_grow_by_a_sign_after_it():
    assert math.gcd(STRIDE, 32) == 1  # so that counting by strides goes through a whole block before it repeats
    some = [spoken(count, 12345) for count in range(100_000)]
    assert len(set(some)) == 100_000
    assert [len(spoken(count, 777)) for count in (0, 32**4 - 1, 32**4, 32**4 + 32**5 - 1, 32**4 + 32**5)] == [4, 4, 5, 5, 6]


def test_neighbouring_case_numbers_differ_in_more_than_one_sign():
    for count in range(1000):
        pair = zip(spoken(count, 5), spoken(count + 1, 5), strict=True)
        assert sum(one != other for one, other in pair) > 1


def test_an_open_episode_keeps_its_number_through_a_restart_and_loses_it_when_it_has_ended(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        number = Cases(store, "hub-0042").of("warm")
    with Store.open(tmp_path / "canary.db") as store:
        cases = Cases(store, "hub-0042")
        assert cases.of("warm") == number
        cases.close("warm")
        assert cases.of("warm") != number


# ---------------------------------------------------------------- from a change to a moment


def test_all_moments_of_an_episode_carry_one_case_number(store):
    told = desk.Desk(config(), store, VirtualClock(), facts)
    phases = [Phase.OPENED, Phase.WORSENED, Phase.EASED, Phase.CLOSED]
    made = [told.moment(change(phase=phase)) for phase in phases]
    assert len({each.data.case for each in made}) == 1
    assert [each.data.phase for each in made] == phases
    assert told.moment(change()).data.case != made[0].data.case


def test_good_news_is_told_once_so_its_case_ends_with_it(store):
    told = desk.Desk(config(), store, VirtualClock(), facts)
    first, second = (told.moment(change(kind="milestone")) for _ in range(2))
    assert first.data.case != second.data.case


def test_the_last_moment_and_the_end_of_its_case_are_one_transaction(store):
    """If the moment cannot be stored, the episode is still open under its number."""
    told, outbox = desk.Desk(config(), store, VirtualClock(), facts), Outbox(store)
    outbox.put(opened := told.moment(change()))
    with pytest.raises(ZeroDivisionError), store.transaction():
        outbox.put(told.moment(change(phase=Phase.CLOSED)))
        _ = 1 / 0
    assert outbox.stats().rows == 1
    assert told.moment(change(phase=Phase.CLOSED)).data.case == opened.data.case


def test_a_moment_tells_the_device_the_desk_and_the_hub_as_the_config_has_them(store):
    data = desk.Desk(config(), store, VirtualClock(), facts).moment(change()).data
    assert data.device == moments.Device(
        id="freezer-1", label="Freezer 1", maker="Arctic", model="SDM120", serial="S-1", firmware="2.1"
    )
    assert data.desk == moments.Desk(name="CoolCare", contact="tel:+32 9 000 00 00")
    assert data.hub == facts()


# ---------------------------------------------------------------- the owner


@pytest.mark.parametrize(
    ("owners", "expected", "because"),
    [
        ({}, "desk", "nobody covers freezer-1"),
        ({"other": ("bus.other", "device.boiler")}, "desk", "nobody covers freezer-1"),
        ({"wide": ("bus.plant",)}, "wide", 'they cover "bus.plant", and this is bus.plant'),
        ({"wide": ("bus.*",), "maker": ("maker.arctic",)}, "maker", 'they cover "maker.arctic", and this is maker.Arctic'),
        ({"maker": ("maker.Arctic",), "model": ("model.SDM1*",)}, "model", 'they cover "model.SDM1*", and this is model.SDM120'),
        (
            {"model": ("model.*",), "near": ("device.freezer-?",)},
            "near",
            'they cover "device.freezer-?", and this is device.freezer-1',
        ),
        ({"first": ("device.*",), "second": ("device.freezer-1",)}, "first", 'they cover "device.*", and this is device.freezer-1'),
    ],
)
def test_the_owner_is_who_covers_the_narrowest_layer_and_else_the_desk(owners, expected, because):
    who = owner(config(**owners), change())
    assert (who.id, who.because) == (expected, because)
    assert who.name == (expected.title() if owners and expected != "desk" else "CoolCare")


def test_a_rule_that_names_an_owner_wins():
    rule = RuleKeys(kind="threshold", on=("a/b",), owner="installer")
    who = owner(config(installer=(), near=("device.freezer-1",)), change(rule=rule))
    assert (who.id, who.contact) == ("installer", "mailto:installer@example.com")
    assert who.because == 'the rule "freezer-warm" names them'
    named_desk = RuleKeys(kind="threshold", on=("a/b",), owner="desk")
    who = owner(config(near=("device.freezer-1",)), change(rule=named_desk))
    assert (who.id, who.name) == ("desk", "CoolCare")


def test_a_fault_of_a_bus_falls_to_who_covers_the_bus(store):
    point = PointInfo("bus.plant/state", "bus.plant", "state", "", "plant state", "plant")
    told = desk.Desk(config(wires=("bus.plant",)), store, VirtualClock(), facts)
    data = told.moment(change(point=point)).data
    assert (data.owner.id, data.device) == ("wires", None)


# ---------------------------------------------------------------- the layer at fault


def fault(layer: str, where: str) -> Fault:
    return Fault(layer, where, "for a reason")


@pytest.mark.parametrize(
    ("where", "expected", "because"),
    [
        (fault("device", "freezer-1"), "maker", 'for a reason; they cover "maker.Arctic", and this is maker.Arctic'),
        (fault("bus", "bus.plant"), "wires", 'for a reason; they cover "bus.plant", and this is bus.plant'),
        (fault("hub", "hub.disk_free"), "wires", 'for a reason; they cover "hub", and this is hub'),
        (fault("network", "hub.network"), "wires", 'for a reason; they cover "hub", and this is hub'),
        (fault("network", "hub.uplink"), "carrier", 'for a reason; they cover "hub.uplink", and this is hub.uplink'),
        (fault("bus", "bus.other"), "desk", "for a reason; nobody covers bus.other"),
    ],
)
def test_the_owner_follows_the_layer_at_fault(where, expected, because):
    """The maker of a device is not called for the line that it hangs on, nor the installer for the network."""
    owners = {"maker": ("maker.Arctic",), "wires": ("bus.plant", "hub"), "carrier": ("hub.uplink",)}
    who = owner(config(**owners), change(fault=where))
    assert (who.id, who.because) == (expected, because)


def test_the_network_falls_to_its_operator_where_nobody_covers_it():
    plain = config(carrier=())
    carrier = msgspec.structs.replace(plain.owners["carrier"], role="network")
    who = owner(msgspec.structs.replace(plain, owners={"carrier": carrier}), change(fault=fault("network", "hub.uplink")))
    assert (who.id, who.because) == ("carrier", "for a reason; their role is network")


def test_a_case_keeps_the_number_of_its_cause_though_that_ends_sooner(store):
    told = desk.Desk(config(), store, VirtualClock(), facts)
    cause = told.moment(change(episode="bus down"))
    handed = told.moment(change(phase=Phase.HANDED_OVER, caused_by="bus down"))
    assert handed.data.caused_by == cause.data.case
    told.moment(change(episode="bus down", phase=Phase.CLOSED))
    assert told.moment(change(phase=Phase.CLOSED, caused_by="bus down")).data.caused_by == cause.data.case
    assert told.moment(change(caused_by="bus down")).data.caused_by == ""


def test_what_explains_a_case_may_change(store):
    told = desk.Desk(config(), store, VirtualClock(), facts)
    line, power = (told.moment(change(episode=episode)).data.case for episode in ("line cut", "power gone"))
    assert told.moment(change(phase=Phase.HANDED_OVER, caused_by="line cut")).data.caused_by == line
    assert told.moment(change(phase=Phase.HANDED_OVER, caused_by="power gone")).data.caused_by == power


def test_what_was_counted_is_on_the_wire_where_there_is_something_to_say(store):
    told = desk.Desk(config(), store, VirtualClock(), facts)
    data = told.moment(change(openings=7, recurrence=3, affected=30, fault=fault("bus", "bus.plant"))).data
    assert (data.openings, data.recurrence, data.affected, data.at_fault) == (7, 3, 30, "bus")
    wire = moments.to_wire(told.moment(change()))
    assert not any(word in wire for word in (b"openings", b"recurrence", b"affected", b"at_fault", b"caused_by"))
