"""Configs for tests: the plant that many of them stand in, and from the text of one to its values."""

from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from gateway.config import Config, load

PLANT = """
[hub]
id = "hub-0042"
[bus.plant]
driver = "modbus-tcp"
host = "192.168.1.20"
"""


def config_of(text: str, folder: Path | None = None) -> Config:
    """Read from `hub.toml` in a folder, or in one that is gone afterwards; no secret is looked for. Raises ConfigError."""
    if folder is None:
        with TemporaryDirectory() as passing:
            return config_of(text, Path(passing))
    path = folder / "hub.toml"
    path.write_text(text, "utf-8")
    return load(path, resolve_secrets=False)


def with_own_rules(config: Config) -> Config:
    """Without the rules that every hub has: nothing is told of what a test does not read."""
    return replace(config, rules={name: keys for name, keys in config.rules.items() if name not in config.built_in})
