"""What the cloud asks is done once and answered once, over a real broker, whatever a command says and whatever breaks meanwhile."""

import asyncio
import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from downlink_of import Clock, House, Keys, Note, UplinkKeys
from structlog.testing import capture_logs

from gateway import answers as answers_module
from gateway import downlink as downlink_module
from gateway.answers import Answers
from gateway.commands import CommandError, Commands, Effect
from gateway.downlink import Downlink
from gateway.link import Publication
from gateway.outbox import Outbox
from gateway.question import MAX_BYTES, Place, read
from gateway.store import Store
from gateway.uplink import Uplink

from moments_of import moment
from peers.asker import Asker, question
from peers.mosquitto import Mosquitto
from peers.patience import until

slow = pytest.mark.slow


@pytest.fixture
def broker(tmp_path):
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
async def house(tmp_path, broker):
    async with House(tmp_path, broker).at_work() as house:
        yield house


@pytest.fixture
async def cloud(broker, house):
    async with Asker(broker.port) as cloud:
        await cloud.until_online()
        yield cloud


def error(told):
    assert not told["ok"]
    return told["error"]["name"]


# ---------------------------------------------------------------- asked and answered


@slow
async def test_a_command_is_done_and_answered_on_its_response_topic_with_its_correlation_data(house, cloud):
    await cloud.say("note", question(id="a1", text="hello"), reply_to="canary/hub-1/answers/desk", correlation=b"\x00\xff7")
    topic, correlation, payload = await cloud.answer()
    assert (topic, correlation) == ("canary/hub-1/answers/desk", b"\x00\xff7")
    told = json.loads(payload)
    assert datetime.fromisoformat(told.pop("at")).tzinfo
    assert told == {"id": "a1", "do": "note", "hub": "hub-1", "ok": True, "answer": {"notes": 1}}
    assert house.notes == ["hello"]


@slow
async def test_without_a_response_topic_the_answer_goes_to_done(house, cloud):
    await cloud.say("look", question(id="a.2-x_"))
    topic, correlation, _ = await cloud.answer()
    assert (topic, correlation) == ("canary/hub-1/done/a.2-x_", b"")


@slow
async def test_by_mqtt_3_1_1_it_is_the_same(tmp_path, broker):
    house = House(tmp_path, broker)
    house.uplink_keys = UplinkKeys(url=broker.url, protocol="3.1.1", retry_first=0.1, retry_longest=0.1)
    async with house.at_work(), Asker(broker.port, modern=False) as cloud:
        await cloud.until_online()
        assert (await cloud.ask("note", id="a3"))["ok"]
        assert (await cloud.ask("note", id="a3"))["answer"] == {"notes": 1}


@slow
async def test_a_repeat_is_not_done_again_and_gets_the_same_bytes_also_after_a_restart(tmp_path, broker):
    house = House(tmp_path, broker)
    asked = question(id="b1", text="once")
    async with Asker(broker.port) as cloud:
        async with house.at_work():
            await cloud.until_online()
            await cloud.say("note", asked)
            first = (await cloud.answer())[2]
            house.downlink._recent.clear()  # as after many others
            await cloud.say("note", asked, reply_to="canary/hub-1/elsewhere")
            assert (await cloud.answer())[::2] == ("canary/hub-1/elsewhere", first)
        async with house.at_work():
            await cloud.until_online()
            await cloud.say("note", question(id="b1", text="once", issued="2020-01-01T00:00:00Z"))  # older than would be taken
            assert (await cloud.answer())[2] == first
            await cloud.none("look")
    assert house.notes == ["once"]


@slow
async def test_an_id_that_was_used_for_something_else_is_refused(house, cloud):
    await cloud.ask("note", id="b2", text="one")
    assert error(await cloud.ask("note", id="b2", text="two")) == "id-reused"
    assert error(await cloud.ask("set", id="b2", text="one")) == "id-reused"
    assert house.notes == ["one"]


@slow
async def test_a_repeat_while_it_is_being_done_waits_for_the_one_answer(house, cloud):
    house.held.clear()
    for _ in range(3):
        await cloud.say("note", question(id="b3"))
    assert error(await cloud.ask("note", id="b3", text="another")) == "id-reused"
    house.held.set()
    assert json.loads((await cloud.answer())[2])["answer"] == {"notes": 1}
    await cloud.none("look")


