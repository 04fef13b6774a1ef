"""What a remedy may do: the keys by which a config says it, and the typed values that `gateway/acting.py` performs.

The list is closed on purpose. Everything that a hub may ever do to its surroundings is one of these five, written down beforehand
on the hub itself; nothing that comes from outside can name a device, a value or a program.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from drivers.contract import BusSpec, Driver, KeyMistake, Keys, NoValue, Seconds, Value

BUS = "bus."


class Write(msgspec.Struct, frozen=True, tag="write"):
    """Write one point, in the unit in which it is read, and read it back."""

    device: str
    point: str
    value: Value


class Cycle(msgspec.Struct, frozen=True, tag="cycle"):
    """Switch one point off, wait, and switch it on again. `off` and `on` are what is written; `off_for` is in seconds."""

    device: str
    point: str
    off_for: float
    off: Value = False
    on: Value = True


class Reopen(msgspec.Struct, frozen=True, tag="reopen"):
    """Close the port or connection of a bus, and open it again."""

    bus: str


class Reset(msgspec.Struct, frozen=True, tag="reset"):
    """Let a bus put its own medium right: switch a Bluetooth adapter off and on."""

    bus: str


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Run a program: its path and arguments, without a shell. Killed with all that it started after `limit` seconds."""

    program: tuple[str, ...]
    limit: float


Action: TypeAlias = Write | Cycle | Reopen | Reset | Run
"""Tagged, so that one that was under way can be kept as JSON and known again after a restart."""


RESTORED = (Cycle, Reset)
"""Those that switch something off and on: where they are cut short, it may be left off."""


class ActionKeys(Keys, frozen=True, kw_only=True):
    """The keys of one action; exactly one of `write`, `cycle`, `reopen`, `reset` and `run`."""

    write: Annotated[str, Meta(description='Point to be written, "device/point"; it must be declared writable.')] = ""
    value: Annotated[
        Value | None, Meta(description="What is written, in the unit of the point: 21.5, true, or one of the words it is read as.")
    ] = None
    cycle: Annotated[
        str, Meta(description='Point that is switched off and on again, "device/point"; it must be declared writable.')
    ] = ""
    off_for: Annotated[Seconds, Meta(ge=0.1, le=3600, description="How long it stays off.")] = 10.0
    off_value: Annotated[
        Value, Meta(description="What is written to switch it off; true where a relay must be drawn for that.")
    ] = False
    on_value: Annotated[Value, Meta(description="What is written to switch it on.")] = True
    reopen: Annotated[str, Meta(description='Bus whose port or connection is closed and opened again, "bus.NAME".')] = ""
    reset: Annotated[str, Meta(description='Bus that is to put its own medium right, "bus.NAME": a Bluetooth adapter.')] = ""
    run: Annotated[
        tuple[str, ...], Meta(description='Program with its arguments: ["/usr/local/bin/modem", "restart"]; there is no shell.')
    ] = ()
    limit: Annotated[Seconds, Meta(ge=0.1, le=600, description="How long the program may run; then it is killed.")] = 30.0

    def __post_init__(self) -> None:
        """Refuse what is not exactly one action, and keys of another."""
        actions = [action for action in _OWN_KEYS if getattr(self, action)]
        if len(actions) != 1:
            raise KeyMistake(actions[1] if actions else "", " and ".join(actions) or "no action", f"one of {', '.join(_OWN_KEYS)}")
        for action, own in _OWN_KEYS.items():
            for key, default in own.items():
                if action != actions[0] and getattr(self, key) != default:
                    raise KeyMistake(key, f"`{key}` beside {actions[0]}", f"`{key}` belongs to {action}")
        _check_place(actions[0], getattr(self, actions[0]))
        if self.write and self.value is None:
            raise KeyMistake("write", "no `value`", "what is to be written: value = true")
        if self.cycle and self.on_value == self.off_value:
            raise KeyMistake("on_value", f"{self.on_value!r}, as for `off_value`", "another value")

    @property
    def action(self) -> Action:
        """What it comes to."""
        if self.write:
            device, _, point = self.write.partition("/")
            assert self.value is not None, "refused above"
            return Write(device, point, self.value)
        if self.cycle:
            device, _, point = self.cycle.partition("/")
            return Cycle(device, point, self.off_for, self.off_value, self.on_value)
        if self.run:
            return Run(self.run, self.limit)
        return Reopen(self.reopen.removeprefix(BUS)) if self.reopen else Reset(self.reset.removeprefix(BUS))


