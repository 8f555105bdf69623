"""The gateway as one object: configuration in, listeners and cameras running.

Strategy: everything that can fail for good (a port in use, a log file that cannot be opened) fails before
the first camera is touched, as one `StartError`. The listener is up before any camera; at the end cameras
are told TEARDOWN and viewers are let go at the same time, well within two seconds.
"""

from __future__ import annotations

import asyncio
import platform
import sys
from dataclasses import replace
from types import TracebackType

from rtspkit._version import __version__
from rtspkit.asgi import HLSApp, PathNotFound
from rtspkit.client import connect
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.server.api import create_api
from rtspkit.server.config import Config
from rtspkit.server.http import Front, Server, bind
from rtspkit.server.log import logger
from rtspkit.server.manager import PathManager
from rtspkit.server.paths import Timing
from rtspkit.server.source import Connect
from rtspkit.server.state import StateFile, find_file
from rtspkit.server.web import player_page
from rtspkit.ticker import Ticker

__all__ = ["Gateway", "StartError"]


#: Seconds between two ticks of cameras with low latency: what a part waits at most.
QUICK = 0.02


class StartError(Exception):
    """The gateway cannot start; the message is one line: what is wrong and what to do."""


def _announce(name: str, address: str, server: Server) -> None:
    host = address.rpartition(":")[0]
    logger(name).info("started with listener on %s:%d (TCP/HTTP)", host, server.port)


class Gateway:
    """A running gateway: ``async with Gateway(config) as gateway: …``.

    Args:
        config: what it does.
        connect: how cameras are connected to.
        timing: the state machine's times.
        limits: bounds on what cameras send; the configuration has a say in its times.

    Attributes:
        paths: all paths.
        hls, api: the listeners; None where they are off.
    """

    def __init__(
        self,
        config: Config,
        *,
        connect: Connect = connect,
        timing: Timing | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.config = config
        self.hls: Server | None = None
        self.api: Server | None = None
        self._ticker, self._quick_ticker = Ticker(), Ticker(QUICK)
        self._state = StateFile()
        seconds = config.read_timeout
        reply = min(limits.reply_timeout, seconds)
        limits = replace(limits, connect_timeout=seconds, reply_timeout=reply, media_timeout=seconds)
        self.paths = PathManager(
            config.paths,
            connect=connect,
            ticker=self._ticker,
            quick_ticker=self._quick_ticker,
            limits=limits,
            timing=timing or Timing(),
            state=self._state,
        )

    async def start(self) -> None:
        """Starts.

        Raises:
            StartError: an address cannot be listened on.
        """
        config, log = self.config, logger()
        log.info("rtspkit %s, %s, %s", __version__, sys.platform, platform.machine())
        if config.origin is not None:
            log.info("configuration loaded from %s", config.origin)
        for warning in config.warnings:
            log.warning("%s", warning)
        self._state.load(find_file(config))
        try:
            if config.hls:
                await self._start_hls()
            if config.api:
                await self._start_api()
        except BaseException:
            await self.close()
            raise
        self.paths.start()

    async def _start_hls(self) -> None:
        config = self.config
        try:
            sock = bind(config.hls_address)
        except OSError as error:
            raise StartError(
                f"[HLS] cannot listen on {config.hls_address}: {error.strerror}; "
                "choose another address with hlsAddress, for example MTX_HLSADDRESS=:8889"
            ) from None
        app = HLSApp(self.paths, allow_origin=config.hls_allow_origins, player_page=self._page)
        self.hls = Server(Front(app, self.paths), sock)
        await self.hls.start()
        _announce("HLS", config.hls_address, self.hls)

    def _page(self, path: str) -> bytes:
        if self.paths.find(path) is None:
            raise PathNotFound(f"no path {path[:80]!r} is configured")
        return player_page(path)

    async def _start_api(self) -> None:
        config = self.config
        log = logger("API")
        try:
            sock = bind(config.api_address)
        except OSError as error:
            text = f"cannot listen on {config.api_address}: {error.strerror}"
            if not {"api", "apiAddress"} & config.explicit:  # nobody has asked for it
                log.warning("%s; going on without the API (apiAddress chooses another address)", text)
                return
            raise StartError(f"[API] {text}; choose another address with apiAddress, or set 'api: no'") from None
        app = create_api(self.paths, address=config.api_address, allow_origins=config.api_allow_origins)
        self.api = Server(app, sock)
        await self.api.start()
        _announce("API", config.api_address, self.api)

    async def close(self) -> None:
        """Stops: TEARDOWN to every camera, listeners closed. Within two seconds."""
        servers = [server for server in (self.hls, self.api) if server is not None]
        await asyncio.gather(self.paths.close(), *(server.close() for server in servers), return_exceptions=True)

    async def __aenter__(self) -> Gateway:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
