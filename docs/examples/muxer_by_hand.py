"""Makes HLS of an H.264 file with 25 pictures a second: python muxer_by_hand.py clip.h264 folder"""

import re
import sys
import time
from pathlib import Path

from rtspkit import AccessUnit, H264Parameters, Muxer, Track, h264

if len(sys.argv) != 3:
    sys.exit("usage: python muxer_by_hand.py clip.h264 folder")
nals = h264.split_annexb(Path(sys.argv[1]).read_bytes())
sps, pps = (next(nal for nal in nals if h264.nal_type(nal) == kind) for kind in (h264.NAL_SPS, h264.NAL_PPS))
track = Track(0, "video", "h264", clock_rate=90_000, parameters=H264Parameters(sps, (pps,)))
muxer = Muxer([track], segment_duration=2, segment_count=1000, now=time.monotonic(), wall=time.time())

for number, unit in enumerate(h264.access_units(nals)):
    slices = h264.join_avcc(nal for nal in unit if h264.NAL_SLICE <= h264.nal_type(nal) <= h264.NAL_IDR)
    muxer.write_unit(AccessUnit(track, pts=number * 90_000 // 25, is_sync=h264.is_sync(unit), data=slices))
muxer.interrupt()  # nothing follows: the last segment ends here

media = re.findall(r"\w+/\w+\.mp4", b"".join(muxer.get("stream.m3u8").body).decode())
for name in ["index.m3u8", "stream.m3u8", *media]:
    file = Path(sys.argv[2]) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(muxer.get(name).body) + (b"#EXT-X-ENDLIST\n" if name == "stream.m3u8" else b""))
