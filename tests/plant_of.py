"""A plant whose hub is without wires, and what may befall it in any order. What must be true after a step is beside the steps."""

import asyncio
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from stories_of import Hub

from drivers.contract import Batch, NoValue
from gateway.commands import CommandError
from gateway.config import load
from gateway.config.model import Config
from gateway.diagnosis.causes import SEVERITIES
from gateway.diagnosis.contract import Change, Phase
from gateway.moments import Moment
from gateway.service.attempt import Order
from gateway.service.casework import ENDS
from gateway.store import Store

from moments_of import change

START = datetime(2026, 3, 2, 7, 55, tzinfo=UTC)
PLANT = """
[hub]
id = "hub-1"
settle = "3 s"
grace = "20 s"
[digest]
every = "daily"
[owner.cooling]
covers = ["device.freezer", "device.cellar"]
[owner.wires]
covers = ["bus.*"]
[bus.plant]
driver = "modbus-rtu"
port = "/dev/ttyUSB0"
[bus.yard]
driver = "modbus-tcp"
host = "192.168.1.20"
[device.freezer]
bus = "plant"
unit = 1
every = "5 s"
points.core = { input = 1, type = "int16", unit = "°C" }
points.setpoint = { holding = 1, type = "int16", unit = "°C", writable = true }
[device.cellar]
bus = "plant"
unit = 2
every = "5 s"
points.core = { input = 1, type = "int16", unit = "°C" }
[device.relay]
bus = "yard"
unit = 1
every = "5 s"
points.cellar = { coil = 1, writable = true }
[rule.device-silent]
after = "11 s"
proof = "30 s"
folds = 0
[rule.bus-down]
after = "45 s"                          # longer than what it explains is held back for
proof = "30 s"
folds = 0
[rule.warm]
kind = "threshold"
on = "*/core"
above = -15
clear = -16
worse = -8
lasting = "8 s"
proof = "40 s"
folds = 0
steps = [{ do = "Close the door.", by = "customer", shown_by = "core < -17 °C", within = "1 min" }]
[rule.hot]
kind = "threshold"
on = "*/core"
above = 0
severity = "critical"
proof = "0 s"
folds = 0
[remedy.colder]
for = "warm"
on = "freezer"
write = "freezer/setpoint"
value = -24.0
proof = "core < -16 °C"
harm = "core > -4 °C"
within = "30 s"
tries = 2
spacing = "10 s"
per_day = 50
[remedy.restart]
for = ["warm", "device-silent"]
on = "cellar"
cycle = "relay/cellar"
off_for = "5 s"
within = "30 s"
tries = 2
spacing = "10 s"
per_day = 50
"""
CORES = ["freezer", "cellar"]
THINGS = [*CORES, "bus.plant", "relay"]
MUTED = [*THINGS, "warm"]
WELL, WARM, WARMER, HOT = -18.0, -12.0, -6.0, 4.0
POLL = 5.0  # s
OF_ONE_MOMENT = {"milestone", "visit", "digest", "insight"}  # kinds; here no rule tells an insight


def without(*tables: str) -> str:
    """The plant's config without some of its tables, and what hangs on them."""
    kept = [part for part in PLANT.split("\n[") if not part.startswith(tables)]
    return "\n[".join(kept)


CONFIGS = {
    "whole": PLANT,
    "without a rule, an owner and a remedy": without("rule.hot]", "owner.wires]", "remedy.colder]"),
    "without the cellar": without("device.cellar]", "remedy.restart]").replace(', "device.cellar"]', "]"),
}


@cache
def config(name: str = "whole") -> Config:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "hub.toml"
        path.write_text(CONFIGS[name], "utf-8")
        return load(path)


