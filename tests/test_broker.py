"""The demo's broker, with the real uplink and real clients as its counterparts, and bytes by hand where those are too polite."""

import asyncio
import random
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clock import SystemClock
from gateway.config.model import Uplink as UplinkKeys
from gateway.demo import broker as broker_module
from gateway.demo.broker import Broker, matches
from gateway.demo.packets import Packet, text, variable
from gateway.link import listen
from gateway.moments import from_wire
from gateway.outbox import Outbox
from gateway.store import Store
from gateway.uplink import Uplink

from moments_of import moment

PATIENCE = 5.0  # s that anything here may take


@pytest.fixture
async def broker():
    """A broker; anything that its handlers let through fails the test."""
    mishaps = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: mishaps.append(context))
    async with asyncio.timeout(20), Broker() as broker:
        yield broker
    assert not mishaps


# ---------------------------------------------------------------- bytes by hand


class Peer:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, kind: int, body: bytes = b"") -> None:
        self.writer.write(bytes([kind]) + variable(len(body)) + body)

    async def hears(self) -> tuple[int, bytes]:
        async with asyncio.timeout(PATIENCE):
            kind, length = (await self.reader.readexactly(2))[:2]
            assert length < 128
            return kind, await self.reader.readexactly(length)

    async def is_hung_up_on(self) -> bytes:
        """What it still hears before the end."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


def connect(
    name: str = "peer", *, version: int = 5, keep_alive: int = 0, flags: int = 2, properties: bytes = b"", rest: bytes = b""
) -> bytes:
    head = text("MQTT") + struct.pack(">BBH", version, flags, keep_alive)
    return head + (variable(len(properties)) + properties if version == 5 else b"") + text(name) + rest


@asynccontextmanager
async def peer(broker, *, version: int = 5, **keys):
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    client = Peer(reader, writer)
    client.say(0x10, connect(version=version, **keys))
    kind, body = await client.hears()
    assert (kind, body[:2]) == (0x20, b"\0\0")
    try:
        yield client
    finally:
        writer.close()


def published(topic: str, payload: bytes, *, version: int = 5, number: int = 0) -> bytes:
    return text(topic) + (struct.pack(">H", number) if number else b"") + (b"\0" if version == 5 else b"") + payload


async def test_connack_tells_a_client_of_version_5_what_this_broker_does_not_do(broker):
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    client = Peer(reader, writer)
    client.say(0x10, connect(name=""))
    _, body = await client.hears()
    told = {each.name: each.number for each in Packet(body[2:]).properties()}
    assert told == {0x12: 0, 0x24: 1, 0x27: broker_module.MAX_PACKET, 0x2A: 0, 0x29: 0}
    assert b"guest-1" in body
    writer.close()


@pytest.mark.parametrize("version", [4, 5])
async def test_what_is_published_with_qos_1_is_acknowledged_and_delivered_with_qos_1(broker, version):
    none = b"\0" if version == 5 else b""
    async with peer(broker, name="a", version=version) as one, peer(broker, name="b", version=version) as other:
        other.say(0x82, b"\0\x07" + none + text("a/#") + b"\x01")
        assert await other.hears() == (0x90, b"\0\x07" + none + b"\x01")
        one.say(0x32, published("a/b", b"hello", version=version, number=9))
        assert await one.hears() == (0x40, b"\0\x09")
        assert await other.hears() == (0x32, published("a/b", b"hello", version=version, number=1))
        other.say(0x40, b"\0\x01")
        other.say(0xC0)
        assert await other.hears() == (0xD0, b"")
        other.say(0xA2, b"\0\x08" + none + text("a/#"))
        assert await other.hears() == (0xB0, b"\0\x08" + (b"\0\0" if version == 5 else b""))
        one.say(0x30, published("a/b", b"unheard", version=version))
        other.say(0xC0)
        assert await other.hears() == (0xD0, b"")


async def test_properties_of_a_message_go_with_it_to_those_who_know_them(broker):
    kind = b"\x03" + text("application/cloudevents+json")
    async with peer(broker, name="a") as one, peer(broker, name="b") as new, peer(broker, name="c", version=4) as old:
        new.say(0x82, b"\0\x01\0" + text("+") + b"\0")
        old.say(0x82, b"\0\x01" + text("+") + b"\0")
        await new.hears()
        await old.hears()
        one.say(0x30, text("t") + variable(len(kind)) + kind + b"x")
        assert await new.hears() == (0x30, text("t") + variable(len(kind)) + kind + b"x")
        assert await old.hears() == (0x30, text("t") + b"x")


async def test_a_retained_message_is_told_to_who_comes_later_until_it_is_emptied(broker):
    async with peer(broker, name="a") as one, peer(broker, name="b") as other:
        one.say(0x33, published("s", b"on", number=1))
        await one.hears()
        other.say(0x82, b"\0\x01\0" + text("s") + b"\0")
        assert await other.hears() == (0x90, b"\0\x01\0\0")
        assert await other.hears() == (0x31, published("s", b"on"))
        one.say(0x33, published("s", b"", number=2))
        assert await other.hears() == (0x30, published("s", b""))
        other.say(0x82, b"\0\x02\0" + text("s") + b"\0")
        assert await other.hears() == (0x90, b"\0\x02\0\0")
        other.say(0xC0)
        assert await other.hears() == (0xD0, b"")


@pytest.mark.parametrize("goodbye", [b"\xe0\x00", b"\xe0\x01\x04", b"", b"\xf0\x00"])
async def test_the_last_will_is_published_unless_the_client_says_goodbye(broker, goodbye):
    """An orderly DISCONNECT takes it back; one that asks for the will, a cut line and a breach do not."""
    will = b"\x05\x18" + struct.pack(">I", 30) + text("gone") + text("a")  # its delay ends with the session: at once
    async with peer(broker, name="b") as other:
        other.say(0x82, b"\0\x01\0" + text("gone") + b"\0")
        await other.hears()
        async with peer(broker, name="a", flags=0x06, rest=will) as one:
            one.writer.write(goodbye)
            one.writer.write_eof()
            await one.is_hung_up_on()
        other.say(0xC0)
        heard = [await other.hears()]
        if heard[0][0] != 0xD0:
            heard.append(await other.hears())
        assert [kind for kind, _ in heard] == ([0xD0] if goodbye == b"\xe0\x00" else [0x30, 0xD0])


async def test_a_client_of_the_same_name_takes_over(broker):
    async with peer(broker, name="a") as one, peer(broker, name="a") as other:
        assert await one.is_hung_up_on() == b"\xe0\x01\x8e"
        other.say(0xC0)
        assert await other.hears() == (0xD0, b"")


async def test_a_client_gets_no_more_at_once_than_its_receive_maximum(broker):
    async with peer(broker, name="a") as one, peer(broker, name="b", properties=b"\x21\0\x02") as other:
        other.say(0x82, b"\0\x01\0" + text("t") + b"\x01")
        await other.hears()
        for number in range(1, 6):
            one.say(0x32, published("t", bytes([number]), number=number))
        assert [(await other.hears())[1][-1] for _ in range(2)] == [1, 2]
        other.say(0xC0)
        assert await other.hears() == (0xD0, b"")
        other.say(0x40, b"\0\x01")
        assert (await other.hears())[1][-1] == 3


async def test_a_silent_client_is_dropped_after_one_and_a_half_keep_alives(broker):
    async with peer(broker, keep_alive=1) as silent:
        started = asyncio.get_running_loop().time()
        await silent.is_hung_up_on()
        assert asyncio.get_running_loop().time() - started > 1.4  # and long before PATIENCE ends


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"\x36\x06" + text("a") + b"\0\1\0", 0x81),  # QoS 3
        (b"\x34\x06" + text("a") + b"\0\1\0", 0x9B),  # QoS 2
        (b"\x30\x04" + text("#") + b"\0", 0x90),  # a wildcard where a name belongs
        (b"\x30\x07" + text("a") + b"\x03\x23\0\1", 0x94),  # a topic alias that was not offered
        (b"\x30\x05" + text("a") + b"\x01\x7f", 0x81),  # an unknown property
        (b"\x30\x03\0\x01\xff", 0x81),  # not UTF-8
        (b"\x30\xff\xff\xff\xff\x01", 0x81),  # a length of five bytes
        (b"\x30\xff\xff\x7f", 0x95),  # too large
        (b"\x10\x00", 0x82),  # a second CONNECT
        (b"\x82\x03\0\x01\0", 0x81),  # a subscription to nothing
    ],
)
async def test_a_breach_of_the_protocol_ends_that_connection_with_a_reason_and_no_other(broker, said, reason):
    async with peer(broker, name="bad") as bad, peer(broker, name="good") as good:
        bad.writer.write(said)
        assert await bad.is_hung_up_on() == bytes([0xE0, 1, reason])
        good.say(0xC0)
        assert await good.hears() == (0xD0, b"")


async def test_a_subscription_that_is_not_offered_is_refused_by_itself(broker):
    async with peer(broker) as client:
        client.say(0x82, b"\0\x01\0" + text("a/#/b") + b"\1" + text("$share/g/t") + b"\1" + text("ok") + b"\2")
        assert await client.hears() == (0x90, b"\0\x01\0\x8f\x8f\x01")


async def test_a_client_that_does_not_read_is_dropped_and_costs_a_bounded_amount(broker, monkeypatch):
    monkeypatch.setattr(broker_module, "MAX_UNREAD", 200_000)
    async with peer(broker, name="deaf") as deaf, peer(broker, name="a") as one:
        deaf.say(0x82, b"\0\x01\0" + text("t") + b"\0")
        await deaf.hears()
        deaf.writer.transport.pause_reading()
        async with asyncio.timeout(PATIENCE):
            while "deaf" in broker._clients:
                one.say(0x32, published("t", b"x" * 60_000, number=1))
                await one.hears()
        deaf.writer.transport.resume_reading()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.booleans(),
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                lambda kind, body: bytes([kind]) + variable(len(body)) + body,
                st.sampled_from([0x10, 0x30, 0x32, 0x33, 0x40, 0x82, 0xA2, 0xC0, 0xE0]),
                st.one_of(
                    st.binary(max_size=30),
                    st.builds(lambda topic, rest: text(topic) + rest, st.text(max_size=6), st.binary(max_size=20)),
                    st.builds(
                        lambda number, rest: number + b"\0" + rest, st.binary(min_size=2, max_size=2), st.binary(max_size=20)
                    ),
                ),
            ),
        ),
        max_size=6,
    ),
)
def test_any_bytes_end_a_connection_at_most(connected, packets):
    async def talk():
        mishaps = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: mishaps.append(context))
        async with asyncio.timeout(PATIENCE), Broker() as broker, peer(broker, name="witness") as witness:
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            hostile = Peer(reader, writer)
            if connected:
                hostile.say(0x10, connect(name="hostile", flags=0x06, rest=b"\0" + text("will") + text("x")))
            writer.write(b"".join(packets))
            writer.write_eof()
            await hostile.is_hung_up_on()
            writer.close()
            witness.say(0xC0)
            assert await witness.hears() == (0xD0, b"")
        assert not mishaps

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("name", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/B", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("+/+", "/b", True),
        ("#", "a/b", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
    ],
)
def test_a_filter_matches_as_the_standard_says(name, topic, expected):
    assert matches(name, topic) is expected


# ---------------------------------------------------------------- real clients


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_uplink_delivers_through_it(broker, tmp_path, protocol):
    """Three hundred moments through the real uplink to a real subscriber, in order; then the hub says goodbye."""
    keys = UplinkKeys(url=broker.url, protocol=protocol)
    with Store.open(tmp_path / "canary.db") as store, ThreadPoolExecutor(1) as thread:
        outbox = Outbox(store)
        outbox.put(*map(moment, range(300)))
        async with listen(keys, "canary/#", SystemClock()) as publications, asyncio.TaskGroup() as group:
            uplink = Uplink(keys, "hub-0042", SystemClock(), random=random.random)
            sending = group.create_task(uplink.run(outbox, thread, asyncio.Event()))
            heard = [await anext(publications) for _ in range(301)]
            sending.cancel()
            goodbye = await anext(publications)
        assert outbox.stats().rows == 0
    assert heard[0].topic == goodbye.topic == "canary/hub-0042/state"
    assert b'"online":true' in heard[0].payload
    assert b'"online":false' in goodbye.payload
    assert [from_wire(each.payload).data.seq for each in heard[1:]] == list(range(1, 301))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["mqttv5", "mqttv311"])
async def test_mosquittos_own_clients_can_use_it(broker, version):
    import shutil

    if not shutil.which("mosquitto_sub"):
        pytest.skip("the package mosquitto-clients is not installed")
    where = ["-V", version, "-p", str(broker.port), "-q", "1"]
    publish = await asyncio.create_subprocess_exec("mosquitto_pub", *where, "-t", "a/b", "-m", "kept", "-r")
    assert await publish.wait() == 0
    subscribe = await asyncio.create_subprocess_exec("mosquitto_sub", *where, "-t", "a/#", "-C", "1", "-v", stdout=subprocess.PIPE)
    assert (await subscribe.communicate())[0] == b"a/b kept\n"
