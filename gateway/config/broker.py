"""The address of the broker: "mqtts://host[:port]". Nothing of a password that somebody put into it is repeated."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.config.problems import Unfit, quoted

EXPECTED = 'an address such as "mqtts://broker.example.com"'


def check(url: str) -> None:
    """Raises Unfit when a hub should not or cannot connect to this address."""
    scheme, separator, rest = url.partition("://")
    if "@" in url:
        raise Unfit("there is a user or password in the address", "the keys username and password = { credential = ... }")
    if not separator:
        raise Unfit(f"found {quoted(url)}", EXPECTED, quoted(f"mqtts://{url}") if re.fullmatch(r"[\w.-]+(:\d+)?", url) else "")
    host_and_port = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme not in ("mqtt", "mqtts"):
        raise Unfit(f"found {quoted(url)}", EXPECTED, quoted(f"mqtts://{host_and_port}") if host_and_port else "")
    if host_and_port != rest:
        raise Unfit(
            f"found {quoted(url)} with a path",
            "" if host_and_port else EXPECTED,
            host_and_port and quoted(f"{scheme}://{host_and_port}"),
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Unfit(f"found {quoted(url)}", "a host, and a port from 1 to 65535") from None
    if not host or re.search(r"[\s\"'<>\\^`{|}\x00-\x20]", rest):
        raise Unfit(f"found {quoted(url)}", EXPECTED)
    if port == 0 or rest.endswith(":"):
        raise Unfit(f"found {quoted(url)}", "a port from 1 to 65535")
    if scheme == "mqtt" and not is_this_machine(host):
        meant = f"mqtts://{f'[{host}]' if ':' in host else host}" + (f":{port}" if port not in (None, 1883) else "")
        raise Unfit("a connection without encryption leaves this machine", "", quoted(meant))


def is_this_machine(host: str) -> bool:
    """Whether a host is the hub itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
