"""Reads a config and says every mistake in it, without touching any device.

A file is a hub's config (with the fragments in the folder `hub.d` beside it) or a device profile. Secrets need not be there:
only their references are checked, so this works on a laptop too. Exit code 0 when all is well, 78 when there is a mistake.
"""

import argparse
from pathlib import Path

from gateway.cli import EX_CONFIG, EX_OK, complain

SUMMARY = "say every mistake in a config or profile"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary check`."""
    parser.add_argument("files", nargs="+", metavar="FILE", type=Path, help="hub.toml, or a profile")


def main(args: argparse.Namespace) -> int:
    """Check each file; tell what was found in the good ones as well."""
    from gateway.config import ConfigError, check_file

    wrong = False
    for path in args.files:
        try:
            print(check_file(path))
        except ConfigError as error:
            wrong = True
            complain(str(error))
    return EX_CONFIG if wrong else EX_OK
