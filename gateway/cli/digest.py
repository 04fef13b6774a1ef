"""Shows the digest of the running hub as it would be made now: what there is to tell the customer since the last one.

It is made and sent by itself, when [digest] in the config says; asking for it changes nothing.
"""

import argparse

from gateway.cli._hub import add_config, asking

SUMMARY = "show what the next digest has to tell so far"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary digest`."""
    add_config(parser)


def main(args: argparse.Namespace) -> int:
    """Ask the hub, and show its answer."""
    return asking(args.config, lambda hub: print(hub.perform("digest")["says"]))
