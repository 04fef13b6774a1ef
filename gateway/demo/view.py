"""What a person sees of the demo: a live table of devices and points, the moments below it, and the condensation so far."""

import shutil
import sys
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Self, TextIO

from drivers.contract import Batch, NoValue, Outcome
from gateway.diagnosis.contract import PointInfo
from gateway.moments import Moment, from_wire, to_wire

BARS = "▁▂▃▄▅▆▇█"
TREND = 24  # values in a point's small chart
SHOWN = 8  # moments in the list
BOLD, DIM, RED, YELLOW, GREEN, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
COLOUR = {"critical": RED, "warning": YELLOW, "info": GREEN}
STATE_COLOUR = {"well": GREEN, "late": YELLOW, "mute": RED, "parked": RED}


class Line(NamedTuple):
    """A moment in the list, with how long it took to the backend's side (None: on its way)."""

    at: float
    moment: Moment
    delay: float | None


class Board:
    """What has happened so far; the view draws it. Times are seconds since the demo began."""

    def __init__(self, points: Sequence[PointInfo], now: float) -> None:
        self.points = [point for point in points if point.name != "state"]
        self.trends: dict[str, deque[Outcome]] = {point.id: deque(maxlen=TREND) for point in self.points}
        self.states: dict[str, str] = {}
        self.lines: dict[str, Line] = {}  # by id, newest last
        self.readings = self.moments = self.received = self.sent = 0
        self._start = self.now = now

    @property
    def elapsed(self) -> float:
        """Seconds of the demo so far."""
        return self.now - self._start

    def batch(self, batch: Batch) -> None:
        """Readings of one device."""
        self.now = batch.at
        for reading in batch:
            if reading.point == "state":
                self.states[batch.device] = str(reading.value)
            else:
                self.trends[f"{batch.device}/{reading.point}"].append(reading.value)
                self.readings += 1

    def moment(self, moment: Moment) -> None:
        """A moment was made and is safe on the hub."""
        self.moments += 1
        self.sent += len(to_wire(moment))
        self._keep(Line(self.elapsed, moment, None))

    def receive(self, wire: bytes, now: float) -> Moment:
        """The backend's side received it."""
        self.now = now
        moment = from_wire(wire)
        self.received += 1
        key = _key(moment)
        made = self.lines[key].at if key in self.lines else self.elapsed
        self._keep(Line(made, moment, self.elapsed - made))
        return moment

    def _keep(self, line: Line) -> None:
        self.lines[_key(line.moment)] = line
        while len(self.lines) > SHOWN:
            del self.lines[next(iter(self.lines))]

    def condensation(self) -> str:
        """What went in and what came out, in a sentence."""
        ratio = f", one moment for {self.readings // self.moments:,} readings" if self.moments else ""
        return f"{self.readings:,} readings in, {self.moments} moments out ({self.sent:,} bytes){ratio}"


def _key(moment: Moment) -> str:
    return f"{moment.data.case} {moment.data.phase} {moment.time}"


class View:
    """Draws a board on a terminal, over and over in the same place."""

    def __init__(self, board: Board, notes: list[str], out: TextIO = sys.stdout) -> None:
        self._board = board
        self._notes = notes
        self._out = out
        self._live = out.isatty()
        self._told: set[str] = set()

    def draw(self) -> None:
        """One picture on a terminal; elsewhere only what is new, line by line."""
        if not self._live:
            self._tell()
            return
        width, height = shutil.get_terminal_size((100, 40))
        lines = self._picture(width)[: height - 1]
        self._out.write("\x1b[H" + "".join(f"{line}{PLAIN}\x1b[K\n" for line in lines) + "\x1b[J")
        self._out.flush()

    def __enter__(self) -> Self:
        """Take the terminal."""
        if self._live:
            self._out.write("\x1b[2J\x1b[?25l")  # clear, and hide the cursor
        else:
            print(*self._notes, sep="\n", file=self._out, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back, with the last picture on it."""
        self.draw()
        if self._live:
            self._out.write("\x1b[?25h\n")
        print(self._board.condensation(), file=self._out, flush=True)

    def _picture(self, width: int) -> list[str]:
        board = self._board
        clock = f"{int(board.elapsed) // 60}:{int(board.elapsed) % 60:02d}"
        lines = [f"{BOLD}Canary demo{PLAIN}  {clock}  {DIM}Ctrl-C ends it{PLAIN}", *(f"{DIM}{note}" for note in self._notes), ""]
        device = ""
        for point in board.points:
            title, state = "", ""
            if point.device != device:
                device, title = point.device, point.device_label
                state = board.states.get(device, "")
            colour = STATE_COLOUR.get(state, DIM)
            trend = board.trends[point.id]
            value = show(trend[-1], point.unit) if trend else "-"
            lines.append(
                f"{title:<18.18} {colour}{state:<6}{PLAIN} {point.name.replace('_', ' '):<16.16} {value:>14}  {DIM}{spark(trend)}"
            )
        lines += ["", f"{BOLD}Moments{PLAIN}  {DIM}made on the hub, received by the backend"]
        for at, moment, delay in board.lines.values():
            data = moment.data
            arrived = f"received {delay * 1000:.0f} ms later" if delay is not None else "on its way"
            head = f"{int(at) // 60}:{int(at) % 60:02d} {COLOUR[data.severity]}{data.severity:<8}{PLAIN} {data.phase.value:<8} "
            lines.append(head + f"{data.says[: max(20, width - 30)]}")
            lines.append(
                f"{'':<23}{DIM}{data.case}, {data.owner.name or data.owner.id} ({data.owner.because}), {arrived}"[: width + 4]
            )
        return [*lines, "", BOLD + board.condensation()]

    def _tell(self) -> None:
        for key, (at, moment, delay) in list(self._board.lines.items()):
            if delay is not None and key not in self._told:
                self._told.add(key)
                data = moment.data
                print(f"{at:5.1f} s  {data.severity:<8} {data.phase.value:<8} {data.case}  {data.says}", file=self._out, flush=True)


def show(value: Outcome, unit: str) -> str:
    """A value as people write it: four digits at most where it is a fraction."""
    if isinstance(value, NoValue):
        return f"no value ({value.reason})"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        text = f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    else:
        text = f"{value:,}" if isinstance(value, int) else value
    return f"{text} {unit}".rstrip()


def spark(trend: deque[Outcome]) -> str:
    """The last values as a line of bars; a blank where there was no value."""
    numbers = [float(value) for value in trend if isinstance(value, int | float)]
    if not numbers:
        return ""
    low, span = min(numbers), max(numbers) - min(numbers)
    return "".join(
        BARS[int((float(value) - low) / span * 7) if span else 0] if isinstance(value, int | float) else " " for value in trend
    )
