"""Shows what the hub does, without any hardware: simulated machines that go wrong, behind the protocols that real ones speak.

A freezer (Modbus TCP), a heat pump (Modbus RTU), a water meter (lines of text) and a Bluetooth thermometer live ten minutes in each
second. The table shows their readings, the list below it the moments: as the hub makes them, and as a backend receives them over
MQTT. The broker is part of the demo unless --broker names another one.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from gateway.cli import EX_FAILURE, EX_OK, complain

SUMMARY = "see it work, with simulated machines"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary demo`."""
    parser.add_argument("--play", type=Path, metavar="FILE.csv", help="play recorded data over Modbus instead of the machines")
    parser.add_argument("--broker", default="", metavar="URL", help="use this MQTT broker, for example mqtt://localhost:1883")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after so many seconds")
    parser.add_argument("--jsonl", action="store_true", help="print nothing but the moments as received, one JSON line each")


def main(args: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C, or for the given time."""
    from gateway import log
    from gateway.config import ConfigError
    from gateway.demo.conductor import Demo
    from gateway.demo.recording import RecordingError
    from gateway.dial import UplinkFault

    log.set_up("error")
    demo = Demo(broker_url=args.broker, recording=args.play, seconds=args.seconds)
    code = EX_OK
    try:
        asyncio.run(demo.tell(_line) if args.jsonl else demo.show())
    except* (RecordingError, UplinkFault, ConfigError) as errors:
        complain(str(errors.exceptions[0]))
        code = EX_FAILURE
    return code


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
