"""A camera in a FastAPI application: python fastapi_app.py rtsp://… 8000; /hls/cam/index.m3u8 plays in any player."""

import asyncio
import sys
import time

import fastapi
import uvicorn

import rtspkit

muxers: dict[str, rtspkit.Muxer] = {}
app = fastapi.FastAPI()
app.mount("/hls", rtspkit.HLSApp(muxers))


async def main(url: str, port: int) -> None:
    async with rtspkit.open(url, reconnect=True) as camera, asyncio.TaskGroup() as tasks:
        tasks.create_task(uvicorn.Server(uvicorn.Config(app, port=port)).serve())
        muxers["cam"] = rtspkit.Muxer(camera.tracks, now=time.monotonic(), wall=time.time())
        async for unit in camera:
            muxers["cam"].write_unit(unit)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
