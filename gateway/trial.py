"""Another config, fetched from where the site allows, tried while the hub runs, and kept only if the hub is well with it.

Promises
- Nothing changes before the config was fetched whole (its SHA-256 says so), read without a mistake, and found to leave alone what
  is the site's to say: who the hub is, what the cloud may ask, what it may do by itself, what leaves it of private points, and
  which secrets it uses.
- It is kept only if, after the set time, the broker is reached, no task hangs and no more devices are silent than before. Else what
  was in force is so again, and the answer says why.
- A hub that is killed or stopped in the middle of a trial starts with the config of before: only one that was kept is on the disk.
- Who changes the config on the spot meanwhile wins.
"""

import asyncio
import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import structlog
from msgspec import Meta

from drivers.contract import Seconds
from gateway import fetched
from gateway.commands import Answer, Command, CommandError, Commands, Effect, Mistake
from gateway.config.document import Document
from gateway.config.downlink import is_fetchable
from gateway.config.fragments import documents
from gateway.config.model import Config
from gateway.config.privacy import CLASSES
from gateway.config.problems import ConfigError, quoted
from gateway.config.reach import reach
from gateway.config.reader import load_one
from gateway.config.secrets import WAYS
from gateway.diagnosis.contract import AWAY
from gateway.fetch import FetchError, fetch

log = structlog.get_logger("config")

LOOK = 1.0  # s between two looks at how the hub is doing
MOST_MISTAKES = 20  # that an answer tells
NAMED = 5  # devices that it names
MEANWHILE = "another config was put in force on this machine meanwhile"


class TryConfig(Command, frozen=True, kw_only=True):
    """Fetch a config, try it, and keep it if the hub is well with it."""

    url: Annotated[
        str,
        Meta(
            max_length=2000,
            description="Where it is; it begins as `config_from` in [downlink] says.",
            examples=["https://configs.example.com/fleet/hub-0042.toml"],
        ),
    ]
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="The SHA-256 of the file, in hex digits.")]
    keep_after: Annotated[Seconds, Meta(ge=1, le=3600, description="How long the hub must be well with it.")] = 120.0


class Hub(Protocol):
    """The hub on which a config is tried."""

    @property
    def config(self) -> Config:
        """The one in force."""

    async def reload(self, config: Config, instead_of: Config) -> bool:
        """Put another one to work, if that one is in force; returns whether it was."""

    def devices(self) -> Mapping[str, str]:
        """How the hub gets on with each device."""

    def is_online(self) -> bool | None:
        """Whether the broker is reached; None where there is no uplink."""

    def hung(self) -> list[str]:
        """Tasks that have not shown up for too long."""


