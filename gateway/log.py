"""Where log lines go: the journal under systemd, with its levels; the terminal otherwise, for people.

A log line is an event and its facts; it never carries a secret, because secrets are never in the values that are logged. Libraries
that log by themselves (pymodbus, paho, bleak) are heard from warnings on, and only through here.
"""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

# sd-daemon(3): a line that begins with <n> gets that syslog priority in the journal.
PRIORITY = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>", "critical": "<2>"}


class _Journal:
    """Renders "event: fact=value ..." with the priority that journald understands; journald adds the time."""

    def __call__(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        level = event.pop("level", method)
        trace = event.pop("exception", "")
        text = _line(event)
        # Every line needs its own priority, or the journal files the rest under the default one.
        return "\n".join(PRIORITY.get(level, "<6>") + line for line in [*text.splitlines(), *trace.splitlines()])


class _Console:
    """Renders "12:30:05 warning polling: does not answer device=x" for a person at a terminal."""

    def __call__(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        level = event.pop("level", method)
        stamp = event.pop("timestamp", "")
        trace = event.pop("exception", "")
        return f"{stamp} {level:<7} {_line(event)}" + (f"\n{trace}" if trace else "")


def _line(event: MutableMapping[str, Any]) -> str:
    area = event.pop("area", "")
    text = event.pop("event", "")
    facts = " ".join(f"{key}={value}" for key, value in event.items() if value != "")
    return f"{area + ': ' if area else ''}{text}{' | ' + facts if facts else ''}"


def _area(logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.setdefault("area", getattr(logger, "name", ""))
    return event


def in_journal(stream: TextIO) -> bool:
    """Whether this stream ends in the journal. The variable alone does not say so: what a desktop starts inherits it."""
    try:
        file = os.fstat(stream.fileno())
    except OSError:  # a stream without a file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{file.st_dev}:{file.st_ino}"  # systemd.exec(5)


def set_up(level: str = "info", stream: TextIO | None = None) -> None:
    """Send every log line of the program and its libraries to `stream` (standard error by default)."""
    journal = in_journal(stream or sys.stderr)
    processors: list[Any] = [structlog.processors.add_log_level, _area, structlog.processors.format_exc_info]
    processors += [_Journal()] if journal else [structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False), _Console()]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_factory(stream or sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Bridge()]
    root.setLevel(logging.WARNING)


class _Named(structlog.PrintLogger):
    """A print logger that knows the area it speaks for."""

    def __init__(self, file: TextIO, name: str) -> None:
        super().__init__(file)
        self.name = name


def _factory(stream: TextIO) -> Any:
    return lambda *names: _Named(stream, names[0] if names else "")


class _Bridge(logging.Handler):
    """Brings what libraries log by the standard module into the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        speak = structlog.get_logger(record.name.split(".")[0])
        speak.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)
