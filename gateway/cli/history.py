"""Prints what the running hub remembers of its readings, as CSV that `canary replay` reads.

The last readings are there one by one; further back there are the lowest and highest value of every few minutes, then half
hours, then hours, up to three days: what the hub keeps in memory as evidence, without wearing the card.
"""

import argparse

from gateway.cli._hub import add_config, asking

SUMMARY = "print what the running hub remembers of its readings"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary history`."""
    add_config(parser)


def main(args: argparse.Namespace) -> int:
    """Ask the hub, and pass its answer on."""
    return asking(args.config, lambda hub: hub.show("history"))