@slow
async def test_what_fails_is_answered_with_its_name_and_not_done_again(house, cloud):
    told = await cloud.ask("fail", id="b4", text="valve")
    assert told["error"] == {"name": "not-found", "field": "text", "text": "text: there is no valve"}
    assert await cloud.ask("fail", id="b4", text="valve") == told


# ---------------------------------------------------------------- refused


@slow
async def test_whatever_is_wrong_with_a_command_is_answered_with_a_named_error_and_nothing_is_done(tmp_path, broker):
    house = House(tmp_path, broker, allow=("note", "set"))
    now = datetime.now(UTC)
    refused = {
        "not-allowed": [("look", {})],
        "unknown-field": [("note", {"txet": "x"})],
        "wrong-type": [("note", {"text": 1}), ("note", {"issued": 5}), ("note", {"expires": ["x"]})],
        "wrong-value": [("note", {"issued": "yesterday"})],
        "too-large": [("note", {"text": "x" * MAX_BYTES})],
        "expired": [("note", {"expires": (now - timedelta(seconds=1)).isoformat()})],
        "too-old": [("note", {"issued": (now - timedelta(seconds=301)).isoformat()})],
        "not-yet": [("note", {"issued": (now + timedelta(seconds=300)).isoformat()})],
    }
    async with house.at_work(), Asker(broker.port) as cloud:
        await cloud.until_online()
        for name, questions in refused.items():
            for do, fields in questions:
                assert error(await cloud.ask(do, **fields)) == name, fields
        house.keys = Keys(enabled=True)
        house.downlink.adopt(house.keys)
        assert error(await cloud.ask("nothing-known")) == "unknown-command"
        assert error(await cloud.ask("note/more")) == "unknown-command"
        assert error(await cloud.ask("here")) == "not-allowed"
        assert house.notes == []
        assert (await cloud.ask("note", expires=(now + timedelta(minutes=1)).isoformat()))["ok"]
        with house.store.transaction():
            assert house.store.execute("SELECT count(*) FROM answered").fetchone() == (1,)


@slow
async def test_every_mistake_of_envelope_and_command_is_told_at_once(cloud):
    told = await cloud.ask("note", issued="now", expires=1, text=[], more=True)
    found = told["error"]
    assert [(one["name"], one["field"]) for one in (found, *found["more"])] == [
        ("wrong-value", "issued"),
        ("wrong-type", "expires"),
        ("wrong-type", "text"),
        ("unknown-field", "more"),
    ]


@slow
async def test_a_refused_question_was_not_begun_and_may_be_asked_again(house, cloud):
    house.clock.trusted = False
    assert error(await cloud.ask("note", id="c1")) == "clock-not-set"
    assert (await cloud.ask("look", id="c2", issued="1999-01-01T00:00:00Z"))["ok"]  # nobody can tell, and it changes nothing
    house.clock.trusted = True
    assert (await cloud.ask("note", id="c1"))["ok"]


@slow
async def test_a_retained_command_is_refused_and_does_not_come_again_with_every_connection(tmp_path, broker):
    house = House(tmp_path, broker)
    async with house.at_work(), Asker(broker.port) as cloud:
        await cloud.until_online()
        await cloud.say("note", question(id="c3"), retain=True)
        assert error(json.loads((await cloud.answer())[2])) == "retained"
    async with Asker(broker.port) as cloud, house.at_work():
        await cloud.until_online()
        await cloud.none("look")
    assert house.notes == []


@slow
async def test_by_mqtt_3_1_1_a_retained_command_that_waits_for_the_hub_is_refused(tmp_path, broker):
    house = House(tmp_path, broker)
    house.uplink_keys = UplinkKeys(url=broker.url, protocol="3.1.1", retry_first=0.1, retry_longest=0.1)
    async with Asker(broker.port, modern=False) as cloud:
        await cloud.say("note", question(id="c4"), retain=True)
        async with house.at_work():
            assert error(json.loads((await cloud.answer())[2])) == "retained"
    assert house.notes == []


@slow
@pytest.mark.parametrize(
    "topic",
    [
        "canary/hub-1/do/note",
        "canary/hub-1/state",
        "canary/hub-1/moments",
        "canary/hub-2/done/x",
        "elsewhere",
        "canary/hub-1/" + "x" * 300,
    ],
)
async def test_an_answer_goes_only_where_answers_of_this_hub_may_go(house, cloud, topic):
    await cloud.say("note", question(id="d1"), reply_to=topic)
    where, _, payload = await cloud.answer()
    assert (where, error(json.loads(payload))) == ("canary/hub-1/done/d1", "not-allowed")
    assert house.notes == []


