"""The config as typed values: what `hub.toml` may say, in the words of the design.

Every class is one table, every field one key; descriptions are what `--help`, the JSON Schema and the reference show. How a file
becomes these values, and how mistakes are told, is `reader.py`'s business. Keys that belong to a driver or to a rule kind are not
here: they live beside the code that uses them (`drivers/*.py`, `gateway/diagnosis/*.py`).
"""

from collections.abc import Iterator, Mapping
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from msgspec import Meta, field

from drivers.contract import BusSpec, KeyMistake, Keys, Seconds, Secret
from gateway.config import broker
from gateway.config.digest import Digest
from gateway.config.downlink import Downlink
from gateway.config.insights import Insight
from gateway.config.maintenance import Maintenance
from gateway.config.privacy import Privacy
from gateway.config.problems import Unfit
from gateway.config.remedies import Remedy
from gateway.diagnosis import hub_parts
from gateway.diagnosis.causes import Surroundings, node_of
from gateway.diagnosis.contract import HUB, STATE, PointInfo, RuleKeys
from gateway.diagnosis.mute import Wall

PartOf = Literal["", "network", "energy", "building", "customer"]
PARTS_OF: tuple[str, ...] = tuple(filter(None, get_args(PartOf)))


class Hub(Keys, frozen=True, kw_only=True):
    """`[hub]`: the machine and where it stands."""

    id: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$", description="Name of this hub, unique in the fleet.", examples=["hub-0042"]
        ),
    ]
    site: Annotated[str, Meta(description="Where it stands, for people.")] = ""
    time_zone: Annotated[str, Meta(description="Its IANA name.", examples=["Europe/Brussels"], extra={"time_zone": True})] = "UTC"
    state: Annotated[str, Meta(description="Folder for what must survive.")] = "/var/lib/canary"
    settle: Annotated[
        Seconds, Meta(le=300, description="How long it is held back that something is silent, in case something else explains it.")
    ] = 15.0
    grace: Annotated[
        Seconds, Meta(description="How long what was silent because of something else may stay so when that works again.")
    ] = 600.0


class Tls(Keys, frozen=True, kw_only=True):
    """`[uplink.tls]`: only where the system's own certificate authorities do not do."""

    ca: Annotated[str, Meta(description="File with the certificate authority (PEM).")] = ""
    certificate: Annotated[str, Meta(description="File with this hub's certificate (PEM), for mutual TLS.")] = ""
    key: Annotated[Secret, Meta(description="The certificate's private key, by reference.")] = ""


class Uplink(Keys, frozen=True, kw_only=True):
    """`[uplink]`: where moments go."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^(mqtts?)://[^/]+$",
            description='"mqtts://host[:port]"; plain "mqtt://" only to this machine itself.',
            examples=["mqtts://broker.example.com"],
            extra={"broker": True},
        ),
    ]
    username: Annotated[str, Meta(description="Name by which the hub logs in.")] = ""
    password: Annotated[Secret, Meta(description="Its password, by reference.")] = ""
    protocol: Annotated[Literal["5", "3.1.1"], Meta(description="MQTT version.")] = "5"
    keep_alive: Annotated[Seconds, Meta(ge=5, le=3600, description="MQTT keep-alive.")] = 60.0
    tls: Annotated[Tls, Meta(description="Only where the system's own certificate authorities do not do.")] = Tls()
    retry_first: Annotated[
        Seconds,
        Meta(
            ge=0.1,
            le=3600,
            description="After a lost connection the next attempt is made some time within this, drawn by lot, and so is the first "
            "after the machine has started; with each failure the range doubles. The more hubs share a broker, the longer.",
        ),
    ] = 30.0
    retry_longest: Annotated[Seconds, Meta(ge=0.1, le=3600, description="The longest that range becomes.")] = 120.0
    state_every: Annotated[
        Seconds, Meta(ge=60, le=86400, description="How often the retained state is renewed when nothing of it changes.")
    ] = 900.0
    compress: Annotated[
        Literal["", "zstd"],
        Meta(
            description="How large moments are packed; MQTT 5 only. Whoever receives them must look at the user property "
            '"content-encoding". Needs the package "zstandard".'
        ),
    ] = ""
    compress_above: Annotated[int, Meta(ge=0, le=8192, description="Bytes; what is smaller is never packed.")] = 1024

    def __post_init__(self) -> None:
        """Refuse a port that is none, an open connection through a network, and packing that nobody could be told of."""
        try:
            broker.check(self.url)
        except Unfit as unfit:
            raise KeyMistake("url", unfit.found, unfit.expected or unfit.suggestion) from None
        if self.compress and self.protocol != "5":
            raise KeyMistake("compress", f'"{self.compress}" with MQTT {self.protocol}', '`protocol = "5"`, or no packing')
        if self.retry_longest < self.retry_first:
            raise KeyMistake("retry_longest", "it is shorter than `retry_first`", "at least as long")

    @property
    def secure(self) -> bool:
        """Whether the connection is by TLS."""
        return self.url.startswith("mqtts:")

    @property
    def host(self) -> str:
        """Name or address of the broker."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Port of the broker; 8883 by TLS and 1883 without where the url names none."""
        return urlsplit(self.url).port or (8883 if self.secure else 1883)


