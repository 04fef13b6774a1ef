"""Runs the hub until it is told to stop (SIGTERM or Ctrl-C). SIGHUP reads the config again.

A config with a mistake ends it with exit code 78 at the start, and changes nothing at a reload. Everything that must survive lies
in the folder that `[hub] state` names.
"""

import argparse
import asyncio
import faulthandler

from gateway.cli import EX_CONFIG, EX_FAILURE, EX_OK, complain
from gateway.cli._hub import add_config

SUMMARY = "run the hub"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary run`."""
    add_config(parser)
    parser.add_argument("--log", choices=["debug", "info", "warning", "error"], default="info", help="least level that is logged")


def main(args: argparse.Namespace) -> int:
    """Start, run, and put everything away."""
    from gateway import agent, log
    from gateway.config import ConfigError
    from gateway.store import StoreError

    log.set_up(args.log)
    faulthandler.enable()  # the watchdog ends a hub that hangs with SIGABRT: the journal then has where
    code = EX_OK
    try:
        asyncio.run(agent.serve(args.config))
    except* ConfigError as errors:
        complain(_first(errors))
        code = EX_CONFIG
    except* StoreError as errors:  # at work, too: a card that fails
        complain(_first(errors))
        code = EX_FAILURE
    return code


def _first(error: BaseException) -> str:
    """What one of the tasks, which may be in groups of groups, has ended with."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
