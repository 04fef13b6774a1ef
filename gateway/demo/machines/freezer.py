"""A shop freezer whose condenser clogs with dust.

Physics: one lumped heat capacity (air, shelves and goods), C dT/dt = UA (T_room - T) - Q while the compressor runs. A
thermostat switches it between -20 and -17 °C. The condenser must shed what the evaporator takes up plus the compressor's work;
as dust cuts its conductance, the condensing temperature must rise to shed the same heat, and the compressor's capacity falls
about 1 % for each degree (the slope of hermetic compressor data sheets between 35 and 60 °C). So the freezer first runs longer,
then without a pause, and only then gets warm: the customer sees the last of three signs, the hub the first.
"""

import math
import random

ROOM = 22.0  # °C
CAPACITY = 60_000.0  # J/K, about 25 kg of goods
LEAKAGE = 4.0  # W/K through the walls
COOLING = 330.0  # W that the evaporator takes up at 40 °C condensing
WORK = 210.0  # W of electricity at 40 °C condensing
FALL = 0.012  # share of cooling lost per kelvin of condensing temperature
CLEAN = 28.0  # W/K that a clean condenser sheds
ON, OFF = -17.0, -20.0  # °C, thermostat
TRIP, RESET = 75.0, 45.0  # °C condensing: the pressure switch that saves the compressor


class Freezer:
    """`core_temp` and `condenser_temp` in °C, `power` in W, `clogged` from 0 (clean) to 1 (shut)."""

    def __init__(self, seed: int = 1, hours_to_clog: float = 5.0) -> None:
        self._random = random.Random(seed)
        self._clogging = 1 / (hours_to_clog * 3600)
        self.core_temp = -18.5
        self.condenser_temp = ROOM
        self.power = 0.0
        self.running = True
        self.door_open = False
        self.clogged = 0.0
        self._tripped = False

    def advance(self, seconds: float) -> None:
        """Move the freezer's own time on, in steps that its time constants can bear."""
        while seconds > 0:
            self._step(min(seconds, 30.0))
            seconds -= 30.0

    def _step(self, dt: float) -> None:
        self.clogged = min(0.9, self.clogged + self._clogging * dt)
        self.running = self.core_temp > OFF if self.running else self.core_temp > ON
        self._tripped = self.condenser_temp > (RESET if self._tripped else TRIP)
        target, cooling, self.power = ROOM, 0.0, 4.0
        if self.running and not self._tripped:
            # Heat to shed and what can be shed balance at some condensing temperature; two rounds settle it well enough.
            target = self.condenser_temp
            for _ in range(2):
                cooling = COOLING * max(0.0, 1 - FALL * (target - 40))
                self.power = WORK * (1 + 0.01 * (target - 40))
                target = ROOM + (cooling + self.power) / (CLEAN * (1 - self.clogged))
        self.condenser_temp += (target - self.condenser_temp) * (1 - math.exp(-dt / 120))
        self.core_temp += (LEAKAGE * (ROOM - self.core_temp) - cooling) / CAPACITY * dt + self._random.gauss(0, 0.01)
