"""Remaining life of a unit, from a small model that was learnt from units of the same make.

Claims      "Units that looked like this one had about so much left; eight in ten had between so much and so much." The claim is
            about the end that the histories given to `canary learn` ended in, and about nothing else.
Assumes     The points of one make move together along a few slow directions as a unit wears, and scatter around them with a noise
            that is independent from reading to reading (a factor model; Jackson, "A User's Guide to Principal Components", 1991,
            ch. 17). The first reading is from near the start of the unit's life, or after an overhaul that made it as new: its own
            start and its age count. Wear does not heal.
Method      Each row becomes a position along one to three axes, by least squares over the points that are there and agree with the
            others. It is smoothed at three time constants and compared with the unit's own first stretch; these and the age are the
            features. A linear map of the features and their products gives log(remaining + shift): Coble and Hines, "Applying the
            General Path Model to Estimation of Remaining Useful Life", IJPHM 2011; the remaining life is capped while learning, as
            Heimes does ("Recurrent Neural Networks for Remaining Useful Life Estimation", PHM 2008). Features are held inside the
            range that the histories covered, so the map is never asked beyond it. The interval is the spread of the errors on
            histories that were left out of the fit, by size of the estimate (split conformal; Papadopoulos et al., ECML 2002).

Memory: some 20 numbers a unit; the model itself, about 10 KB, is shared.
"""

from collections.abc import Sequence
from functools import cached_property
from math import exp, isfinite, nan, sqrt
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

OUTLIER = 6.0  # a point this many of its noise widths off the others' story is left out
MOST = 0.5  # weight of one row, however long the gap before it (but for the first rows)
ABSURD = 1e9  # noise widths; what is further off than this is no reading
SHARE = 0.5  # at least this share of the points must agree
LEVERAGE = 0.05  # least share of its own residual that a point is taken to keep

Row = Sequence[float | None]


class Axes:
    """The slow directions along which the points of a make move, and a row's position along them."""

    def __init__(self, centre: Sequence[float], noise: Sequence[float], axes: Sequence[Sequence[float]]) -> None:
        """`centre` and `noise` are each point's middle and scatter from row to row; `axes` are orthonormal in units of noise."""
        self._centre = centre
        self._scale = [1.0 / width for width in noise]
        self._axes = axes
        # A point that an axis leans on pulls the axis along and hides its own fault, so the limit is studentised (Cook and
        # Weisberg, "Residuals and Influence in Regression", 1982).
        self._limits = [
            OUTLIER * sqrt(max(LEVERAGE, 1.0 - sum(x * x for x in column))) for column in zip(*axes, strict=True)
        ]  # fmt: skip

    def __len__(self) -> int:
        return len(self._axes)

    def position(self, row: Row) -> list[float] | None:
        """Where a row lies; None when too few points tell one story."""
        try:
            scaled = [(x - c) * s for x, c, s in zip(row, self._centre, self._scale, strict=True)]  # type: ignore[operator]
        except TypeError:
            return self._robust(row)
        found = [sum([a * x for a, x in zip(axis, scaled, strict=True)]) for axis in self._axes]
        if isfinite(sum(found)) and not any(map(_beyond, scaled, self._told(found), self._limits)):
            return found
        return self._robust(row)

    def _told(self, position: Sequence[float]) -> list[float]:
        """What every point would be, by the others' story."""
        told = [position[0] * a for a in self._axes[0]]
        for x, axis in zip(position[1:], self._axes[1:], strict=True):
            told = [so_far + x * a for so_far, a in zip(told, axis, strict=True)]
        return told

    def _robust(self, row: Row) -> list[float] | None:
        """Least squares over what is there, dropping the worst point until the rest agree."""
        there = {
            i: (x - c) * s
            for i, (x, c, s) in enumerate(zip(row, self._centre, self._scale, strict=True))
            if x is not None and abs(x - c) * s < ABSURD
        }
        while len(there) >= max(len(self) + 1, SHARE * len(self._centre)):
            gram = [[sum(a[i] * b[i] for i in there) for b in self._axes] for a in self._axes]
            found = solve(gram, [sum(axis[i] * x for i, x in there.items()) for axis in self._axes])
            if found is None:
                return None
            worst, size = -1, OUTLIER
            for i, x in there.items():
                at = [axis[i] for axis in self._axes]
                pull = solve(gram, at) or at
                off = abs(x - dot(found, at)) / sqrt(max(LEVERAGE, 1.0 - dot(pull, at)))
                if off > size:
                    worst, size = i, off
            if worst < 0:
                return found
            del there[worst]
        return None


