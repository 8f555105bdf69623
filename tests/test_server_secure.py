"""A camera over TLS, as the gateway and its viewers meet it; two healthy cameras run beside it."""

import asyncio
import re

import pytest
from certificates import certificates
from hlsscene import scene

from rtspkit.testing import ScriptedCamera
from rtspkit.testing.credentials import Basic
from rtspkit.testing.faults import Redirect

pytestmark = pytest.mark.slow


def own(fingerprint: str) -> str:
    return f"    sourceFingerprint: '{fingerprint}'\n"


# -- R22 ------------------------------------------------------------------


async def test_no_redirect_leads_out_of_tls() -> None:
    """Neither at the first connection nor at a later one; the password stays where it belongs."""
    certificate = certificates().own
    async with ScriptedCamera() as other:
        camera = ScriptedCamera(credentials=Basic("admin", "hunter22"), tls=certificate.server())
        async with camera:  # for its port
            url = camera.url_with_credentials
        async with scene("plain", camera, own=own(certificate.fingerprint), source=url) as one:
            viewer = one.viewer()
            await viewer.plays()
            camera.faults.append(Redirect(location=other.url))
            camera.drop()
            async with asyncio.timeout(20):
                while "is not followed" not in one.path.reason:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await viewer.until(lambda: viewer.media[-1] == "gap")
            camera.faults.clear()
            await viewer.until(lambda: one.path.state == "live", 40)
            await viewer.plays()
            assert set(viewer.statuses) == {200}
        assert not other.requests
        assert "hunter22" not in one.path.reason


async def test_somebody_in_between_with_another_certificate() -> None:
    """He is told nothing, and the viewers what to look at; the camera is back when he is gone."""
    certificate = certificates().own
    camera = ScriptedCamera(tls=certificate.server())
    async with scene("plain", camera, own=own(certificate.fingerprint)) as one:
        viewer = one.viewer()
        await viewer.plays()
        asked = len(camera.requests)
        await camera.unplug()
        async with ScriptedCamera(port=camera.port, tls=certificates().good.server()) as other:
            async with asyncio.timeout(20):
                while "another certificate" not in one.path.reason:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert re.search(f"sourceFingerprint: {certificates().good.fingerprint}", one.path.reason)
            assert not other.requests
        await camera.plug_in()
        await viewer.until(lambda: one.path.state == "live", 40)
        await viewer.plays()
        assert set(viewer.statuses) == {200}
        assert len(camera.requests) > asked
