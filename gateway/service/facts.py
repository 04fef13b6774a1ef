"""What the service asks of the hub, answered by its engine, its config and its clock."""

from datetime import datetime
from zoneinfo import ZoneInfo

from drivers.contract import NoValue, Outcome
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.config.units import convert
from gateway.diagnosis.contract import Evidence, PointInfo
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.expression import Expression, Scope, parse


class HubFacts:
    """See `contract.Facts`. `engine` is swapped when the config is."""

    def __init__(self, config: Config, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._zone = ZoneInfo(config.hub.time_zone)
        self._points = {point.id: point for point in config.points()}
        self._conditions: dict[str, Expression] = {}

    def wall(self, at: float) -> datetime | None:
        """See `contract.Facts.wall`."""
        return self._clock.utc(at).astimezone(self._zone) if self._clock.synced() else None

    def point(self, point_id: str) -> PointInfo | None:
        """See `contract.Facts.point`."""
        return self._points.get(point_id)

    def last(self, point_id: str) -> tuple[Outcome, float] | None:
        """See `contract.Facts.last`."""
        return self._engine.last(point_id)

    def known_since(self, point_id: str) -> float | None:
        """See `contract.Facts.known_since`."""
        return self._engine.known_since(point_id)

    def evidence(self, point: PointInfo, since: float, at: float) -> Evidence | None:
        """See `contract.Facts.evidence`."""
        return self._engine.evidence(point, since, at)

    def holds(self, condition: str) -> bool | None:
        """See `contract.Facts.holds`. Raises ExpressionError for a text that is no condition."""
        expression = self._conditions.get(condition)
        if expression is None:
            expression = self._conditions[condition] = parse(condition, Scope(list(self._points.values()), convert))
        newest = [self._engine.last(point.id) for point in expression.points]
        values = [None if one is None or isinstance(one[0], NoValue) else one[0] for one in newest]
        known = [
            None if self._engine.known_since(point.id) is None else value
            for point, value in zip(expression.points, values, strict=True)
        ]
        return expression.evaluate(known, self._clock.now())

    def readings(self) -> int:
        """See `contract.Facts.readings`."""
        return self._engine.readings