@slow
async def test_the_config_may_let_answers_go_elsewhere(tmp_path, broker):
    house = House(tmp_path, broker, reply_to=("canary/hub-1x/",))
    async with house.at_work(), Asker(broker.port) as cloud, Asker(broker.port, "hub-1x") as elsewhere:
        await cloud.until_online()
        await cloud.say("look", question(), reply_to="canary/hub-1x/answers")
        assert (await elsewhere.answer())[0] == "canary/hub-1x/answers"


@slow
async def test_what_cannot_be_read_is_answered_where_somebody_waits_and_left_where_nobody_does(house, cloud):
    for payload in (b"", b"nonsense", b"[1]", b'{"id": 5}', b'{"id": "a/b"}', b'{"id": "a\\n"}', b"[" * 5000, b"\xff\x00"):
        await cloud.say("note", payload)
        await cloud.say("note", payload, reply_to="canary/hub-1/answers", correlation=b"x")
        told = json.loads((await cloud.answer())[2])
        assert (told["id"], error(told)) == ("", error(told))
    await cloud.none("look")
    assert house.notes == []


def test_a_slip_in_the_names_of_what_is_allowed_is_told(tmp_path):
    with Store.open(tmp_path / "canary.db") as store, ThreadPoolExecutor(1) as thread:
        commands = Commands()
        commands.add("look", Note, lambda note: {}, Effect.NONE)
        downlink = Downlink("hub-1", Keys(), Clock(), commands, store=store, thread=thread, wake=asyncio.Event())
        with capture_logs() as lines:
            downlink.adopt(Keys(allow=("look", "lok")))
        assert [(line["allow"], line["hint"]) for line in lines] == [("lok", 'did you mean "look"?')]


@slow
async def test_off_unless_the_config_turns_it_on(tmp_path, broker):
    assert not Keys().enabled
    with Store.open(tmp_path / "canary.db") as store, ThreadPoolExecutor(1) as thread:
        uplink = Uplink(UplinkKeys(url=broker.url), "hub-1", Clock(), random=lambda: 0.5)
        task = asyncio.create_task(uplink.run(Outbox(store), thread, asyncio.Event()))
        async with Asker(broker.port) as cloud:
            await cloud.until_online()
        task.cancel()
        await asyncio.wait([task])
    assert "canary/hub-1/do/#" not in broker.log()


# ---------------------------------------------------------------- when things break


@slow
async def test_an_answer_waits_for_the_connection_and_is_sent_when_it_is_back(house, broker, tmp_path):
    async with Asker(broker.port) as cloud:
        await cloud.until_online()
        house.held.clear()
        await cloud.say("note", question(id="e1"))
        await house.begun.wait()
        broker.kill()
    house.held.set()
    broker.start()
    async with Asker(broker.port) as cloud:
        await cloud.until_online()
        while True:
            topic, _, payload = await cloud.answer()
            if topic.endswith("e1"):
                break
    assert json.loads(payload)["answer"] == {"notes": 1}


@slow
async def test_what_was_cut_off_before_its_answer_is_told_as_interrupted_and_not_done_again(tmp_path, broker):
    house = House(tmp_path, broker)
    async with Asker(broker.port) as cloud:
        async with house.at_work():
            await cloud.until_online()
            house.held.clear()
            await cloud.say("note", question(id="e2"))
            await house.begun.wait()
            house.begun.clear()
            await cloud.say("set", question(id="e3"))
            await house.begun.wait()
        house.held.set()
        async with house.at_work():
            told = json.loads((await cloud.answer())[2])
            assert (told["id"], error(told)) == ("e2", "interrupted")
            assert await cloud.ask("note", id="e2") == told
            assert house.notes == []
            assert (await cloud.ask("set", id="e3"))["ok"]  # as good the second time


