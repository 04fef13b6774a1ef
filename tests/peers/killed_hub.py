"""`canary run` that kills itself at a certain moment in the life of a remedy: `python killed_hub.py MOMENT CONFIG`.

    unstored    a try has begun, and nobody but the hub's memory knows
    stored      it is on the disk, and its order has not left
    off         the relay is off
    taken       a device has taken what was written, and it has not been read back
    shut        a port is closed, and not open again
    on          the relay is on again, or what was written is read back, and nobody has been told
    done        that it was done is on the disk
    proven      it is seen to have helped, and nobody has been told
    told        that it has helped is told and on the disk
    never       for a hub that lives on

As by SIGKILL from outside: nothing is put away. Conditions are looked at more often than a real hub does.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from drivers import ble
from drivers.modbus import writing
from gateway import agent, hands, log, polling
from gateway.service import mending, remedies, remedy_words


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner, name, condition=lambda *_: True):
    """Die when this is called, if the condition says so of its arguments."""
    original = getattr(owner, name)

    def call(*args, **kwargs):
        if condition(*args, **kwargs):
            die()
        return original(*args, **kwargs)

    setattr(owner, name, call)


def unstored():
    original = hands.Hands.ordered

    def ordered(self):
        return [die() for _ in original(self)]

    hands.Hands.ordered = ordered


def stored():
    before(hands.Hands, "carry_out", lambda _, orders: bool(orders))


def off():
    original = hands.perform

    async def sleep(_):
        die()

    hands.perform = lambda action, pollers, _: original(action, pollers, sleep)


def taken():
    before(writing.Writer, "read_back")
    before(ble._Peripheral, "read_back")


def shut():
    before(polling.Poller, "_act", lambda _self, act, *_: act is None)


def on():
    original = hands.perform

    async def perform(*args):
        await original(*args)
        die()

    hands.perform = perform


def done():
    reported = []
    before(remedies.Remedies, "done", lambda *_, **__: reported.append(True))
    before(hands.Hands, "carry_out", lambda *_: reported)


def proven():
    before(remedy_words.RemedyWords, "well")


def told():
    seen = []
    original = agent.Hub._filed

    def filed(self, made):
        original(self, made)
        seen.extend(moment for moment in made if moment.data.kind == "recovery")
        if seen:
            die()

    agent.Hub._filed = filed


def never():
    """It lives on."""


if __name__ == "__main__":
    remedies.LOOK, mending.AGAIN = 0.1, 0.5
    globals()[sys.argv[1]]()
    log.set_up()
    asyncio.run(agent.serve(Path(sys.argv[2])))
