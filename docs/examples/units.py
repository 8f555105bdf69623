"""Prints what a camera sends, for a hundred access units: python units.py 'rtsp://user:password@host/path'"""

import asyncio
import sys

import rtspkit


async def main(url: str) -> None:
    async with rtspkit.open(url) as camera:
        for track in camera.tracks:
            print(f"track {track.index}: {track.codec}, {track.clock_rate} ticks a second")
        count = 0
        async for unit in camera:
            seconds = unit.pts / unit.track.clock_rate
            print(f"{seconds:8.3f} s  {unit.track.kind}  {len(unit.data):6} bytes  {'sync' if unit.is_sync else ''}")
            count += 1
            if count == 100:
                break


if len(sys.argv) != 2:
    sys.exit("usage: python units.py 'rtsp://user:password@host/path'")
try:
    asyncio.run(main(sys.argv[1]))
except rtspkit.RtspkitError as error:
    sys.exit(str(error))
