"""All that was read, by point: the columns of all devices, the plans in which they come, and what is remembered of them.

Promises
- Memory is constant for each point: its newest reading, and a past of limited length where somebody watches it.
- It is the same after `memory` and `recall`, but for what was left out of it.
"""

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drivers.contract import Batch, NoValue, Outcome
from gateway.diagnosis.columns import Column, Device, Plan, missing
from gateway.diagnosis.contract import STATE, Evidence, PointInfo
from gateway.diagnosis.watch import NEVER, Local, Watch


class Table:
    """The devices of a hub and their columns."""

    def __init__(self, points: Sequence[PointInfo], local: Local, now: float) -> None:
        self.devices: dict[str, Device] = {}
        self.columns: dict[str, Column] = {}
        self._local = local
        for point in points:
            device = self.devices.setdefault(point.device, Device(local))
            self.columns[point.id] = column = Column(point, device, now)
            device.columns.append(column)

    def place(self, watch: Watch, now: float) -> None:
        """Show a watch the column of its point."""
        column = self.columns.get(watch.point.id)
        if column is None:  # of a head: nobody reads it
            device = self.devices.get(watch.point.device) or Device(self._local)
            self.columns[watch.point.id] = column = Column(watch.point, device, now)
        column.watches = (*column.watches, watch)
        watch.sight = column

    def plan(self, device: Device, batch: Batch, now: float) -> Plan:
        """The plan for batches of this shape, which is there from then on."""
        plan = device.plans.get(batch.points)
        if plan is None:
            columns = [self._column(device, batch.device, name, now) for name in batch.points]
            device.plans[batch.points] = plan = Plan(batch.points, columns)
        plan.points = batch.points
        return plan

    def _column(self, device: Device, device_id: str, name: str, now: float) -> Column:
        point_id = f"{device_id}/{name}"
        column = self.columns.get(point_id)
        if column is None:  # no rule knows it, but views may ask for its last value
            column = Column(PointInfo(point_id, device_id, name, "", name, device_id), device, now)
            self.columns[point_id] = column
        return column

    # ------------------------------------------------------------ what was read

    def last(self, point_id: str) -> tuple[Outcome, float] | None:
        """The newest reading of a point and its time; None where there has been none."""
        column = self.columns.get(point_id)
        return column.last() if column else None

    def known_since(self, point_id: str) -> float | None:
        """Since when a point has had a value without a break, None while it has none. "device/*" stands for all that have one."""
        device, _, name = point_id.partition("/")
        if name == "*":
            known = self.devices.get(device)
            columns = [column for column in known.columns if column.point.name != STATE] if known else []
        else:
            columns = [column] if (column := self.columns.get(point_id)) else []
        times = [column.known_since for column in columns if column.missing is None]
        return max((time for time in times if time is not None), default=None)

    def heard(self, device: str) -> float | None:
        """When a device last said anything; None where it has no points."""
        known = self.devices.get(device)
        columns = known.columns if known else ()
        return max((column.seen() for column in columns if column.point.name != STATE), default=None)

    def evidence(self, point: PointInfo, since: float, at: float) -> Evidence | None:
        """What was seen of a point; see `History.evidence`."""
        column = self.columns.get(point.id)
        histories = ((plan.history, index) for plan, index in column.places()) if column else ()
        return next((history.evidence(index, point.unit, since, at) for history, index in histories if history), None)

    def past(self) -> Iterator[Batch]:
        """What is remembered of all watched points, in the order of time; see `History.past`. What was no number is left out."""
        return heapq.merge(
            *(
                self._remembered(name, plan)
                for name, device in self.devices.items()
                for plan in device.plans.values()
                if plan.history
            ),
            key=lambda batch: batch.at,
        )

    def past_of(self, point_id: str) -> list[tuple[float, float]]:
        """Times and values that are remembered of one point; see `History.past`."""
        column = self.columns.get(point_id)
        places = column.places() if column else ()
        pairs = ((at, row[index]) for plan, index in places if plan.history for at, row in plan.history.past())
        return sorted((at, value) for at, value in pairs if math.isfinite(value))

    @staticmethod
    def _remembered(device: str, plan: Plan) -> Iterator[Batch]:
        assert plan.history
        for at, row in plan.history.past():
            known = [(name, value) for name, value in zip(plan.points, row, strict=True) if math.isfinite(value)]
            yield Batch(device, at, tuple(name for name, _ in known), tuple(value for _, value in known))

    # ------------------------------------------------------------ across a restart

    def memory(self, *, history: bool) -> dict[str, Any]:
        """Itself as plain data; without `history` only when everything was read last, and what was lost."""
        plans = [
            {
                "device": name,
                "points": list(plan.points),
                "at": plan.at,
                "history": plan.history.memory() if history and plan.history else None,
                "values": [None if missing(value) else value for value in plan.values] if history else [],
            }
            for name, device in self.devices.items()
            for plan in device.plans.values()
        ]
        voids = {
            column.point.id: [column.seen_before, column.missing.reason if column.missing else None]
            for column in self.columns.values()
            if column.seen() == column.seen_before
        }
        return {"plans": plans, "voids": voids}

    def recall(self, memory: Mapping[str, Any], shift: float, off: float, now: float) -> None:
        """Take up what `memory` gave; `off` is how long nothing was read (s), which is no silence."""
        for kept in memory["plans"]:
            self._recall_plan(kept, shift, now)
        for point_id, (seen_before, reason) in memory["voids"].items():
            if column := self.columns.get(point_id):
                column.seen_before = seen_before + shift
                column.missing = None if reason is None else NoValue(reason)
        if off:
            for column in self.columns.values():
                column.seen_before = column.seen() + off

    def _recall_plan(self, kept: Mapping[str, Any], shift: float, now: float) -> None:
        device = self.devices.get(kept["device"])
        if device is not None:
            points = tuple(kept["points"])
            plan = self.plan(device, Batch(kept["device"], 0.0, points, ()), now)
            plan.at = kept["at"] + shift
            plan.values = tuple(NoValue("not known") if value is None else value for value in kept.get("values", ()))
            for column in plan.columns:
                column.seen_before = -NEVER  # not when this engine began: it was read before, and `voids` knows what was lost
                column.known_since = -NEVER
            if plan.history and kept["history"]:
                plan.history.recall(kept["history"], shift)
