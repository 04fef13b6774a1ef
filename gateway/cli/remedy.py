"""Shows the remedies of the hub, what each would do, and whether it may now; or has the running hub try one.

    canary remedy                                   all of them, and how it stands with them
    canary remedy restart-router --dry-run          what it would do, on what, and what stands against it now; nothing is done
    canary remedy restart-router                    try it now, in the case that it is for, within all its limits and conditions
    canary remedy restart-router --case hub-0042-2N7K

Where no hub is running the config alone is looked at. Exit code 0 when all is well, 1 when a remedy may not or cannot be tried, 78
when there is a mistake in the config.
"""

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.cli import EX_FAILURE, EX_OK, complain
from gateway.cli._hub import ThisHub, add_config, asking

if TYPE_CHECKING:
    from gateway.config.model import Config

SUMMARY = "show the remedies of the hub, or have it try one"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary remedy`."""
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="which one; all of them are shown if none is given")
    parser.add_argument("--case", default="", metavar="NUMBER", help="in which open case, where there are several that it is for")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done, and what stands against it")
    add_config(parser)


def main(args: argparse.Namespace) -> int:
    """Ask the hub, or the config where there is none."""
    shows = args.dry_run or not args.name
    return asking(args.config, lambda hub: _show(hub, args.name, args.case) if shows else _begin(hub, args.name, args.case))


def _begin(hub: ThisHub, name: str, case: str) -> None:
    answer = hub.perform("remedy", name=name, case=case)
    print(f"Begun in case {answer['case']}: the hub {answer['does']}. What comes of it will be told in that case.")


def _show(hub: ThisHub, name: str, case: str) -> int:
    from gateway.control import ControlError

    try:
        shown = [hub.perform("remedy", name=name, case=case, dry_run=True)] if name else hub.perform("remedies")["remedies"]
    except ControlError as error:
        if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
            return _without_hub(hub.config, name)
        raise
    for one in shown:
        print("\n".join(_lines(one)))
    if not shown:
        print("This hub has no remedies; see [remedy.NAME] in config/README.md.")
    return EX_OK


def _without_hub(config: "Config", name: str) -> int:
    """What the config alone says."""
    from gateway.config.actions import intent
    from gateway.config.problems import nearest

    remedies = config.remedies
    if name and name not in remedies:
        near, known = nearest(name, remedies), ", ".join(remedies) or "none"
        complain(f'no remedy is called "{name}"' + (f'; did you mean "{near}"?' if near else f"; there are: {known}"))
        return EX_FAILURE
    for one in [name] if name else remedies:
        remedy = remedies[one]
        print(f"{_head(one, remedy.label)} {intent(remedy.action)}, for {_whom(remedy.for_, remedy.on)}")
    print("No hub is running here, so what stands against them is not known." if remedies else "This config has no remedies.")
    return EX_OK


def _head(name: str, label: str) -> str:
    return f"{name} ({label}):" if label else f"{name}:"


def _whom(rules: Any, devices: Any) -> str:
    return ", ".join(rules) + (f" on {', '.join(devices)}" if devices else "")


def _lines(one: Mapping[str, Any]) -> Iterator[str]:
    """How it stands with a remedy."""
    yield f"{_head(one['name'], one['label'])} {one['does']}, for {_whom(one['for'], one['on'])}"
    yield f"  tried {one['today']} of at most {one['per_day']} times in 24 hours" + (
        "; only rehearsed, its config says dry_run = true" if one["dry_run"] else ""
    )
    yield from (f"  cannot be done: {why}" for why in one["against"])
    for case in one["cases"]:
        yield f"  case {case['case']}: tried {case['tries']} of at most {case['most']} times"
        yield from (f"    not now: {why}" for why in case["against"])
        if not case["against"]:
            yield "    it may be tried now"
    if not one["cases"]:
        yield "  no case is open that it is for"