class Plant(Hub):
    """The hub, with what it does in the world in the test's hand. under_way: orders that are being carried out."""

    def __init__(self, store: Store) -> None:
        self.under_way: list[Order] = []
        self.rests = False  # it begins nothing
        super().__init__(config(), store, START)

    def _carry_out(self) -> None:
        if not self.rests:
            self.under_way += filter(self.service.remedies.hand_out, self.service.remedies.orders(self.now()))

    def finish(self, done: bool) -> None:
        """The oldest order comes to its end."""
        order, remedies = self.under_way.pop(0), self.service.remedies
        if order.number in remedies.stopped():
            said = remedies.broken_off(order.number, self.now())
        else:
            said = remedies.done(order.number, self.now(), done=done, says="the hub did it" if done else "no answer")
        self.tell(self.service.say("remedies", said))

    def restart_after(self, off: float, shift: float, config: Config) -> None:
        """Killed, whatever was under way, and started on another timeline, with this config; what means nothing was not saved."""
        saved = json.loads(json.dumps([self.engine.state(history=False, calm=False), self.service.memory()]))
        self.under_way.clear()
        self.clock.leap(-shift)
        self.clock.advance(off + shift)
        self.config = config
        self._begin()
        ended = self.engine.restore(saved[0], shift=shift, off=off)
        self.tell([*self.service.recall(saved[1], shift, self.now(), off), *self.service.take(ended)])

    def go_by(self, config: Config) -> None:
        """Another config, as `agent.Hub` takes it up: what is being done is broken off first."""
        self.rests = True
        while self.under_way:
            self.tell(self.service.say("remedies", self.service.remedies.broken_off(self.under_way.pop(0).number, self.now())))
        engine, known = self.engine, self.service.memory()
        self.config = config
        self._begin()
        ended = self.engine.adopt(engine)
        self.rests = False
        self.tell([*self.service.recall(known, 0.0, self.now()), *self.service.take(ended)])

    def ask_for(self, name: str, **fields: Any) -> bool:
        """A command; false where it was refused."""
        try:
            asyncio.run(self.commands.read(name, fields, "person").perform())
        except CommandError:
            return False
        return True


