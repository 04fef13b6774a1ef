"""What a person writes: TOML into typed values, or every mistake in it at once.

config = load("/etc/canary/hub.toml")         # raises ConfigError, whose text is for people
print(check_file("hub.toml"))                 # a config or a profile, without its secrets
changes(old, new).buses                       # what a reload must touch
"""

from gateway.config.changes import Changes, changes
from gateway.config.checking import check_file
from gateway.config.model import BusConfig, Config, DeviceConfig
from gateway.config.problems import ConfigError, Problem
from gateway.config.reader import load

__all__ = ["BusConfig", "Changes", "Config", "ConfigError", "DeviceConfig", "Problem", "changes", "check_file", "load"]
