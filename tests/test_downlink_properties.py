"""Whatever is published, and in whatever order, is done at most once, answered once where anybody can be told, and nowhere else."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from downlink_of import House, Note
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.commands import Commands, Effect
from gateway.downlink import Downlink
from gateway.link import Publication
from gateway.question import Refusal, read
from gateway.store import Store

from peers.asker import question

# ---------------------------------------------------------------- a plain table beside the real thing

FLAWS = {
    "": {},
    "unknown-field": {"more": 1},
    "wrong-type": {"text": 5},
    "too-old": {"issued": "2001-01-01T00:00:00Z"},
    "expired": {"expires": "2001-01-01T00:00:00Z"},
    "not-yet": {"issued": "2999-01-01T00:00:00Z"},
    "retained": {},
    "unreadable": {},
}
steps = st.lists(
    st.tuples(
        st.sampled_from(["look", "note", "set", "fail", "nope", "here"]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from([*[""] * 8, *FLAWS]),
    )
    | st.just("restart"),
    max_size=25,
)


def content(do, text, flaw):
    """What is asked, whenever and under whatever id."""
    fields = {"text": text} | FLAWS[flaw]
    return do, {key: value for key, value in fields.items() if key not in {"issued", "expires"}}


class Model:
    """What the downlink promises, as a table: what is known under an id, and what was done."""

    def __init__(self):
        self.known = {}
        self.done = []

    def restart(self):
        self.known = {id_: entry for id_, entry in self.known.items() if entry[0][0] != "look"}

    def expect(self, do, id_, text, flaw):
        """The name of the error, "" for none, or the answer of before; None for no answer at all."""
        if flaw == "unreadable":
            return None
        if flaw != "retained" and id_ in self.known:
            asked, answer = self.known[id_]
            return answer if asked == content(do, text, flaw) else "id-reused"
        if flaw == "retained":
            return "retained"
        if do in {"nope", "here"}:
            return "unknown-command" if do == "nope" else "not-allowed"
        if flaw:
            return flaw
        if do in {"note", "set"}:
            self.done.append(text)
        return "not-found" if do == "fail" else ""


async def ask_one(downlink, do, id_, text, flaw):
    """Publish one command; returns what is answered, but for the sentinel's, which comes after it."""
    payload = b"nonsense" if flaw == "unreadable" else question(**{"id": id_, "text": text} | FLAWS[flaw]).encode()
    downlink.hear(Publication(f"canary/hub-1/do/{do}", payload, retained=flaw == "retained"), lambda: None)
    downlink.hear(Publication("canary/hub-1/do/look", question(id="sentinel").encode(), retained=False), lambda: None)
    async with asyncio.timeout(10):
        while downlink._at_work or not any(reply.id == "sentinel" for reply in downlink.replies(())):  # noqa: ASYNC110
            await asyncio.sleep(0)
    replies = downlink.replies(())
    await downlink.settle([(reply.key, "") for reply in replies])
    return [reply.payload for reply in replies if reply.id != "sentinel"]


async def follow(folder, plan):
    house = House(folder, Nowhere, per_minute=6000)
    model = Model()
    plan = [*plan, "restart"]
    while plan:
        with Store.open(house.path) as store, ThreadPoolExecutor(1) as thread:
            downlink = Downlink(
                "hub-1", house.keys, house.clock, house.commands(), store=store, thread=thread, wake=asyncio.Event()
            )
            downlink._budget = 1e9
            task = asyncio.create_task(downlink.run(lambda work, name: asyncio.create_task(work, name=name)))
            while (step := plan.pop(0)) != "restart":
                do, id_, text, flaw = step
                expected = model.expect(*step)
                answers = await ask_one(downlink, *step)
                if expected is None:
                    assert answers == []
                    continue
                (payload,) = answers
                if isinstance(expected, bytes):
                    assert payload == expected
                    continue
                told = json.loads(payload)
                assert (told["id"], told["do"]) == (id_, do)
                assert told.get("error", {}).get("name", "") == expected
                if expected in {"", "not-found"}:
                    model.known[id_] = content(do, text, flaw), payload
                assert house.notes == model.done
            task.cancel()
            await asyncio.wait([task])
        model.restart()


class Nowhere:
    url = "mqtt://127.0.0.1"


@settings(max_examples=30)
@given(plan=steps)
def test_under_any_questions_repeats_mistakes_and_restarts_each_is_done_at_most_once_and_answered_once(tmp_path_factory, plan):
    asyncio.run(follow(tmp_path_factory.mktemp("house"), plan))


# ---------------------------------------------------------------- whatever comes

PREFIX = "canary/h/"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
stamps = st.just(NOW.isoformat()) | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | json_values
envelopes = st.fixed_dictionaries(
    {"id": st.text("ab.-_", min_size=1, max_size=70) | st.text() | json_values, "issued": stamps},
    optional={"expires": stamps, "text": json_values, "more": json_values},
)
GOOD = json.dumps({"id": "a", "issued": NOW.isoformat(), "text": "x"}).encode()
payloads = (
    st.just(GOOD)
    | st.binary(max_size=300)
    | envelopes.map(json.dumps).map(str.encode)
    | json_values.map(json.dumps).map(str.encode)
)
topics = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    do=st.just("note") | topics,
    payload=payloads,
    retained=st.booleans(),
    reply_to=st.just("") | topics | topics.map(PREFIX.__add__),
    correlation=st.binary(max_size=400),
)
@example(do="note", payload=GOOD, retained=False, reply_to="", correlation=b"")
@example(do="note", payload=GOOD, retained=True, reply_to="", correlation=b"")
@example(do="note", payload=b'{"id":"a","x":' + b"[" * 990 + b"]" * 990 + b"}", retained=False, reply_to="", correlation=b"")
@example(do="note", payload=b'{"id":"a","id":"a\\ud800"}', retained=False, reply_to="", correlation=b"")
@example(do="note", payload=b'{"id":"a","issued":"2026-01-01T00:00:00+99:99"}', retained=False, reply_to="", correlation=b"")
@example(do="note", payload=b'{"id":"a","issued":"0001-01-01T00:00:00+23:59"}', retained=False, reply_to="", correlation=b"")
def test_whatever_is_published_is_a_question_or_a_refusal_with_a_safe_place_to_send_it(
    do, payload, retained, reply_to, correlation
):
    notes = []
    commands = Commands()
    commands.add("note", Note, notes.append, Effect.ONCE)
    try:
        found = read(
            f"canary/h/do/{do}", payload, retained=retained, reply_to=reply_to, correlation=correlation, hub="h", beyond=("b/",)
        )
        place, id_ = found.place, found.id
        found.request(commands, (), NOW, 300.0)
        assert not retained
    except Refusal as refusal:
        place, id_ = refusal.place, refusal.id
        json.dumps(refusal.error.wire())
    assert place or not id_  # who has an id gets an answer
    if place:
        assert place.topic.startswith((PREFIX, "b/"))
        assert not set(place.topic) & set("+#\0")
        assert (
            not place.topic.startswith((f"{PREFIX}do/", f"{PREFIX}state", f"{PREFIX}moments")) or len(place.topic.split("/")[2]) > 5
        )
    assert notes == []
