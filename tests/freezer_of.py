"""A freezer whose hub may do something about it: the service at work on readings, with its orders held in the test's hand."""

import json
from datetime import UTC, datetime
from pathlib import Path

import stories_of
from config_of import PLANT, config_of, with_own_rules

from drivers.contract import Batch
from gateway.store import Store

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
FREEZER = """
[device.freezer]
bus = "plant"
unit = 1
every = "10 s"
label = "Freezer"
[device.freezer.points]
core = { input = 100, type = "int16", scale = 0.1, unit = "°C", label = "Freezer core" }
door = { discrete = 3 }
setpoint = { holding = 10, type = "int16", scale = 0.1, unit = "°C", writable = true }
relay = { coil = 4, writable = true }
[device.cellar]
bus = "plant"
unit = 2
every = "10 s"
[device.cellar.points]
core = { input = 100, type = "int16", scale = 0.1, unit = "°C" }
[rule.warm]
kind = "threshold"
on = "*/core"
above = "-15 °C"
clear = "-16 °C"
says = "{device} is too warm."
"""


class House(stories_of.Hub):
    """The hub. `stored` is what its memory was when it last told anything, `given` are the orders that have been handed out."""

    def __init__(self, folder: Path, store: Store, more: str = "", rule: str = "") -> None:
        self.folder = folder
        self.given = []
        self.stored = None
        self._news = True  # to be stored
        self._rests = False  # nothing is begun
        super().__init__(with_own_rules(config_of(PLANT + FREEZER + rule + more, folder)), store, START)
        self.read(core=-18.0, door=False, setpoint=-18.0, relay=True)

    # ------------------------------------------------------------ what happens

    def read(self, device="freezer", **values):
        """The device is read, now, and what is due then is done."""
        self.clock.advance(0.1)
        self.tell(self.service.take(self.engine.feed(Batch(device, self.now(), tuple(values), tuple(values.values())))))
        return self.wait(0)

    def wait(self, seconds):
        """Time passes, in which nothing is read."""
        self.wait_until(self.now() + seconds + stories_of.TICK)
        return self

    def restart(self, off=0.0):
        """The hub is killed and started again: it knows what was stored, and whatever it was doing is cut short."""
        engine, memory = self.stored
        self.clock.advance(off)
        self.given = []
        self._begin()
        changes = self.engine.restore(engine, off=off)
        told = self.service.recall(memory, 0.0, self.now(), off)
        self.tell([*told, *self.service.take(changes)])
        return self

    def reload(self, more="", rule=""):
        """Another config comes."""
        self._rests = True
        while self.given:
            self.break_off()
        self._rests = False
        memory, old = self.service.memory(), self.engine
        self.config = with_own_rules(config_of(PLANT + FREEZER + rule + more, self.folder))
        self._begin()
        ended = self.engine.adopt(old)
        self.tell(self.service.recall(memory, 0.0, self.now()))
        self.tell(self.service.take(ended))
        return self

    # ------------------------------------------------------------ what the hub does

    def tell(self, statements):
        """See `stories_of.Hub`; what is told is stored with what the hub knows."""
        self._news = bool(statements) or self._news
        super().tell(statements)

    def _carry_out(self):
        """Store what the hub knows, if there is news; then the orders go out that are in it."""
        orders = [] if self._rests else self.service.remedies.orders(self.now())
        if not (orders or self._news):
            return
        self._news = False
        state = self.engine.state(history=False, calm=False)
        self.stored = json.loads(json.dumps([state, self.service.memory()]))
        for order in orders:
            self.check(order)
            if self.service.remedies.hand_out(order):
                self.given.append(order)

    def check(self, order):
        """An order goes out of which `stored` knows."""
        remembered = self.stored[1]["remedies"]
        known = {one["number"]: one for one in (*remembered["attempts"], *remembered["mendings"])}
        entry = known[order.number]
        tries = [one for case in self.stored[1]["cases"] if case["key"] == entry["case"] for one in case["tried"]]
        assert any((one["what"], one["at"]) == (f"remedy {entry['remedy']}", entry["at"]) for one in tries) or order.restores

    def finish(self, *, done=True, says="it was done", before=None):
        """The order that went out first has been carried out, or could not be."""
        order, self._news = self.given.pop(0), True
        remedies = self.service.remedies
        self.tell(self.service.say("remedies", remedies.done(order.number, self.now(), done=done, says=says, before=before)))
        return order

    def break_off(self):
        """The order that went out first is broken off."""
        order, self._news = self.given.pop(0), True
        self.tell(self.service.say("remedies", self.service.remedies.broken_off(order.number, self.now())))
        return order

    # ------------------------------------------------------------ what is seen of it

    @property
    def case(self):
        """The only case that is open."""
        (case,) = self.service.book
        return case

    def said(self):
        """Kind, phase and severity of what was told."""
        return [(moment.data.kind, moment.data.phase.value, moment.data.severity) for moment in self.moments]

    def tried(self):
        """What the case has of what was done about it."""
        return [(one.what, one.result) for one in self.case.tried]

    def against(self, name, **how):
        """What stands against a remedy in the only case."""
        return list(self.service.remedies.obstacles(name, self.case, self.now(), **how))