@slow
async def test_whenever_the_hub_is_killed_a_command_is_done_at_most_once_and_answered_truly(tmp_path, broker):
    """Asked again under the same id until there is an answer; "done" means once, "interrupted" that nobody knows."""
    luck, noted = random.Random(1), tmp_path / "notes"
    argv = [sys.executable, "-m", "peers.noting_hub", str(tmp_path), str(broker.port)]
    ended = {}
    async with Asker(broker.port) as cloud:
        hub = await asyncio.create_subprocess_exec(*argv, cwd=Path(__file__).parent, stdout=asyncio.subprocess.DEVNULL)
        await cloud.until_online()
        for number in range(12):
            id_ = f"k{number}"
            await cloud.say("note", question(id=id_, text=id_))
            if number % 2:
                if number % 4 == 1:  # when it is done and not answered; else at any time
                    await until(lambda id_=id_: noted.exists() and id_ in noted.read_text().split())
                await asyncio.sleep(luck.uniform(0.0, 0.02))
                hub.kill()
                await hub.wait()
                hub = await asyncio.create_subprocess_exec(*argv, cwd=Path(__file__).parent, stdout=asyncio.subprocess.DEVNULL)
                await cloud.until_online()
            told = await cloud.ask("note", id=id_, text=id_)
            ended[id_] = "" if told["ok"] else error(told)
        hub.kill()
        await hub.wait()
    notes = noted.read_text().split()
    assert {id_: notes.count(id_) for id_, how in ended.items() if not how} == dict.fromkeys((i for i in ended if not ended[i]), 1)
    assert {how for how in ended.values() if how} <= {"interrupted"}
    assert all(notes.count(id_) <= 1 for id_ in ended)


@slow
async def test_an_answer_that_was_not_sent_before_the_end_is_sent_after_the_start(tmp_path, broker):
    house = House(tmp_path, broker)
    async with house.at_work():
        async with Asker(broker.port) as cloud:
            await cloud.until_online()
            house.held.clear()
            await cloud.say("note", question(id="e4"))
            await house.begun.wait()
        broker.kill()
        house.held.set()
        await until(lambda: asyncio.to_thread(Answers(house.store).unsent))
    broker.start()
    async with Asker(broker.port) as cloud, house.at_work():
        assert json.loads((await cloud.answer())[2])["answer"] == {"notes": 1}
    async with Asker(broker.port) as cloud, house.at_work():
        await cloud.until_online()
        await cloud.none("look")


@slow
async def test_a_flood_of_commands_is_bounded_paced_and_all_of_it_answered(tmp_path, broker):
    house = House(tmp_path, broker, per_minute=60)
    async with house.at_work(), Asker(broker.port) as cloud:
        await cloud.until_online()
        for number in range(60):
            await cloud.say("look", question(id=f"f{number}"))
        await asyncio.to_thread(house.outbox.put, moment())
        house.wake.set()
        await house.until_sent()
        assert house.downlink._heard  # the uplink's work went on meanwhile
        house.downlink.adopt(Keys(enabled=True, per_minute=6000))
        answered = [(await cloud.answer())[0] for _ in range(60)]
        assert answered == [f"canary/hub-1/done/f{number}" for number in range(60)]


def test_more_than_can_wait_is_dropped_and_counted(tmp_path):
    with Store.open(tmp_path / "canary.db") as store, ThreadPoolExecutor(1) as thread:
        downlink = Downlink("hub-1", Keys(), Clock(), Commands(), store=store, thread=thread, wake=asyncio.Event())
        for size, most in ((1000, downlink_module.WAITING), (200_000, 5)):
            downlink._heard.clear()
            downlink._heard_bytes = downlink._dropped = 0
            for _ in range(1000):
                downlink.hear(Publication("canary/hub-1/do/x", b"x" * size, retained=False), lambda: None)
            assert len(downlink._heard) == most
            assert downlink._dropped == 1000 - most


async def test_while_the_broker_takes_no_answers_no_more_commands_are_taken(tmp_path):
    most = downlink_module.OUTGOING
    with Store.open(tmp_path / "canary.db") as store, ThreadPoolExecutor(1) as thread:
        wake = asyncio.Event()
        commands = Commands()
        commands.add("look", Note, lambda note: {}, Effect.NONE)
        downlink = Downlink("hub-1", Keys(per_minute=6000), Clock(), commands, store=store, thread=thread, wake=wake)
        for _ in range(downlink_module.WAITING):
            downlink.hear(Publication("canary/hub-1/do/look", question().encode(), retained=False), lambda: None)
        task = asyncio.create_task(downlink.run(lambda work, name: asyncio.create_task(work, name=name)))
        async with asyncio.timeout(10):
            while len(downlink.replies(())) < most:
                wake.clear()
                await wake.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                while len(downlink.replies(())) <= most + downlink_module.AT_WORK:
                    wake.clear()
                    await wake.wait()
        await downlink.settle([(reply.key, "") for reply in downlink.replies(())])
        async with asyncio.timeout(10):
            while downlink._heard:
                wake.clear()
                await wake.wait()
        task.cancel()
        await asyncio.wait([task])


