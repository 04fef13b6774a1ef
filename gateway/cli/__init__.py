"""What a person types. One command, one file in this folder; it is imported only when it is asked for.

A command file has `SUMMARY` (one line), `arguments(parser)` and `main(args) -> exit code`.
"""

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence

EX_OK, EX_FAILURE, EX_CONFIG = 0, 1, 78
"""Exit codes: done; did not work, and a line on standard error says why; the config is at fault (sysexits.h), do not restart."""


def commands() -> list[str]:
    """Every command: the files of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def _version() -> str:
    from gateway import __version__

    return f"canary {__version__}"


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="canary",
        description="Watches the devices of a home, shop or plant, and tells the few things that matter before anybody notices.",
        epilog="Start with `canary demo`. Settings are explained in config/hub.toml, exit code 78 means a mistake in them.",
    )
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in commands():
        # Only the command that runs is imported, unless all are to be listed: a daemon's start is counted in tenths of a second.
        if wanted in {name, None}:
            module = importlib.import_module(f"{__name__}.{name}")
            command = subparsers.add_parser(name, help=module.SUMMARY, description=module.__doc__, formatter_class=_Plain)
            module.arguments(command)
            command.set_defaults(main=module.main)
    return parser


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Descriptions are the docstrings of the command files, laid out as written."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is the process's."""
    words = list(sys.argv[1:] if argv is None else argv)
    wanted = words[0] if words and words[0] in commands() else None
    args = _parser(wanted).parse_args(words)
    try:
        code: int = args.main(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has seen enough: `canary demo --jsonl | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_OK
    except KeyboardInterrupt:
        return 130
    return code


def complain(text: str) -> None:
    """One line (or a list of mistakes) on standard error; as errors, where that is the journal."""
    from gateway.log import PRIORITY, in_journal

    mark = PRIORITY["error"] if in_journal(sys.stderr) else ""
    print("\n".join(mark + line for line in text.splitlines()), file=sys.stderr)
