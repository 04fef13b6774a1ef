"""What the cloud may ask of the hub, and whether it may at all."""

from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from drivers.contract import KeyMistake, Keys, Seconds
from gateway.config.broker import is_this_machine


class Downlink(Keys, frozen=True, kw_only=True):
    """`[downlink]`: what the cloud may ask of the hub, by `canary/{hub}/do/#`. A fetched config cannot change it."""

    enabled: Annotated[bool, Meta(description="Whether commands are taken at all.")] = False
    allow: Annotated[
        tuple[str, ...], Meta(description='The commands that may be asked for, such as "state"; all of them where none is named.')
    ] = ()
    max_age: Annotated[Seconds, Meta(ge=10, le=3600, description="How old a command may be when it arrives, by its `issued`.")] = (
        300.0
    )
    per_minute: Annotated[
        int, Meta(ge=1, le=6000, description="So many commands are done a minute; what is more waits, at the broker in the end.")
    ] = 60
    reply_to: Annotated[
        tuple[str, ...],
        Meta(
            description="How a response topic may begin, beside `canary/{hub}/`. Each ends in a slash.",
            examples=["backend/answers/"],
        ),
    ] = ()
    longest_mute: Annotated[Seconds, Meta(ge=60, le=365 * 86400, description="For how long something may be muted.")] = 30 * 86400.0
    config_from: Annotated[
        tuple[str, ...],
        Meta(
            description="How the address of a config may begin that the hub is to fetch and try; none may where none is named.",
            examples=["https://configs.example.com/fleet/"],
        ),
    ] = ()

    def __post_init__(self) -> None:
        for beginning in self.reply_to:
            if not beginning.endswith("/") or beginning.startswith(("/", "$")) or set(beginning) & set("+#\0"):
                raise KeyMistake("reply_to", f'found "{beginning}"', 'the beginning of a topic such as "backend/answers/"')
        for beginning in self.config_from:
            if not is_fetchable(beginning) or "/" not in beginning.partition("://")[2]:
                expected = '"https://host/", perhaps with folders, or "http://" to this machine itself'
                raise KeyMistake("config_from", f'found "{beginning}"', expected)


STRANGE = set("\\#?@<>\"'{}|^`% ")
"""Characters that are in no plain address, and by which one could be made to look like another; after the "?" most do no harm."""


def is_fetchable(url: str) -> bool:
    """Whether this is a plain address of a file: encrypted, but for one on this very machine."""
    place, _, query = url.partition("?")
    if not url.isascii() or not url.isprintable() or set(place) & STRANGE or set(query) & set("\\#<>\"' "):
        return False
    if "/../" in f"{place}/" or "/./" in f"{place}/":
        return False
    try:
        parts = urlsplit(place)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(host)))
