"""What the diagnosis knows, kept across restarts: open episodes, learnt statistics, running times.

Promises
- What was true at the last save comes back: nothing open is forgotten, nothing is opened twice. The hub saves whenever it tells
  something, in the same transaction as the moment, and at least once a minute.
- Only rows that have changed are written. What is merely learnt changes with every reading, and a card bears only so much writing:
  it is saved together with what is told of it, each minute where it is `LITTLE`, and else in turns, as much as `BUDGET` allows
  every `LEARNT` seconds. What waits for its turn is kept in memory (`scratch.py`): a kill costs a minute of it at most, a power cut
  up to one turn (ten minutes for 30 points, three hours for 600, of weeks that it was learnt in). A rule that is calm and learns
  nothing begins anew; at the end everything is saved.
- Data of an earlier release is brought into the form of this one (`migrations.py`). Data that cannot be read (of a later release,
  or not as it was written, which a checksum tells) costs what had been learnt, and if need be what is open, but not the start.

The timeline of a machine that was restarted begins anew. Saved times are shifted so that the time it was off lies between them and
now, as far as the wall clock can tell; where it cannot be trusted, the hub goes on as if it had not been off at all.
"""

import hashlib
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

import msgspec

from gateway.clock import Clock
from gateway.migrations import migrated
from gateway.scratch import Scratch
from gateway.store import Store

FORMAT = 2  # of the rows; of the first one, in which what is learnt stood in the rows that tell of it, all is read
WATCH = "watch "  # begins the name of a row about one rule on one point
MEMORY = "learnt "  # and of a row of what that has learnt
SERVICE = "service "  # and of a row of one part of the service
RECENT = 120.0  # s: two saves
LEARNT = 600.0  # s between two saves of what is merely learnt: a commit a minute would be 11 MB a day
LITTLE = 1024  # bytes of it, packed, that are saved each minute
BUDGET = 12_288  # bytes of it each time, packed: some 8 MB a day on the disk, for 4 KiB go there for each page of 1


NO_SCRATCH = Scratch(None)


class Saved(NamedTuple):
    """What `SavedState.load` found. `stamp` is when it was saved."""

    engine: dict[str, Any]
    stamp: "Stamp"


class Stamp(NamedTuple):
    """A time as a hub knows it: on a timeline of its own, and by the wall clock where that is trusted."""

    timeline: str
    at: float
    wall: datetime | None

    @classmethod
    def now(cls, clock: Clock) -> Self:
        """The present."""
        at = clock.now()
        return cls(clock.timeline, at, clock.utc(at) if clock.synced() else None)

    def until(self, now: "Stamp") -> tuple[float, float]:
        """How saved times map onto the present timeline: (what is to be added to them, how long the hub was off), in seconds."""
        if self.timeline == now.timeline:
            return 0.0, max(0.0, now.at - self.at)
        off = max(0.0, (now.wall - self.wall).total_seconds()) if now.wall and self.wall else 0.0
        return now.at - off - self.at, off


