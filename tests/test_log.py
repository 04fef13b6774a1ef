"""Where log lines go."""

import logging
import os
import sys

import pytest
import structlog

from gateway import log
from gateway.cli import complain


@pytest.fixture(autouse=True)
def as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


def stream_of(stream):
    """As systemd names the file that it connected a service to."""
    file = os.fstat(stream.fileno())
    return f"{file.st_dev}:{file.st_ino}"


def test_every_line_in_the_journal_has_its_priority(tmp_path, monkeypatch):
    with (tmp_path / "log").open("w+") as stream:
        monkeypatch.setenv("JOURNAL_STREAM", stream_of(stream))
        log.set_up("info", stream)
        structlog.get_logger("hub").error("not reloaded", mistakes="2 problems\n1:1 this\n2:1 that")
        stream.seek(0)
        assert stream.read() == "<3>hub: not reloaded | mistakes=2 problems\n<3>1:1 this\n<3>2:1 that\n"


def test_a_terminal_that_a_desktop_started_is_no_journal(tmp_path, monkeypatch):
    with (tmp_path / "log").open("w+") as stream:
        monkeypatch.setenv("JOURNAL_STREAM", "8:4711")  # inherited: the desktop's own
        log.set_up("info", stream)
        structlog.get_logger("hub").info("at work")
        stream.seek(0)
        assert stream.read().endswith("info    hub: at work\n")


def test_a_mistake_at_the_start_is_an_error_in_the_journal(monkeypatch, capfd):
    monkeypatch.setenv("JOURNAL_STREAM", stream_of(sys.stderr))
    complain("hub.toml: 2 problems\n  1:1 this")
    assert capfd.readouterr().err == "<3>hub.toml: 2 problems\n<3>  1:1 this\n"
