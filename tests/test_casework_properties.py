"""Whatever happens to devices, lines, owners, configs and the hub: a case has one number, one owner at a time and one end."""

import json
from functools import cache
from typing import Any

from config_of import config_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from drivers.contract import Batch, NoValue
from gateway.clock import VirtualClock
from gateway.config.model import Config
from gateway.config.units import convert
from gateway.diagnosis.causes import SEVERITIES
from gateway.diagnosis.contract import Change, Phase
from gateway.diagnosis.engine import Engine
from gateway.service.casebook import Casebook
from gateway.service.casework import PING_PONG, Casework
from gateway.service.contract import Statement
from gateway.service.facts import HubFacts

from moments_of import change

TEXT = """
[hub]
id = "hub-1"
settle = "3 s"
grace = "20 s"
[owner.maker]
name = "Arctic"
covers = ["device.f*"]
[owner.wires]
name = "Volt & Sons"
covers = ["bus.*"]
[owner.cellarer]
name = "Cellarer"
covers = ["device.g1"]
[bus.plant]
driver = "modbus-rtu"
port = "/dev/ttyUSB0"
[bus.cellar]
driver = "modbus-rtu"
port = "/dev/ttyUSB1"
[rule.device-silent]
after = "4 s"
proof = "30 s"
folds = 0
[rule.bus-down]
after = "12 s"
proof = "30 s"
folds = 0
[rule.warm]
kind = "threshold"
on = "*/x"
above = 50
clear = 40
worse = 80
lasting = "5 s"
proof = "40 s"
folds = 0
[rule.very-warm]
kind = "threshold"
on = "*/x"
above = 85
severity = "critical"
proof = "0 s"
folds = 0
"""
DEVICE = """
[device.{name}]
bus = "{bus}"
unit = {unit}
every = "2 s"
points.x = {{ input = 0 }}
"""
BUS_OF = {"f1": "plant", "f2": "plant", "g1": "cellar"}
FULL = TEXT + "".join(DEVICE.format(name=name, bus=bus, unit=unit) for unit, (name, bus) in enumerate(BUS_OF.items(), 1))
CONFIGS = {
    "full": FULL,
    "without the maker": FULL.replace("[owner.maker]", "[owner.somebody]").replace('"device.f*"', '"hub"'),
    "without a rule": FULL.replace("[rule.warm]\n", "[rule.warm]\nenabled = false\n"),
    "without a device": TEXT
    + "".join(DEVICE.format(name=name, bus=BUS_OF[name], unit=unit) for unit, name in ((1, "f1"), (3, "g1"))),
}
THINGS = [*BUS_OF, "bus.plant", "bus.cellar"]
FORETOLD = "g1/x"
PROOF = 40.0  # s, of the rule "warm"
ENDS = (Phase.CLOSED, Phase.WITHDRAWN)


@cache
def config(name: str) -> Config:
    return config_of(CONFIGS[name])


