"""Looking names up: addresses at once, names in a thread that nothing waits for."""

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from rtspkit.resolver import resolve


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [("192.0.2.1", socket.AF_INET, ("192.0.2.1", 554)), ("::1", socket.AF_INET6, ("::1", 554, 0, 0))],
)
async def test_addresses_need_no_thread(
    host: str, family: int, address: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread"))
    assert await resolve(host, 554) == [(family, address)]


async def test_names() -> None:
    assert ("127.0.0.1", 8554) in [address for _, address in await resolve("localhost", 8554)]
    with pytest.raises(socket.gaierror):
        await resolve("no-such-camera.invalid", 554)
    with pytest.raises(UnicodeError):
        await resolve("a..b", 554)


async def test_no_room_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    with pytest.raises(OSError, match="can't start new thread"):
        await resolve("camera.example", 554)


def test_a_name_server_that_is_away_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *arguments: Any, flags: int = 0, **others: Any) -> Any:
        if host == "camera.example" and not flags:
            over.wait(20)
        return real(host, *arguments, **others | {"flags": flags})

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def look_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await resolve("camera.example", 554)

    started = time.monotonic()
    asyncio.run(look_up())
    assert time.monotonic() - started < 5
    over.set()  # the thread finds the loop closed, and is quiet about it
    for thread in threading.enumerate():
        if thread.name == "resolve camera.example":
            thread.join(5)
            assert not thread.is_alive()
