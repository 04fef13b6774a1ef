"""A water meter in a house with a toilet that begins to leak at night.

Flow is the sum of draws that come and go and of a leak that does not. Draws follow the hours of the day (almost none between
one and five), last from a few seconds to minutes, and take 2 to 12 l/min. A worn flapper leaks about 0.3 l/min, some 400 l a
day: too little for a person to notice, but a house in order has many minutes each night in which nothing flows at all, and that
is what gives a leak away.
"""

import random

LEAK = 0.3  # l/min
BUSY = (1, 0.4, 0.3, 0.3, 0.4, 1, 5, 9, 8, 5, 4, 4, 5, 4, 3, 3, 4, 6, 8, 8, 7, 6, 4, 2)  # draws an hour, by hour of the day


class WaterMeter:
    """`volume` in litres counted for life, `flow` in l/min, `hour` of its day; `leaking` is the fault."""

    def __init__(self, seed: int = 3, hour: float = 22.0) -> None:
        self._random = random.Random(seed)
        self.hour = hour
        self.volume = 184_302.0
        self.flow = 0.0
        self.leaking = False
        self._draws: list[tuple[float, float]] = []  # (seconds left, l/min)

    def advance(self, seconds: float) -> None:
        """Move the meter's own time on."""
        while seconds > 0:
            self._step(min(seconds, 15.0))
            seconds -= 15.0

    def _step(self, dt: float) -> None:
        self.hour = (self.hour + dt / 3600) % 24
        if self._random.random() < BUSY[int(self.hour)] * dt / 3600:
            self._draws.append((self._random.uniform(10, 300), self._random.uniform(2, 12)))
        self._draws = [(left - dt, rate) for left, rate in self._draws if left > dt]
        self.flow = sum(rate for _, rate in self._draws) + (LEAK if self.leaking else 0.0)
        self.volume += self.flow * dt / 60
