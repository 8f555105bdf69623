"""The byte stream to a camera: what RTSP goes over, and over TCP the media too.

Strategy: a `Link` is one non-blocking socket that never becomes an asyncio transport, so that it can change
hands: first the conversation reads it (`receive`), then, from `start` on, a `Receiver` gets all its bytes:
drained by the shared `Ticker` together with other cameras' (the gateway), or whenever there is something to
read (the library). It has one reader at a time, and none when it is closed. Writing never waits: what the
socket does not take at once goes when it can, and a camera that takes nothing is given up.

`Link` is plain TCP, whose sockets compiled code reads. What needs more than a socket (`tls`, `tunnel`)
overrides how bytes are read and how they are put, and is read in Python; so is any link with a tap.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Literal

from rtspkit.rtp import Drain, Receiver
from rtspkit.ticker import Ticker

__all__ = ["Link", "Tap", "address_text", "reason_text"]

#: What hears everything that goes to and comes from a camera: the direction, the bytes, and what they go over: None
#: for the link, else a UDP socket (twice the track's index, and one more for its RTCP).
Tap = Callable[[Literal["in", "out"], bytes, int | None], None]

#: Bytes that may wait to be sent before the camera counts as lost.
UNSENT_SIZE = 64 * 1024
READ_SIZE = 64 * 1024
#: Reads in a row before others have their turn.
_ROUNDS = 8


class Link:
    """A connection to a camera.

    Args:
        sock: connected and non-blocking; it belongs to the link from now on.
        tap: hears all bytes; None for nobody.

    Attributes:
        local_address, remote_address: "host:port" of the two ends.
        local_host, remote_host: their addresses without the ports.

    Raises:
        ConnectionResetError: it is lost already; the socket stays the caller's.
    """

    def __init__(self, sock: socket.socket, *, tap: Tap | None = None) -> None:
        try:
            local, remote = sock.getsockname(), sock.getpeername()
        except OSError:  # a socket whose peer has reset it has no names any more
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from None
        self.local_address, self.local_host = address_text(local), str(local[0])
        self.remote_address, self.remote_host = address_text(remote), str(remote[0])
        self._sock = sock
        self._tap = tap
        self._loop = asyncio.get_running_loop()
        self._unsent = b""
        self._receiver: Receiver | None = None
        self._give_back: Callable[[], None] | None = None  # takes the socket off whoever reads it
        self._lost: str | None = None

    # -- what a link over something else overrides

    def _read(self) -> bytes:
        """What has arrived, b"" at the end; BlockingIOError where nothing has."""
        return self._sock.recv(READ_SIZE)

    def _seal(self, data: bytes) -> bytes:
        """What the socket gets for it."""
        return data

    @property
    def _is_plain(self) -> bool:
        """Whether the socket's bytes are the stream's, so that compiled code may read them."""
        return self._tap is None

    # -- the conversation

    async def receive(self) -> bytes:
        """The next bytes; b"" where the camera has closed the connection.

        Raises:
            OSError: the connection is lost.
        """
        await asyncio.sleep(0)  # a camera that never pauses leaves others their turn, and cannot outrun its deadline
        while True:
            try:
                data = self._read()
            except BlockingIOError:
                await self._readable()
                continue
            if self._tap is not None:
                self._tap("in", data, None)
            return data

    async def _readable(self) -> None:
        readable = self._loop.create_future()
        self._loop.add_reader(self._sock, _resolve, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(self._sock)

    def send(self, data: bytes) -> None:
        """Sends as far as possible now, and the rest as soon as possible.

        Raises:
            OSError: the connection is lost, or the camera has long taken nothing.
        """
        if not data:
            return
        if self._tap is not None:
            self._tap("out", data, None)
        self._transmit(self._seal(data))

    def _transmit(self, data: bytes) -> None:
        """Gives the socket what `_seal` has made."""
        if self._unsent:
            self._unsent += data
            if len(self._unsent) > UNSENT_SIZE:
                raise OSError("it takes nothing any more")
            return
        self._unsent = data
        self._flush()
        if self._unsent:
            self._loop.add_writer(self._sock, self._on_writable)

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[self._sock.send(self._unsent) :]

    def _on_writable(self) -> None:
        try:
            self._flush()
        except OSError as error:
            self._unsent = b""
            self._lost = f"dropped the connection: {reason_text(error)}"
        if not self._unsent:
            self._loop.remove_writer(self._sock)

    # -- media

    def start(self, receiver: Receiver, on_bytes: Callable[[], None], ticker: Ticker | None = None) -> None:
        """Gives all bytes to `receiver` from now on, until `stop`.

        Args:
            receiver: where they go.
            on_bytes: called after a read that leaves something to take (with a ticker), or after any read.
            ticker: reads together with others; None: as soon as there is something.
        """
        sock, loop = self._sock, self._loop
        self._receiver = receiver
        if ticker is not None:
            if self._is_plain:
                ticker.add(receiver, sock, on_bytes)
                self._give_back = lambda: ticker.remove(receiver)
            else:
                self._give_back = ticker.watch(lambda: self._poll(receiver, on_bytes))
            return
        if self._is_plain:
            drain = Drain(READ_SIZE)

            def read() -> None:
                drain.drain((receiver,), time.monotonic_ns())
                on_bytes()

            receiver.fd = sock.fileno()
        else:

            def read() -> None:
                if self._feed(receiver) or self._lost is not None:
                    on_bytes()

        loop.add_reader(sock, read)

        def give_back() -> None:
            receiver.fd = -1
            if not loop.is_closed():
                loop.remove_reader(sock)

        self._give_back = give_back

    def _poll(self, receiver: Receiver, on_bytes: Callable[[], None]) -> bool:
        """Reads in Python at a tick, as `Drain` does; whether there was so much that it should be done again soon."""
        if time.monotonic_ns() < receiver.quiet_until:
            return False
        found = self._feed(receiver)
        if receiver.ready or self._lost is not None:
            on_bytes()
        return found >= READ_SIZE

    def _feed(self, receiver: Receiver) -> int:
        """Reads in Python; how many bytes."""
        before = receiver.bytes_received
        try:
            for _ in range(_ROUNDS if self._lost is None else 0):
                data = self._read()
                if self._tap is not None:
                    self._tap("in", data, None)
                if not data:
                    self._lost = self._lost or "closed the connection"
                    break
                receiver.feed(data, time.monotonic_ns())
        except BlockingIOError:
            pass
        except OSError as error:
            self._lost = self._lost or f"dropped the connection: {reason_text(error)}"
        return receiver.bytes_received - before

    @property
    def lost(self) -> str | None:
        """How the connection ended while `start` was in force, such as "closed the connection"; None: it has not."""
        receiver = self._receiver
        if self._lost is None and receiver is not None:
            if receiver.os_error:
                self._lost = f"dropped the connection: {os.strerror(receiver.os_error).lower()}"
            elif receiver.eof:
                self._lost = "closed the connection"
        return self._lost

    def stop(self) -> None:
        """Ends what `start` has begun; the socket stays open."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    def close(self) -> None:
        """Closes the connection at once."""
        self.stop()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
        self._sock.close()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


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
