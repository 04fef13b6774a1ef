"""The contract between hub and cloud as an AsyncAPI 3.0 document, from the same types by which the hub speaks and listens.

python -m gateway.asyncapi > config/asyncapi.json

Promises
- Moments are described by `moments.Moment`, commands by the classes that read them, and there is one for each that a hub takes by
  downlink: a hub is put together to ask it.
- What is retained, how sure the delivery is, and where an answer goes is what `link.py`, `uplink.py` and `downlink.py` do.
"""

import asyncio
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from gateway import moments
from gateway.commands import Command, Commands, ErrorName, Offer
from gateway.config.schema import of
from gateway.config.tables import table
from gateway.diagnosis.contract import Kind, Phase
from gateway.question import LONGEST_CORRELATION, MAX_BYTES, Envelope

VERSION = "1.0.0"
"""Of the contract: the first number is that of the types of moments (`.v1`), the second grows with what is added to it."""

BINDING = "0.2.0"  # of the MQTT bindings

Document = dict[str, Any]


class Described(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what is on the wire beside moments; a reader ignores fields that it does not know."""


class Waiting(Described, frozen=True, kw_only=True):
    """The outbox: moments that wait, their bytes, and when the oldest of them was made."""

    waiting: int
    bytes: int
    oldest: datetime | None


class Wear(Described, frozen=True, kw_only=True):
    """What the hub writes to its disk in a day."""

    bytes_per_day: int
    syncs_per_day: int


class State(Described, frozen=True, kw_only=True):
    """Whether the hub is online, and its vital figures while it is.

    `because` says why it is not. `config` is twelve hex digits of the config in force. `devices` counts devices by how the hub gets
    on with them, `dropped` moments that never left by the reason, since the store was begun. `wear` is not known at first.
    """

    online: bool
    hub: str
    at: Annotated[datetime, Meta(tz=True)]
    because: str = ""
    version: str = ""
    clock: Literal["synced", "unsynced"] = "synced"
    config: str = ""
    devices: dict[str, int] = {}
    wear: Wear | None = None
    generation: str = ""
    dropped: dict[str, int] = {}
    outbox: Waiting | None = None


class Mistake(Described, frozen=True, kw_only=True):
    """What is wrong with a command. `name` is for programs and never changes its meaning, `text` is for people."""

    name: Annotated[str, Meta(examples=list(get_args(ErrorName)))]
    field: str = ""
    text: str
    expected: str = ""
    suggestion: str = ""


class Failure(Mistake, frozen=True, kw_only=True):
    """Why a command was not done; `more` are further mistakes in it."""

    more: tuple[Mistake, ...] = ()


class Done(Described, frozen=True, kw_only=True):
    """The answer to a command: what it has to say, or why it was not done."""

    id: str
    do: str
    hub: str
    at: Annotated[datetime, Meta(tz=True)]
    ok: bool
    answer: dict[str, Any] = {}
    error: Failure | None = None


def document(commands: Commands) -> Document:
    """The document for hubs that take these commands by downlink."""
    asked = {name: commands.offered(name) for name in commands.names("cloud")}
    channels = {
        "moments": _channel("canary/{hub}/moments", "What happened, one moment a message, in order within a case.", "moment"),
        "state": _channel("canary/{hub}/state", "Retained: whether the hub is online; also its last will.", "state"),
        **{
            f"do-{name}": _channel(f"canary/{{hub}}/do/{name}", offer.kind.__doc__ or "", f"do-{name}")
            for name, offer in asked.items()
        },
        "done": _channel(
            "canary/{hub}/done/{id}",
            "Answers to commands. With MQTT 5, one with a response topic is answered there instead, with its correlation data.",
            "done",
        ),
    }
    channels["done"]["parameters"]["id"] = {"description": "The `id` of the command."}
    return {
        "asyncapi": "3.0.0",
        "id": "urn:canary:hub",
        "info": _info(),
        "defaultContentType": "application/json",
        "servers": {"broker": _server()},
        "channels": channels,
        "operations": {
            "sendMoments": _operation(
                "send", "moments", ["moment"], "Each moment as soon as it is made, at least once.", retain=False
            ),
            "sendState": _operation(
                "send", "state", ["state"], "Within a minute of a change, and now and then without.", retain=True
            ),
            **{f"receive-do-{name}": _answered(name, offer) for name, offer in asked.items()},
        },
        "components": {
            "messages": {"moment": _moment(), "state": _state(), "done": _done(), **{f"do-{name}": _do(name) for name in asked}},
            "schemas": _schemas({name: offer.kind for name, offer in asked.items()}),
            "securitySchemes": {
                "password": {"type": "userPassword", "description": "`username` and `password` in [uplink]."},
                "certificate": {
                    "type": "X509",
                    "description": "The hub's own certificate: `certificate` and `key` in [uplink.tls].",
                },
            },
        },
    }


def _info() -> Document:
    return {
        "title": "Canary hub",
        "version": VERSION,
        "description": "What a Canary hub tells and may be asked. docs/contract.md says what may change and what never does. "
        "Made by `python -m gateway.asyncapi`.",
        "license": {"name": "Apache-2.0"},
        "tags": [{"name": "moments"}, {"name": "state"}, {"name": "commands"}],
    }


def _server() -> Document:
    return {
        "host": "{host}:{port}",
        "protocol": "secure-mqtt",
        "protocolVersion": "5",
        "description": "The broker of `url` in [uplink]; MQTT 3.1.1 on request. Without TLS only on the hub's own machine.",
        "variables": {"host": {"description": "Its name."}, "port": {"default": "8883"}},
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("password", "certificate")],
        "bindings": {
            "mqtt": {
                "clientId": "{hub}",
                "lastWill": {"topic": "canary/{hub}/state", "qos": 1, "message": '{"online": false, ...}', "retain": True},
                "bindingVersion": BINDING,
            }
        },
    }


def _channel(address: str, description: str, message: str) -> Document:
    hub = {"description": "The hub's id, unique in the fleet.", "examples": ["hub-0042"]}
    return {
        "address": address,
        "description": " ".join(description.split()),
        "parameters": {"hub": hub},
        "servers": [{"$ref": "#/servers/broker"}],
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _operation(action: str, channel: str, messages: list[str], summary: str, *, retain: bool) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "tags": [{"name": channel if channel in ("moments", "state") else "commands"}],
        "bindings": {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": BINDING}},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"} for message in messages],
    }


def _answered(name: str, offer: Offer) -> Document:
    made = _operation("receive", f"do-{name}", [f"do-{name}"], " ".join((offer.kind.__doc__ or "").split()), retain=False)
    made["description"] = (
        f"Done twice: {offer.effect.value}. A command that is retained is refused; one is at most {MAX_BYTES} bytes long."
    )
    made["reply"] = {"channel": {"$ref": "#/channels/done"}, "messages": [{"$ref": "#/channels/done/messages/done"}]}
    return made


def _moment() -> Document:
    types = sorted(f"canary.{kind}.{phase.value}.v1" for kind in get_args(Kind) for phase in Phase)
    return {
        "name": "moment",
        "title": "A moment: a CloudEvent 1.0 in JSON, structured",
        "summary": f"At most {moments.MAX_BYTES} bytes, packed by zstd where `compress` in [uplink] says so (user property "
        "content-encoding). Its `type` is canary.{kind}.{phase}.v1; a reader ignores types that it does not know.",
        "contentType": "application/cloudevents+json",
        "correlationId": {"location": "$message.payload#/data/case", "description": "All moments of a case carry its number."},
        "payload": {"$ref": "#/components/schemas/Moment"},
        "bindings": {"mqtt": {"contentType": "application/cloudevents+json", "bindingVersion": BINDING}},
        "x-types": types,
    }


def _state() -> Document:
    return {"name": "state", "title": "Whether a hub is online, and its vital figures", "payload": _ref("State")}


def _done() -> Document:
    return {
        "name": "done",
        "title": "The answer to a command",
        "correlationId": {"location": "$message.payload#/id", "description": "That of the command."},
        "payload": _ref("Done"),
        "bindings": {"mqtt": {"contentType": "application/json", "bindingVersion": BINDING}},
    }


def _do(name: str) -> Document:
    return {
        "name": f"do-{name}",
        "title": f"The command {name}",
        "correlationId": {"location": "$message.payload#/id", "description": "The asker's name for it, never used for another."},
        "payload": _ref(f"do-{name}"),
        "bindings": {"mqtt": {"correlationData": {"type": "string", "maxLength": LONGEST_CORRELATION}, "bindingVersion": BINDING}},
    }


def _ref(schema: str) -> Document:
    return {"$ref": f"#/components/schemas/{schema}"}


def _schemas(commands: Mapping[str, type[Command]]) -> Document:
    found = msgspec.json.schema_components([moments.Moment, State, Done], ref_template="#/components/schemas/{name}")[1]
    for schema in found.values():
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
    for name, kind in commands.items():
        found[f"do-{name}"] = of(table(Envelope, kind)) | {"description": " ".join((kind.__doc__ or "").split())}
    return found


# ---------------------------------------------------------------- which commands there are


async def offered() -> Commands:
    """The commands of a hub, from one that is put together for this and never runs."""
    from gateway.agent import STORE, Hub
    from gateway.clock import SystemClock
    from gateway.config import load
    from gateway.store import Store
    from gateway.trial import Trial

    with TemporaryDirectory() as folder:
        path = Path(folder) / "hub.toml"
        path.write_text(f'[hub]\nid = "hub"\nstate = "{folder}"\n', encoding="utf-8")
        with Store.open(Path(folder) / STORE) as store:
            hub = Hub(load(path), SystemClock(), store)
            Trial(hub, path).offer(hub.commands)
            return hub.commands


def written() -> bytes:
    """The text of `config/asyncapi.json`."""
    return msgspec.json.format(msgspec.json.encode(document(asyncio.run(offered()))), indent=1) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(written())