class Cases(RuleBasedStateMachine):
    """A hub with three devices on two lines, read every 2 s, and what a backend knows of its cases."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.clock = VirtualClock()
        self.wrong: set[str] = set()
        self.values: dict[str, Any] = dict.fromkeys(BUS_OF, 20.0)
        self.config = config("full")
        self.stories: dict[str, list[Statement]] = {}  # by key of the case
        self.foretold: list[str] = []  # forecasts that are open
        self.forecasts = 0
        self.opened: dict[str, int] = {}  # how often each case has opened
        self.unknown: dict[str, float] = {}  # device -> when there was last no value of it
        self.begin()
        self.open_lines()
        self.run(20)

    def begin(self) -> None:
        surroundings = self.config.surroundings(lambda _: None)
        self.engine = Engine(self.config.rules, self.config.points(), convert, self.now, surroundings=surroundings)
        self.book = Casebook(self.config, facts := HubFacts(self.config, self.engine, self.clock))
        self.casework = Casework(self.config, facts, self.book)

    # ------------------------------------------------------------ what happens

    @rule(what=st.sampled_from(THINGS))
    def something_fails_or_works_again(self, what: str) -> None:
        self.run(1)
        self.wrong ^= {what}
        if what.startswith("bus."):
            self.feed(what, "state", "down" if what in self.wrong else "well")
        self.run(1)

    @rule(device=st.sampled_from(list(BUS_OF)), value=st.sampled_from([20.0, 60.0, 90.0, NoValue("sensor open")]))
    def it_reads_something_else(self, device: str, value: Any) -> None:
        self.values[device] = value
        self.run(2)

    @rule(seconds=st.sampled_from([2, 10, 45, 200]))
    def time_passes(self, seconds: int) -> None:
        self.run(seconds)

    @rule(step=st.sampled_from(["opened", "worsened", "averted", "came true", "withdrawn"]), severity=st.sampled_from(SEVERITIES))
    def a_forecast(self, step: str, severity: Any) -> None:
        if step == "opened" and not self.foretold and self.config is config("full"):
            self.forecasts += 1
            self.foretold.append(f"dry:{FORETOLD}#{self.forecasts}")
            self.take([self.forecast(Phase.OPENED, severity)])
        elif step == "worsened" and self.foretold:
            self.take([self.forecast(Phase.WORSENED, severity)])
        elif step != "opened" and self.foretold:
            phase = Phase.WITHDRAWN if step == "withdrawn" else Phase.CLOSED
            self.take([self.forecast(phase, severity, "" if step == "withdrawn" else step)])
            self.foretold.clear()

    def forecast(self, phase: Phase, severity: Any, how: str = "") -> Change:
        point = next(point for point in self.config.points() if point.id == FORETOLD)
        what = {"rule_id": "dry", "kind": "prediction", "point": point, "at": self.now, "since": self.now}
        return change(episode=self.foretold[0], phase=phase, severity=severity, how=how, **what)

    @rule(place=st.integers(0, 5), to=st.sampled_from(["maker", "wires", "somebody", "desk", "nobody"]))
    def the_desk_hands_over(self, place: int, to: str) -> None:
        if self.book.cases:
            case = list(self.book)[place % len(self.book.cases)]
            try:
                self.tell(self.casework.hand_over(case, to, "they know it", self.now))
                assert case.owner.id == to
            except LookupError:
                assert to not in {*self.config.owners, "desk"}

    @rule(place=st.integers(0, 5), well=st.booleans())
    def a_remedy_is_credited(self, place: int, well: bool) -> None:
        if self.book.cases:
            case = list(self.book)[place % len(self.book.cases)]
            case.credit, case.told_well = "by the remedy defrost", well and case.stage == "proving"

    @rule(shift=st.sampled_from([0.0, -400.0, 1000.0]), off=st.sampled_from([0.0, 3.0, 500.0]))
    def the_hub_is_restarted(self, shift: float, off: float) -> None:
        saved = json.loads(json.dumps([self.engine.state(history=False, calm=False), self.casework.memory()]))
        self.now += shift + off
        self.unknown = {device: at + shift + off for device, at in self.unknown.items()}
        for told in self.stories.values():
            told[-1] = replace(told[-1], change=replace(told[-1].change, at=told[-1].change.at + shift))
        self.clock.leap(-shift)
        self.clock.advance(self.now - self.clock.now())
        self.begin()
        ended = self.engine.restore(saved[0], shift=shift, off=off)
        self.tell(self.casework.recall(saved[1], shift, self.now))
        self.casework.pause(off)
        self.take(ended)
        self.run(1)
        self.open_lines()

    @rule(name=st.sampled_from(list(CONFIGS)))
    @precondition(lambda self: not self.foretold)
    def another_config_is_put_to_work(self, name: str) -> None:
        old, known = self.engine, json.loads(json.dumps(self.casework.memory()))
        self.config = config(name)
        self.begin()
        ended = self.engine.adopt(old)
        self.tell(self.casework.recall(known, 0.0, self.now))
        self.take(ended)
        self.run(1)

    # ------------------------------------------------------------ the hub at work

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 1.0
            self.clock.advance(1.0)
            self.take(self.engine.tick(self.now))
            if self.casework.next_due <= self.now:
                self.tell(self.casework.tick(self.now))
            if self.now % 2 == 0:
                self.poll()

    def open_lines(self) -> None:
        for bus in ("plant", "cellar"):
            self.feed(f"bus.{bus}", "state", "down" if f"bus.{bus}" in self.wrong else "well")

    def poll(self) -> None:
        self.feed("hub", "memory_free", 50.0)
        for device, bus in BUS_OF.items():
            well = device not in self.wrong and f"bus.{bus}" not in self.wrong
            if not well or isinstance(self.values[device], NoValue):
                self.unknown[device] = self.now
            if device in self.config.devices:
                if well:
                    self.feed(device, "x", self.values[device])
                state = "well" if well else "mute"
                last = self.engine.last(f"{device}/state")
                if last is None or last[0] != state:
                    self.feed(device, "state", state)

    def feed(self, device: str, point: str, value: Any) -> None:
        self.take(self.engine.feed(Batch(device, self.now, (point,), (value,))))

    def take(self, changes: Any) -> None:
        self.casework.look_ahead(changes)
        for one in changes:
            before = {case.key: case.stage for case in self.book}
            told = list(self.casework.take(Statement(change=one)))
            if one.phase is Phase.OPENED:
                case = self.book.holding(one.episode)
                assert case is not None, "an episode that opens has a case"
                if before.get(case.key) != "open":
                    self.opened[case.key] = 1 + (self.opened[case.key] if case.key in before else 0)
            self.tell(told)

    def tell(self, statements: Any) -> None:
        for statement in statements:
            told = self.stories.setdefault(statement.change.episode, [])
            if told and told[-1].change.phase in ENDS and statement.change.phase is Phase.OPENED:
                told.clear()  # a device that was taken out of the config and put back: its cases are others, with other numbers
            self.check(statement, told)
            told.append(statement)

    # ------------------------------------------------------------ what must be true

    def check(self, statement: Statement, before: list[Statement]) -> None:
        """One more moment of a case."""
        now = statement.change
        assert statement.owner is not None
        assert statement.owner.id in {*self.config.owners, "desk"} or now.how == "by another configuration"
        assert now.says
        assert (now.phase is Phase.OPENED) is not bool(before), "one opening, and it comes first"
        assert now.openings == self.opened.get(now.episode, 1)
        handed = statement.adds.get("handed_over")
        if before:
            last = before[-1]
            assert last.change.phase not in ENDS, "nothing is told of a case that was closed"
            assert last.owner is not None
            assert last.change.at <= now.at
            assert (handed is not None) is (last.owner.id != statement.owner.id), (
                "the owner changes by a hand-over, and by nothing else"
            )
            assert last.change.kind == now.kind or (last.change.kind, now.kind) == ("prediction", "problem")
            assert now.phase is not Phase.WITHDRAWN or now.kind == "prediction"
        if handed is not None:
            assert (now.phase, handed.from_, handed.to) == (Phase.HANDED_OVER, before[-1].owner.id, statement.owner.id)
            assert handed.because
        if now.phase is Phase.CLOSED:
            self.check_end(now)

    def check_end(self, now: Change) -> None:
        proven = now.how in ("by itself", "by the owner it was handed over to", "by the remedy defrost")
        assert proven or now.how in ("by another configuration", "came true", "averted", "averted by the remedy defrost")
        if proven and now.rule_id == "warm":
            assert now.at - self.unknown.get(now.point.device, -1e9) >= PROOF - 2, "with values throughout"
            assert self.values[now.point.device] == 20.0, "and well at its end"

    @invariant()
    def no_case_is_lost(self) -> None:
        open_ = {key for key, told in self.stories.items() if told[-1].change.phase not in ENDS}
        assert open_ == set(self.book.cases), "what was told as opened is in the book until it is told as closed"
        held = [episode for case in self.book for episode in case.episodes]
        assert len(held) == len(set(held)), "an episode belongs to one case"
        standing = {one.episode for one in self.engine.open_episodes() if not one.clearing or self.is_open(one.episode)}
        assert standing - set(held) == set(), "what the diagnosis has told as open is in a case"
        assert set(held) <= {one.episode for one in self.engine.open_episodes()} | set(self.foretold), "what is over is in none"
        for case in self.book:
            assert (case.stage == "open") is bool(case.episodes)
            assert (case.stage == "proving") is (case.well_since is not None)
            assert case.openings == self.opened[case.key]
            assert case.lead in case.episodes or case.stage == "proving"

    def is_open(self, episode: str) -> bool:
        return any(one.episode == episode for one in self.engine.open_episodes())

    @invariant()
    def no_two_are_about_the_same_point(self) -> None:
        points = [point for case in self.book for point in case.points]
        assert len(points) == len(set(points))

    @invariant()
    def none_goes_to_and_fro(self) -> None:
        for case in self.book:
            by_evidence = [
                one for one in case.handovers if not one.by and not one.because.startswith(("Arctic", "maker", "somebody"))
            ]
            for pair in {frozenset((one.from_, one.to)) for one in by_evidence}:
                recent = [one for one in by_evidence if {one.from_, one.to} == pair and self.now - one.at < PING_PONG]
                assert len(recent) <= 2

    def teardown(self) -> None:
        """Everything works again: after a while every case is closed, and what was open is nowhere else."""
        if self.foretold:
            self.take([self.forecast(Phase.CLOSED, "info", "averted")])
            self.foretold.clear()
        for what in list(self.wrong):
            self.something_fails_or_works_again(what)
        self.values = dict.fromkeys(BUS_OF, 20.0)
        self.run(300)
        self.no_case_is_lost()
        assert not self.book.cases, (list(self.book), self.engine.open_episodes(), self.now)


TestCases = Cases.TestCase
TestCases.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
