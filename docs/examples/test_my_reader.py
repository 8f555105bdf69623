"""A test of a reader of cameras: pytest test_my_reader.py"""

import asyncio

import rtspkit
from rtspkit.testing import Digest, faults


async def read_until_discontinuity(url):
    async with rtspkit.open(url, reconnect=True) as reader:  # put your own in its place
        async for unit in reader:
            if unit.discontinuity:
                return


def test_it_comes_back(rtsp_camera):
    fault = faults.HangUp(after=20, reset=True, connections={1})
    camera = rtsp_camera(fault, credentials=Digest("admin", "secret"))
    asyncio.run(read_until_discontinuity(camera.url_with_credentials))
    assert len(camera.connected) == 2
    assert camera.methods(connection=2)[-1] == "TEARDOWN"
