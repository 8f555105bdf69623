"""The conversation with a camera before its media: ask, wait for the answer, ask the next.

A thin thing between an `rtsp.Connection`, which knows what is said, and a `Link`, which carries it. It keeps
the media that come before the answer to PLAY, for some cameras begin early.
"""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

from rtspkit.errors import ConnectionLost, RtspkitError
from rtspkit.links import Link, reason_text
from rtspkit.rtsp import CameraURL, Connection, Event, InterleavedData, Redirected, ServerRequest

__all__ = ["Conversation", "Redirect"]

#: Bytes of media kept that come before the answer to PLAY.
_EARLY_SIZE = 4 * 1024 * 1024

_E = TypeVar("_E", bound=Event)


class Redirect(Exception):
    """Not an error: where to go on."""

    def __init__(self, url: CameraURL) -> None:
        self.url = url


class Conversation:
    """Says what `connection` has to say over `link`, and waits.

    Attributes:
        early: interleaved frames that came among the answers, whole, in their order.
    """

    def __init__(self, connection: Connection, link: Link) -> None:
        self._connection = connection
        self._link = link
        self.early: list[bytes] = []
        self._early_size = 0

    async def wait_for(self, wanted: type[_E]) -> _E:
        """Sends what is due and reads until the event comes.

        Raises:
            Redirect: the camera wants to be asked elsewhere.
            ConnectionLost: it hangs up, or ends the session.
            RtspkitError: it refuses, does not answer, or speaks no RTSP.
        """
        connection, link = self._connection, self._link
        address = connection.url.address
        while True:
            while (event := connection.next_event()) is not None:
                if isinstance(event, wanted):
                    return event
                self._on_event(event)
            try:
                due = connection.next_timeout()
                link.send(connection.data_to_send())
                async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                    data = await link.receive()
            except TimeoutError as error:
                if error.errno is not None:  # the system's own: the connection is dead
                    raise ConnectionLost(f"{address} dropped the connection: {reason_text(error)}") from None
                connection.handle_timeout(time.monotonic())
                continue
            except OSError as error:
                if isinstance(error, RtspkitError):
                    raise
                raise ConnectionLost(f"{address} dropped the connection: {reason_text(error)}") from None
            if not data:
                raise ConnectionLost(f"{address} closed the connection before its media began")
            connection.receive_data(data, time.monotonic())

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Redirected):
            raise Redirect(event.url)
        if isinstance(event, InterleavedData):
            self._early_size += len(event.payload)
            if self._early_size <= _EARLY_SIZE:
                header = bytes((0x24, event.channel)) + len(event.payload).to_bytes(2, "big")
                self.early.append(header + event.payload)
        elif isinstance(event, ServerRequest) and event.method in {"TEARDOWN", "REDIRECT"}:
            raise ConnectionLost(f"{self._connection.url.address} ended the session ({event.method})")
