"""What the service asks of the hub, answered by its engine, its config and its clock."""

from datetime import datetime
from zoneinfo import ZoneInfo

from drivers.contract import NoValue, Outcome
from gateway.clock import Clock, week_time
from gateway.config.model import Config
from gateway.config.units import convert
from gateway.diagnosis.contract import Evidence, PointInfo
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.expression import Expression, ExpressionError, Scope, parse


class HubFacts:
    """See `contract.Facts`. `engine` is swapped when the config is."""

    def __init__(self, config: Config, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._zone = ZoneInfo(config.hub.time_zone)
        self._points = {point.id: point for point in config.points()}
        self._week = week_time(clock, self._zone)
        self._scope = Scope(self._points, convert)
        self._conditions: dict[tuple[str, str], Expression | None] = {}

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

    def is_suspect(self, point_id: str) -> bool:
        """See `contract.Facts.is_suspect`."""
        return self._engine.is_suspect(point_id)

    def is_shown(self, episode: str, since: float) -> bool:
        """See `contract.Facts.is_shown`."""
        return self._engine.is_shown(episode, since)

    def evidence(self, point: PointInfo, since: float, at: float) -> Evidence | None:
        """See `contract.Facts.evidence`."""
        return self._engine.evidence(point, since, at)

    def holds(self, condition: str, device: str = "") -> bool | None:
        """See `contract.Facts.holds`. Raises ExpressionError for a text that is no condition and has no device."""
        expression = self._condition(condition, device)
        if expression is None:
            return None
        newest = [self._engine.last(point.id) for point in expression.points]
        values = [None if one is None or isinstance(one[0], NoValue) else one[0] for one in newest]
        known = [
            None if self._engine.known_since(point.id) is None else value
            for point, value in zip(expression.points, values, strict=True)
        ]
        return expression.evaluate(known, self._clock.now(), self._week)

    def _condition(self, condition: str, device: str) -> Expression | None:
        """What a text says of a device; None for one that lacks a point of it."""
        if (condition, device) not in self._conditions:
            try:
                self._conditions[condition, device] = parse(condition, self._scope.of(device))
            except ExpressionError:
                if not device:
                    raise
                self._conditions[condition, device] = None
        return self._conditions[condition, device]

    def readings(self) -> int:
        """See `contract.Facts.readings`."""
        return self._engine.readings
