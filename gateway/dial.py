"""A connected socket to the broker, plain or TLS, or one line that says why there is none and what to do.

Promises
- It ends within `LONGEST`, whatever the network does.
- Cancelling it ends it at once. That is why it is here and not left to the MQTT library, which connects in a thread that nobody can
  stop: a hub without internet would take as long to end as its name server takes to give up.
- With TLS the server's certificate and name are always checked; nothing turns that off.
- The private key of mutual TLS never touches the disk.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gateway.aside import aside
from gateway.clock import Clock
from gateway.config.model import Tls

RESOLVE_TIMEOUT = 120.0  # s for the addresses of a name: longer than resolvers try, so that no threads of theirs pile up
CONNECT_TIMEOUT = 5.0  # s for each address,
CONNECT_TIMEOUT_OF_ALL = 90.0  # s for those of one name together: eight of a family that leads nowhere leave time for the other
HANDSHAKE_TIMEOUT = 10.0  # s
LONGEST = RESOLVE_TIMEOUT + CONNECT_TIMEOUT_OF_ALL + HANDSHAKE_TIMEOUT


class UplinkFault(Exception):  # noqa: N818  (as DeviceFault: the network is at fault, not the program)
    """The broker cannot be used now. What is wrong, as one line, and what to do about it.

    patient: a person has to change something first, so that trying again soon only annoys the broker.
    busy:    the broker says that it has too much to do.
    """

    def __init__(self, what: str, hint: str = "", *, patient: bool = False, busy: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.patient = patient
        self.busy = busy

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}" if self.hint else self.what


async def dial(host: str, port: int, tls: Tls | None, clock: Clock) -> socket.socket:
    """A connected, non-blocking socket; an `ssl.SSLSocket` where `tls` is given. Raises UplinkFault."""
    where = f"{host}:{port}"
    try:
        addresses = await _resolve(host, port)
        async with asyncio.timeout(CONNECT_TIMEOUT_OF_ALL):
            sock = await _connect(addresses)
    except socket.gaierror as error:
        raise UplinkFault(f"the address of {host} cannot be found", "check the network, its name server and the url") from error
    except ConnectionRefusedError as error:
        raise UplinkFault(f"{where} refuses connections", "is a broker running there, and is the port right?") from error
    except TimeoutError as error:
        raise UplinkFault(f"{where} does not answer", "check the network and the firewalls on the way") from error
    except OSError as error:
        raise UplinkFault(f"{where} cannot be reached: {error.strerror}", "check the network") from error
    if tls is None:
        return sock
    try:
        return await _secure(sock, host, tls)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise _tls_fault(error, where, clock.utc(clock.now())) from error
        raise


# ---------------------------------------------------------------- name and connection


async def _resolve(host: str, port: int) -> list[tuple[int, Any]]:
    """(family, address) of each address of the name. A name server that does not answer blocks for many seconds."""

    def ask() -> list[tuple[int, Any]]:
        try:
            return [(family, address) for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except UnicodeError as error:  # a name that no name server could know: empty or overlong labels
            raise socket.gaierror(socket.EAI_NONAME, "not a name") from error

    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            return await aside("resolve", ask)
    except TimeoutError:
        raise socket.gaierror(socket.EAI_AGAIN, "no answer") from None


async def _connect(addresses: list[tuple[int, Any]]) -> socket.socket:
    """A connection to the first address that answers; the error of the last where none does."""
    error: OSError = TimeoutError()
    for family, address in addresses:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError as mishap:
            sock.close()
            error = mishap
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error


# ---------------------------------------------------------------- TLS


async def _secure(sock: socket.socket, host: str, tls: Tls) -> ssl.SSLSocket:
    loop = asyncio.get_running_loop()
    # In the pool: reading the system's authorities takes 10 ms and more. Each time, so that a renewed file is seen.
    context = await loop.run_in_executor(None, _context, tls)
    secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            while True:
                try:
                    secure.do_handshake()
                except ssl.SSLWantReadError:
                    await _ready(secure, loop.add_reader, loop.remove_reader)
                except ssl.SSLWantWriteError:
                    await _ready(secure, loop.add_writer, loop.remove_writer)
                else:
                    return secure
    except BaseException:
        secure.close()
        raise


async def _ready(sock: socket.socket, add: Callable[..., Any], remove: Callable[..., Any]) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    add(sock, tell)
    try:
        await ready
    finally:
        remove(sock)


def _context(tls: Tls) -> ssl.SSLContext:
    """The system's authorities, or the one of the config alone. Raises UplinkFault for a file that does not do."""
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
    except OSError as error:
        raise _file_fault(error, "uplink.tls.ca", tls.ca, "a PEM file with the authority's certificate") from error
    if tls.certificate:
        # OpenSSL reads keys from files only: one in memory, gone with its descriptor. A key under a password would ask for it
        # at a terminal that is not there; the empty password makes that an error.
        key = os.memfd_create("key")
        try:
            os.write(key, tls.key.encode())
            context.load_cert_chain(tls.certificate, f"/proc/self/fd/{key}", password="")
        except OSError as error:
            raise _file_fault(error, "uplink.tls.certificate", tls.certificate, "a PEM file, with its key in `key`") from error
        finally:
            os.close(key)
    return context


def _file_fault(error: OSError, key: str, path: str, expected: str) -> UplinkFault:
    trouble = "is not what it should be" if isinstance(error, ssl.SSLError) else f"cannot be read ({error.strerror})"
    return UplinkFault(f"the file {path} {trouble}", f"{key} must be {expected}", patient=True)


# X509_V_ERR_* of OpenSSL's x509_vfy.h
NOT_YET_VALID, EXPIRED = 9, 10
WRONG_NAME, WRONG_ADDRESS = 62, 64


def _tls_fault(error: OSError, where: str, now: datetime) -> UplinkFault:
    today = now.astimezone(UTC).date()
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in {WRONG_NAME, WRONG_ADDRESS}:
            return UplinkFault(
                f"the certificate of {where} is for another name", "write the name that it is for in the url", patient=True
            )
        if error.verify_code == NOT_YET_VALID:  # not patient: the clock of a hub that has just booted will be set soon
            return UplinkFault(
                f"the certificate of {where} is not valid yet, or this hub's clock is behind: it says {today}", "check the clock"
            )
        if error.verify_code == EXPIRED:
            return UplinkFault(
                f"the certificate of {where} has expired, or this hub's clock is ahead: it says {today}",
                "check the clock, or have the broker's certificate renewed",
                patient=True,
            )
        return UplinkFault(
            f"the certificate of {where} is not to be trusted: {error.verify_message}",
            "if the broker has an authority of its own, name its file in uplink.tls.ca",
            patient=True,
        )
    if isinstance(error, TimeoutError):
        return UplinkFault(f"{where} does not answer in TLS", "is it the TLS port of the broker?")
    if isinstance(error, ssl.SSLError) and error.reason and "ALERT" not in error.reason:
        return UplinkFault(f"{where} does not speak TLS ({error.reason})", "is it the TLS port of the broker?", patient=True)
    if isinstance(error, ssl.SSLError) and error.reason:
        return UplinkFault(
            f"{where} refuses this hub in TLS ({error.reason})", "check uplink.tls.certificate and its key", patient=True
        )
    return UplinkFault(f"{where} ended the connection during TLS", "is it the TLS port of the broker?")