class Service(RuleBasedStateMachine):
    """A plant, and what the desk knows of its cases from moments alone."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.store = Store.open(Path(self.folder.name) / "canary.db")
        self.hub = Plant(self.store)
        self.wrong: set[str] = set()
        self.cores: dict[str, Any] = dict.fromkeys(CORES, WELL)
        self.states: dict[str, str] = {}
        self.stories: dict[str, list[Moment]] = {}  # by number of the case
        self.heard = 0  # moments of the hub that the desk has read
        self.foretold: Change | None = None
        self.forecasts = 0
        self.run(20)

    # ------------------------------------------------------------ findings

    @rule(thing=st.sampled_from(THINGS))
    def something_falls_silent_or_is_heard_again(self, thing: str) -> None:
        self.wrong ^= {thing}
        self.run(20)

    @rule(device=st.sampled_from(CORES), value=st.sampled_from([WELL, WARM, WARMER, HOT, NoValue("sensor open")]))
    def it_reads_something_else(self, device: str, value: Any) -> None:
        self.cores[device] = value
        self.run(10)

    @rule(seconds=st.sampled_from([5, 20, 50, 120]))
    def time_passes(self, seconds: int) -> None:
        self.run(seconds)

    @rule(step=st.sampled_from(["worsened", "averted", "came true", "withdrawn"]), severity=st.sampled_from(SEVERITIES))
    def a_forecast(self, step: str, severity: Any) -> None:
        """It begins, or goes on, or ends."""
        if "cellar" not in self.hub.config.devices:
            return
        if self.foretold is None:
            self.forecasts += 1
            self.foretold = self.forecast(Phase.OPENED, severity)
            self.hear([self.foretold])
        elif step == "worsened":
            self.hear([self.forecast(Phase.WORSENED, severity)])
        else:
            phase = Phase.WITHDRAWN if step == "withdrawn" else Phase.CLOSED
            self.hear([self.forecast(phase, severity, "" if step == "withdrawn" else step)])
            self.foretold = None

    def forecast(self, phase: Phase, severity: Any, how: str = "") -> Change:
        point = next(point for point in config().points() if point.id == "cellar/core")
        when = {"at": self.hub.now(), "since": self.hub.now()}
        of = {"episode": f"dry:cellar/core#{self.forecasts}", "rule_id": "dry", "kind": "prediction"}
        return change(**of, **when, point=point, phase=phase, severity=severity, how=how)

    def hear(self, changes: list[Change]) -> None:
        self.hub.tell(self.hub.service.take(changes))

    # ------------------------------------------------------------ hand-overs, remedies, visits, restarts

    @rule(place=st.integers(0, 3), to=st.sampled_from(["cooling", "wires", "desk", "nobody"]))
    def somebody_hands_a_case_over(self, place: int, to: str) -> None:
        if open_ := self.open_numbers():
            done = self.hub.ask_for("hand-over", case=open_[place % len(open_)], to=to, because="they know it")
            assert not done or to != "nobody"

    @rule(done=st.booleans(), then=st.sampled_from([None, WELL, HOT]))
    @precondition(lambda self: self.hub.under_way)
    def what_the_hub_does_comes_to_its_end(self, done: bool, then: float | None) -> None:
        device = self.hub.under_way[0].action.device
        self.hub.finish(done)
        if then is not None:
            self.cores["freezer" if device == "freezer" else "cellar"] = then
            self.run(10)

    @rule(on=st.sampled_from([(), ("freezer",), ("bus.plant",), ("relay",)]), lasts=st.sampled_from(["1 min", "1 h"]))
    def a_visit_starts(self, on: tuple[str, ...], lasts: str) -> None:
        is_on = self.hub.service.memory()["visits"]["visit"] is not None
        assert self.hub.ask_for("visit-start", by="Jan", on=list(on), **{"for": lasts}) is not is_on

    @rule(device=st.sampled_from(CORES))
    def it_is_replaced(self, device: str) -> None:
        if self.hub.ask_for("visit-replaced", device=device):
            self.cores[device] = WELL

    @rule()
    def the_visit_ends(self) -> None:
        self.hub.ask_for("visit-end")

    @rule(what=st.sampled_from(MUTED), lasts=st.sampled_from(["1 min", "1 h"]))
    def somebody_wants_to_hear_nothing_of(self, what: str, lasts: str) -> None:
        self.hub.ask_for("mute", what=what, **{"for": lasts})

    @rule(what=st.sampled_from(MUTED))
    def somebody_wants_to_hear_of_it_again(self, what: str) -> None:
        self.hub.ask_for("unmute", what=what)

    @rule(off=st.sampled_from([0.5, 3.0, 500.0, 50000.0]), shift=st.sampled_from([0.0, 1000.0]))
    def the_hub_is_killed_and_started(self, off: float, shift: float) -> None:
        self.start_again(off, shift, self.hub.config)

    @rule(off=st.sampled_from([0.5, 500.0]), name=st.sampled_from([*CONFIGS]))
    def it_is_started_with_another_config(self, off: float, name: str) -> None:
        self.start_again(off, 0.0, config(name))

    def start_again(self, off: float, shift: float, config: Config) -> None:
        self.hub.restart_after(off, shift, config)
        self.states.clear()
        if self.foretold:  # the diagnosis, which knows of it, moves it along
            self.foretold = self.forecast(Phase.OPENED, "warning")
        self.end_what_is_gone()
        self.poll()

    @rule(name=st.sampled_from([*CONFIGS]))
    def another_config_is_put_to_work(self, name: str) -> None:
        self.hub.go_by(config(name))
        self.end_what_is_gone()
        self.states = {thing: state for thing, state in self.states.items() if self.is_there(thing)}
        self.poll()

    def end_what_is_gone(self) -> None:
        if self.foretold and "cellar" not in self.hub.config.devices:  # the diagnosis, which knows of it, ends it
            self.hear([self.forecast(Phase.CLOSED, "info", "no longer watched")])
            self.foretold = None

    def is_there(self, thing: str) -> bool:
        return thing in self.hub.config.devices or thing.removeprefix("bus.") in self.hub.config.buses

    # ------------------------------------------------------------ the hub at work

    def run(self, seconds: float) -> None:
        end = self.hub.now() + seconds
        while self.hub.now() < end:
            self.hub.wait_until(self.hub.now() + POLL)
            self.poll()

    def poll(self) -> None:
        for bus in ("plant", "yard"):
            self.is_in_state(f"bus.{bus}", f"bus.{bus}" not in self.wrong, "down")
        for device in filter(self.is_there, (*CORES, "relay")):
            bus = "bus.yard" if device == "relay" else "bus.plant"
            heard = not self.wrong & {device, bus}
            if heard and device == "relay":
                self.read("relay", cellar=True)
            elif heard:
                self.read(device, core=self.cores[device], **({"setpoint": -18.0} if device == "freezer" else {}))
            self.is_in_state(device, heard, "mute")

    def is_in_state(self, thing: str, well: bool, otherwise: str) -> None:
        state = "well" if well else otherwise
        if self.states.get(thing) != state:
            self.states[thing] = state
            self.read(thing, state=state)

    def read(self, device: str, **values: Any) -> None:
        self.hub.tell(
            self.hub.service.take(self.hub.engine.feed(Batch(device, self.hub.now(), tuple(values), tuple(values.values()))))
        )

    # ------------------------------------------------------------ what must be true

    def open_numbers(self) -> list[str]:
        """The cases that were told and have had no end."""
        lasting = {number: told[-1].data for number, told in self.stories.items() if told[0].data.kind not in OF_ONE_MOMENT}
        return [number for number, last in lasting.items() if last.phase not in ENDS]

    @invariant()
    def each_moment_follows_from_those_before_it(self) -> None:
        for moment in self.hub.moments[self.heard :]:
            story = self.stories.setdefault(moment.data.case, [])
            self.check(moment, story)
            story.append(moment)
        self.heard = len(self.hub.moments)

    def check(self, moment: Moment, before: list[Moment]) -> None:
        now = moment.data
        if not before:
            is_account = now.kind == "insight"  # of what was muted
            assert now.phase is (Phase.CLOSED if is_account else Phase.OPENED), "a case begins with its opening"
            assert now.kind != "recovery"
            assert now.handed_over is None
            return
        last = before[-1].data
        assert before[0].data.kind not in OF_ONE_MOMENT, "what is told once is told once"
        assert last.phase not in ENDS, "nothing is told of a case that was closed"
        assert now.phase is not Phase.OPENED or now.kind == "recovery", "and it is opened once"
        changed_hands = now.owner.id != last.owner.id
        assert (now.handed_over is not None) is changed_hands, "an owner goes by a hand-over, and by nothing else"
        if now.handed_over is not None:
            assert (now.phase, now.handed_over.from_, now.handed_over.to) == (Phase.HANDED_OVER, last.owner.id, now.owner.id)
            assert now.handed_over.because

    @invariant()
    def no_case_is_lost(self) -> None:
        numbers = self.hub.desk.numbers()
        assert sorted(numbers.values()) == sorted(self.open_numbers()), "who is told of a case is told of its end"
        book, visits = self.hub.service.book, self.hub.service.memory()["visits"]
        kept = visits["visit"]["kept"] if visits["visit"] else {}
        for key, number in numbers.items():
            assert book.get(key) or kept[key]["closing"], f"{number} is in the book, or its end waits for that of a visit"
        for case in book:
            waits = case.key in visits["untold"] or (case.key in kept and kept[case.key]["opening"])
            assert (case.key in numbers) is not bool(waits), "each was told, or waits for the end of a visit"
        held = [episode for case in book for episode in case.episodes]
        assert len(held) == len(set(held)), "an episode belongs to one case"
        assert {one.episode for one in self.hub.engine.open_episodes()} <= set(held), "and each that was found to one"

    @invariant()
    def the_owner_in_the_book_is_the_one_who_was_told(self) -> None:
        numbers = self.hub.desk.numbers()
        if self.hub.service.memory()["visits"]["visit"] is None:
            for key, number in numbers.items():
                case = self.hub.service.book.get(key)
                assert case is not None
                assert case.owner.id == self.stories[number][-1].data.owner.id

    def teardown(self) -> None:
        """Nothing is wrong any more: after a while every case that was opened is closed, and none is left anywhere."""
        try:
            if self.foretold:
                self.hear([self.forecast(Phase.CLOSED, "info", "averted")])
            self.wrong.clear()
            self.cores = dict.fromkeys(CORES, WELL)
            self.hub.ask_for("visit-end")
            for what in MUTED:
                self.hub.ask_for("unmute", what=what)
            for _ in range(12):
                self.run(30)
                while self.hub.under_way:
                    self.hub.finish(True)
            self.each_moment_follows_from_those_before_it()
            self.no_case_is_lost()
            assert not self.open_numbers()
            assert not self.hub.service.book.cases
        finally:
            self.store.close()
            self.folder.cleanup()
