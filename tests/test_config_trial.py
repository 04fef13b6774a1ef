"""A config that the cloud has the hub fetch is kept only if the hub is well with it; what was in force is so again otherwise."""

import asyncio
import hashlib
import json
import signal
import ssl
from pathlib import Path

import pytest
from setting_of import CONFIG, Asked

from gateway import fetch as fetch_module
from gateway import fetched
from gateway.agent import Hub
from gateway.clock import SystemClock
from gateway.commands import CommandError
from gateway.config import ConfigError, load
from gateway.config.downlink import Downlink, is_fetchable
from gateway.fetch import FetchError, fetch
from gateway.store import Store
from gateway.trial import Trial, TryConfig
from gateway.watchdog import Notifier

from peers.authority import Authority
from peers.mosquitto import free_port
from peers.web import Web

pytestmark = pytest.mark.slow

COLD = "[rule.cold]\nkind = 'threshold'\non = ['freezer/temp']\nbelow = '-25 °C'\nclear = '-23 °C'\n"


class Fleet(Asked):
    """A hub that may fetch its config from a web server."""

    async def __aenter__(self):
        self.web = await self.peers.enter_async_context(Web())
        return await super().__aenter__()

    def write(self, private="", extra=""):
        super().write(private, extra)
        text = self.path.read_text().replace("per_minute", f'config_from = ["{self.web.url}"]\nper_minute')
        self.path.write_text(text)

    def offer(self, old="", new="", extra=""):
        """Put the local config on the web, with something else in it; returns the command's fields."""
        text = self.path.read_text()
        assert old in text
        return self.web.put("hub.toml", text.replace(old, new) + extra)

    async def begin(self, seconds="1 s", **fields):
        await self.cloud.say("config", json.dumps({"id": "trial", "issued": now(), "keep_after": seconds, **fields}))

    async def outcome(self):
        """The answer to the trial."""
        answer = json.loads((await self.cloud.answer(30))[2])
        assert answer["id"] == "trial"
        return answer

    async def digest(self):
        return (await self.told("state"))["config"]


def now():
    return SystemClock().utc(SystemClock().now()).isoformat()


@pytest.fixture
async def fleet(tmp_path):
    async with Fleet(tmp_path) as fleet:
        yield fleet


# ---------------------------------------------------------------- kept


async def test_a_config_with_which_the_hub_is_well_is_kept_also_through_sigkill_until_somebody_edits_the_one_on_the_spot(fleet):
    async with fleet.hub() as hub:
        await fleet.cloud.until_online()
        local = await fleet.digest()
        await fleet.begin(**fleet.offer(extra=COLD))
        answer = await fleet.outcome()
        assert answer["ok"], answer
        tried = answer["answer"]["config"]
        assert tried == await fleet.digest() != local
        hub.process.kill()
    async with fleet.hub() as hub:
        await fleet.cloud.until_online()
        assert await fleet.digest() == tried
        hub.signal(signal.SIGHUP)
        await hub.until("config reloaded")
        assert await fleet.digest() == tried
        fleet.freezer.temp = -30.0
        assert await fleet.case()
        fleet.path.write_text(fleet.path.read_text() + "\n# a technician was here\n")
        hub.log.clear()
        hub.signal(signal.SIGHUP)
        await hub.until("the config on this machine has changed")
        await hub.until("config reloaded")
        assert await fleet.digest() not in {tried, local}
    assert (fleet.state / fetched.OLD).exists()
    assert not (fleet.state / fetched.FILE).exists()


# ---------------------------------------------------------------- rolled back


async def test_a_config_with_which_the_broker_is_not_reached_is_taken_back_and_the_answer_sent_then(fleet):
    async with fleet.hub() as hub:
        await fleet.cloud.until_online()
        local = await fleet.digest()
        await fleet.begin(**fleet.offer(old=f":{fleet.broker.port}", new=f":{free_port()}"))
        answer = await fleet.outcome()
        assert (answer["error"]["name"], answer["error"]["text"]) == ("rolled-back", "the broker is not reached with it")
        assert await fleet.digest() == local
        assert any("is taken back" in line for line in hub.log)
    assert not (fleet.state / fetched.FILE).exists()


