"""TLS to a real Mosquitto, with an authority of its own: who is let in, who is not, and what a person is told."""

import asyncio
import socket
import threading
from datetime import timedelta

import pytest

from gateway.clock import SystemClock
from gateway.config.model import Tls, Uplink
from gateway.dial import HANDSHAKE_TIMEOUT, UplinkFault, dial
from gateway.link import listen

from peers.authority import Authority, locked
from peers.mosquitto import Mosquitto

pytestmark = pytest.mark.slow

TIMEOUT = 10.0  # s that anything here may take


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


async def connects(broker: Mosquitto, host: str, **tls: str) -> None:
    """Raises UplinkFault if it does not."""
    keys = Uplink(url=f"mqtts://{host}:{broker.port}", tls=Tls(**tls))
    async with asyncio.timeout(TIMEOUT), listen(keys, "#", SystemClock()):
        pass


async def refusal(broker: Mosquitto, host: str, **tls: str) -> UplinkFault:
    with pytest.raises(UplinkFault) as caught:
        await connects(broker, host, **tls)
    return caught.value


async def test_a_broker_of_a_known_authority_is_trusted_under_each_of_its_names(authority, tmp_path):
    certificate, key = authority.issue("localhost", "127.0.0.1")
    with Mosquitto(tmp_path, certificate=certificate, key=key) as broker:
        await connects(broker, "localhost", ca=str(authority.file))
        await connects(broker, "127.0.0.1", ca=str(authority.file))


@pytest.mark.parametrize(("name", "host"), [("localhost", "127.0.0.1"), ("127.0.0.1", "localhost"), ("elsewhere", "localhost")])
async def test_a_certificate_for_another_name_is_refused(authority, tmp_path, name, host):
    certificate, key = authority.issue(name)
    with Mosquitto(tmp_path, certificate=certificate, key=key) as broker:
        fault = await refusal(broker, host, ca=str(authority.file))
    assert str(fault) == f"the certificate of {host}:{broker.port} is for another name; write the name that it is for in the url"
    assert fault.patient


async def test_a_broker_of_an_unknown_authority_is_refused(authority, tmp_path):
    certificate, key = authority.issue("localhost")
    other = Authority(tmp_path, "somebody else")
    with Mosquitto(tmp_path, certificate=certificate, key=key) as broker:
        for tls in ({}, {"ca": str(other.file)}):
            fault = await refusal(broker, "localhost", **tls)
            assert "is not to be trusted: unable to get local issuer certificate" in fault.what
            assert "uplink.tls.ca" in fault.hint
            assert fault.patient


@pytest.mark.parametrize(
    ("begins", "told", "patient"),
    [
        (timedelta(days=9), "is not valid yet, or this hub's clock is behind: it says 20", False),
        (timedelta(days=-9), "has expired, or this hub's clock is ahead: it says 20", True),
    ],
)
async def test_a_certificate_of_another_time_makes_one_look_at_the_clock(authority, tmp_path, begins, told, patient):
    """A hub without a battery clock boots in the past: no certificate is valid yet, and soon they are."""
    certificate, key = authority.issue("localhost", begins=begins)
    with Mosquitto(tmp_path, certificate=certificate, key=key) as broker:
        fault = await refusal(broker, "localhost", ca=str(authority.file))
    assert told in fault.what
    assert fault.patient is patient


async def test_a_hub_shows_its_own_certificate_where_the_broker_wants_one(authority, tmp_path):
    certificate, key = authority.issue("localhost")
    own, secret = authority.issue("hub-0042")
    wants = [f"cafile {authority.file}", "require_certificate true"]
    with Mosquitto(tmp_path, *wants, certificate=certificate, key=key) as broker:
        await connects(broker, "localhost", ca=str(authority.file), certificate=str(own), key=secret.read_text())
        fault = await refusal(broker, "localhost", ca=str(authority.file))
        assert "a certificate of this hub" in fault.hint


async def test_a_file_of_the_config_that_does_not_do_is_named_with_its_key(authority, tmp_path):
    certificate, key = authority.issue("localhost")
    no_pem = tmp_path / "no.pem"
    no_pem.write_text("hello")
    with Mosquitto(tmp_path, certificate=certificate, key=key) as broker:
        for tls, told in [
            ({"ca": "/nowhere.pem"}, "the file /nowhere.pem cannot be read (No such file or directory); uplink.tls.ca must be"),
            ({"ca": str(no_pem)}, f"the file {no_pem} is not what it should be; uplink.tls.ca must be"),
            ({"certificate": str(certificate), "key": "x"}, f"the file {certificate} is not what it should be; uplink.tls.cert"),
            # OpenSSL would ask for the password at a terminal, and wait.
            (
                {"certificate": str(certificate), "key": locked(key)},
                f"the file {certificate} is not what it should be; uplink.tls.cert",
            ),
        ]:
            fault = await refusal(broker, "localhost", **tls)
            assert str(fault).startswith(told)
            assert fault.patient


async def test_a_port_without_tls_is_said_to_be_one(tmp_path):
    with Mosquitto(tmp_path) as broker:
        fault = await refusal(broker, "localhost")
    assert fault.what.startswith(f"localhost:{broker.port} ")
    assert fault.hint == "is it the TLS port of the broker?"


async def test_the_private_key_is_never_in_a_message_or_on_the_disk(authority, tmp_path):
    certificate, _ = authority.issue("localhost")
    _, other_key = authority.issue("hub-0042")
    secret = other_key.read_text()
    other_key.unlink()
    with Mosquitto(tmp_path) as broker:
        fault = await refusal(broker, "localhost", certificate=str(certificate), key=secret)
    assert secret.splitlines()[1] not in repr(fault) + str(fault) + repr(fault.__cause__)
    assert not any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


async def test_a_name_that_nobody_could_know_is_said_so():
    """One with an empty part, which no name server is asked for."""
    with pytest.raises(UplinkFault, match=r"the address of a\.\.b cannot be found; check the network, its name server"):
        await dial("a..b", 1883, None, SystemClock())


async def test_the_first_address_that_answers_is_taken(monkeypatch):
    """A network without working IPv6 is common: the next address of the name is tried."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        port = server.getsockname()[1]
        closed.bind(("127.0.0.1", 0))
        addresses = [(socket.AF_INET, 0, 0, "", closed.getsockname()), (socket.AF_INET, 0, 0, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        with await dial("some.name", port, None, SystemClock()) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


async def test_connecting_ends_at_once_when_it_is_cancelled(tmp_path):
    """To somebody who accepts the connection and says nothing in TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            dialling = group.create_task(dial("127.0.0.1", server.getsockname()[1], Tls(), SystemClock()))
            async with asyncio.timeout(TIMEOUT):
                accepted, _ = await loop.sock_accept(server)
                await loop.sock_recv(accepted, 5)
            started = loop.time()
            dialling.cancel()
        assert loop.time() - started < HANDSHAKE_TIMEOUT / 2
        async with asyncio.timeout(TIMEOUT):
            while await loop.sock_recv(accepted, 1000):
                pass
        accepted.close()


async def test_a_name_server_that_does_not_answer_delays_no_end(monkeypatch):
    """The lookup is left behind in a thread that nobody waits for."""
    asked, go_on = threading.Event(), threading.Event()

    def lookup(*_, **__):
        asked.set()
        go_on.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    async with asyncio.TaskGroup() as group:
        dialling = group.create_task(dial("some.name", 1883, None, SystemClock()))
        await asyncio.to_thread(asked.wait)
        dialling.cancel()
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "resolve":
            assert thread.daemon
            await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)
