"""The TCP connection to a camera: its name looked up, each of its addresses tried, the socket tuned.

The time allowed is for all of it; an address that does not answer leaves the others their share.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Any

from rtspkit.errors import ConnectionLost, TimeoutExceeded
from rtspkit.resolver import resolve
from rtspkit.url import CameraURL

__all__ = ["address_text", "dial", "reason_text"]


async def dial(url: CameraURL, timeout: float) -> socket.socket:  # noqa: ASYNC109 - it is one for the camera, and is worded
    """Connects to the camera's host and port.

    Args:
        url: where to.
        timeout: seconds for everything.

    Returns:
        A connected, non-blocking socket.

    Raises:
        ConnectionLost: its name is not known, or every address refuses.
        TimeoutExceeded: nobody answers in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    failure: OSError | None = None
    try:
        async with asyncio.timeout_at(deadline):
            addresses = await resolve(url.host, url.port)
        for tried, (family, address) in enumerate(addresses):
            share = (deadline - loop.time()) / (len(addresses) - tried)
            try:
                async with asyncio.timeout(share):
                    return await _connect(family, address)
            except OSError as error:  # TimeoutError among them
                failure = error
    except OSError as error:
        failure = error
    except UnicodeError:  # a label of the name is empty or longer than 63
        raise ConnectionLost(f"{url.address} cannot be reached: its name is not valid") from None
    if isinstance(failure, TimeoutError) and failure.errno is None:
        raise TimeoutExceeded(f"{url.address} cannot be reached: no answer within {timeout:g} s")
    raise ConnectionLost(f"{url.address} cannot be reached: {reason_text(failure)}")


async def _connect(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        _tune(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _tune(sock: socket.socket) -> None:
    """Requests go out at once, and a peer that has vanished is noticed even where nothing is sent to it."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 15000)):
        if hasattr(socket, name):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def address_text(name: tuple[object, ...]) -> str:
    """A socket's name as "host:port", with brackets around an IPv6 address."""
    host, port = str(name[0]), name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reason_text(error: OSError | None) -> str:
    """Why a connection failed, in the system's words; None: the name has no address at all."""
    if error is None:
        return "its name has no address"
    if isinstance(error, socket.gaierror):
        return "its name is not known (DNS)"
    # asyncio words its own strerror ("Connect call failed (…)")
    return (os.strerror(error.errno) if error.errno else str(error)).lower()
