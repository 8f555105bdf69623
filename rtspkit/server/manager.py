"""All paths together; the provider an `rtspkit.asgi.HLSApp` asks for muxers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from rtspkit.asgi import PathNotFound
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.muxer import Muxer
from rtspkit.server.config import PathConfig
from rtspkit.server.pace import Gate
from rtspkit.server.paths import Path, Timing
from rtspkit.server.source import BACKGROUND, Connect
from rtspkit.server.state import INTERVAL, StateFile
from rtspkit.ticker import Ticker

__all__ = ["PathManager"]


class PathManager:
    """All paths; the provider of muxers for an `HLSApp`.

    Args:
        paths: by name.
        connect: how cameras are connected to.
        ticker: the shared tick of this loop.
        quick_ticker: the one of the paths with low latency that somebody watches; `ticker` if None.
        limits: bounds on what cameras send; its times are the connection's deadlines.
        timing: the state machine's times.
        state: how far the paths had come; in memory only if None.
        gate: whose turn it is to connect; one with the usual pace if None.
    """

    def __init__(
        self,
        paths: Mapping[str, PathConfig],
        *,
        connect: Connect,
        ticker: Ticker | None = None,
        quick_ticker: Ticker | None = None,
        limits: Limits = DEFAULT_LIMITS,
        timing: Timing | None = None,
        state: StateFile | None = None,
        gate: Gate | None = None,
    ) -> None:
        quick = ticker if quick_ticker is None else quick_ticker  # an empty one is false
        self._state = StateFile() if state is None else state
        gate = gate or Gate()
        self._timer: asyncio.TimerHandle | None = None
        self._paths = {
            name: Path(
                name,
                config,
                connect=connect,
                ticker=ticker if config.part_duration is None else quick,
                calm_ticker=ticker,
                limits=limits,
                timing=timing or Timing(),
                state=self._state,
                gate=gate,
                on_return=self._hurry,
            )
            for name, config in paths.items()
        }

    def __iter__(self) -> Iterator[Path]:
        return iter(self._paths.values())

    def find(self, name: str) -> Path | None:
        """The path of that name, None where none is configured."""
        return self._paths.get(name)

    def get(self, name: str) -> Muxer | None:
        """The muxer of a path where it can be had at once (`HLSApp` asks here first)."""
        path = self._paths.get(name)
        return path.muxer if path is not None else None

    def reason(self, name: str) -> str:
        """Why a path is in the state it is in (`HLSApp` tells those who have waited in vain)."""
        path = self._paths.get(name)
        return path.outlook if path is not None else ""

    def start(self) -> None:
        """Starts every path. In the running loop."""
        for path in self:
            path.start()
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._keep)

    def _keep(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._keep)
        for path in self:
            path.output.note()
        self._state.save()

    def _hurry(self) -> None:
        """A camera that was away is back: others may have been lost with it."""
        for path in self:
            path.hurry()

    async def close(self) -> None:
        """Stops every path at once, with TEARDOWN; returns within two seconds."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # the muxers are let go in the first turn of the loop, before the first answer to TEARDOWN
        stopping = [asyncio.ensure_future(path.close()) for path in self]
        await asyncio.sleep(0)
        await self._state.close()
        await asyncio.gather(*stopping, return_exceptions=True)
        if BACKGROUND:
            await asyncio.wait(set(BACKGROUND), timeout=0.2)

    async def muxer(self, path: str) -> Muxer:
        """The muxer of a path, for viewers; waits for a camera that is being connected to.

        Raises:
            PathNotFound: 404: not configured, or failed, and why.
            NotReady: 503: not yet.
        """
        found = self._paths.get(path)
        if found is None:
            raise PathNotFound(f"no path {path[:80]!r} is configured")
        return await found.get_muxer()