class SavedState:
    """The engine's plain data in the hub's store, a row for each part that changes by itself."""

    def __init__(self, store: Store, scratch: Scratch = NO_SCRATCH) -> None:
        self._store = store
        self._scratch = scratch
        self._written: dict[str, bytes] = {}  # digest of each row as it is on the disk
        self._turn = ""  # the last row of what is learnt that was saved in its turn
        self._learnt_at = -LEARNT
        with store.transaction():
            store.execute("CREATE TABLE IF NOT EXISTS saved (part TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")

    def save(self, engine: Mapping[str, Any], stamp: Stamp, *, all_of_it: bool = False) -> int:
        """Write what has changed since the last save; returns the number of rows written. Raises StoreError.

        What is learnt waits for its turn, where nothing is told of it; `all_of_it` writes it all, as at the end.
        """
        rows = {part: msgspec.json.encode(value) for part, value in _parts(engine)}
        digests = {part: hashlib.blake2b(value, digest_size=8).digest() for part, value in rows.items()}
        changed = [part for part, digest in digests.items() if self._written.get(part) != digest]
        gone = [part for part in self._written if part not in digests]
        learnt = [] if all_of_it else [part for part in changed if part.startswith(MEMORY) and self._may_wait(part, digests)]
        packed = {part: zlib.compress(rows[part], 1) for part in set(changed).difference(learnt)}
        if few := _little(learnt, rows):
            packed |= few
        elif stamp.at - self._learnt_at >= LEARNT:
            self._learnt_at = stamp.at
            packed |= self._in_turn(sorted(learnt), rows)
        if packed or gone:
            self._write(packed, gone, digests, stamp)
        waits = {part: rows[part] for part in learnt if part not in packed}
        self._scratch.write(self._store.generation, stamp.timeline, stamp.at, waits)
        return len(packed) + len(gone)

    def _write(self, packed: Mapping[str, bytes], gone: list[str], digests: Mapping[str, bytes], stamp: Stamp) -> None:
        head = msgspec.json.encode({"format": FORMAT, **stamp._asdict(), "turn": self._turn})
        with self._store.transaction():
            self._store.execute_many("INSERT OR REPLACE INTO saved VALUES (?, ?)", [("head", head), *sorted(packed.items())])
            self._store.execute_many("DELETE FROM saved WHERE part = ?", [(part,) for part in gone])
        self._written |= {part: digests[part] for part in packed}
        for part in gone:
            del self._written[part]

    def _may_wait(self, part: str, digests: Mapping[str, bytes]) -> bool:
        """Whether something of the kind is on the disk, and nothing is told of it now."""
        told = WATCH + part.removeprefix(MEMORY)
        return part in self._written and digests.get(told) == self._written.get(told)

    def _in_turn(self, learnt: list[str], rows: Mapping[str, bytes]) -> dict[str, bytes]:
        """The next rows after those of the last time, as many as the budget bears. Neighbours share pages of the disk."""
        first = bisect_right(learnt, self._turn)
        packed: dict[str, bytes] = {}
        left = BUDGET
        for part in (*learnt[first:], *learnt[:first]):
            if left <= 0:
                break
            packed[part] = zlib.compress(rows[part], 1)
            left -= len(packed[part])
            self._turn = part
        return packed

    def load(self) -> Saved | None:
        """What was saved last; None when there is nothing. Raises ValueError when it cannot be read."""
        with self._store.transaction():
            rows: dict[str, bytes] = dict(self._store.execute("SELECT part, value FROM saved").fetchall())
        if "head" not in rows:
            return None
        try:
            head = msgspec.json.decode(rows.pop("head"))
            if head["format"] not in range(1, FORMAT + 1):
                raise ValueError(f"it is of format {head['format']}, this program reads 1 to {FORMAT}")
            rows = dict(_unpacked(rows, head["format"]))
            wall = datetime.fromisoformat(head["wall"]) if head["wall"] else None
            stamp = Stamp(head["timeline"], float(head["at"]), wall)
            newer = self._scratch.read(self._store.generation, stamp.timeline, stamp.at)
            if newer:
                stamp = Stamp(stamp.timeline, newer.at, wall and wall + timedelta(seconds=newer.at - stamp.at))
            values = {part: msgspec.json.decode(value) for part, value in (rows | (newer.rows if newer else {})).items()}
            engine = migrated(_whole(values, stamp.at))
        except (msgspec.DecodeError, zlib.error, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is damaged ({error})") from error
        self._written = {part: hashlib.blake2b(value, digest_size=8).digest() for part, value in rows.items()}
        self._turn = head.get("turn", "")
        if head["format"] < FORMAT:
            self.distrust()
        return Saved(engine, stamp)

    def distrust(self) -> None:
        """A transaction around a save has failed: write everything the next time."""
        self._written = dict.fromkeys(self._written, b"")


def _little(learnt: list[str], rows: Mapping[str, bytes]) -> dict[str, bytes]:
    """All that is learnt, packed; nothing if it is more than a little."""
    packed: dict[str, bytes] = {}
    size = 0
    for part in learnt:
        packed[part] = zlib.compress(rows[part], 1)
        size += len(packed[part])
        if size > LITTLE:
            return {}
    return packed


def without_memory(engine: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's plain data without what was learnt: what is open and what was told of it."""
    rules = {
        rule_id: {
            **rule,
            "points": {
                point_id: {name: value for name, value in entry.items() if name != "memory"}
                for point_id, entry in rule["points"].items()
            },
        }
        for rule_id, rule in engine["rules"].items()
    }
    return {**engine, "rules": rules}


def _unpacked(rows: Mapping[str, bytes], written: int) -> Iterator[tuple[str, bytes]]:
    """Rows of a format; without those that have changed on the disk, where they only hold what one rule has learnt of one point."""
    for part, value in rows.items():
        try:
            yield part, value if written == 1 else zlib.decompress(value)
        except zlib.error:
            if not part.startswith(MEMORY):
                raise


def _parts(engine: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The engine's plain data in rows: what changes often apart from what hardly ever does."""
    now = engine["now"]
    yield "engine", {"version": engine["version"]}
    yield "voids", engine["voids"]
    yield "telling", engine["telling"]
    yield "plans", [[plan["device"], plan["points"]] for plan in engine["plans"]]
    # Of a device that is read all the time the last reading is as old as the save; to write it down each time would wear the card.
    yield "seen", [None if now - plan["at"] < RECENT else plan["at"] for plan in engine["plans"]]
    for part, memory in engine.get("service", {}).items():
        yield f"{SERVICE}{part}", memory
    for rule_id, rule in engine["rules"].items():
        yield f"rule {rule_id}", {"kind": rule["kind"], "keys": rule["keys"]}
        for point_id, entry in rule["points"].items():
            told = {name: value for name, value in entry.items() if name != "memory"}
            if told:
                yield f"{WATCH}{rule_id} {point_id}", told
            if "memory" in entry:
                yield f"{MEMORY}{rule_id} {point_id}", entry["memory"]


def _whole(parts: Mapping[str, Any], at: float) -> dict[str, Any]:
    """The engine's plain data again, as of the time of the save."""
    rules: dict[str, dict[str, Any]] = {
        part.split(" ", 1)[1]: {**value, "points": {}} for part, value in parts.items() if part.startswith("rule ")
    }
    for part, entry in parts.items():
        if part.startswith(WATCH):
            _, rule_id, point_id = part.split(" ", 2)
            rules[rule_id]["points"][point_id] = dict(entry)
    for part, memory in parts.items():
        if part.startswith(MEMORY):
            _, rule_id, point_id = part.split(" ", 2)
            rules[rule_id]["points"].setdefault(point_id, {})["memory"] = memory
    plans = [
        {"device": device, "points": points, "at": at if seen is None else seen, "history": None}
        for (device, points), seen in zip(parts["plans"], parts["seen"], strict=True)
    ]
    rest = {part: parts[part] for part in ("voids", "telling") if part in parts}
    service = {part.removeprefix(SERVICE): value for part, value in parts.items() if part.startswith(SERVICE)}
    return {"version": parts["engine"]["version"], "now": at, "rules": rules, "plans": plans, "service": service, **rest}
