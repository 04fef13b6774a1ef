"""An event loop whose time jumps to the next deadline when everybody sleeps: hours of polling in a millisecond, never flaky.

For code without sockets; whoever talks to a real peer uses real, short times.
"""

import asyncio
import selectors
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class _Leap(selectors.SelectSelector):
    """Instead of waiting for `timeout` seconds, says that they have passed."""

    passed = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout:
            self.passed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._leap = _Leap()
        super().__init__(self._leap)

    def time(self):
        return self._leap.passed

    def now(self):  # gateway.clock.Clock
        return self.time()

    def utc(self, at):
        return EPOCH + timedelta(seconds=at)


def run(main):
    """Run `main(clock)` to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main(runner.get_loop()))
