"""Golden stories: a config, what the devices said and people did, and the moments that must come of it (`golden/README.md`)."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Meta
from stories_of import NOT_READ, Deed, live, pieces, plain, question, read

from drivers.contract import NoValue, Seconds
from gateway import config
from gateway.commands import Command, Commands, Effect

STORIES = sorted(path.parent for path in (Path(__file__).parent / "golden").glob("*/readings.txt"))


def tell(story: Path, folder: Path) -> list[dict[str, Any]]:
    """The moments that the hub makes of a story."""
    settings = config.load(story / "config.toml", resolve_secrets=False)
    return plain(live(settings, read((story / "readings.txt").read_text("utf-8")), folder))


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.name)
def test_story(story: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """From this config and what happens come exactly these moments."""
    told = tell(story, tmp_path)
    golden = story / "moments.jsonl"
    if request.config.getoption("--rewrite-golden"):
        golden.write_text("".join(json.dumps(moment, ensure_ascii=False) + "\n" for moment in told), "utf-8")
    assert told == [json.loads(line) for line in golden.read_text("utf-8").splitlines()]


def test_the_form_of_readings() -> None:
    """What the README says of it."""
    text = '1, 2.5 x2, 0 to 3 x4, on, off x2, "heat", ?, ?sensor open x2, _, (1, 2 x2) x2, -1 to -2 x3'
    void, broken = NoValue("no value"), NoValue("sensor open")
    rest = [NOT_READ, 1, 2, 2, 1, 2, 2, -1, -1.5, -2]
    assert list(pieces(text)) == [1, 2.5, 2.5, 0, 1, 2, 3, True, False, False, "heat", void, broken, broken, *rest]
    wavering = list(pieces("5 ~0.5 x100"))
    assert wavering == list(pieces("5 ~0.5 x100"))
    assert 4.5 <= min(wavering) < 4.6
    assert 5.4 < max(wavering) <= 5.5


class Water(Command, frozen=True, kw_only=True):
    """Water some plants."""

    plants: tuple[str, ...]
    for_: Annotated[Seconds, Meta(description="How long.")] = 60.0
    by: str = ""


def test_the_form_of_what_people_do() -> None:
    """What the README says of it."""
    commands = Commands()
    commands.add("plants-water", Water, lambda _: {}, Effect.ONCE)
    lines = ['at 2026-03-02 10:30 plants water roses, "tall beans" for "2 min" by Jan', "at 2026-03-02 11:00 x # no"]
    deed, other = read("\n".join(lines)).deeds
    assert deed.at == datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
    assert other == Deed(datetime(2026, 3, 2, 11, 0, tzinfo=UTC), ["x"])
    name, fields = question(deed.words, commands)
    assert (name, fields) == ("plants-water", {"plants": ["roses", "tall beans"], "for": "2 min", "by": "Jan"})
    assert commands.read(name, fields, "person").command == Water(plants=("roses", "tall beans"), for_=120.0, by="Jan")
    assert question(["plants", "water", "by", "Jan"], commands) == ("plants-water", {"by": "Jan"})
