"""The TCP connection to a camera: its name looked up, each of its addresses tried, the socket tuned.

The time allowed is for all of it; an address that does not answer leaves the others their share.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from rtspkit.errors import ConnectionLost, TimeoutExceeded, UnsupportedError
from rtspkit.links import Link, Tap, reason_text
from rtspkit.options import CameraOptions
from rtspkit.resolver import resolve
from rtspkit.url import CameraURL

__all__ = ["dial"]


async def dial(url: CameraURL, options: CameraOptions, tap: Tap | None = None) -> Link:
    """Connects to the camera.

    Args:
        url: where to; its scheme says what the link is made of.
        options: how; its `Limits.connect_timeout` is for everything.
        tap: hears all bytes of the link.

    Raises:
        ConnectionLost: its name is not known, or every address refuses.
        TimeoutExceeded: nobody answers in time.
        UnsupportedError: the URL wants TLS or HTTP.
    """
    if url.scheme != "rtsp":  # never in the clear, by redirect or not
        raise UnsupportedError(f"{url.address} wants RTSP over TLS or HTTP, which cannot be spoken yet")
    return Link(await _dial_tcp(url, options.limits.connect_timeout), tap=tap)


async def _dial_tcp(url: CameraURL, timeout: float) -> socket.socket:  # noqa: ASYNC109 - one for all addresses, and worded
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
