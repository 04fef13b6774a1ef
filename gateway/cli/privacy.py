"""Shows what leaves this hub of what is private, and lets the people there put an end to it.

canary privacy                            what leaves of each class and point, and how much has in the last days
canary privacy withdraw personal          nobody agrees to this being told any more: at once, also of what still waits
canary privacy grant personal             it may be told again, as [privacy] in the config says
"""

import argparse

from gateway.cli import complain
from gateway.cli._hub import ThisHub, add_config, asking

SUMMARY = "show what leaves of what is private, and put an end to it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary privacy`."""
    add_config(parser)
    parser.add_argument(
        "action", nargs="?", choices=("withdraw", "grant"), help="stop telling what is private; let it be told again"
    )
    parser.add_argument(
        "what", nargs="?", choices=("household", "personal", "all"), default="all", help="of which class (default: all)"
    )


def main(args: argparse.Namespace) -> int:
    """Ask the hub, and print its answer; without a running hub, what its config says."""
    return asking(args.config, lambda hub: _consent(hub, args.action, args.what) if args.action else _show(hub))


def _consent(hub: ThisHub, action: str, what: str) -> None:
    withdrawn = " and ".join(hub.perform(f"privacy-{action}", what=what)["withdrawn"])
    print(f"consent is withdrawn for what is {withdrawn}" if withdrawn else "consent is given for everything")


def _show(hub: ThisHub) -> None:
    from gateway.control import SOCKET
    from gateway.privacy_commands import account, words
    from gateway.service.privacy import Privacy

    if (hub.folder / SOCKET).exists():
        lines = words(hub.perform("privacy"))
    else:
        complain("no hub is running: this is what the config says, without what was withdrawn and what has left")
        lines = words(account(hub.config, Privacy(hub.config)))
    for line in lines:
        print(line)