async def test_a_config_with_which_more_devices_are_silent_is_taken_back(fleet):
    more = '[device.oven]\nbus = "line"\nunit = 9\ntimeout = "0.1 s"\npoints.temp = { input = 0 }\n'
    async with fleet.hub():
        await fleet.cloud.until_online()
        local = await fleet.digest()
        await fleet.begin(**fleet.offer(extra=more))
        error = (await fleet.outcome())["error"]
        assert (error["name"], error["text"]) == ("rolled-back", "more devices are silent with it: oven")
        assert await fleet.digest() == local


async def test_a_hub_that_is_killed_in_the_middle_of_a_trial_starts_with_the_config_of_before_and_says_so(fleet):
    async with fleet.hub() as hub:
        await fleet.cloud.until_online()
        local = await fleet.digest()
        await fleet.begin("1 h", **fleet.offer(extra=COLD))
        await hub.until("config reloaded")
        assert await fleet.digest() != local
        hub.process.kill()
    async with fleet.hub():
        error = (await fleet.outcome())["error"]
        assert (error["name"], "in the middle of the trial" in error["text"]) == ("rolled-back", True)
        assert await fleet.digest() == local


async def test_a_hub_that_is_stopped_in_the_middle_of_a_trial_ends_in_time_and_says_so_after_the_start(fleet):
    async with fleet.hub() as hub:
        await fleet.cloud.until_online()
        await fleet.begin("1 h", **fleet.offer(extra=COLD))
        await hub.until("config reloaded")
        hub.signal(signal.SIGTERM)
        assert await hub.end() == 0
        assert not [line for line in hub.log if "Traceback" in line]
    async with fleet.hub():
        assert (await fleet.outcome())["error"]["name"] == "rolled-back"


async def test_who_changes_the_config_on_the_spot_during_a_trial_wins(fleet):
    async with fleet.hub() as hub:
        await fleet.cloud.until_online()
        fields = fleet.offer(extra=COLD)
        fleet.path.write_text(fleet.path.read_text() + "# before\n")
        await fleet.begin("1 h", **fields)
        await hub.until("config reloaded")
        assert (await fleet.refused("config", **fields))["name"] == "busy"
        hub.signal(signal.SIGHUP)
        error = (await fleet.outcome())["error"]
        assert (error["name"], "another config" in error["text"]) == ("rolled-back", True)
        await fleet.cloud.say("config", json.dumps({"id": "trial", "issued": now()}))  # a repeat of another question
        assert (await fleet.outcome())["error"]["name"] == "id-reused"
        local = await fleet.digest()

        await fleet.cloud.say("config", json.dumps({"id": "again", "issued": now(), "keep_after": "1 s", **fields}))
        async with asyncio.timeout(10):
            while await fleet.digest() == local:
                pass
        fleet.path.write_text(fleet.path.read_text() + "# meanwhile\n")
        error = json.loads((await fleet.cloud.answer())[2])["error"]
        assert (error["name"], "was changed meanwhile" in error["text"]) == ("rolled-back", True)
        assert await fleet.digest() == local
    assert not (fleet.state / fetched.FILE).exists()


async def test_a_config_is_put_in_place_of_another_only_while_that_one_is_in_force(tmp_path):
    """Or a trial that waits for its turn behind a reload would undo it."""
    path = local(tmp_path)
    first, second, third = load(path), load(path), load(path)
    stop = asyncio.Event()
    with Store.open(tmp_path / "canary.db") as store:
        hub = Hub(first, SystemClock(), store)
        running = asyncio.create_task(hub.run(stop, Notifier()))
        await asyncio.sleep(0)
        by_hand, by_trial = await asyncio.gather(hub.reload(second), hub.reload(third, instead_of=first))
        assert (by_hand, by_trial) == (True, False)
        assert hub.config is second
        assert await hub.reload(third, instead_of=second)
        stop.set()
        await running
        assert hub.config is third


# ---------------------------------------------------------------- refused


