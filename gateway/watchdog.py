"""Whether the hub is really at work, and the line to systemd that says so.

Each long-running task promises when it will show up again (`Pulse.expect`). systemd's watchdog is fed only while every promise is
kept, so that "running" means "measuring": a hub that hangs in one place is restarted, one that merely waits is not.
"""

import os
import socket

SLACK = 30.0
"""Seconds by which a task may miss its promise: a machine that swaps or suspends is not a hang."""


class Pulse:
    """The promises of all tasks, as times of the hub's timeline."""

    def __init__(self) -> None:
        self._by: dict[str, float] = {}

    def expect(self, task: str, by: float) -> None:
        """`task` will show up again before `by`."""
        self._by[task] = by

    def forget(self, task: str) -> None:
        """`task` has ended on purpose."""
        self._by.pop(task, None)

    def overdue(self, now: float) -> list[str]:
        """Tasks that have broken their promise, by name."""
        return [task for task, by in self._by.items() if by + SLACK < now]


class Notifier:
    """Tells systemd how the service is doing (sd_notify(3)); does nothing where systemd did not start it."""

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        # A leading @ stands for the abstract namespace, which the kernel writes as a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        micros = os.environ.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(micros) / 1e6 if micros.isdigit() else 0.0

    def tell(self, *states: str) -> None:
        """Send states such as "READY=1", "STATUS=...", "WATCHDOG=1", "STOPPING=1". Never raises."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.sendto("\n".join(states).encode(), self._address)
        except OSError:
            pass  # systemd is gone or restarting: it will ask again by its own means
