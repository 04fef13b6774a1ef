"""Prints what the running hub remembers of its readings, as CSV that `canary replay` reads.

The last readings are there one by one; further back there are the lowest and highest value of every few minutes, then half
hours, then hours, up to three days: what the hub keeps in memory as evidence, without wearing the card.
"""

import argparse
from pathlib import Path

from gateway.cli import EX_CONFIG, EX_FAILURE, EX_OK, complain
from gateway.cli.run import DEFAULT

SUMMARY = "print what the running hub remembers of its readings"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary history`."""
    parser.add_argument("--config", type=Path, default=DEFAULT, metavar="FILE", help=f"the hub's config (default: {DEFAULT})")


def main(args: argparse.Namespace) -> int:
    """Ask the hub, and pass its answer on."""
    from gateway.config import ConfigError, load
    from gateway.control import ControlError, ask

    try:
        for line in ask(Path(load(args.config, resolve_secrets=False).hub.state), do="history"):
            print(line)
    except ConfigError as error:
        complain(str(error))
        return EX_CONFIG
    except ControlError as error:
        complain(str(error))
        return EX_FAILURE
    return EX_OK
