"""What a hub may be asked is one table for the cloud and for people: a mistake has a name, and a question with one does nothing."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from drivers.contract import Seconds
from gateway.commands import Command, CommandError, Commands, Effect, read_fields
from gateway.control import Control, ControlError, ask, perform
from gateway.store import DiskFullError


class Water(Command, frozen=True, kw_only=True):
    """Open a valve for a while."""

    valve: Annotated[str, Meta(min_length=1, max_length=20, examples=["garden"])]
    at: datetime | None = None
    for_: Annotated[Seconds, Meta(le=3600)] = 60.0
    how: Literal["gently", "quickly"] = "gently"
    litres: Annotated[int, Meta(ge=1, le=1000)] = 1


class Garden:
    """Counts what was done."""

    def __init__(self):
        self.watered = []
        self.commands = Commands()
        self.commands.add("water", Water, self.water, Effect.ONCE)
        self.commands.add("drain", Water, self.drain, Effect.ONCE, cloud=False)
        self.commands.add("break", Water, self.break_, Effect.ONCE)
        self.commands.add("fill", Water, self.fill, Effect.ONCE)

    def water(self, command):
        self.watered.append(command)
        return {"valve": command.valve, "for_s": command.for_}

    async def drain(self, command):
        await asyncio.sleep(0)
        return {"drained": command.valve}

    def break_(self, command):
        return 1 / 0

    def fill(self, command):
        raise DiskFullError("the disk is full; make space on it")


def mistakes(fields):
    with pytest.raises(CommandError) as told:
        read_fields(Water, fields)
    return [(mistake.name, mistake.field) for mistake in told.value.mistakes]


def test_what_was_asked_arrives_typed():
    asked = read_fields(Water, {"valve": "garden", "at": "2026-11-21T19:40:03+01:00", "for": "2 min", "how": "quickly"})
    assert asked == Water(valve="garden", at=datetime(2026, 11, 21, 18, 40, 3, tzinfo=UTC), for_=120.0, how="quickly")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, [("missing-field", "valve")]),
        ({"valve": 3}, [("wrong-type", "valve")]),
        ({"valve": None}, [("wrong-type", "valve")]),
        ({"valve": ""}, [("wrong-value", "valve")]),
        ({"valve": "x" * 21}, [("wrong-value", "valve")]),
        ({"valve": "a", "for": "2 h"}, [("wrong-value", "for")]),
        ({"valve": "a", "for": [2]}, [("wrong-type", "for")]),
        ({"valve": "a", "at": "2026-11-21T18:40:03"}, [("wrong-value", "at")]),
        ({"valve": "a", "at": 1763750403}, [("wrong-type", "at")]),
        ({"valve": "a", "how": "loudly"}, [("wrong-value", "how")]),
        ({"valve": "a", "litres": 1.5}, [("wrong-type", "litres")]),
        ({"valve": "a", "litres": True}, [("wrong-type", "litres")]),
        ({"vavle": "a", "litres": 0}, [("wrong-value", "litres"), ("unknown-field", "vavle")]),
        ([], [("wrong-type", "")]),
        ("water", [("wrong-type", "")]),
    ],
)
def test_every_mistake_is_told_at_once_by_name_and_field(fields, found):
    assert mistakes(fields) == found


def test_a_mistake_says_what_was_expected_and_probably_meant():
    with pytest.raises(CommandError) as told:
        read_fields(Water, {"vavle": "a", "for": 5, "at": "tomorrow"})
    assert told.value.wire() == {
        "name": "wrong-value",
        "field": "at",
        "text": 'at: found text "tomorrow", expected text such as "2026-11-21T18:40:03Z"',
        "expected": 'text such as "2026-11-21T18:40:03Z"',
        "more": [
            {"name": "wrong-value", "field": "for", "text": 'for: 5 has no unit; did you mean "5 s"?', "suggestion": '"5 s"'},
            {"name": "unknown-field", "field": "vavle", "text": 'vavle: unknown key "vavle"; did you mean "valve"?',
             "suggestion": '"valve"'},
        ],
    }  # fmt: skip


def test_a_thousand_mistakes_are_an_answer_of_bounded_size():
    with pytest.raises(CommandError) as told:
        read_fields(Water, {f"key {number}": number for number in range(1000)})
    assert len(json.dumps(told.value.wire())) < 8192


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
fields = st.dictionaries(st.sampled_from(["valve", "at", "for", "how", "litres", "vavle"]) | st.text(max_size=8), json_values)


@given(fields | json_values)
def test_whatever_json_says_is_a_command_or_a_named_mistake(said):
    try:
        told = {"name": "none", "text": str(read_fields(Water, said))}
    except CommandError as error:
        told = error.wire()
    assert told["name"]
    assert told["text"]


def test_an_unknown_command_is_told_with_the_nearest_that_may_be_asked_for():
    garden = Garden()
    with pytest.raises(CommandError, match="did you mean water") as told:
        garden.commands.read("watre", {}, "cloud")
    assert told.value.name == "unknown-command"
    assert "drain" not in garden.commands.names("cloud")


def test_what_only_a_person_at_the_hub_may_do_is_refused_to_the_cloud():
    garden = Garden()
    with pytest.raises(CommandError) as told:
        garden.commands.read("drain", {"valve": "pond"}, "cloud")
    assert told.value.name == "not-allowed"
    assert garden.commands.read("drain", {"valve": "pond"}, "person")


async def test_a_question_with_a_mistake_does_nothing():
    garden = Garden()
    with pytest.raises(CommandError):
        garden.commands.read("water", {"valve": "garden", "litres": "many"}, "cloud")
    assert garden.watered == []


@pytest.mark.parametrize(("name", "says"), [("break", "the hub failed at this"), ("fill", "make space on it")])
async def test_a_bug_or_a_full_disk_is_an_answer_and_ends_nothing(name, says):
    request = Garden().commands.read(name, {"valve": "garden"}, "cloud")
    with pytest.raises(CommandError, match=says) as told:
        await request.perform()
    assert told.value.name == "failed"


async def test_a_person_at_the_hub_asks_by_the_same_table(tmp_path):
    garden = Garden()
    async with Control(tmp_path, {"history": lambda _: iter(["a", "b"])}, garden.commands):
        asked = await asyncio.to_thread(lambda: perform(tmp_path, "water", **{"valve": "garden", "for": "5 s"}))
        assert asked == {"valve": "garden", "for_s": 5.0}
        assert (await asyncio.to_thread(lambda: perform(tmp_path, "drain", valve="pond"))) == {"drained": "pond"}
        assert await asyncio.to_thread(lambda: list(ask(tmp_path, do="history"))) == ["a", "b"]
        with pytest.raises(ControlError, match="did you mean") as told:
            await asyncio.to_thread(lambda: perform(tmp_path, "water", vavle="garden"))
        assert told.value.name == "unknown-field"
        with pytest.raises(ControlError, match="known: break, drain, fill, history, water"):
            await asyncio.to_thread(lambda: perform(tmp_path, "fly"))
    assert len(garden.watered) == 1


async def test_a_question_that_cannot_be_read_is_told_what_could_have_been_asked(tmp_path):
    async with Control(tmp_path, {}, Garden().commands):
        for line in (b"nonsense\n", b"[1]\n", b'{"do": ["water"]}\n', b"\xff\n", b"[" * 5000 + b"\n"):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "control.sock")
            writer.write(line)
            assert "known: break" in json.loads(await reader.readline())["error"]
            writer.close()