class Keep(Keys, frozen=True, kw_only=True):
    """`[outbox.keep]`: how long a moment of each class may wait for the uplink."""

    critical: Annotated[Seconds, Meta(ge=60, description="What is critical.")] = 90 * 86400.0
    warning: Annotated[Seconds, Meta(ge=60, description="Warnings.")] = 30 * 86400.0
    info: Annotated[Seconds, Meta(ge=60, description="What is merely to be known.")] = 14 * 86400.0
    digest: Annotated[Seconds, Meta(ge=60, description="Digests, milestones and insights.")] = 30 * 86400.0


class Outbox(Keys, frozen=True, kw_only=True):
    """`[outbox]`: how much may wait for the uplink; beyond, the least important goes, and is counted."""

    max_mib: Annotated[float, Meta(ge=0.1, le=4096, description="Most that waiting moments may take on the disk, in MiB.")] = 64.0
    max_moments: Annotated[int, Meta(ge=10, le=1_000_000, description="How many may wait.")] = 100_000
    keep: Annotated[Keep, Meta(description="How long a moment may wait, by its class.")] = Keep()


class Limits(Keys, frozen=True, kw_only=True):
    """`[limits]`: how much a hub tells when everything breaks at once; what is beyond is counted, and told as one."""

    moments_per_day: Annotated[int, Meta(ge=10, le=100_000, description="Moments of this hub in a day.")] = 500
    kib_per_day: Annotated[float, Meta(ge=64, le=1_000_000, description="Their size in KiB.")] = 2048.0
    moments_per_rule_and_hour: Annotated[int, Meta(ge=4, le=10_000, description="Moments of any one rule in an hour.")] = 30


class Desk(Keys, frozen=True, kw_only=True):
    """`[desk]`: the one contact that the customer hears from, whoever the owner is."""

    name: Annotated[str, Meta(description="What the customer knows it by.")] = ""
    contact: Annotated[str, Meta(description='Such as "tel:+32 9 000 00 00" or "mailto:help@example.com".')] = ""


class Owner(Keys, frozen=True, kw_only=True):
    """`[owner.NAME]`: who puts something right."""

    name: Annotated[str, Meta(description="Their name, for people.")] = ""
    role: Annotated[
        Literal["manufacturer", "installer", "network", "energy", "building", "customer", "desk", ""],
        Meta(description="What they are to the customer."),
    ] = ""
    contact: Annotated[str, Meta(description="How the desk reaches them.")] = ""
    hours: Annotated[
        tuple[Annotated[str, Meta(examples=["mon-fri 08:00-17:00"], extra={"office_hours": True})], ...],
        Meta(description='When they can be reached, local time: "mon-fri 08:00-17:00"; every day where no days are named.'),
    ] = ()
    covers: Annotated[
        tuple[str, ...],
        Meta(
            description='What falls to them: "device.NAME", "model.NAME", "maker.NAME", "bus.NAME", "hub"; all of the "network", '
            'of the "energy" supply, of the "building", or what is the "customer"\'s own; globs allowed.'
        ),
    ] = ()


class Bus(Keys, frozen=True, kw_only=True):
    """`[bus.NAME]`: what every bus has; the rest are its driver's keys."""

    driver: Annotated[str, Meta(description="What speaks on it.", examples=["modbus-tcp", "modbus-rtu", "serial", "ble"])]
    label: Annotated[str, Meta(description="What people call it.")] = ""
    carries: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="How many devices it can carry. An RS-485 line 32, where nothing is said; of other buses nobody knows."),
    ] = None


