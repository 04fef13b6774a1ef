"""What a person types, and what they read when it was wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CANARY = Path(sys.executable).with_name("canary")

pytestmark = pytest.mark.slow


def canary(*words, **options):
    return subprocess.run([CANARY, *words], capture_output=True, text=True, timeout=60, check=False, **options)


def test_help_names_every_command_and_explains_itself():
    said = canary("--help")
    assert said.returncode == 0
    for command in ("run", "check", "demo"):
        assert command in said.stdout
        assert canary(command, "--help").returncode == 0


def test_version():
    assert canary("--version").stdout.startswith("canary ")


def test_check_says_what_it_found_in_a_good_config():
    said = canary("check", ROOT / "config" / "demo.toml")
    assert said.returncode == 0
    assert "4 devices" in said.stdout


def test_check_says_every_mistake_and_ends_with_78(tmp_path):
    path = tmp_path / "hub.toml"
    path.write_text('[hub]\nid = "h"\n[device.a]\nbus = "nowhere"\nevery = 5\n')
    said = canary("check", path)
    assert said.returncode == 78
    assert "nowhere" in said.stderr
    assert '"5 s"' in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("words", [["check", "/no/such/file.toml"], ["run", "--config", "/no/such/file.toml"]])
def test_a_file_that_is_not_there_is_one_clear_line(words):
    said = canary(*words)
    assert said.returncode == 78
    assert "/no/such/file.toml" in said.stderr
    assert "Traceback" not in said.stderr


def test_an_unknown_command_is_refused_with_the_known_ones():
    said = canary("chekc")
    assert said.returncode == 2
    assert "check" in said.stderr


def test_a_reader_that_has_seen_enough_is_no_error():
    shell = f"set -o pipefail; {CANARY} check {ROOT / 'config' / 'demo.toml'} | true"
    assert subprocess.run(["bash", "-c", shell], timeout=60, check=False).returncode == 0
