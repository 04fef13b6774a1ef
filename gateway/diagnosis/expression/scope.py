"""What the names in a condition may stand for."""

from collections.abc import Mapping, Sequence

from gateway.diagnosis.contract import PointInfo
from gateway.diagnosis.expression.reading import nearest
from gateway.diagnosis.watch import ToUnit


class Scope:
    """The points there are; and the device that a point without one is of, if any."""

    __slots__ = ("_points", "device", "to_unit")

    def __init__(self, points: Sequence[PointInfo] | Mapping[str, PointInfo], to_unit: ToUnit, device: str = "") -> None:
        self._points = points if isinstance(points, Mapping) else {point.id: point for point in points}
        self.to_unit = to_unit
        self.device = device

    def of(self, device: str) -> "Scope":
        """The same, for another device."""
        return Scope(self._points, self.to_unit, device)

    def full(self, name: str) -> str:
        """The id of the point that a name means, whether it is there or not; "" of a bare name where no device is at hand."""
        return name if "/" in name else f"{self.device}/{name}" if self.device else ""

    def find(self, name: str) -> PointInfo | None:
        """The point of a name."""
        return self._points.get(self.full(name))

    def suggest(self, name: str) -> str:
        """What was probably meant by a name that no point has; "" where nobody knows."""
        if "." in name and self.find(dotted := name.replace(".", "/", 1)):
            return dotted
        for place, sign in enumerate(name):
            if sign == "-" and self.find(name[:place]):
                return f"{name[:place]} - {name[place + 1 :]}"
        device, slash, point = self.full(name).rpartition("/")
        if not slash:  # of any device, then
            owners = [one for one in self._points.values() if one.name == name]
            return owners[0].id if len(owners) == 1 else ""
        devices = {one.device for one in self._points.values()}
        if device not in devices:
            having = {one.device for one in self._points.values() if one.name == point}
            device = nearest(device, having or devices)
        point = nearest(point, [one.name for one in self._points.values() if one.device == device])
        return "" if not device or not point else f"{device}/{point}" if "/" in name else point