def _beyond(value: float, told: float, limit: float) -> bool:
    return abs(value - told) > limit


class Path:
    """The way of one unit along the axes: rows in, features out. `learn` and the hub use the same."""

    __slots__ = ("_age", "_axes", "_own", "_own_rows", "_rows", "_smooth", "_start_s", "_taus")

    def __init__(self, axes: Axes, taus: Sequence[float], start_s: float) -> None:
        self._axes = axes
        self._taus = taus
        self._start_s = start_s
        self._age = 0.0  # of the last row (s)
        self._rows = 0  # used so far
        self._smooth = [0.0] * (len(axes) * len(taus))
        self._own = [0.0] * len(axes)  # mean position over the own start
        self._own_rows = 0

    def add(self, age: float, row: Row) -> list[float] | None:
        """Features after a row of this age (s since the first; later than the one before); None when it was of no use."""
        position = self._axes.position(row)
        if position is None:
            return None
        passed = age - self._age
        self._age = age
        self._rows += 1
        smooth, i = self._smooth, 0
        for tau in self._taus:
            weight = max(min(1.0 - exp(-passed / tau), MOST), 1.0 / self._rows)
            for x in position:
                smooth[i] += weight * (x - smooth[i])
                i += 1
        if age < self._start_s:
            self._own_rows += 1
            self._own = [own + (x - own) / self._own_rows for own, x in zip(self._own, position, strict=True)]
        return [*smooth, *self._own, age]

    def memory(self) -> list[Any]:
        """Itself as plain data."""
        return [self._age, self._rows, self._own_rows, *self._smooth, *self._own]

    def recall(self, memory: list[Any]) -> None:
        """Take up what `memory` gave."""
        self._age, self._rows, self._own_rows, *rest = memory
        size = len(self._smooth)
        self._smooth, self._own = rest[:size], rest[size:]


