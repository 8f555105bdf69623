"""Names of cameras -> addresses, in a thread nobody has to wait for.

Strategy: an event loop looks names up in a pool of threads and, when it ends, waits for all of them: where
the name server is away that takes half a minute, and a gateway that was told to stop stands there. Here each
look-up has a daemon thread of its own, which ends whenever it ends. There are few: one an attempt to connect
to a camera that was given by name, of which there is one at a time for each camera. Addresses need none.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

__all__ = ["resolve"]

#: Family and address, as `socket` takes them.
Address = tuple[int, Any]


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host, in the order in which they are to be tried.

    Raises:
        OSError: it has none (`socket.gaierror`), or there is no room for another thread.
        UnicodeError: it can be no name.
    """
    with contextlib.suppress(socket.gaierror):
        return _look_up(host, port, socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Address]] = loop.create_future()

    def deliver(found: list[Address] | Exception) -> None:
        if future.done():
            return
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)

    def run() -> None:
        found: list[Address] | Exception
        try:
            found = _look_up(host, port, 0)
        except Exception as error:
            found = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants it any more
            loop.call_soon_threadsafe(deliver, found)

    try:
        threading.Thread(target=run, name=f"resolve {host}", daemon=True).start()
    except RuntimeError as error:
        raise OSError(f"its name cannot be looked up: {error}") from None
    return await future


def _look_up(host: str, port: int, flags: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(int(family), address) for family, _, _, _, address in found]
