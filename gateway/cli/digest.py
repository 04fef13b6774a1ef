"""Shows the digest of the running hub as it would be made now: what there is to tell the customer since the last one.

It is made and sent by itself, when [digest] in the config says; asking for it changes nothing.
"""

import argparse
from pathlib import Path

from gateway.cli import EX_CONFIG, EX_FAILURE, EX_OK, complain
from gateway.cli.run import DEFAULT

SUMMARY = "show what the next digest has to tell so far"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary digest`."""
    parser.add_argument("--config", type=Path, default=DEFAULT, metavar="FILE", help=f"the hub's config (default: {DEFAULT})")


def main(args: argparse.Namespace) -> int:
    """Ask the hub, and show its answer."""
    from gateway.config import ConfigError, load
    from gateway.control import ControlError, perform

    try:
        print(perform(Path(load(args.config, resolve_secrets=False).hub.state), "digest")["says"])
    except ConfigError as error:
        complain(str(error))
        return EX_CONFIG
    except ControlError as error:
        complain(str(error))
        return EX_FAILURE
    return EX_OK