class MadeFrom(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model was learnt from, and how good it was on histories that it had not seen."""

    units: int
    rows: int
    median_life_s: float
    held_out_rmse_s: float


class LifeModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The file that `canary learn` writes: JSON, times in seconds, one entry a point, an axis or a feature where lists are."""

    format: Literal["canary-life-1"] = "canary-life-1"
    name: str
    source: str = ""  # where the histories are from
    points: tuple[str, ...]
    every_s: float  # from row to row of the histories
    centre: tuple[float, ...]
    noise: tuple[float, ...]
    axes: tuple[tuple[float, ...], ...]
    smooth_s: tuple[float, ...]  # time constants
    start_s: float  # length of a unit's own start
    shift_s: float
    cap_s: float
    slack_s: float
    mean: tuple[float, ...]  # of the features, like the three below
    spread: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    offset: float
    linear: tuple[float, ...]
    square: tuple[tuple[float, ...], ...]  # row i: weights of feature i times features i, i + 1, ...
    blend: float  # weight of a new estimate against the one before
    interval: tuple[tuple[float, float, float], ...]  # estimate, then 10 % and 90 % points of (truth + slack) / (estimate + slack)
    made_from: MadeFrom

    def __post_init__(self) -> None:
        """Raise ValueError where the lists do not fit each other."""
        points, axes, features = len(self.points), len(self.axes), len(self.mean)
        lists_fit = (
            axes > 0
            and len(self.centre) == len(self.noise) == points
            and all(len(axis) == points for axis in self.axes)
            and features == axes * (len(self.smooth_s) + 1) + 1
            and len(self.spread) == len(self.low) == len(self.high) == len(self.linear) == features
            and [len(row) for row in self.square] == list(range(features, 0, -1))
            and len(self.interval) >= 2
        )
        positive = (*self.noise, *self.spread, *self.smooth_s, self.every_s, self.shift_s, self.slack_s)
        if not lists_fit or min(positive, default=0.0) <= 0.0 or not 0.0 < self.blend <= 1.0:
            raise ValueError("its numbers do not fit each other")

    @cached_property
    def directions(self) -> Axes:
        """The axes, ready for use."""
        return Axes(self.centre, self.noise, self.axes)

    def path(self) -> Path:
        """The path of a new unit."""
        return Path(self.directions, self.smooth_s, self.start_s)

    def remaining(self, features: Sequence[float]) -> float:
        """Remaining life (s)."""
        bounds = zip(features, self.mean, self.spread, self.low, self.high, strict=True)
        inputs = [(min(max(x, low), high) - mean) / spread for x, mean, spread, low, high in bounds]
        total = self.offset
        for i, (x, weight, row) in enumerate(zip(inputs, self.linear, self.square, strict=True)):
            total += x * (weight + dot(row, inputs[i:]))
        return max(0.0, exp(min(total, 60.0)) - self.shift_s)

    def between(self, remaining: float) -> tuple[float, float]:
        """Where the truth lies eight times in ten (s), linear between the sizes of estimate that were learnt."""
        bins = self.interval
        i = 1
        while i < len(bins) - 1 and bins[i][0] < remaining:
            i += 1
        (x0, low0, high0), (x1, low1, high1) = bins[i - 1], bins[i]
        share = min(1.0, max(0.0, (remaining - x0) / (x1 - x0)))
        slack = self.slack_s
        low = (remaining + slack) * (low0 + share * (low1 - low0)) - slack
        high = (remaining + slack) * (high0 + share * (high1 - high0)) - slack
        return max(0.0, min(low, remaining)), max(high, remaining)


def decode(text: str | bytes) -> LifeModel:
    """The model in a file. Raises ValueError, in words, when it is none."""
    try:
        return msgspec.json.decode(text, type=LifeModel)
    except msgspec.DecodeError as error:  # ValidationError is one too
        raise ValueError(f"this is no life model as `canary learn` writes them: {error}") from None


class Remaining(NamedTuple):
    """An estimate and the interval that holds the truth eight times in ten (s)."""

    left_s: float
    least_s: float
    most_s: float


class Life:
    """Running remaining life of one unit."""

    __slots__ = ("_age", "_left_s", "_model", "_path")

    def __init__(self, model: LifeModel) -> None:
        self._model = model
        self._path = model.path()
        self._age = 0.0  # at the last estimate
        self._left_s = -1.0  # that estimate; negative before there is one

    def add(self, age: float, row: Row) -> Remaining | None:
        """Take in a row, in the order of `model.points`, of an age in seconds; None when it was of no use."""
        features = self._path.add(age, row)
        if features is None:
            return None
        left = blended(self._left_s, age - self._age, self._model.remaining(features), self._model.blend)
        self._age, self._left_s = age, left
        return Remaining(left, *self._model.between(left))

    def memory(self) -> list[Any]:
        """Itself as plain data."""
        return [self._age, self._left_s, self._path.memory()]

    def recall(self, memory: list[Any]) -> None:
        """Take up what `memory` gave."""
        self._age, self._left_s, path = memory
        self._path.recall(path)


def blended(before: float, passed: float, estimate: float, blend: float) -> float:
    """What is believed after a new estimate: what was believed `passed` seconds ago shrinks with time and is nudged."""
    if before < 0.0:
        return estimate
    kept = max(0.0, before - passed)
    return kept + blend * (estimate - kept)


# ---------------------------------------------------------------- arithmetic


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Inner product."""
    return sum([x * y for x, y in zip(a, b, strict=True)])


def solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float] | None:
    """Solution of a small symmetric positive system by Gauss with pivoting; None when it is singular."""
    size = len(right)
    rows = [[*row, y] for row, y in zip(matrix, right, strict=True)]
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(rows[r][i]))
        if not abs(rows[pivot][i]) >= 1e-9:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        top = rows[i]
        for r in range(i + 1, size):
            factor = rows[r][i] / top[i]
            if factor:
                rows[r] = [x - factor * y for x, y in zip(rows[r], top, strict=True)]
    solution = [nan] * size
    for i in range(size - 1, -1, -1):
        solution[i] = (rows[i][size] - sum(rows[i][j] * solution[j] for j in range(i + 1, size))) / rows[i][i]
    return solution
