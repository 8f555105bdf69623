"""The scripted camera's faults are what they claim to be: seen by a reader that shares no code with it."""

import asyncio
import hashlib
import re
import socket
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
import test_h265 as h265
from rtsp_reader import Answer, Packet, RTSPReader, until

import rtspkit
from rtspkit import h264
from rtspkit.media import H264Parameters, Track
from rtspkit.packetizer import Payload
from rtspkit.testing import Basic, Clip, Digest, LiveCamera, ScriptedCamera, clip, faults, video_track
from rtspkit.testing.carriers import free_pair

TCP = "RTP/AVP/TCP;unicast;interleaved=0-1"


def of_video(packets: list[Packet]) -> list[Packet]:
    return [packet for packet in packets if packet.channel == 0]


async def authorised(reader: RTSPReader, challenge: Answer, method: str, name: str = "md5") -> Answer:
    """The request again with Digest credentials (RFC 7616, 3.4.1, qop=auth), the right ones."""
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge.headers["www-authenticate"]))

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    secret = digest(f"admin:{fields['realm']}:secret")
    response = digest(f"{secret}:{fields['nonce']}:00000001:abc:auth:{digest(f'{method}:{reader.url}')}")
    return await reader.ask(
        method,
        Authorization=f'Digest username="admin", realm="{fields["realm"]}", nonce="{fields["nonce"]}", '
        f'uri="{reader.url}", qop=auth, nc=00000001, cnonce="abc", response="{response}"',
    )


async def nothing_comes(reader: RTSPReader, seconds: float = 0.15) -> bool:
    try:
        await asyncio.wait_for(reader.reader.read(1), seconds)
    except TimeoutError:
        return True
    return False


async def read_until(reader: RTSPReader, wanted: Callable[[bytes], bool]) -> bytes:
    data = b""
    async with asyncio.timeout(5):
        while not wanted(data):
            data += await reader.reader.read(65536)
    return data


async def read_to_the_end(reader: RTSPReader) -> None:
    while True:
        await reader.packet()


class TestConnections:
    async def test_everything_is_recorded(self) -> None:
        async with ScriptedCamera() as camera, RTSPReader(camera.url) as reader:
            await reader.ask("OPTIONS")
            await reader.play()
            await reader.ask("TEARDOWN")
            assert camera.methods() == ["OPTIONS", "SETUP", "SETUP", "PLAY", "TEARDOWN"]
            seen = camera.requests[-1]
            assert (seen.uri, seen.connection) == (camera.url, 1)
            assert seen.headers == {"cseq": "5", "session": reader.session}
            await camera.wait_for("TEARDOWN")
            with pytest.raises(TimeoutError):
                await camera.wait_for("TEARDOWN", 2, seconds=0.05)
            assert (camera.connections, len(camera.connected)) == (1, 1)

    async def test_a_blip(self) -> None:
        async with ScriptedCamera() as camera:
            url = camera.url
            async with RTSPReader(url) as reader:
                await reader.play()
                await camera.restart(0.05)
                assert await reader.hung_up()
            assert camera.url == url
            async with RTSPReader(url) as reader:
                assert (await reader.play()).status == 200
            await camera.unplug()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(camera.host, camera.port)
            await camera.plug_in()

    @pytest.mark.parametrize("reset", [False, True])
    async def test_dropped(self, reset: bool) -> None:
        async with ScriptedCamera() as camera, RTSPReader(camera.url) as reader:
            await reader.ask("OPTIONS")
            camera.drop(reset=reset)
            if reset:
                with pytest.raises(ConnectionResetError):
                    await reader.reader.read(1)
            else:
                assert await reader.reader.read(1) == b""

    @pytest.mark.parametrize("reset", [False, True])
    async def test_turned_away_the_second_time(self, reset: bool) -> None:
        camera = ScriptedCamera(faults.Turn(reset, connections={2}))
        async with camera, RTSPReader(camera.url) as first, RTSPReader(camera.url) as second:
            assert (await first.ask("OPTIONS")).status == 200
            assert await second.hung_up()
            assert camera.methods(2) == []

    async def test_room_for_one(self) -> None:
        async with ScriptedCamera(faults.Slots(1)) as camera, RTSPReader(camera.url) as second:
            async with RTSPReader(camera.url) as first:
                await first.play()
                assert (await second.ask("SETUP", f"{camera.url}/trackID=0", Transport=TCP)).status == 453
            await until(lambda: len(camera.clients) == 1)
            assert (await second.play()).status == 200

    async def test_a_session_that_was_not_given_back(self) -> None:
        slots = faults.Slots(1, hold=60, status=503)
        async with ScriptedCamera(slots) as camera, RTSPReader(camera.url) as third:
            async with RTSPReader(camera.url) as first:
                await first.play()
                await first.ask("TEARDOWN")
            async with RTSPReader(camera.url) as second:
                assert (await second.play()).status == 200
            await until(lambda: len(camera.clients) == 1)
            assert (await third.ask("SETUP", f"{camera.url}/trackID=0", Transport=TCP)).status == 503
            slots.status = None
            third.send("SETUP", f"{camera.url}/trackID=0", Transport=TCP)
            assert await third.hung_up()

    async def test_a_machine_that_is_away(self) -> None:
        with faults.unreachable() as url:
            port = int(url.rpartition(":")[2].partition("/")[0])
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 0.3)