class Trial:
    """The command that tries configs on one hub, whose own config is at `path`."""

    def __init__(self, hub: Hub, path: Path) -> None:
        self._hub = hub
        self._path = path
        self._running = False

    def offer(self, commands: Commands) -> None:
        """Add it."""
        commands.add("config", TryConfig, self.perform, Effect.ONCE, interrupted=self.interrupted)

    async def perform(self, command: TryConfig) -> Answer:
        """See `TryConfig`."""
        if self._running:
            raise CommandError("busy", "another config is being tried")
        self._running = True
        try:
            return await self._try(command)
        finally:
            self._running = False

    def interrupted(self, command: TryConfig) -> Answer:
        """What came of a trial in the middle of which the hub was stopped."""
        kept = fetched.read(self._folder)
        if kept and hashlib.sha256(kept.raw).hexdigest() == command.sha256:
            return _kept(self._hub.config)
        raise CommandError("rolled-back", "the hub was stopped in the middle of the trial; the config of before is in force")

    @property
    def _folder(self) -> Path:
        return Path(self._hub.config.hub.state)

    # ------------------------------------------------------------ before anything changes

    async def _try(self, command: TryConfig) -> Answer:
        before = self._hub.config
        raw = await self._fetch(command)
        replaces = await asyncio.to_thread(fetched.digest, self._path)
        config = await asyncio.to_thread(self._read, raw, before)
        why = await self._work_with(config, before, command.keep_after) or await asyncio.to_thread(
            self._keep, raw, command.url, replaces
        )
        if why:
            log.warning("the fetched config is taken back", digest=config.digest, reason=why)
            await self._hub.reload(before, instead_of=config)
            raise CommandError("rolled-back", why)
        log.info("the fetched config is kept", digest=config.digest)
        return _kept(config)

    def _keep(self, raw: bytes, url: str, replaces: str) -> str:
        """Keep it across restarts; returns why that cannot be, or ""."""
        if fetched.digest(self._path) != replaces:
            return "the config on this machine was changed meanwhile"
        try:
            fetched.keep(self._folder, raw, url=url, path=self._path, replaces=replaces)
        except OSError as error:
            return f"it cannot be kept: {error}"
        return ""

    async def _fetch(self, command: TryConfig) -> bytes:
        config = self._hub.config
        allowed = config.downlink.config_from
        if not is_fetchable(command.url) or not command.url.startswith(allowed):
            expected = " or ".join(quoted(beginning) for beginning in allowed)
            expected = f"an address that begins with {expected}" if expected else "`config_from` in its [downlink]"
            raise CommandError("not-allowed", "this hub fetches no config from there", field="url", expected=expected)
        try:
            raw = await fetch(command.url, config.uplink.tls.ca if config.uplink else "")
        except FetchError as error:
            raise CommandError("failed", str(error), field="url") from error
        if (found := hashlib.sha256(raw).hexdigest()) != command.sha256:
            raise CommandError("wrong-value", f"what is there has {found}", field="sha256")
        return raw

    def _read(self, raw: bytes, before: Config) -> Config:
        """The config in these bytes. Raises CommandError with every mistake in it."""
        document = Document.decode("fetched.toml", raw)
        try:
            config = load_one(document)
        except ConfigError as error:
            mistakes = [
                Mistake("wrong-value", one.path, f"line {one.line}: {one.found}", one.expected, one.suggestion)
                for one in error.problems
            ]
            raise CommandError.of(mistakes[:MOST_MISTAKES]) from error
        local = [reference for one in documents([self._path]) for reference in _references(one.data)]
        strangers = [Mistake("not-allowed", *one) for one in _oversteps(before, config)]
        strangers += [
            Mistake("not-allowed", "", f"the secret {way} {quoted(name)} is not one that the config of this machine uses")
            for way, name in _references(document.data)
            if (way, name) not in local
        ]
        if strangers:
            raise CommandError.of(strangers[:MOST_MISTAKES])
        return config

    # ------------------------------------------------------------ on trial

    async def _work_with(self, config: Config, before: Config, seconds: float) -> str:
        """Work with it for a time; returns why it does not do, or ""."""
        silent, online, hung = self._silent(), self._hub.is_online(), set(self._hub.hung())
        log.info("a fetched config is tried", digest=config.digest, for_s=seconds)
        if not await self._hub.reload(config, instead_of=before):
            return MEANWHILE
        for _ in range(max(1, round(seconds / LOOK))):
            await asyncio.sleep(LOOK)
            if self._hub.config is not config:
                return MEANWHILE
            if new := set(self._hub.hung()) - hung:
                return f"tasks hang with it: {', '.join(sorted(new))}"
        if online and not self._hub.is_online():
            return "the broker is not reached with it"
        if len(now := self._silent()) > len(silent):
            names = sorted(now - silent)
            others = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            return f"more devices are silent with it: {', '.join(names[:NAMED])}{others}"
        return ""

    def _silent(self) -> set[str]:
        return {device for device, state in self._hub.devices().items() if not state or state in AWAY}


def _kept(config: Config) -> Answer:
    return {"config": config.digest, "devices": len(config.devices), "rules": len(config.rules)}


def _oversteps(before: Config, config: Config) -> Iterator[tuple[str, str]]:
    """What a fetched config may not say: (path, why)."""
    for key in ("id", "state"):
        if getattr(before.hub, key) != getattr(config.hub, key):
            yield f"hub.{key}", f"found {quoted(getattr(config.hub, key))}, and here it is {quoted(getattr(before.hub, key))}"
    for section, table in (("downlink", "downlink"), ("privacy", "privacy"), ("remedies", "remedy")):
        if getattr(before, section) != getattr(config, section):
            yield table, "only the config of this machine can change this table; repeat it as it is there"
    mine, theirs = reach(before), reach(config)
    for path in sorted(path for path in mine if mine[path] != theirs.get(path)):
        yield path, "a remedy of this machine acts on this, or goes by it; repeat it as it is there"
    for name, device in before.devices.items():
        for point in device.points.keys() & _points(config, name):
            was, is_ = _class(before, name, point), _class(config, name, point)
            if CLASSES.index(is_) < CLASSES.index(was):
                yield f"device.{name}.points.{point}.privacy", f'found "{is_}", and here it is "{was}"'


def _points(config: Config, device: str) -> Collection[str]:
    return config.devices[device].points.keys() if device in config.devices else ()


def _class(config: Config, device: str, point: str) -> Any:
    known = config.devices[device]
    return known.points[point].privacy or known.common.privacy or config.privacy.default


def _references(data: object) -> Iterator[tuple[str, str]]:
    """Every reference to a secret, or what looks like one: (way, name)."""
    if isinstance(data, dict):
        if len(data) == 1 and (way := next(iter(data))) in WAYS and isinstance(data[way], str):
            yield way, data[way]
        for value in data.values():
            yield from _references(value)
    elif isinstance(data, list):
        for value in data:
            yield from _references(value)