async def test_what_is_not_allowed_not_whole_or_not_right_is_refused_and_changes_nothing(fleet):
    fleet.write(extra="")
    secret = fleet.folder / "secret"
    secret.write_text("s3cret")
    secret.chmod(0o600)
    stranger = f'username = "x"\npassword = {{ file = "{secret}" }}\nretry_first = "0.1 s"'
    async with fleet.hub() as hub:
        await fleet.cloud.until_online()
        local = await fleet.digest()
        good = fleet.offer()

        async def refusal(fields):
            error = await fleet.refused("config", **fields)
            return error["name"], error["text"]

        name, text = await refusal(good | {"sha256": "0" * 64})
        assert (name, good["sha256"] in text) == ("wrong-value", True)
        assert (await refusal(good | {"url": f"http://127.0.0.1:{free_port()}/hub.toml"}))[0] == "not-allowed"
        assert (await refusal(good | {"url": fleet.web.url + "../hub.toml"}))[0] == "not-allowed"
        assert (await refusal(good | {"url": fleet.web.url + "nothing.toml"}))[0] == "failed"
        name, text = await refusal(fleet.offer('kind = "threshold"', 'kind = "treshold"'))
        assert (name, "line " in text, 'did you mean "threshold"' in text) == ("wrong-value", True, True)
        for old, new, said in (
            ('"hub-1"', '"hub-2"', "hub.id"),
            (str(fleet.state), str(fleet.folder / "other"), "hub.state"),
            ("per_minute = 600", "per_minute = 500", "downlink"),
            ('retry_first = "0.1 s"', stranger, "secret"),
            ("[bus.line]", "[remedy.x]\nfor = 'warm'\nrun = ['/bin/true']\n[bus.line]", "remedy"),
            ("[bus.line]", "[privacy]\ndefault = 'household'\n[bus.line]", "privacy"),
        ):
            name, text = await refusal(fleet.offer(old, new))
            assert (name, said in text) == ("not-allowed", True), (name, text)
        assert not [line for line in hub.log if "is tried" in line]
        assert await fleet.digest() == local
        assert "s3cret" not in "".join(hub.log)


async def test_a_fetched_config_cannot_make_a_point_less_private(tmp_path):
    path = tmp_path / "hub.toml"
    text = CONFIG.format(state=tmp_path, mqtt=1, modbus=1, private=', privacy = "personal"')
    path.write_text(text)
    with Store.open(tmp_path / "canary.db") as store:
        hub = Hub(load(path), SystemClock(), store)
        trial = Trial(hub, path)
        assert trial._read(text.encode(), hub.config).devices == hub.config.devices
        for looser in ("household", "open"):
            with pytest.raises(CommandError, match="privacy") as told:
                trial._read(text.replace('"personal"', f'"{looser}"').encode(), hub.config)
            assert told.value.name == "not-allowed"


async def test_a_trial_that_was_kept_the_moment_before_the_kill_is_told_as_kept(tmp_path):
    path = tmp_path / "hub.toml"
    path.write_text(f'[hub]\nid = "hub-1"\nstate = "{tmp_path}"\n')
    raw = path.read_bytes() + b"# fetched\n"
    with Store.open(tmp_path / "canary.db") as store:
        hub = Hub(load(path), SystemClock(), store)
        trial = Trial(hub, path)
        command = TryConfig(url="https://x/y", sha256=hashlib.sha256(raw).hexdigest())
        with pytest.raises(CommandError, match="in the middle"):
            trial.interrupted(command)
        fetched.keep(tmp_path, raw, url="https://x/y", path=path, replaces=fetched.digest(path))
        assert trial.interrupted(command)["config"] == hub.config.digest


# ---------------------------------------------------------------- what is in force


def local(folder, more=""):
    path = folder / "hub.toml"
    path.write_text(f'[hub]\nid = "hub-1"\nsite = "local"\nstate = "{folder}"\n{more}')
    return path


def keep(folder, path, site="fetched"):
    raw = path.read_bytes().replace(b'"local"', f'"{site}"'.encode())
    fetched.keep(folder, raw, url="https://x/y", path=path, replaces=fetched.digest(path))


def test_a_fetched_config_is_in_force_only_as_long_as_every_local_file_is_what_it_was(tmp_path):
    path = local(tmp_path)
    assert fetched.in_force(path).hub.site == "local"
    keep(tmp_path, path)
    assert fetched.in_force(path).hub.site == "fetched"
    (tmp_path / "hub.d").mkdir()
    (tmp_path / "hub.d" / "more.toml").write_text('[desk]\nname = "CoolCare"\n')
    assert fetched.in_force(path).hub.site == "local"
    (tmp_path / "hub.d" / "more.toml").unlink()
    assert fetched.in_force(path).hub.site == "local"  # once set aside, it does not come back


