"""A Bluetooth thermometer on a coin cell that runs down in the cold.

Physics: a CR2032 holds about 220 mAh at a nearly flat 2.95 V, and falls off a cliff over its last tenth; its internal
resistance grows as it empties and as it gets colder, so that the dip at each advert (about 10 mA) ends its life before the
charge is gone. What the sensor reports as "percent" is a guess from the voltage, as in most of them: flat for a year, then
suddenly low.
"""

import random

CHARGE = 220.0  # mAh
DRAW = 0.015  # mA on average: one advert in ten seconds


class BatterySensor:
    """`temperature` in °C, `humidity` in %, `voltage` in V under load, `battery` in % as the sensor guesses it; `dead` at last."""

    def __init__(self, seed: int = 4, used: float = 0.84, hurry: float = 300.0) -> None:
        self._random = random.Random(seed)
        self._left = CHARGE * (1 - used)
        self._draw = DRAW * hurry  # a year must fit into a minute
        self.temperature = 4.0
        self.humidity = 71.0
        self.voltage = 2.95
        self.battery = 100
        self.dead = False
        self.packet = 0

    def advance(self, seconds: float) -> None:
        """Move the sensor's own time on."""
        self._left = max(0.0, self._left - self._draw * seconds / 3600)
        full = self._left / CHARGE
        resistance = 15 + 8 / max(full, 0.005) * (1 + max(0.0, 20 - self.temperature) * 0.03)  # ohm
        open_circuit = 2.98 - 0.06 * (1 - full) - (0.6 * (1 - full / 0.1) ** 2 if full < 0.1 else 0.0)
        self.voltage = max(0.0, open_circuit - 0.010 * resistance / 10)
        self.battery = round(max(0.0, min(1.0, (self.voltage - 2.0) / 0.9)) * 100)
        self.dead = self.voltage < 2.0
        self.temperature += (4.0 - self.temperature) * 0.1 + self._random.gauss(0, 0.05)
        self.humidity += (71.0 - self.humidity) * 0.1 + self._random.gauss(0, 0.3)
        self.packet = (self.packet + 1) % 256