async def test_an_answer_with_which_every_connection_ends_is_given_up(tmp_path):
    with Store.open(tmp_path / "canary.db") as store, ThreadPoolExecutor(1) as thread:
        downlink = Downlink("hub-1", Keys(), Clock(), Commands(), store=store, thread=thread, wake=asyncio.Event())
        place = Place("canary/hub-1/answers", b"")
        downlink._send("a", "note", place, b"{}")
        downlink._send("b", "note", place, b"{}")
        first, second = downlink.replies(())
        assert downlink.replies({second.key}) == [first]
        for _ in range(downlink_module.TRIES):
            assert downlink.replies(()) == [first, second]
            downlink.lost([first.key])
            await downlink.settle([])
        assert downlink.replies(()) == [second]
        await downlink.settle([(second.key, "")])
        assert downlink.replies(()) == []
        assert not downlink._losses


@slow
async def test_so_many_are_done_at_once_and_what_is_more_is_told_to_come_back(house, cloud):
    house.held.clear()
    for number in range(downlink_module.AT_WORK):
        await cloud.say("note", question(id=f"g{number}"))
    assert error(await cloud.ask("note", id="g-more")) == "busy"
    house.held.set()
    for _ in range(downlink_module.AT_WORK):
        await cloud.answer()
    assert (await cloud.ask("note", id="g-more"))["ok"]


@slow
async def test_an_answer_that_is_too_large_says_so(cloud):
    assert len((await cloud.ask("long", text="60000"))["answer"]["text"]) == 60000
    assert error(await cloud.ask("long", text="70000")) == "too-large"


@slow
async def test_a_broker_that_takes_only_small_packets_gets_a_word_in_place_of_the_answer(tmp_path):
    with Mosquitto(tmp_path, "max_packet_size 2000") as broker:
        async with House(tmp_path, broker).at_work(), Asker(broker.port) as cloud:
            await cloud.until_online()
            assert error(await cloud.ask("long", text="3000")) == "too-large"


@slow
async def test_an_answer_that_the_broker_refuses_costs_neither_the_connection_nor_a_moment(tmp_path):
    rights = tmp_path / "rights"
    rights.write_text("topic readwrite canary/#\ntopic deny canary/hub-1/secret\n")
    with Mosquitto(tmp_path, f"acl_file {rights}") as broker:
        async with House(tmp_path, broker).at_work() as house, Asker(broker.port) as cloud:
            await cloud.until_online()
            await cloud.say("note", question(id="h1"), reply_to="canary/hub-1/secret")
            await cloud.none("look")
            await asyncio.to_thread(house.outbox.put, moment())
            house.wake.set()
            await house.until_sent()
            assert not house.downlink.replies(())
            assert cloud.states.empty()


@slow
async def test_a_hub_that_may_not_subscribe_goes_on_telling(tmp_path):
    rights = tmp_path / "rights"
    rights.write_text("topic write canary/#\n")
    with Mosquitto(tmp_path, f"acl_file {rights}") as broker:
        async with House(tmp_path, broker).at_work() as house:
            await asyncio.to_thread(house.outbox.put, moment())
            await house.until_sent()


# ---------------------------------------------------------------- what is remembered


def asked(number, **fields):
    payload = question(id=f"q-{number}", **fields).encode()
    return read("canary/h/do/note", payload, retained=False, reply_to="", correlation=b"", hub="h", beyond=())


def test_what_is_remembered_is_bounded_and_nothing_that_could_come_again_is_forgotten(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        answers = Answers(store)
        for number in range(answers_module.KEPT):
            answers.begin(asked(number), valid_until=1000.0 + number, now=0.0)
            answers.answer(f"q-{number}", b"{}")
        with pytest.raises(CommandError) as told:
            answers.begin(asked("more"), valid_until=2000.0, now=999.0)
        assert told.value.name == "busy"
        assert answers.find("q-0")
        answers.begin(asked("more"), valid_until=2000.0, now=1001.5)
        assert [bool(answers.find(f"q-{number}")) for number in (0, 1, 2, "more")] == [False, True, True, True]


def test_what_is_remembered_is_bounded_in_bytes(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        answers = Answers(store)
        for number in range(20):
            answers.begin(asked(number), valid_until=number, now=float(number + 1))
            answers.answer(f"q-{number}", b"x" * 60_000)
        with store.transaction():
            (size,) = store.execute("SELECT sum(length(answer)) FROM answered").fetchone()
    assert size <= answers_module.KEPT_BYTES + 60_000