def test_a_mistake_in_the_local_files_is_told_even_where_a_fetched_config_is_kept(tmp_path):
    path = local(tmp_path)
    keep(tmp_path, path)
    path.write_text(path.read_text() + "[dekc]\n")
    with pytest.raises(ConfigError, match="desk"):
        fetched.in_force(path)


@pytest.mark.parametrize("damage", [b"", b"#", b"# a\n# b\n# c\n", b"\xff\xfe\x00", b"# a\n# b\n# %s\nnonsense"])
def test_a_fetched_config_that_cannot_be_read_costs_itself_and_not_the_start(tmp_path, damage):
    path = local(tmp_path)
    keep(tmp_path, path)
    (tmp_path / fetched.FILE).write_bytes(damage.replace(b"%s", fetched.digest(path).encode()))
    assert fetched.in_force(path).hub.site == "local"


def test_a_kept_config_is_there_whole_or_not_at_all(tmp_path):
    """A crash in the middle of writing leaves the one of before; the next one takes its place."""
    path = local(tmp_path)
    keep(tmp_path, path)
    Path(tmp_path / f"{fetched.FILE}.new").write_bytes(b"# half")
    assert fetched.in_force(path).hub.site == "fetched"
    keep(tmp_path, path, "newer")
    assert fetched.in_force(path).hub.site == "newer"


# ---------------------------------------------------------------- fetching


async def test_a_file_is_fetched_as_it_is():
    async with Web() as web:
        web.put("a/b.toml?x=1", "äöü")
        assert await fetch(web.url + "a/b.toml?x=1") == "äöü".encode()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: /page\r\nContent-Length: 0\r\n\r\n", "302; it leads elsewhere"),
        (b"HTTP/1.1 500 \xff\r\nContent-Length: 0\r\n\r\n", "500"),
        (b"nonsense\r\n\r\n", "cannot be had"),
        (b"", "cannot be had"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000), "more than 256 KiB"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "cannot be had"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "cannot be had"),
        (b"HTTP/1.1 200 OK\r\nX: ...", "was not there within"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n...", "was not there within"),
    ],
)
async def test_what_else_a_server_may_do_is_one_clear_line_and_soon(monkeypatch, raw, says):
    monkeypatch.setattr(fetch_module, "LONGEST", 0.5)
    async with Web() as web:
        web.raw["/page"] = raw
        with pytest.raises(FetchError, match=says):
            await fetch(web.url + "page")


async def test_a_server_has_to_be_who_it_says_it_is(tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with Web(context) as web:
        web.put("hub.toml", "x")
        assert await fetch(web.url + "hub.toml", str(authority.file)) == b"x"
        with pytest.raises(FetchError, match="certificate"):
            await fetch(web.url + "hub.toml")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://a.example/x.toml", True),
        ("http://127.0.0.1:8000/x", True),
        ("https://a.example/x.toml?sig=a%2Fb+c==&e=1", True),
        ("https://a.example/x.toml?a#b", False),
        ("http://a.example/x.toml", False),
        ("ftp://a.example/x", False),
        ("https:///x", False),
        ("https://a.example/../x", False),
        ("https://a.example/%2e%2e/x", False),
        ("https://a.example@b.example/x", False),
        ("https://a.example\\@b.example/x", False),
        ("https://a.example/x\n", False),
        ("https://a.example:99999/x", False),
        ("https://ä.example/x", False),
        ("", False),
    ],
)
def test_an_address_is_plain_and_encrypted(url, allowed):
    assert is_fetchable(url) is allowed


def test_where_a_config_may_come_from_ends_at_a_slash():
    """Or "https://configs.example.com" would let "https://configs.example.com.evil.example/" in."""
    assert Downlink(config_from=("https://a.example/",))
    for beginning in ("https://a.example", "http://a.example/", "a.example/"):
        with pytest.raises(ValueError, match="config_from"):
            Downlink(config_from=(beginning,))
