"""A program that a remedy runs gets nothing but its arguments, has an end, and takes all that it started with it."""

import asyncio
import contextlib
import os
import stat
import sys
from pathlib import Path

import pytest

from gateway.acting import Result, perform
from gateway.config.actions import Run
from gateway.program import ENVIRONMENT, TAIL, refusal, run

from peers.patience import until

pytestmark = pytest.mark.slow


@pytest.fixture
def script(tmp_path):
    """Makes a program of these lines of shell."""

    def make(*lines):
        path = tmp_path / "program"
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)
        return str(path)

    return make


def alive(pid):
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def perform_run(*program, limit=20.0):
    return await perform(Run(program, limit), {}, asyncio.sleep)


async def test_what_ends_well_is_done_and_tells_what_it_said(script):
    path = script('echo "to $1, $2"', "echo aside >&2")
    assert await perform_run(path, "port 3", "$HOME; *") == Result(done=True, says=f"{path} ended well\nto port 3, $HOME; *\naside")


@pytest.mark.parametrize(("line", "says"), [("exit 3", "ended with exit code 3"), ("kill -11 $$", "was ended by signal 11")])
async def test_what_ends_badly_is_not_done_and_says_how(script, line, says):
    path = script(line)
    assert await perform_run(path) == Result(done=False, says=f"{path} {says}")


async def test_it_gets_no_input_no_secrets_and_no_open_files(script, monkeypatch):
    """Nothing of the hub's own: its environment, what it was fed, the files and sockets that it has open."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    read, write = os.pipe()
    os.set_inheritable(write, True)
    ran = await run([script("env | sort", "pwd", "cat", "ls /proc/$$/fd | wc -w", f"echo hello >&{write} || true")], 20)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b""
    lines = ran.output.splitlines()
    shown = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {name: shown[name] for name in ENVIRONMENT} == ENVIRONMENT
    assert set(shown) <= {*ENVIRONMENT, "PWD", "OLDPWD", "SHLVL", "_"}  # what a shell adds by itself
    assert "/" in lines


async def test_of_endless_output_the_end_is_kept(script):
    ran = await run([script(f"{sys.executable} -c \"print('x' * 3_000_000)\"", "echo the end")], 20)
    assert ran.code == 0
    assert len(ran.output) == TAIL
    assert ran.output.endswith("x\nthe end\n")
    assert ran.last_line == "the end"


async def test_a_program_that_hangs_is_killed_with_its_children(script, tmp_path):
    pids = tmp_path / "pids"
    path = script("trap '' TERM", f"sleep 600 & echo $! >> {pids}", f"echo $$ >> {pids}", "echo waiting", "wait", "sleep 600")
    acting = asyncio.create_task(perform_run(path, limit=0.5))
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    assert await acting == Result(done=False, says=f"{path} was killed after 0.5 s\nwaiting")
    await until(lambda: not any(alive(pid) for pid in pids.read_text().split()))


async def test_whoever_is_cancelled_leaves_no_program_behind(script, tmp_path):
    pids = tmp_path / "pids"
    acting = asyncio.create_task(perform_run(script(f"sleep 600 & echo $! > {pids}.new; mv {pids}.new {pids}", "wait")))
    await until(pids.exists)
    acting.cancel()
    await asyncio.wait([acting])
    assert acting.cancelled()
    await until(lambda: not alive(pids.read_text().strip()))


async def test_whoever_is_cancelled_while_it_starts_leaves_no_program_behind(script, tmp_path):
    """At every step of the event loop on the way."""
    path = script(f"tail -f {tmp_path}/program & wait")
    for steps in range(20):
        acting = asyncio.create_task(perform_run(path))
        for _ in range(steps):
            await asyncio.sleep(0)
        acting.cancel()
        await asyncio.wait([acting])
    await until(lambda: not running(str(tmp_path)))


def running(text):
    """Command lines that hold this."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_text())
    return [line for line in lines if text in line]


async def test_it_has_ended_when_it_has_exited_whoever_still_holds_its_output(script, tmp_path):
    """A program that starts a daemon and ends is done; the daemon is its own business, and the output is waited for no longer."""
    pids = tmp_path / "pids"
    async with asyncio.timeout(5):
        ran = await run([script(f"sleep 60 & echo $! > {pids}", "echo started")], 30)
    daemon = int(pids.read_text())
    assert (ran.code, ran.output) == (0, "started\n")
    assert alive(daemon)
    os.kill(daemon, 9)


async def test_what_is_no_program_at_all_is_told(tmp_path):
    path = tmp_path / "program"
    path.write_text("no program\n")
    path.chmod(0o755)
    result = await perform_run(str(path))
    assert (result.done, result.says) == (False, f"{path} could not be started (Exec format error)")


def test_what_cannot_be_run_is_known_beforehand(tmp_path):
    path = tmp_path / "program"
    assert refusal(str(path)) == f"there is no program {path}"
    assert "is not the whole path" in refusal("reboot")
    path.mkdir()
    assert refusal(str(path)) == f"there is no program {path}"
    other = tmp_path / "other"
    other.write_text("")
    other.chmod(stat.S_IRUSR)
    assert "may not be run" in refusal(str(other))