_OWN_KEYS: dict[str, dict[str, object]] = {
    "write": {"value": None},
    "cycle": {"off_for": 10.0, "off_value": False, "on_value": True},
    "reopen": {},
    "reset": {},
    "run": {"limit": 30.0},
}  # action -> the keys that belong to it alone, with their defaults


def _check_place(key: str, place: str | tuple[str, ...]) -> None:
    if isinstance(place, tuple):
        if not place[0].startswith("/"):
            raise KeyMistake(key, f'"{place[0]}"', 'the whole path of a program, such as "/usr/local/bin/modem"')
        if any("\0" in word for word in place):
            raise KeyMistake(key, "a NUL character", "plain text")
    elif key in ("write", "cycle"):
        device, slash, point = place.partition("/")
        if not (device and slash and point) or "/" in point:
            raise KeyMistake(key, f'"{place}"', '"device/point"')
    elif not place.removeprefix(BUS) or not place.startswith(BUS):
        raise KeyMistake(key, f'"{place}"', '"bus.NAME"')


# ---------------------------------------------------------------- in words


def intent(action: Action) -> str:
    """What it does: "writes on to relay/router"."""
    match action:
        case Write():
            return f"writes {shown(action.value)} to {action.device}/{action.point}"
        case Cycle():
            place = f"{action.device}/{action.point}"
            return f"writes {shown(action.off)} to {place}, waits {action.off_for:g} s, and writes {shown(action.on)}"
        case Reopen():
            return f"closes bus {action.bus} and opens it again"
        case Reset():
            return f"resets the medium of bus {action.bus}, such as its adapter"
        case Run():
            return f"runs {' '.join(action.program)}, for {action.limit:g} s at most"


def shown(value: Value | NoValue) -> str:
    """A value as it is written and read: "on", "21.5", "no value (void)"."""
    if isinstance(value, NoValue):
        return f"no value ({value.reason})"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------- what only the whole config can tell

Lines: TypeAlias = Mapping[str, tuple[Driver, BusSpec]]
"""Every bus by name: what speaks on it, and what is on it."""


def mistakes(keys: ActionKeys, lines: Lines) -> Iterator[KeyMistake]:
    """Things and values that the rest of the config does not bear out. Touches no device, and asks for no program to be there."""
    match keys.action:
        case Write(device, point, value):
            yield from _cannot_write("write", device, point, {"value": value}, lines)
        case Cycle(device, point, _, off, on):
            yield from _cannot_write("cycle", device, point, {"off_value": off, "on_value": on}, lines)
        case Reopen(bus) | Reset(bus):
            key = "reopen" if keys.reopen else "reset"
            if bus not in lines:
                yield KeyMistake(key, f'no bus is called "{bus}"', " or ".join(f'"{BUS}{name}"' for name in lines) or "a bus")
            elif keys.reset and not getattr(lines[bus][0], "resets", False):
                yield KeyMistake(key, f'"{bus}" has nothing that could be reset', "a bus with an adapter of its own, or `reopen`")


def _cannot_write(key: str, name: str, point: str, values: Mapping[str, Value], lines: Lines) -> Iterator[KeyMistake]:
    found = next(((driver, device) for driver, bus in lines.values() for device in bus.devices if device.name == name), None)
    if found is None:
        yield KeyMistake(key, f'no device is called "{name}"', '"device/point"')
        return
    driver, device = found
    misfit = getattr(driver, "misfit", None)
    if misfit is None:
        yield KeyMistake(key, f'the bus of "{name}" cannot be written to', "a device on another kind of bus")
    elif point not in device.points:
        yield KeyMistake(key, f'"{name}" has no point "{point}"', "one of " + ", ".join(device.points))
    else:
        for value_key, value in values.items():
            if why := misfit(device, point, value):
                yield KeyMistake(key if why.of_point else value_key, why.found, why.expected)
                if why.of_point:
                    return
