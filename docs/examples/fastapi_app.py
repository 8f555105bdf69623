"""A camera in a FastAPI application: python fastapi_app.py 'rtsp://…' 8000; /hls/cam/index.m3u8 plays in any player."""

import asyncio
import sys
import time

import fastapi
import uvicorn

import rtspkit

muxers: dict[str, rtspkit.Muxer] = {}
app = fastapi.FastAPI()
app.mount("/hls", rtspkit.HLSApp(muxers))


async def feed(camera: rtspkit.CameraReader) -> None:
    async for unit in camera:
        muxers["cam"].write_unit(unit)


async def main(url: str, port: int) -> None:
    async with rtspkit.open(url, reconnect=True) as camera:  # raises where the camera is dead at the start
        muxers["cam"] = rtspkit.Muxer(camera.tracks, now=time.monotonic(), wall=time.time())
        await asyncio.gather(feed(camera), uvicorn.Server(uvicorn.Config(app, port=port)).serve())


if len(sys.argv) != 3:
    sys.exit("usage: python fastapi_app.py 'rtsp://user:password@host/path' 8000")
try:
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
except rtspkit.RtspkitError as error:
    sys.exit(str(error))
