"""Tells the running hub that somebody is at work on its devices, and what they do.

    canary visit start --by "Jan Peeters" freezer-1 freezer-2     what happens to these is held back until the visit is over
    canary visit note "Cleaned the condenser."                    what was done
    canary visit found "The fan was blocked by ice."              what was wrong
    canary visit replaced freezer-1 --serial S-200117             another device is in its place: it is learnt afresh
    canary visit serviced freezer-2                               its maintenance was done
    canary visit end                                              one account of it all; what is still open is told now

Without devices a visit is about all of them; "bus.NAME" stands for a bus and all that hangs on it. A visit that nobody ends ends by
itself, after 4 hours if not told otherwise.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from gateway.cli._hub import add_config, asking

SUMMARY = "tell the running hub of somebody at work on its devices"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary visit`."""
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    start = steps.add_parser("start", help="somebody begins to work")
    start.add_argument("on", nargs="*", metavar="DEVICE", help='what they work on: devices, "bus.NAME", globs; all if not given')
    start.add_argument("--by", required=True, metavar="NAME", help="who is on site")
    start.add_argument("--for", dest="for_", metavar="TIME", help='how long at most, such as "90 min" (default: 4 h)')
    for step, what in (("note", "what was done"), ("found", "what was wrong")):
        steps.add_parser(step, help=what).add_argument("text", metavar="TEXT", help="in a sentence or two")
    for step, what in (("replaced", "another device is in the place of one"), ("serviced", "a device had its maintenance")):
        steps.add_parser(step, help=what).add_argument("device", metavar="DEVICE", help="its name in the config")
    steps.choices["replaced"].add_argument("--serial", metavar="NUMBER", help="the serial number of the new one")
    steps.add_parser("end", help="the visit is over")
    for each in steps.choices.values():
        add_config(each)


def main(args: argparse.Namespace) -> int:
    """Tell the hub, and say what it makes of it."""
    names = {"on": "on", "by": "by", "for_": "for", "text": "text", "device": "device", "serial": "serial"}
    fields = {name: value for key, name in names.items() if (value := getattr(args, key, None))}
    return asking(args.config, lambda hub: print(SAYS[args.step](hub.perform(f"visit-{args.step}", **fields))))


def _started(answer: Mapping[str, Any]) -> str:
    about = f"{_count(answer['devices'], 'device')}, {_count(answer['open'], 'open case')}"
    until = f"at {answer['until'][11:16]}" if "until" in answer else f"in {answer['for_s'] / 60:.0f} min"
    return f"The visit is on: {about}. It ends by itself {until}."


def _ended(answer: Mapping[str, Any]) -> str:
    passed = f" {_count(answer['passed'], 'case')} came and went meanwhile." if answer["passed"] else ""
    return f"The visit is over: {_count(answer['were_open'], 'open case')} before, {answer['are_open'] or 'none'} now.{passed}"


def _replaced(answer: Mapping[str, Any]) -> str:
    was = f" (serial number of the old one: {answer['was']})" if "was" in answer else ""
    return f"Noted{was}. What was learnt of the old one is forgotten; edit the config when there is time."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


SAYS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "start": _started,
    "note": lambda _: "Noted.",
    "found": lambda _: "Noted.",
    "replaced": _replaced,
    "serviced": lambda _: "Noted.",
    "end": _ended,
}