class Device(Keys, frozen=True, kw_only=True):
    """`[device.NAME]` and the top of a profile: what every device has; the rest are its driver's keys and `points`."""

    bus: Annotated[str, Meta(description="Name of the bus it hangs on.")] = ""
    profile: Annotated[str, Meta(description="Name of a profile file, without .toml.")] = ""
    driver: Annotated[str, Meta(description='Bus family that a profile is for: "modbus", "serial", "ble".')] = ""
    every: Annotated[Seconds, Meta(ge=0.05, description="How often it is asked.")] = 10.0
    timeout: Annotated[Seconds, Meta(ge=0.05, le=60, description="How long one request may take.")] = 1.0
    needs: Annotated[
        tuple[str, ...],
        Meta(
            description='What it hangs on beside its bus, which explains its silence: "device.NAME", "bus.NAME" or "device/point".'
        ),
    ] = ()
    part_of: Annotated[
        PartOf,
        Meta(description="What it is a part of, where its owner follows from that: a router of the network, say."),
    ] = ""
    label: Annotated[str, Meta(description="What people call it; its name where this is empty.")] = ""
    privacy: Annotated[
        Literal["", "open", "household", "personal"],
        Meta(description="The class of its points that have none of their own; that of [privacy] where this is empty."),
    ] = ""
    maker: Annotated[str, Meta(description="Who made it.")] = ""
    model: Annotated[str, Meta(description="Which model it is.")] = ""
    manual: Annotated[str, Meta(description="The manual and table that the points are from.")] = ""
    serial: Annotated[str, Meta(description="Its serial number.")] = ""
    firmware: Annotated[str, Meta(description="Version of its firmware.")] = ""
    firmware_point: Annotated[str, Meta(description="The one of its points that tells that version, where it does.")] = ""
    installed: Annotated[date | None, Meta(description="When it was put in: 2024-05-01, without quotes.")] = None
    warranty_until: Annotated[date | None, Meta(description="Last day of its warranty.")] = None
    maintenance_every: Annotated[
        Annotated[Seconds, Meta(ge=86400)] | None,
        Meta(description='How often it wants maintenance, counted from the last or from when it was put in: "180 d".'),
    ] = None
    serviced: Annotated[
        date | None, Meta(description="When it last had maintenance, as far as the hub was not told: 2026-03-01, without quotes.")
    ] = None


class DeviceConfig(Keys, frozen=True, kw_only=True):
    """A device with everything resolved: profile merged, keys sorted by whose they are."""

    name: str
    common: Device
    keys: Any
    points: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What people call it."""
        return self.common.label or self.name


class BusConfig(Keys, frozen=True, kw_only=True):
    """A bus with its driver's keys and what the driver needs to open it."""

    name: str
    common: Bus
    spec: BusSpec


class Config(Keys, frozen=True, kw_only=True, dict=True):
    """A whole config without a mistake in it."""

    hub: Hub
    uplink: Uplink | None
    outbox: Outbox = Outbox()
    limits: Limits = Limits()
    downlink: Downlink = Downlink()
    privacy: Privacy = Privacy()
    desk: Desk
    owners: Mapping[str, Owner]
    buses: Mapping[str, BusConfig]
    devices: Mapping[str, DeviceConfig]
    rules: Mapping[str, RuleKeys]
    built_in: frozenset[str] = frozenset()  # those of the rules that no file names
    remedies: Mapping[str, Remedy] = field(default_factory=dict)
    maintenance: Mapping[str, Maintenance] = field(default_factory=dict)
    insights: Mapping[str, Insight] = field(default_factory=dict)
    digests: Digest = Digest()
    files: tuple[str, ...] = field(default_factory=tuple)
    digest: str = ""  # twelve hex digits of what the files say

    def points(self) -> tuple[PointInfo, ...]:
        """Every point of every device, the state of each device and bus, and what the hub knows of itself."""
        return self._points

    @cached_property
    def _points(self) -> tuple[PointInfo, ...]:
        found = []
        for name, device in self.devices.items():
            line, every = device.common.bus, device.common.every
            told = {point: keys for point, keys in device.points.items() if keys.told}
            for point, keys in told.items():
                label = keys.label or f"{device.title} {point.replace('_', ' ')}"
                found.append(PointInfo(f"{name}/{point}", name, point, keys.unit, label, device.title, keys.holds, line, every))
            if not told:
                continue  # it only ever listens, so nobody can say how it is
            found.append(PointInfo(f"{name}/{STATE}", name, STATE, "", f"{device.title} state", device.title, "text", line, every))
        for name, bus in self.buses.items():
            title = bus.common.label or f"bus {name}"
            found.append(PointInfo(f"bus.{name}/{STATE}", f"bus.{name}", STATE, "", f"{title} state", title, "text"))
        return (*found, *hub_parts.points())

    def surroundings(self, wall: Wall) -> Surroundings:
        """What hangs on what, and when nobody wants to hear of it; `wall` tells the local time."""
        windows = {name: one.window() for name, one in self.maintenance.items()}
        return Surroundings(dict(self._parents()), self.hub.settle, self.hub.grace, windows, wall)

    def _parents(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """What each bus and device hangs on, the nearest first."""
        everything = f"{HUB}/*"
        yield everything, (f"{HUB}/power",)
        for part in ("network", "clock"):
            yield f"{HUB}/{part}", (everything,)
        yield f"{HUB}/uplink", (f"{HUB}/network", f"{HUB}/clock")
        for name, bus in self.buses.items():
            away = getattr(bus.spec.keys, "host", "") not in ("", "localhost", "127.0.0.1", "::1")
            yield f"bus.{name}/{STATE}", (f"{HUB}/network" if away else everything,)
        for name, device in self.devices.items():
            yield f"{name}/{STATE}", (*map(node_of, device.common.needs), f"bus.{device.common.bus}/{STATE}")
