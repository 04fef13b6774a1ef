"""Shows what the running hub knows: how it gets on with each device, what is open, what it foresees, and what it still learns."""

import argparse
from pathlib import Path

from gateway.cli import EX_CONFIG, EX_FAILURE, EX_OK, complain
from gateway.cli.run import DEFAULT

SUMMARY = "show what the running hub knows"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary status`."""
    parser.add_argument("--config", type=Path, default=DEFAULT, metavar="FILE", help=f"the hub's config (default: {DEFAULT})")


def main(args: argparse.Namespace) -> int:
    """Ask the hub, and pass its answer on."""
    from gateway.config import ConfigError, load
    from gateway.control import ControlError, ask

    try:
        for line in ask(Path(load(args.config, resolve_secrets=False).hub.state), do="status"):
            print(line)
    except ConfigError as error:
        complain(str(error))
        return EX_CONFIG
    except ControlError as error:
        complain(str(error))
        return EX_FAILURE
    return EX_OK
