"""What the hub does with its hands: writes a point, cycles a relay, re-opens a port, resets an adapter, runs a program.

Promises
- Only what the config names is ever done (`gateway/config/actions.py`), and only after all that can be checked without acting was
  found in order.
- Each action is done once. Nothing here tries again, but to switch on what was switched off: whether, when and how often something
  is done is the business of whoever asks.
- A thing that was switched off is switched on again, or it was tried and is said: after a fault half way, and when this is
  cancelled. Only a power cut or SIGKILL in the middle can leave it off; `restore` is for the first moment after that.
- Trying so ends within `SWITCHING_ON`, whatever the bus does and the config says: whoever stops the hub waits for it no longer.
- Whatever goes wrong is a `Result` that says so in words. Nothing is raised but CancelledError, once all is tidied up.

When and why something is done is not known here. Time is passed in: `sleep` is the clock's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import msgspec
import structlog

from drivers.contract import DeviceFault, NotTaken, NoValue, Outcome, Value
from gateway.config.actions import Action, Cycle, Reopen, Reset, Run, Write, intent, shown
from gateway.polling import Poller, to_the_end
from gateway.program import refusal, run

log = structlog.get_logger("acting")

Sleep: TypeAlias = Callable[[float], Awaitable[None]]
Pollers: TypeAlias = Mapping[str, Poller]
"""The hub's pollers by the name of their bus."""

ATTEMPTS = 3  # to switch on again: one lost frame must not leave a thing off
BETWEEN = 1.0  # s between two of them
SWITCHING_ON = 75.0  # s for all of them: three times a dead bus that is opened for a poll, polled, opened for us and written to


class Result(msgspec.Struct, frozen=True):
    """What came of an action.

    done: it was done, and where something can be read back it reads as it was meant to. Where it is not, it need not be undone: a
        device that did not answer may have taken a write all the same.
    says: what happened, for a person: a sentence without its full stop; of a program, what it printed last in the lines after it.
    before, after: the point before and after, where one is written and could be read.
    """

    done: bool
    says: str
    before: Outcome | None = None
    after: Outcome | None = None


class Rehearsal(msgspec.Struct, frozen=True):
    """What an action would do, in words, and what stands against it; with no such obstacle it would be tried."""

    says: str
    obstacles: tuple[str, ...] = ()


# ---------------------------------------------------------------- before


def rehearse(action: Action, pollers: Pollers) -> Rehearsal:
    """Say what would be done, and check what can be checked without doing anything. Touches no device."""
    return Rehearsal(intent(action), tuple(_obstacles(action, pollers)))


def _obstacles(action: Action, pollers: Pollers) -> list[str]:
    match action:
        case Write():
            return _misfits(action.device, action.point, (action.value,), pollers)
        case Cycle():
            return _misfits(action.device, action.point, (action.off, action.on), pollers)
        case Reopen() | Reset():
            if action.bus not in pollers:
                return [f"there is no bus {action.bus}"]
            if isinstance(action, Reset) and not pollers[action.bus].resettable:
                return [f"bus {action.bus} has nothing that could be reset"]
            return []
        case Run():
            return [why] if (why := refusal(action.program[0])) else []


def _misfits(device: str, point: str, values: tuple[Value, ...], pollers: Pollers) -> list[str]:
    poller = _poller_of(device, pollers)
    if poller is None:
        return [f"no device called {device} can be written to"]
    return [f"{device}/{point}: {why}" for value in values if (why := poller.misfit(device, point, value))]


def _poller_of(device: str, pollers: Pollers) -> Poller | None:
    return next((poller for poller in pollers.values() if device in poller.writable), None)


# ---------------------------------------------------------------- the act


async def perform(action: Action, pollers: Pollers, sleep: Sleep) -> Result:
    """Do it, once. Takes its turn among the polls of the bus; ends within the time limits of bus, device and program."""
    if obstacles := _obstacles(action, pollers):
        return Result(done=False, says="; ".join(obstacles))
    match action:
        case Write():
            return await _write(action, pollers)
        case Cycle():
            return await _cycle(action, pollers, sleep)
        case Reopen():
            return await _bus(pollers[action.bus].reopen, f"bus {action.bus} was opened again")
        case Reset():
            return await _bus(pollers[action.bus].reset, f"the medium of bus {action.bus} was reset")
        case Run():
            return await _run(action)


async def restore(action: Action, pollers: Pollers) -> Result | None:
    """What must be done first where this action was under way when the hub was killed: switch on again. None where nothing must.

    It does not take up the rest of the action, and it can be done as often as it takes.
    """
    match action:
        case Cycle(device, point, on=on):
            return await _write(Write(device, point, on), pollers)
        case Reset(bus) if bus in pollers:
            return await _bus(pollers[bus].restore, f"the medium of bus {bus} is on")
        case Reset(bus):
            return Result(done=False, says=f"there is no bus {bus}")
        case _:
            return None