class TestAnswers:
    async def test_refusals(self) -> None:
        refuse = faults.Refuse("SETUP", 503, "Service Unavailable", uri_ends="trackID=1", times=1)
        async with ScriptedCamera(refuse) as camera, RTSPReader(camera.url) as reader:
            assert (await reader.ask("OPTIONS")).status == 200
            assert (await reader.ask("SETUP", f"{camera.url}/trackID=0", Transport=TCP)).status == 200
            assert (await reader.ask("SETUP", f"{camera.url}/trackID=1", Transport=TCP)).status == 503
            assert (await reader.ask("SETUP", f"{camera.url}/trackID=1", Transport=TCP)).status == 200

    async def test_silence(self) -> None:
        async with ScriptedCamera(faults.NeverAnswer("DESCRIBE")) as camera, RTSPReader(camera.url) as reader:
            assert (await reader.ask("OPTIONS")).status == 200
            reader.send("DESCRIBE")
            await camera.wait_for("DESCRIBE")
            assert await nothing_comes(reader)

    async def test_something_else(self) -> None:
        async with (
            ScriptedCamera(faults.Say("OPTIONS", data=b"HTTP/1.1 400\r\n")) as camera,
            RTSPReader(camera.url) as reader,
        ):
            reader.send("OPTIONS")
            assert await reader.reader.readexactly(14) == b"HTTP/1.1 400\r\n"

    async def test_a_byte_at_a_time(self) -> None:
        async with ScriptedCamera(faults.Drip(0.002)) as camera, RTSPReader(camera.url) as reader:
            start = time.monotonic()
            reader.send("OPTIONS")
            assert await reader.reader.read(1000) == b"R"
            assert (await reader.reader.readuntil(b"\r\n\r\n")).startswith(b"TSP/1.0 200 OK")
            assert time.monotonic() - start > 0.1

    @pytest.mark.parametrize("piece", [b"X-Header: and another one\r\n", b"x"])
    async def test_without_an_end(self, piece: bytes) -> None:
        endless = faults.Endless("DESCRIBE", piece=piece)
        async with ScriptedCamera(endless) as camera:
            async with RTSPReader(camera.url) as reader:
                reader.send("DESCRIBE")
                data = await read_until(reader, lambda data: len(data) > 1_000_000)
                assert b"\r\n\r\n" not in data
                assert data.count(piece) > 10_000
            await until(lambda: not camera.clients)
            assert endless.sent < 32_000_000

    async def test_headers_that_lie(self) -> None:
        camera = ScriptedCamera(
            faults.Header("OPTIONS", name="Public", value="OPTIONS"),
            faults.Header("DESCRIBE", name="Content-Base", value=None),
            faults.Header("SETUP", name="Transport", value=faults.LIES["Transport"]["channels 255-256"]),
            faults.SessionTimeout(3),
        )
        async with camera, RTSPReader(camera.url) as reader:
            assert (await reader.ask("OPTIONS")).headers["public"] == "OPTIONS"
            assert "content-base" not in (await reader.ask("DESCRIBE")).headers
            answer = await reader.ask("SETUP", f"{camera.url}/trackID=0", Transport=TCP)
            assert answer.headers["transport"] == "RTP/AVP/TCP;unicast;interleaved=255-256"
            assert answer.headers["session"].endswith(";timeout=3")

    @pytest.mark.parametrize("name", ["Transport", "RTP-Info", "Session"])
    async def test_every_lie_is_one(self, name: str) -> None:
        async with ScriptedCamera() as camera, RTSPReader(camera.url) as reader:
            answer = await reader.ask("SETUP", f"{camera.url}/trackID=0", Transport=TCP)
            reader.session = answer.headers["session"].partition(";")[0]
            right = {**answer.headers, **(await reader.ask("PLAY")).headers}[name.lower()]
            if name == "Session":
                right = answer.headers["session"]
        values = {lie(right) for lie in faults.LIES[name].values()}
        assert right not in values
        assert len(values) == len(faults.LIES[name])

    async def test_numbers_and_lengths(self) -> None:
        camera = ScriptedCamera(faults.CSeq("OPTIONS", value="99"), faults.CSeq("PLAY"))
        async with camera, RTSPReader(camera.url) as reader:
            reader.send("OPTIONS")
            assert b"\r\nCSeq: 99\r\n" in await reader.reader.readuntil(b"\r\n\r\n")
            reader.send("PLAY")
            assert b"CSeq" not in await reader.reader.readuntil(b"\r\n\r\n")
            camera.faults = [faults.ContentLength(value="-1")]
            reader.send("DESCRIBE")
            assert b"Content-Length: -1\r\n" in await reader.reader.readuntil(b"a=control:trackID=1\r\n")
            camera.faults = [faults.ShortBody(missing=7)]
            reader.send("DESCRIBE")
            head = await reader.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            assert length
            await reader.reader.readexactly(int(length[1]) - 7)
            assert await nothing_comes(reader)

    async def test_descriptions(self) -> None:
        async with ScriptedCamera(faults.Describe(b"v=0\r\n")) as camera, RTSPReader(camera.url) as reader:
            assert (await reader.ask("DESCRIBE")).body == b"v=0\r\n"
            camera.faults = []
            right = (await reader.ask("DESCRIBE")).body
            for bomb in faults.SDP_BOMBS.values():
                camera.faults = [faults.Describe(bomb)]
                assert (await reader.ask("DESCRIBE")).body == bomb(right) != right

    async def test_redirects(self) -> None:
        async with ScriptedCamera(faults.Redirect(times=1)) as camera, RTSPReader(camera.url) as reader:
            answer = await reader.ask("DESCRIBE")
            assert (answer.status, answer.headers["location"]) == (302, camera.url)
            assert (await reader.ask("DESCRIBE")).status == 200
            camera.faults = [faults.Redirect("OPTIONS", location="rtsp://127.0.0.1/elsewhere", status=301)]
            answer = await reader.ask("OPTIONS")
            assert (answer.status, answer.headers["location"]) == (301, "rtsp://127.0.0.1/elsewhere")


