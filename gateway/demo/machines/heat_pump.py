"""A heat pump that short-cycles: too large for the mild day, on a system with too little water.

Physics: the water between pump and floor is one heat capacity, C dT/dt = Q_pump - UA (T_water - T_house). The controller starts
the compressor below the set point and stops it above, with a fixed differential. A start costs wear: makers allow about six an
hour. With the buffer tank shut off (a valve left closed after service) C falls to a tenth, the same differential is crossed
ten times as fast, and starts per hour go up in proportion.
"""

import random

HOUSE = 21.0  # °C
OUTPUT = 9_000.0  # W of heat while it runs
FLOOR = 350.0  # W/K from the water into the house
TANK, PIPES = 1_250_000.0, 120_000.0  # J/K: with 300 l of water in all, and with the pipes alone
SET_POINT, DIFFERENTIAL = 35.0, 5.0  # °C, K
REST = 120.0  # s that a compressor must stand still before it may start again


class HeatPump:
    """`supply_temp` and `return_temp` in °C, `power` in W, `starts` counted for life; `tank_shut` is the fault."""

    def __init__(self, seed: int = 2) -> None:
        self._random = random.Random(seed)
        self._water = SET_POINT
        self._rested = REST
        self.running = False
        self.starts = 4_211
        self.tank_shut = False
        self.supply_temp = self.return_temp = self._water
        self.power = 15.0

    def advance(self, seconds: float) -> None:
        """Move the heat pump's own time on."""
        while seconds > 0:
            self._step(min(seconds, 5.0))
            seconds -= 5.0

    def _step(self, dt: float) -> None:
        self._rested += dt
        if self.running and self._water > SET_POINT + DIFFERENTIAL / 2:
            self.running, self._rested = False, 0.0
        elif not self.running and self._water < SET_POINT - DIFFERENTIAL / 2 and self._rested >= REST:
            self.running = True
            self.starts += 1
        heat = OUTPUT if self.running else 0.0
        capacity = PIPES if self.tank_shut else TANK
        self._water += (heat - FLOOR * (self._water - HOUSE)) / capacity * dt
        self.power = (heat / 4.2 if self.running else 15.0) + self._random.gauss(0, 5)  # a COP of 4.2 at this temperature lift
        self.supply_temp = self._water + (3.0 if self.running else 0.0) + self._random.gauss(0, 0.05)
        self.return_temp = self._water - 2.0 + self._random.gauss(0, 0.05)
