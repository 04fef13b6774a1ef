"""The systemd unit: what an operator relies on stands in it."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.acting import SWITCHING_ON
from gateway.agent import STOP

UNIT = Path(__file__).parents[1] / "systemd" / "canary.service"


def keys():
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(UNIT)
    return parser["Service"]


def test_running_means_measuring():
    service = keys()
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["Restart"] == "always"


def test_a_mistake_in_the_config_does_not_restart_for_ever():
    assert keys()["RestartPreventExitStatus"] == "78"


def test_a_stop_is_given_the_time_that_the_hub_needs_to_switch_on_what_is_off():
    assert int(keys()["TimeoutStopSec"]) == STOP > SWITCHING_ON


def test_reload_is_sighup():
    assert keys()["ExecReload"].endswith("kill -HUP $MAINPID")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this machine")
def test_systemd_understands_every_line_and_finds_it_well_shut(tmp_path):
    unit = tmp_path / "canary.service"
    unit.write_text(UNIT.read_text().replace("/opt/canary/bin/canary", "/bin/true"))
    verify = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "canary.service" not in verify.stderr, verify.stderr
    security = ["systemd-analyze", "security", "--offline=yes", "--threshold=30", unit]
    rated = subprocess.run(security, capture_output=True, text=True, check=False)
    assert rated.returncode == 0, rated.stdout[-300:]
