"""From histories of units that were run to their end to a life model of their make; what such a model is, `life.py` says.

1. Keep the points that move between the start and the end of a life.
2. Scale each by its scatter from row to row, and take the main directions of their slow movement: as many as stand clear of the
   noise, at most three.
3. Turn every row into features, by the code that the hub runs.
4. Ridge regression of log(remaining + shift), remaining life being capped, on the features and their products.
5. The same again with a tenth of the units left out at a time: from the errors on those come the interval, the weight of a new
   estimate against the one before, and what is said about how good the model is.

All times scale with the median life of the histories, so nothing has to be set.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from statistics import median
from typing import NamedTuple

from msgspec.structs import replace

from gateway.diagnosis.life import Axes, LifeModel, MadeFrom, Path, blended, dot, solve

LEAST = 10  # histories; a good model wants some twenty
SMOOTH = (0.02, 0.08, 0.32)  # time constants, as shares of the median life, like all times here
START = 0.15  # length of a unit's own start
SHIFT = 0.075
CAP = 0.66  # more than this is learnt as this: nothing of the end can be seen yet
FAR, FAR_WEIGHT = 0.8, 0.3  # rows further from the end than this weigh less
YOUNG = 0.075  # rows younger than this are not fitted
SLOW = 0.05  # time constant with which slow movement is told from noise
SLACK = 0.025  # what an error of the interval is taken relative to, at the least
RIDGE = 1e-4
AXES = 3
CLEAR = 3.0  # an axis counts when its slow movement is this many times the noise that is left in it
ENDS = 10  # rows at the start and at the end of a history that are compared
MOVES = 3.0  # a point counts when they differ by this many standard errors
FOLDS = 10
BLENDS = (1.0, 0.5, 0.3, 0.2, 0.12)
NEAR = 1.35  # an interval is made of the errors of estimates up to this many times smaller or larger


class UnlearnableError(ValueError):
    """No model can be made of these histories; one line for a person."""


class History(NamedTuple):
    """One unit from its start to its end: times (s) and rows of values, NaN where there was none."""

    times: Sequence[float]
    rows: Sequence[Sequence[float]]

    @property
    def life(self) -> float:
        """How long it lived (s)."""
        return self.times[-1] - self.times[0]

    def column(self, index: int) -> list[float]:
        """The values of one point."""
        return [row[index] for row in self.rows if math.isfinite(row[index])]


class Point(NamedTuple):
    """A point that moves over a life: its column, its middle, its scatter from row to row."""

    column: int
    centre: float
    noise: float


class Step(NamedTuple):
    """A unit at one of its rows."""

    age: float
    remaining: float
    features: list[float]


class Estimate(NamedTuple):
    """What a model said of a unit at one of its rows, and the truth (s)."""

    age: float
    remaining: float
    estimate: float


def learn(histories: Sequence[History], names: Sequence[str], name: str, source: str = "") -> LifeModel:
    """The model of these units; `names` are the points of a row. Raises UnlearnableError."""
    if len(histories) < LEAST:
        few = "1 history is" if len(histories) == 1 else f"{len(histories)} histories are"
        raise UnlearnableError(f"{few} too few to learn from; it takes {LEAST} units run to their end, better {2 * LEAST}")
    points = moving(histories, len(names))
    if len(points) < 2:
        raise UnlearnableError("fewer than two points differ between the start and the end of a life; no wear is to be seen")
    life = median(history.life for history in histories)
    axes = [_shorts(axis) for axis in directions(histories, points, SLOW * life)]
    centre, noise = tuple(_short(point.centre, 9) for point in points), _shorts(point.noise for point in points)
    taus = tuple(share * life for share in SMOOTH)
    lives = [list(steps(history, points, Path(Axes(centre, noise, axes), taus, START * life))) for history in histories]
    features = [step.features for lived in lives for step in lived]
    columns = list(zip(*features, strict=True))
    mean = _shorts(sum(column) / len(column) for column in columns)
    width = len(columns)
    blank = LifeModel(
        name=name,
        source=source,
        points=tuple(names[point.column] for point in points),
        every_s=median([after - before for history in histories for before, after in pairwise(history.times)]),
        centre=centre,
        noise=noise,
        axes=tuple(axes),
        smooth_s=taus,
        start_s=START * life,
        shift_s=SHIFT * life,
        cap_s=CAP * life,
        slack_s=SLACK * life,
        mean=mean,
        spread=_shorts(_spread(column, middle) for column, middle in zip(columns, mean, strict=True)),
        low=_shorts(map(min, columns)),
        high=_shorts(map(max, columns)),
        offset=0.0,
        linear=(0.0,) * width,
        square=tuple((0.0,) * (width - i) for i in range(width)),
        blend=1.0,
        interval=((0.0, 0.0, 9.0), (life, 0.0, 9.0)),
        made_from=MadeFrom(units=len(histories), rows=len(features), median_life_s=life, held_out_rmse_s=0.0),
    )
    return fitted(blank, lives)


def _spread(column: Sequence[float], middle: float) -> float:
    return math.sqrt(sum([(x - middle) ** 2 for x in column]) / len(column)) + 1e-12


def fitted(blank: LifeModel, lives: Sequence[Sequence[Step]]) -> LifeModel:
    """The model with its weights, and with what it is worth on units that it has not seen."""
    life = blank.made_from.median_life_s
    parts = [equations(lived, blank) for lived in lives]
    total = Equations(len(parts[0].right))
    for part in parts:
        total.add(part)
    raw: list[list[Estimate]] = [[] for _ in lives]
    for fold in range(FOLDS):
        others = Equations(len(total.right))
        others.add(total)
        for unit in range(fold, len(lives), FOLDS):
            others.add(parts[unit], -1.0)
        model = weighted(blank, others.weights())
        for unit in range(fold, len(lives), FOLDS):
            raw[unit] = [Estimate(age, left, model.remaining(features)) for age, left, features in lives[unit]]
    tried = {blend: [list(running(estimates, blend)) for estimates in raw] for blend in BLENDS}
    blend = min(tried, key=lambda blend: error(tried[blend], blank.cap_s))
    return replace(
        weighted(blank, total.weights()),
        blend=blend,
        interval=tuple(intervals(tried[blend], life, blank.cap_s)),
        made_from=replace(blank.made_from, held_out_rmse_s=round(error(tried[blend], blank.cap_s))),
    )


# ---------------------------------------------------------------- points and axes


def moving(histories: Sequence[History], width: int) -> list[Point]:
    """The points that differ between the start and the end of a life."""
    found = []
    for index in range(width):
        columns = [column for column in (history.column(index) for history in histories) if len(column) >= 3 * ENDS]
        if not columns or 2 * len(columns) < len(histories):
            continue
        noise = math.sqrt(sum(map(_variance, columns)) / len(columns))
        centre = sum(sum(column) / len(column) for column in columns) / len(columns)
        if noise <= 1e-9 * (abs(centre) + 1e-300):
            continue
        moved = median(abs(sum(column[-ENDS:]) - sum(column[:ENDS])) / ENDS for column in columns)
        if moved / (noise * math.sqrt(2.0 / ENDS)) >= MOVES:
            found.append(Point(index, centre, noise))
    return found


def _variance(column: Sequence[float]) -> float:
    """Of the scatter from row to row: half the mean square of the differences (von Neumann)."""
    return sum([(b - a) ** 2 for a, b in pairwise(column)]) / (2 * (len(column) - 1))


def directions(histories: Sequence[History], points: Sequence[Point], tau: float) -> list[list[float]]:
    """Main directions of the smoothed, scaled points, as far as they stand clear of the noise that smoothing leaves."""
    size = len(points)
    cov = [[0.0] * size for _ in range(size)]
    mean = [0.0] * size
    rows, rest = 0, 0.0
    for history in histories:
        for smooth, left in _smoothed(history, points, tau):
            rows += 1
            rest += left
            mean = [m + x for m, x in zip(mean, smooth, strict=True)]
            cov = [[c + x * y for c, y in zip(row, smooth, strict=True)] for row, x in zip(cov, smooth, strict=True)]
    mean = [m / rows for m in mean]
    cov = [[c / rows - x * y for c, y in zip(row, mean, strict=True)] for row, x in zip(cov, mean, strict=True)]
    axes: list[list[float]] = []
    while len(axes) < min(AXES, size):
        axis, strength = _main(cov)
        if axes and strength < CLEAR * rest / rows:
            break
        axes.append(axis)
        cov = [[c - strength * x * y for c, y in zip(row, axis, strict=True)] for row, x in zip(cov, axis, strict=True)]
    return axes


def _smoothed(history: History, points: Sequence[Point], tau: float) -> Iterator[tuple[list[float], float]]:
    """Each row scaled and smoothed, and the variance that white noise keeps in it."""
    smooth: list[float] = []
    before = history.times[0]
    for number, (at, row) in enumerate(zip(history.times, history.rows, strict=True), 1):
        scaled = [(row[column] - centre) / noise for column, centre, noise in points]
        weight = max(1.0 - math.exp((before - at) / tau), 1.0 / number)
        before = at
        smooth = smooth or [x if math.isfinite(x) else 0.0 for x in scaled]
        smooth = [s + weight * (x - s) if math.isfinite(x) else s for s, x in zip(smooth, scaled, strict=True)]
        yield smooth, weight / (2.0 - weight)


def _main(cov: Sequence[Sequence[float]]) -> tuple[list[float], float]:
    """Main axis of a covariance and the variance along it, by power iteration."""
    axis = [1.0 + 0.1 * i for i in range(len(cov))]
    strength = 0.0
    for _ in range(500):
        turned = [dot(row, axis) for row in cov]
        strength = math.sqrt(dot(turned, turned))
        if not strength:
            break
        turned = [x / strength for x in turned]
        if sum((x - y) ** 2 for x, y in zip(axis, turned, strict=True)) < 1e-20:
            break
        axis = turned
    return axis, strength


def steps(history: History, points: Sequence[Point], path: Path) -> Iterator[Step]:
    """The rows of a unit as features."""
    start, end = history.times[0], history.times[-1]
    for at, row in zip(history.times, history.rows, strict=True):
        features = path.add(at - start, [row[point.column] for point in points])
        if features is not None:
            yield Step(at - start, end - at, features)


# ---------------------------------------------------------------- regression


class Equations:
    """Weighted normal equations, which can be added up and taken apart by unit. Only the upper triangle is kept."""

    def __init__(self, size: int) -> None:
        self.matrix = [[0.0] * size for _ in range(size)]
        self.right = [0.0] * size

    def take(self, x: Sequence[float], y: float, weight: float) -> None:
        """One row: what is known, what is asked for."""
        for i, (value, row) in enumerate(zip(x, self.matrix, strict=True)):
            factor = weight * value
            self.right[i] += factor * y
            row[i:] = [a + factor * b for a, b in zip(row[i:], x[i:], strict=True)]

    def add(self, other: "Equations", sign: float = 1.0) -> None:
        """The rows of another, or without them."""
        pairs = zip(self.matrix, other.matrix, strict=True)
        self.matrix = [[a + sign * b for a, b in zip(mine, its, strict=True)] for mine, its in pairs]
        self.right = [a + sign * b for a, b in zip(self.right, other.right, strict=True)]

    def weights(self) -> list[float]:
        """The solution, each column held back by a share of its own spread. Raises UnlearnableError."""
        size, rows = len(self.right), self.matrix[0][0]  # the first column is the constant
        full = [[self.matrix[min(i, j)][max(i, j)] for j in range(size)] for i in range(size)]
        for i in range(1, size):
            full[i][i] += RIDGE * max(self.matrix[i][i] - self.matrix[0][i] ** 2 / max(rows, 1e-300), 1e-9 * rows)
        found = solve(full, self.right)
        if found is None:
            raise UnlearnableError("the histories are too short, or too much alike, for this many points")
        return found


def equations(lived: Sequence[Step], blank: LifeModel) -> Equations:
    """Those of one unit: constant, features, products of features."""
    life, width = blank.made_from.median_life_s, len(blank.mean)
    found = Equations(1 + width + width * (width + 1) // 2)
    for age, remaining, features in lived:
        if age >= YOUNG * life:
            inputs = [(x - m) / s for x, m, s in zip(features, blank.mean, blank.spread, strict=True)]
            products = [x * y for i, x in enumerate(inputs) for y in inputs[i:]]
            target = math.log(min(remaining, blank.cap_s) + blank.shift_s)
            found.take([1.0, *inputs, *products], target, 1.0 if remaining <= FAR * life else FAR_WEIGHT)
    return found


def weighted(blank: LifeModel, weights: Sequence[float]) -> LifeModel:
    """The model with these weights, in the order of `equations`."""
    width = len(blank.mean)
    rest = iter(_shorts(weights))
    offset = next(rest)
    linear = tuple(islice(rest, width))
    return replace(blank, offset=offset, linear=linear, square=tuple(tuple(islice(rest, width - i)) for i in range(width)))


# ---------------------------------------------------------------- what it is worth


def running(estimates: Sequence[Estimate], blend: float) -> Iterator[Estimate]:
    """Successive estimates as the hub would blend them."""
    before, last = -1.0, 0.0
    for age, remaining, estimate in estimates:
        before = blended(before, age - last, estimate, blend)
        last = age
        yield Estimate(age, remaining, before)


def error(units: Sequence[Sequence[Estimate]], cap: float) -> float:
    """Root of the mean square error up to the cap, each unit counting the same (s)."""
    means = []
    for estimates in units:
        squares = [(guess - left) ** 2 for age, left, guess in estimates if left <= 1.1 * cap and age > 0.15 * cap]
        if squares:
            means.append(sum(squares) / len(squares))
    return math.sqrt(sum(means) / max(1, len(means)))


def intervals(units: Sequence[Sequence[Estimate]], life: float, cap: float) -> Iterator[tuple[float, float, float]]:
    """10 % and 90 % points of truth to estimate, by size of the estimate. Raises UnlearnableError."""
    slack = SLACK * life
    # With few units the tails are not seen: widened as for a Student t with a degree of freedom less.
    wider = 1.0 + 1.0 / max(2, len(units))
    found = 0
    for size in _sizes(0.01 * life, 0.98 * cap):
        ratios = sorted(
            (left + slack) / (guess + slack)
            for estimates in units
            for _, left, guess in estimates
            if (size + slack) / NEAR <= guess + slack <= (size + slack) * NEAR
        )
        if len(ratios) >= 20:
            found += 1
            low, high = quantile(ratios, 0.1), quantile(ratios, 0.9)
            yield size, _short(max(0.0, 1.0 - wider * (1.0 - low))), _short(1.0 + wider * (high - 1.0))
    if found < 2:
        raise UnlearnableError("the histories have too few rows for an interval")


def _sizes(least: float, most: float) -> Iterator[float]:
    size = least
    while size < most:
        yield size
        size *= 1.6
    yield most


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order, linear between them."""
    place = share * (len(ordered) - 1)
    index = min(int(place), len(ordered) - 2)
    return ordered[index] + (place - index) * (ordered[index + 1] - ordered[index])


def _short(x: float, digits: int = 6) -> float:
    return float(f"{x:.{digits}g}")


def _shorts(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(map(_short, values))
