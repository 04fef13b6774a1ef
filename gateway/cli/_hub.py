"""The hub of this machine, as the commands that ask it find it: its config names the folder in which it answers."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.cli import EX_CONFIG, EX_FAILURE, EX_OK, complain

if TYPE_CHECKING:
    from gateway.commands import Answer
    from gateway.config.model import Config

DEFAULT = Path("/etc/canary/hub.toml")


class ThisHub(NamedTuple):
    """The hub of a config. What is asked of it raises ControlError, also where it is not running."""

    config: "Config"

    @property
    def folder(self) -> Path:
        """Its state folder."""
        return Path(self.config.hub.state)

    def show(self, view: str) -> None:
        """Print a view of it: "status", "history"."""
        from gateway.control import ask

        for line in ask(self.folder, do=view):
            print(line)

    def perform(self, name: str, /, **fields: Any) -> "Answer":
        """Have it do a command, and return its answer."""
        from gateway.control import perform

        return perform(self.folder, name, **fields)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which config is the hub's."""
    parser.add_argument("--config", type=Path, default=DEFAULT, metavar="FILE", help=f"the hub's config (default: {DEFAULT})")


def asking(path: Path, ask: Callable[[ThisHub], int | None]) -> int:
    """Ask the hub of that config; returns the exit code: that of `ask` if it has one. What goes wrong is told in a line."""
    from gateway.config import ConfigError, load
    from gateway.control import ControlError

    try:
        return ask(ThisHub(load(path, resolve_secrets=False))) or EX_OK
    except ConfigError as error:
        complain(str(error))
        return EX_CONFIG
    except ControlError as error:
        complain(str(error))
        return EX_FAILURE