class TestCredentials:
    async def test_basic(self) -> None:
        async with ScriptedCamera(credentials=Basic("admin", "p@ss:w/rd")) as camera, RTSPReader(camera.url) as reader:
            answer = await reader.ask("DESCRIBE")
            assert (answer.status, answer.headers["www-authenticate"][:6]) == (401, "Basic ")
            for text, status in (("YWRtaW46d3Jvbmc=", 401), ("YWRtaW46cEBzczp3L3Jk", 200)):
                assert (await reader.ask("DESCRIBE", Authorization=f"Basic {text}")).status == status
            assert "admin:p%40ss%3Aw%2Frd@127.0.0.1:" in camera.url_with_credentials

    @pytest.mark.parametrize(("algorithm", "name"), [("MD5", "md5"), ("SHA-256", "sha256")])
    async def test_digest(self, algorithm: str, name: str) -> None:
        async with ScriptedCamera(credentials=Digest(algorithm=algorithm)) as camera, RTSPReader(camera.url) as reader:
            challenge = await reader.ask("DESCRIBE")
            assert challenge.status == 401
            assert (await authorised(reader, challenge, "DESCRIBE", name)).status == 200
            other = "md5" if name == "sha256" else "sha256"
            assert (await authorised(reader, challenge, "DESCRIBE", other)).status == 401

    async def test_a_nonce_ends(self) -> None:
        digest = Digest(nonce_life=1)
        async with ScriptedCamera(credentials=digest) as camera, RTSPReader(camera.url) as reader:
            challenge = await reader.ask("OPTIONS")
            assert "stale" not in challenge.headers["www-authenticate"]
            assert (await authorised(reader, challenge, "OPTIONS")).status == 200
            challenge = await authorised(reader, challenge, "OPTIONS")
            assert challenge.status == 401
            assert "stale=true" in challenge.headers["www-authenticate"]
            digest.renew()
            challenge = await authorised(reader, challenge, "OPTIONS")
            assert (await authorised(reader, challenge, "OPTIONS")).status == 200

    async def test_basic_on_offer_where_it_was_digest(self) -> None:
        camera = ScriptedCamera(faults.OfferBasic(connections=range(2, 9)), credentials=Digest())
        async with camera, RTSPReader(camera.url) as first, RTSPReader(camera.url) as second:
            assert (await first.ask("DESCRIBE")).headers["www-authenticate"].startswith("Digest ")
            assert (await second.ask("DESCRIBE")).headers["www-authenticate"].startswith("Basic ")


