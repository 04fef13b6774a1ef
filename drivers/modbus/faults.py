"""What can go wrong on a Modbus bus, each in a technician's words, with what to try. The one place where such words are made."""

import errno
import re
import socket

from drivers.contract import DeviceFault, FaultKind

NO_SUCH_FUNCTION = 1  # the exception code


class AddressRefusedError(DeviceFault):
    """The device is well, but does not have what was asked for, or not so much of it at once: `code` is 1, 2 or 3."""

    code = 2


# Modbus Application Protocol V1.1b3, section 7: code -> (kind, what the unit does, what to try)
_CODES: dict[int, tuple[FaultKind, str, str]] = {
    4: ("refused", "reports that it failed", "look at its own display, and restart it"),
    5: ("busy", "needs longer for this", "ask it less often"),
    6: ("busy", "is busy", "ask it less often"),
    7: ("refused", "cannot do this now", "see its manual for when it can"),
    8: ("garbled", "reports an error in its own memory", "it may need service"),
    10: ("gone", "cannot be reached by its gateway", "check the gateway's settings for the line that the unit is on"),
    11: ("silent", "does not answer its gateway", "check its power, unit id and wiring behind the gateway"),
}
# Codes that say "not these addresses": unknown function (no such table), unknown address, too much at once.
_ADDRESS_REFUSED = {1, 2, 3}


def refused(unit: int, code: int) -> DeviceFault:
    """The device answered with an exception code."""
    if code in _ADDRESS_REFUSED:
        refusal = AddressRefusedError(f"unit {unit} refuses an address", kind="refused")
        refusal.code = code
        return refusal
    kind, what, hint = _CODES.get(code, ("refused", f"refuses with code {code}", "see its manual"))
    return DeviceFault(f"unit {unit} {what}", kind=kind, hint=hint)


_WRITES_REFUSED = {
    1: ("cannot be written to in this way", "see its manual for whether it can be written to at all"),
    2: ("has nothing at this address that can be written", "check the address against its manual"),
    3: ("refuses this value", "see its manual for the values that it takes, and for a lock or a mode that keeps it from it"),
}


def write_refused(unit: int, code: int) -> DeviceFault:
    """The device answered a write with the code of an `AddressRefusedError`."""
    what, hint = _WRITES_REFUSED[code]
    return DeviceFault(f"unit {unit} {what}", kind="refused", hint=hint)


# ---------------------------------------------------------------- answers that did not come, or not whole


def silent(unit: int, *, serial: bool) -> DeviceFault:
    """Not one byte."""
    hint = (
        "check its power, unit id, A/B wiring, baud and parity" if serial else "check its unit id, and its power behind a gateway"
    )
    return DeviceFault(f"no answer from unit {unit}", kind="silent", hint=hint)


def noise(unit: int, count: int) -> DeviceFault:
    """Bytes without any sense."""
    return DeviceFault(
        f"noise in place of an answer from unit {unit} ({count} bytes)",
        kind="garbled",
        hint="check A/B wiring, baud, parity and termination",
    )


def bad_checksum(unit: int) -> DeviceFault:
    """A whole answer by its length, but damaged."""
    return DeviceFault(
        f"an answer from unit {unit} with a bad checksum",
        kind="garbled",
        hint="check termination, shielding and cable length, and that no two devices are set to this unit",
    )


def half(unit: int, count: int, whole: int) -> DeviceFault:
    """It began well and broke off."""
    return DeviceFault(
        f"half an answer from unit {unit} ({count} of {whole} bytes)",
        kind="garbled",
        hint="check the wiring; a slow device or converter needs a longer timeout",
    )


def other_unit(unit: int, other: int) -> DeviceFault:
    """A whole, sound answer by somebody else."""
    return DeviceFault(
        f"unit {other} answered in place of unit {unit}",
        kind="garbled",
        hint="check the unit ids, and that nobody else asks on this bus",
    )


def other_answer(unit: int) -> DeviceFault:
    """A whole, sound answer by the right unit, to a question that was not asked."""
    return DeviceFault(
        f"unit {unit} answered something else than it was asked",
        kind="garbled",
        hint="check that nobody else asks on this bus, and that no two devices are set to this unit",
    )


# ---------------------------------------------------------------- connections


def not_modbus_tcp(name: str) -> DeviceFault:
    """Bytes that cannot be the head of a Modbus TCP frame."""
    return DeviceFault(
        f"{name} speaks, but not Modbus TCP",
        kind="garbled",
        hint='a converter that passes RTU frames on needs driver = "modbus-rtu-over-tcp"',
    )


def given_up(name: str) -> DeviceFault:
    """Another unit's answer broke off, and what comes next on this connection cannot be told from its rest."""
    return DeviceFault(f"the connection to {name} was given up", kind="garbled", hint="another unit's answer broke off on it")


def closed(name: str, reason: Exception | None) -> DeviceFault:
    """The far end of a TCP connection hung up in the middle of a request."""
    return DeviceFault(
        f"{name} closed the connection" if reason is None else f"the connection to {name} broke ({reason})",
        kind="gone",
        layer="bus",
        hint="is it on, and is nobody else connected to it? Many take only one",
    )


def port_gone(name: str) -> DeviceFault:
    """A serial port was pulled out."""
    return DeviceFault(f"{name} went away", kind="gone", layer="bus", hint="is the adapter plugged in and well?")


def unreachable(host: str, port: int, error: Exception) -> DeviceFault:
    """No connection to a TCP endpoint."""
    number = getattr(error, "errno", None) or _errno_in(str(error))
    if isinstance(error, socket.gaierror | UnicodeError):
        what, hint = f'host "{host}" is not known', "check the name, or write the address"
    elif isinstance(error, TimeoutError) or number == errno.ETIMEDOUT:
        what, hint = f"{host} does not answer", "check its power, network cable and address"
    elif number == errno.ECONNREFUSED:
        what, hint = f"{host} refuses connections to port {port}", "check the port, and that Modbus is switched on in the device"
    elif number in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        what, hint = f"there is no way to {host}", "check the network cable, the address and the hub's own network"
    else:
        what, hint = f"no connection to {host} port {port} ({error})", "check the network"
    return DeviceFault(what, kind="gone", layer="bus", hint=hint)


def _errno_in(text: str) -> int:
    """The number in "[Errno 111] ...": asyncio packs the failures of several addresses into one text."""
    found = re.search(r"\[Errno (\d+)\]", text)
    return int(found[1]) if found else 0
