"""Shows what leaves this hub of what is private, and lets the people there put an end to it.

canary privacy                            what leaves of each class and point, and how much has in the last days
canary privacy withdraw personal          nobody agrees to this being told any more: at once, also of what still waits
canary privacy grant personal             it may be told again, as [privacy] in the config says
"""

import argparse
from pathlib import Path
from typing import Any

from gateway.cli import EX_CONFIG, EX_FAILURE, EX_OK, complain
from gateway.cli.run import DEFAULT

SUMMARY = "show what leaves of what is private, and put an end to it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary privacy`."""
    parser.add_argument("--config", type=Path, default=DEFAULT, metavar="FILE", help=f"the hub's config (default: {DEFAULT})")
    parser.add_argument(
        "action", nargs="?", choices=("withdraw", "grant"), help="stop telling what is private; let it be told again"
    )
    parser.add_argument(
        "what", nargs="?", choices=("household", "personal", "all"), default="all", help="of which class (default: all)"
    )


def main(args: argparse.Namespace) -> int:
    """Ask the hub, and print its answer; without a running hub, what its config says."""
    from gateway.config import ConfigError, load
    from gateway.control import ControlError, perform

    try:
        config = load(args.config, resolve_secrets=False)
        folder = Path(config.hub.state)
        if args.action:
            answer = perform(folder, f"privacy-{args.action}", what=args.what)
            withdrawn = " and ".join(answer["withdrawn"])
            print(f"consent is withdrawn for what is {withdrawn}" if withdrawn else "consent is given for everything")
        else:
            _show(config, folder)
    except ConfigError as error:
        complain(str(error))
        return EX_CONFIG
    except ControlError as error:
        complain(str(error))
        return EX_FAILURE
    return EX_OK


def _show(config: Any, folder: Path) -> None:
    from gateway.control import SOCKET, perform
    from gateway.privacy_commands import account, words
    from gateway.service.privacy import Privacy

    if (folder / SOCKET).exists():
        lines = words(perform(folder, "privacy"))
    else:
        complain("no hub is running: this is what the config says, without what was withdrawn and what has left")
        lines = words(account(config, Privacy(config)))
    for line in lines:
        print(line)