async def _write(action: Write, pollers: Pollers) -> Result:
    poller = _poller_of(action.device, pollers)
    if poller is None:
        return Result(done=False, says=f"no device called {action.device} can be written to")
    before = await _reads(poller, action.device, action.point)
    try:
        after = await poller.write(action.device, action.point, action.value)
    except DeviceFault as fault:
        return _failed(fault, before)
    return Result(done=True, says=_account(action, before, after), before=before, after=after)


async def _cycle(action: Cycle, pollers: Pollers, sleep: Sleep) -> Result:
    device, point = action.device, action.point
    poller = _poller_of(device, pollers)
    assert poller is not None, "an obstacle"
    before = await _reads(poller, device, point)
    fault: DeviceFault | None = None
    try:
        await poller.write(device, point, action.off)
        await sleep(action.off_for)
    except DeviceFault as found:  # whether it is off is not known
        fault = found
    finally:
        on = await to_the_end(_switch_on(action, pollers, sleep))
    if isinstance(on, DeviceFault):
        return Result(done=False, says=f"{device}/{point} may be left off: {on}", before=before, after=_found(on))
    if fault:
        return Result(done=False, says=f"{fault}; it was switched on in any case", before=before, after=on)
    says = f"{device}/{point} was off for {action.off_for:g} s and {_reading(on)}"
    return Result(done=True, says=says, before=before, after=on)


async def _switch_on(action: Cycle, pollers: Pollers, sleep: Sleep) -> Outcome | DeviceFault:
    """What it reads once it is on, or the fault for which it may not be."""
    on: Outcome | DeviceFault
    try:
        async with asyncio.timeout(SWITCHING_ON):
            on = await _attempts_to_switch_on(action, pollers, sleep)
    except TimeoutError:
        hint = "check its bus"
        on = DeviceFault(f"{action.device} could not be reached within {SWITCHING_ON:g} s", kind="silent", hint=hint)
    if isinstance(on, DeviceFault):
        log.error("may be left off", device=action.device, point=action.point, fault=on.what, hint=on.hint)
    return on


async def _attempts_to_switch_on(action: Cycle, pollers: Pollers, sleep: Sleep) -> Outcome | DeviceFault:
    """The same; the fault is that of the last attempt.

    The poller is looked up at each attempt: another config may have brought a new one meanwhile.
    """
    fault = DeviceFault(f"{action.device} is no longer there", kind="gone")
    for attempt in range(ATTEMPTS):
        if attempt:
            await sleep(BETWEEN)
        if poller := _poller_of(action.device, pollers):
            try:
                return await poller.write(action.device, action.point, action.on)
            except DeviceFault as found:
                fault = found
    return fault


async def _bus(act: Callable[[], Awaitable[None]], says: str) -> Result:
    try:
        await act()
    except DeviceFault as fault:
        return _failed(fault)
    return Result(done=True, says=says)


async def _run(action: Run) -> Result:
    name = action.program[0]
    try:
        ran = await run(action.program, action.limit)
    except OSError as error:
        return Result(done=False, says=f"{name} could not be started ({error.strerror or error})")
    match ran.code:
        case 0:
            ended = "ended well"
        case None:
            ended = f"was killed after {action.limit:g} s"
        case code if code < 0:
            ended = f"was ended by signal {-code}"
        case code:
            ended = f"ended with exit code {code}"
    return Result(done=ran.code == 0, says=f"{name} {ended}\n{ran.output}".rstrip())


# ---------------------------------------------------------------- in words


async def _reads(poller: Poller, device: str, point: str) -> Outcome | None:
    """What the point says now; None where it cannot be asked. What comes of it is not what decides whether to act."""
    try:
        return await poller.value(device, point)
    except DeviceFault:
        return None


def _failed(fault: DeviceFault, before: Outcome | None = None) -> Result:
    return Result(done=False, says=str(fault), before=before, after=_found(fault))


def _found(fault: DeviceFault) -> Outcome | None:
    return fault.found if isinstance(fault, NotTaken) else None


def _account(action: Write, before: Outcome | None, after: Outcome) -> str:
    was = "" if before is None or isinstance(before, NoValue) else f", it was {shown(before)}"
    return f"{action.device}/{action.point} was set to {shown(action.value)} and {_reading(after)}{was}"


def _reading(outcome: Outcome) -> str:
    return f"cannot be read back ({outcome.reason})" if isinstance(outcome, NoValue) else f"reads {shown(outcome)}"
