"""The hub's diagnosis as a detector for the scorer of recorded series.

    python score.py FOLDER --plugin tests.yardstick:make --blind --affine 7        from the project's root

One real `Engine` for each series, with the rules that a technician would write knowing no more than the columns and the limits, and
every key at its default: the same for all series. Changes become the scorer's answers: a moment opens or revises, its end closes,
and the standing forecast, which a view of the hub shows, is told beside them without being a moment.
"""

import importlib.util
import re
import site
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

if importlib.util.find_spec("msgspec") is None:  # the scorer was started by another Python than that of `make`
    for packages in Path(__file__).parent.parent.glob(".venv/lib/python*/site-packages"):
        site.addsitedir(str(packages))

from drivers.contract import Batch, NoValue
from gateway.config.units import convert
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import Change, Phase, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.engine import Engine

DEVICE = "unit"
MODELS = Path(__file__).parent.parent / "drivers" / "profiles"
FAR = 400 * 86400.0  # what is told the scorer, which wants a number, where no crossing is in sight
LIMIT = re.compile(r"\s*(?P<column>[\w.]+)\s*(?P<side>[<>])=?\s*(?P<level>[-+0-9.eE]+)\s*")
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (as the series: the local time of some place)
WEEK, MONDAY = 7 * 86400.0, 4 * 86400.0  # s; 1970 began on a Thursday
LAST = (Phase.CLOSED, Phase.WITHDRAWN)


def make(meta: dict[str, Any]) -> "Detector":
    """A detector for one series; see the scorer's help."""
    return Detector(meta["columns"], dict(rules(meta)))


def rules(meta: dict[str, Any]) -> Iterator[tuple[str, RuleKeys]]:
    """A life where a shipped model knows the columns; else a trend towards each limit; else what is normal is learnt."""
    models = [path.read_text() for path in sorted(MODELS.glob("*.json"))]
    fitting = [text for text in models if not unfit(text, meta["columns"])]
    limits = [found for text in meta.get("limits", ()) if (found := LIMIT.fullmatch(text))]
    for number, text in enumerate(fitting):
        yield f"life-{number}", written("trend", "*", model=text)
    if fitting:
        return
    for number, limit in enumerate(limits):
        side = "above" if limit["side"] == ">" else "below"
        yield f"trend-{number}", written("trend", limit["column"], **{side: Quantity(float(limit["level"]), "")})
    if not limits:
        yield from unlimited(meta)


def unlimited(meta: dict[str, Any]) -> Iterator[tuple[str, RuleKeys]]:
    """The rules of a series of which nothing is known: one, for all its columns, that learns for as long as nothing is scored."""
    yield "anomaly", written("anomaly", "*", jointly=True, learn=max(1.0, meta["learn_rows"] * meta["step_s"]))


def written(kind: str, column: str, **keys: Any) -> RuleKeys:
    made: RuleKeys = load_kind(kind).Keys(kind=kind, on=(f"{DEVICE}/{column}",), **keys)
    return made


def unfit(text: str, columns: Sequence[str]) -> bool:
    """Whether a model needs a column that is not there."""
    return bool(load_kind("trend").unfit(written("trend", "*", model=text), points(columns)))


def points(columns: Sequence[str]) -> list[PointInfo]:
    return [PointInfo(f"{DEVICE}/{column}", DEVICE, column, "", column, DEVICE) for column in columns]


class Detector:
    """Rows in, answers out."""

    def __init__(self, columns: Sequence[str], rules: dict[str, RuleKeys]) -> None:
        self._columns = tuple(columns)
        self._rules = rules
        self._foretells = any(rule.kind == "trend" for rule in rules.values())
        self._engine: Engine | None = None  # its time begins with the first row

    def push(self, ts: str, values: Sequence[float]) -> list[dict[str, Any]]:
        at = (datetime.fromisoformat(ts) - EPOCH).total_seconds()
        if self._engine is None:
            self._engine = Engine(self._rules, points(self._columns), convert, at, lambda at: (at - MONDAY) % WEEK)
        row = tuple(NoValue("empty") if value != value else value for value in values)  # noqa: PLR0124  (NaN)
        changes = self._engine.feed(Batch(DEVICE, at, self._columns, row))
        told = list(map(answer, changes))
        return [*self._standing(at), *told] if self._foretells else told

    def _standing(self, at: float) -> Iterator[dict[str, Any]]:
        assert self._engine is not None
        for standing in self._engine.forecasts(at):
            if forecast := standing.forecast:
                yield {
                    "eta_s": min(forecast.in_s, FAR),
                    "eta_lo_s": forecast.earliest_s,
                    "eta_hi_s": min(forecast.latest_s, FAR),
                }


def answer(change: Change) -> dict[str, Any]:
    """One step of an episode in the scorer's words."""
    if change.phase in LAST:
        return {"kind": change.rule_id, "close": True}
    told: dict[str, Any] = {"kind": change.rule_id, "confidence": 0.5 if change.confidence is None else change.confidence}
    if change.forecast:
        told |= {"confidence": change.forecast.confidence, "eta_s": change.forecast.in_s}
    return told
