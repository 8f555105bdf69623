"""The gateway with a watch on its loop, as a process of its own: ``python bench/watched.py CONFIG``.

It runs what ``python -m rtspkit.server`` runs, and a timer that looks every few milliseconds how late it is: that is
how long everything else in the loop, viewers' requests among it, had to wait. It tells on its standard output, a line
of JSON each time: how many paths are live, whenever that changes; and, asked by a line on its standard input, the
greatest lag since it was last asked, and the longest that the loop itself worked between two looks (CPU time): the lag
there would be if the machine had nothing else to do.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from rtspkit.server import log
from rtspkit.server.__main__ import spare_collector
from rtspkit.server.config import load
from rtspkit.server.gateway import Gateway
from rtspkit.server.http import loop_factory

#: Seconds between two looks.
INTERVAL = 0.005
#: Looks at the clock between two looks at the paths.
PATHS = 4


class Watch:
    """Looks at the loop and at the paths."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.loop = asyncio.get_running_loop()
        self.lags: list[float] = []
        self.work: list[float] = []
        self.live = -1
        self.count = 0
        self.due = self.cpu = 0.0
        self.arm()

    def arm(self) -> None:
        """The next look."""
        self.due = time.monotonic() + INTERVAL
        self.cpu = time.thread_time()
        self.loop.call_later(INTERVAL, self.look)

    def look(self) -> None:
        """How late is it, and who is live?"""
        self.lags.append(time.monotonic() - self.due)
        self.work.append(time.thread_time() - self.cpu)
        self.count += 1
        if self.count % PATHS == 0:
            live = sum(path.state == "live" for path in self.gateway.paths)
            if live != self.live:
                self.live = live
                self.tell(live=live)
        self.arm()

    def asked(self) -> None:
        """A line has come: what has been."""
        if not os.read(sys.stdin.fileno(), 4096):
            self.loop.stop()
            return
        self.tell(lag=max(self.lags), work=max(self.work))
        self.lags, self.work = [], []

    @staticmethod
    def tell(**what: float) -> None:
        """One line."""
        print(json.dumps({"at": time.monotonic(), **what}), flush=True)


async def main(file: str) -> None:
    """Runs until it is killed."""
    config = load(file)
    log.setup(level=config.log_level, destinations=config.log_destinations, file=config.log_file)
    async with Gateway(config) as gateway:
        spare_collector()
        watch = Watch(gateway)
        watch.loop.add_reader(sys.stdin.fileno(), watch.asked)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(sys.argv[1]))
