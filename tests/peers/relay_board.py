r"""A relay board on a pseudo-terminal that speaks in lines, with a thermostat on it: what a remedy's commands end up in.

    "R1=ON\r", "R1=OFF\r"    switches; answered by "OK\r", or "ERR\r" where there is no such relay
    "SP=21.5\r"              sets the thermostat, which takes 5.0 to 30.0
    "?\r"                    is answered by "R1=ON;R2=OFF;SP=21.5\r"

`relays` and `setpoint` are what is switched in truth, `history` is every change of them, in order;
`reads` is how often it was asked.
"""

from peers.patience import until
from peers.serial_peer import SerialPeer

LINE = """
[bus.serial]
driver = "serial"
port = "{port}"
[device.board]
bus = "serial"
every = "100 ms"
"""
BOARD = """
[board]
frame = { end = "\\r" }
request = "?\\r"
refusal = "ERR"
timeout = 0.5
command_pause = 0.03
pattern = '^R1=(?P<router>\\w+);R2=(?P<fan>\\w+);SP=(?P<setpoint>[0-9.]+)$'
[board.points.router]
command = "R1={value}\\r"
values = { ON = true, OFF = false }
[board.points.fan]
command = "R2={value}\\r"
values = { ON = "running", OFF = "standing" }
[board.points.setpoint]
command = "SP={value:.1f}\\r"
unit = "°C"
[board.points.spare]
command = "R9={value}\\r"
on = "ON"
off = "OFF"
write_only = true
"""


class RelayBoard(SerialPeer):
    """The board. stuck: relays that answer OK and do not move. deaf: it does nothing that it is told. mute: it never answers."""

    def __init__(self):
        super().__init__()
        self.relays = {"R1": "ON", "R2": "OFF"}
        self.setpoint = 20.0
        self.history = []
        self.reads = 0
        self.stuck, self.deaf, self.mute = set(), False, False
        self._line = bytearray()

    def status(self):
        """What it answers when it is asked."""
        return f"R1={self.relays['R1']};R2={self.relays['R2']};SP={self.setpoint:.1f}\r".encode()

    def answer(self, line):
        """What it does and says on a line."""
        if line == "?":
            self.reads += 1
            return self.status()
        name, _, value = line.partition("=")
        if name == "SP" and 5.0 <= float(value) <= 30.0:
            self.setpoint = float(value)
        elif name in self.relays and value in ("ON", "OFF"):
            if name not in self.stuck:
                self.relays[name] = value
        else:
            return b"ERR\r"
        self.history.append(line)
        return b"OK\r"

    async def is_read(self, times):
        """Wait until it has been asked so often: what was done to it is over then, and known to the hub."""
        begun = self.reads
        await until(lambda: self.reads > begun + times, 15.0)

    def took(self, data):
        self._line += data
        while b"\r" in self._line:
            line, _, self._line = self._line.partition(b"\r")
            said = b"" if self.deaf else self.answer(line.decode())
            if not self.mute:
                self.say(said)
