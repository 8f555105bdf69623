"""The connection to a camera: its name looked up, each of its addresses tried, the socket tuned, and what the
URL's scheme puts over it.

The time allowed is for all of it; an address that does not answer leaves the others their share.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from rtspkit.errors import ConnectionLost, TimeoutExceeded
from rtspkit.links import Link, Tap, reason_text
from rtspkit.memory import CameraMemory
from rtspkit.options import CameraOptions
from rtspkit.resolver import resolve
from rtspkit.tls import secure
from rtspkit.tunnel import open_tunnel
from rtspkit.url import CameraURL

__all__ = ["dial"]


async def dial(
    url: CameraURL, options: CameraOptions, memory: CameraMemory | None = None, tap: Tap | None = None
) -> Link:
    """Connects to the camera.

    Args:
        url: where to; its scheme says what the link is made of.
        options: how; its `Limits.connect_timeout` is for everything.
        memory: what is known of the camera, and learned; None: nothing.
        tap: hears all bytes of the link.

    Raises:
        CertificateError: it is not to be trusted.
        ConnectionLost: its name is not known, every address refuses, or it speaks another protocol.
        TimeoutExceeded: nobody answers in time.
        RtspkitError, Redirect: as `open_tunnel`.
    """
    if url.is_tunnel:
        return await open_tunnel(
            lambda: _connect_link(url, options), url, options.limits, memory or CameraMemory(), tap
        )
    return await _connect_link(url, options, tap)


async def _connect_link(url: CameraURL, options: CameraOptions, tap: Tap | None = None) -> Link:
    """A connection to the URL's host and port, over TLS where the scheme says so."""
    timeout = options.limits.connect_timeout
    deadline = asyncio.get_running_loop().time() + timeout

    async def connect() -> socket.socket:
        return await _dial_tcp(url, timeout)

    try:
        if url.is_secure:
            return await secure(connect, url, options.fingerprint, deadline, tap)
        sock = await connect()
    except UnicodeError:  # a label of the name is empty or longer than 63
        raise ConnectionLost(f"{url.address} cannot be reached: its name is not valid") from None
    try:
        return Link(sock, tap=tap)
    except OSError as error:
        sock.close()
        raise ConnectionLost(f"{url.address} dropped the connection: {reason_text(error)}") from None


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
    if isinstance(failure, TimeoutError) and failure.errno is None:
        raise TimeoutExceeded(f"{url.address} cannot be reached: no answer within {timeout:g} s")
    lost = ConnectionLost(f"{url.address} cannot be reached: {reason_text(failure)}")
    if not isinstance(failure, socket.gaierror):  # whose numbers mean something else
        lost.errno = failure.errno if failure is not None else None
    raise lost


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
