"""Shows what the running hub knows: how it gets on with each device, what is open, what it foresees, and what it still learns."""

import argparse

from gateway.cli._hub import add_config, asking

SUMMARY = "show what the running hub knows"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary status`."""
    add_config(parser)


def main(args: argparse.Namespace) -> int:
    """Ask the hub, and pass its answer on."""
    return asking(args.config, lambda hub: hub.show("status"))
