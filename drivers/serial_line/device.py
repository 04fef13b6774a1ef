"""One device on a serial line, planned: what is known of it before any byte is read."""

from collections.abc import Mapping

from drivers.contract import DeviceSpec, Misfit, Value
from drivers.serial_line.checksum import Checksum
from drivers.serial_line.commands import Command
from drivers.serial_line.framing import Framer, octets
from drivers.serial_line.keys import SerialDeviceKeys, SerialPointKeys, said_points
from drivers.serial_line.parsing import compile_parser, compile_prefix

ASKING = 0.95  # of the time a read may take: the rest is for telling what was wrong, before the hub gives up by itself


class Question:
    """One request and what its answer says."""

    def __init__(self, keys: SerialDeviceKeys, text: str, points: Mapping[str, SerialPointKeys], checksum: Checksum | None) -> None:
        self.request = _request(keys.addressed(text), checksum)
        self.parse = compile_parser(keys, points)


def commands(spec: DeviceSpec) -> dict[str, Command]:
    """How each of its points that has a command is set."""
    keys: SerialDeviceKeys = spec.keys
    checksum = Checksum(keys.checksum) if keys.checksum else None
    said = said_points(spec)
    return {
        name: Command(
            point,
            keys.addressed(point.command),
            lambda text: _request(text, checksum),
            words=point.words,
            said=name in said,
            decimal=keys.decimal,
        )
        for name, point in spec.points.items()
        if point.command
    }


def misfit(spec: DeviceSpec, name: str, value: Value) -> Misfit | None:
    """See `ActingDriver.misfit`."""
    command = commands(spec).get(name)
    if command is None:
        return Misfit(f"{name}, which is not declared writable", "`command` at the point", of_point=True)
    planned = command.plan(value)
    return planned if isinstance(planned, Misfit) else None


def _request(text: str, checksum: Checksum | None) -> bytes:
    head, placeholder, rest = text.partition("{checksum}")
    body = octets(head)
    if not placeholder or checksum is None:
        return body
    return body + checksum.seal(body) + octets("hex:" + rest if head.startswith("hex:") else rest)


class Device:
    """What is known of one device before any byte is read."""

    def __init__(self, spec: DeviceSpec) -> None:
        keys: SerialDeviceKeys = spec.keys
        self.name = spec.name
        points = said_points(spec)
        self.points = tuple(points)
        self.patience = spec.timeout * ASKING
        self.proven = keys.checksum is not None
        checksum = Checksum(keys.checksum) if keys.checksum else None
        self.framer = Framer(keys.frame, checksum)
        self.parse = compile_parser(keys, points)
        self.is_its = compile_prefix(keys.prefixes(keys.when))
        self.refuses = compile_prefix(keys.prefixes(keys.refusal)) if keys.refusal else None
        self.wake, self.wake_pause = octets(keys.addressed(keys.wake)), keys.wake_pause
        self.questions = {
            question: Question(keys, text, {n: point for n, point in points.items() if point.request == question}, checksum)
            for question, text in keys.questions.items()
        }
        self.question_of = {
            name: self.questions[point.request] for name, point in points.items() if point.request in self.questions
        }
        self.commands = commands(spec)
        self.pause = keys.command_pause
        self.garbled_in_a_row = 0