class TestMedia:
    async def test_mute(self) -> None:
        async with ScriptedCamera(faults.Mute(after=5)) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            packets = await reader.packets(2.5)
            assert len({(packet.channel, packet.timestamp) for packet in packets if packet.channel in {0, 2}}) == 5
            assert {packet.channel for packet in packets} >= {1, 3}, "the sender reports go on"
            assert (await reader.ask("OPTIONS")).status == 200
            last = of_video(packets)[-1].sequence
            camera.faults = []
            while (packet := await reader.packet()).channel != 0:
                pass
            assert packet.sequence == (last + 1) % 65536, "what was not sent has no number"

    async def test_frozen(self) -> None:
        async with ScriptedCamera(faults.Freeze(after=3)) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            assert len(await reader.packets(2.5)) < 60
            reader.send("OPTIONS")
            await camera.wait_for("OPTIONS")
            assert await nothing_comes(reader)

    @pytest.mark.parametrize("reset", [False, True])
    async def test_hanging_up(self, reset: bool) -> None:
        async with ScriptedCamera(faults.HangUp(3, reset)) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            assert await reader.hung_up()

    async def test_hanging_up_inside_a_frame(self) -> None:
        async with ScriptedCamera(faults.HangUp(3, inside=True)) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await read_to_the_end(reader)
            assert caught.value.partial

    async def test_what_stands_between_the_frames(self) -> None:
        ask = faults.Ask("ANNOUNCE", headers={"X": "y"}, body=b"v=0\r\n")
        camera = ScriptedCamera(faults.Between(b"\r\n"), faults.Flood(9, b"junk", 2), ask)
        async with camera, RTSPReader(camera.url) as reader:
            await reader.play()
            data = await read_until(reader, lambda data: data.count(b"$\x09\x00\x04junk") >= 10)
            assert data.count(b"ANNOUNCE ") == 1
            assert b"\r\nX: y\r\nContent-Length: 5\r\n\r\nv=0\r\n" in data
            assert data.count(b"\r\n$\x09") >= 5
            reader.writer.write(b"RTSP/1.0 200 OK\r\nCSeq: 77\r\n\r\n$\1\0\4abcd")
            await until(lambda: bool(camera.reports))
            assert [answer.status for answer in camera.answers] == [200]
            assert camera.reports[0].payload == b"abcd"

    async def test_a_length_that_is_off(self) -> None:
        async with ScriptedCamera(faults.WrongLength(by=4, every=3)) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            with pytest.raises(AssertionError):
                await reader.packets(2)

    async def test_other_payloads(self) -> None:
        """As many as one likes; none is missing."""

        def change(number: int, payloads: list[Payload]) -> list[Payload]:
            return [Payload(b"\x41one", False), Payload(b"\x41two", True)] if number % 2 else payloads[:1]

        async with ScriptedCamera(faults.Rewrite(change)) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            found = of_video(await reader.packets(1.5))
        assert [packet.payload for packet in found][1:3] == [b"\x41one", b"\x41two"]
        first = found[0].sequence
        assert [packet.sequence for packet in found] == [(first + i) % 65536 for i in range(len(found))]
        times = [packet.timestamp for packet in found[::3]]
        assert {b - a for a, b in pairwise(times)} == {7200}

    async def test_bye(self) -> None:
        async with ScriptedCamera(faults.Bye(after=4)) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            packets = await reader.packets(1.5)
            byes = [packet for packet in packets if packet.channel in {1, 3} and packet.data[1] == 203]
            assert {packet.data[4:8] for packet in byes} == {camera.ssrc(track).to_bytes(4, "big") for track in (0, 1)}
            assert len(byes) == 2
            assert packets[-1] is byes[-1]

    @pytest.mark.parametrize("together", [True, False])
    async def test_how_much_is_written_at_once(self, together: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        fault = faults.HoldBack(10) if together else faults.PacketByPacket()
        async with ScriptedCamera(fault) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            (client,) = camera.clients
            for carrier in client.carriers.values():
                send = carrier.send
                monkeypatch.setattr(
                    type(carrier), "send", lambda self, packets, send=send, **_: sizes.append(len(packets))
                )
            await reader.packets(1.5)
        assert sizes
        assert together or set(sizes) == {1}

    async def test_other_parameter_sets_in_mid_stream(self) -> None:
        units = [[nal for nal in unit if nal[0] & 31 != 7] for unit in clip().tracks[0].units[:25]]
        sps = clip().tracks[0].units[0][0]
        changed = sps[:3] + b"\x28" + sps[4:]  # level 4
        units[0].insert(0, changed)
        other = Clip((video_track(units, H264Parameters(changed, (units[0][1],))), clip().tracks[1]))
        assert h264.parse_sps(changed).level != h264.parse_sps(sps).level
        async with ScriptedCamera() as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            before = of_video(await reader.packets(1.1))
            camera.change(other)
            packets = before + of_video(await reader.packets(1.1))
        found = [packet.payload for packet in packets]
        assert any(sps in payload for payload in found)
        first = next(number for number, payload in enumerate(found) if changed in payload)
        assert not any(sps in payload for payload in found[first:])
        times = [packet.timestamp for packet in packets if packet.marker]
        assert {b - a for a, b in pairwise(times)} == {3600}

    async def test_h265(self) -> None:
        """What is played comes out of the library, and the description has all that the stream has."""
        idr, trail = b"\x26\x01\xa0" + bytes(range(1, 250)) * 20, b"\x02\x01\xd0trail"
        units = [[h265.VPS, h265.SPS, h265.PPS, idr], *[[trail]] * 9]
        track = video_track(units, h265.PARAMETERS)
        assert [track.is_sync(number) for number in (0, 1, 10)] == [True, False, True]
        assert track.kind == "video"
        async with ScriptedCamera(media=Clip((track,))) as camera, rtspkit.open(camera.url) as reader:
            (received,) = reader.tracks
            assert received == Track(0, "video", "h265", 90000, h265.PARAMETERS)
            found = []
            async for unit in reader:
                found.append(unit)
                if len(found) == 12:
                    break
        start = next(number for number, unit in enumerate(found) if unit.is_sync)
        assert h264.split_avcc(found[start].data) == [idr]
        assert h264.split_avcc(found[start + 1].data) == [trail]
        assert {unit.track for unit in found} == {received}


class UDPReader:
    """Takes the video of a camera over UDP."""

    def __init__(self, reader: RTSPReader) -> None:
        self.reader = reader
        self.sockets = free_pair("127.0.0.1")
        self.answer: Answer | None = None

    async def play(self) -> None:
        port = self.sockets[0].getsockname()[1]
        url = f"{self.reader.url}/trackID=0"
        self.answer = await self.reader.ask("SETUP", url, Transport=f"RTP/AVP;unicast;client_port={port}-{port + 1}")
        assert self.answer.status == 200
        self.reader.session = self.answer.headers["session"].partition(";")[0]
        assert (await self.reader.ask("PLAY")).status == 200

    @property
    def server_ports(self) -> list[int]:
        assert self.answer
        found = re.search(r"server_port=(\d+)-(\d+)", self.answer.headers["transport"])
        assert found
        return [int(found[1]), int(found[2])]

    async def packets(self, seconds: float, is_rtcp: bool = False) -> list[tuple[bytes, tuple[str, int]]]:
        await asyncio.sleep(seconds)
        found = []
        while True:
            try:
                found.append(self.sockets[is_rtcp].recvfrom(65536))
            except BlockingIOError:
                return found

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


class TestDatagrams:
    async def test_media_and_reports(self) -> None:
        async with ScriptedCamera() as camera, RTSPReader(camera.url) as reader:
            udp = UDPReader(reader)
            await udp.play()
            for sock, port in zip(udp.sockets, udp.server_ports, strict=True):
                sock.sendto(b"hello", ("127.0.0.1", port))
            packets = await udp.packets(1.3)
            assert len(packets) > 20
            assert {source for _, source in packets} == {("127.0.0.1", udp.server_ports[0])}
            numbers = [int.from_bytes(data[2:4], "big") for data, _ in packets]
            assert all((b - a) % 65536 == 1 for a, b in pairwise(numbers))
            reports = await udp.packets(1.2, is_rtcp=True)
            assert {data[1] for data, _ in reports} == {200}
            (client,) = camera.clients
            received = client.carriers[0].received  # type: ignore[attr-defined]
            assert [(is_rtcp, data) for is_rtcp, _, data in received] == [(False, b"hello"), (True, b"hello")]
            udp.close()

    async def test_a_firewall(self) -> None:
        async with ScriptedCamera(faults.NoDatagrams()) as camera, RTSPReader(camera.url) as reader:
            udp = UDPReader(reader)
            await udp.play()
            assert await udp.packets(1.3) == []
            assert (await reader.ask("TEARDOWN")).status == 200
            reader.session = None
            await reader.play()
            assert await reader.packets(1.2), "over TCP it plays"
            udp.close()

    async def test_somebody_else(self) -> None:
        foreign = faults.Foreign()
        async with ScriptedCamera(foreign) as camera, RTSPReader(camera.url) as reader:
            udp = UDPReader(reader)
            await udp.play()
            packets = await udp.packets(1.3)
            others = [data for data, source in packets if source[0] == "127.0.0.2"]
            assert len(others) == foreign.sent == len(packets) / 2
            udp.close()

    async def test_loss_reorder_duplicates_and_delay(self) -> None:
        network = faults.Network(loss=0.1, duplicates=0.1, reordered=0.2, delay=0.05, jitter=0.05, seed=3)
        async with ScriptedCamera(network) as camera, RTSPReader(camera.url) as reader:
            udp = UDPReader(reader)
            await udp.play()
            numbers = [int.from_bytes(data[2:4], "big") for data, _ in await udp.packets(2.5)]
            udp.close()
        steps = [(b - a + 32768) % 65536 - 32768 for a, b in pairwise(numbers)]
        assert network.lost
        assert any(step < 0 for step in steps)
        assert any(step > 1 for step in steps)
        assert len(set(numbers)) < len(numbers)

    async def test_only_udp(self) -> None:
        async with ScriptedCamera(transports=("udp",)) as camera, RTSPReader(camera.url) as reader:
            assert (await reader.ask("SETUP", f"{camera.url}/trackID=0", Transport=TCP)).status == 461


def test_the_fixture_for_who_has_no_loop(rtsp_camera: Callable[..., LiveCamera]) -> None:
    camera = rtsp_camera(credentials=Basic())
    host, port = camera.url.removeprefix("rtsp://").partition("/")[0].split(":")
    with socket.create_connection((host, int(port)), 5) as sock:
        sock.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        assert sock.recv(1000).startswith(b"RTSP/1.0 401 ")
        camera.wait_for("OPTIONS")
        with pytest.raises(TimeoutError, match="DESCRIBE was asked 0 times, not 1"):
            camera.wait_for("DESCRIBE", seconds=0.05)
        camera.faults = [faults.Say("OPTIONS", data=b"?")]
        sock.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n")
        assert sock.recv(1000) == b"?"
        camera.restart(0.05)
        assert sock.recv(1000) == b""
    assert camera.methods() == ["OPTIONS", "OPTIONS"]
    assert [seen.connection for seen in camera.requests] == [1, 1]
    assert len(camera.connected) == 1


async def test_the_fixture_for_who_has_one(rtsp_camera: Callable[..., LiveCamera]) -> None:
    left, right = rtsp_camera(), rtsp_camera(faults.Refuse("OPTIONS", 503))
    async with RTSPReader(left.url) as reader, RTSPReader(right.url) as other:
        assert (await reader.ask("OPTIONS")).status == 200
        assert (await other.ask("OPTIONS")).status == 503
        await right.asked("OPTIONS")
        left.drop()
        assert await reader.hung_up()
