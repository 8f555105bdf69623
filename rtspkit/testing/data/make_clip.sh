#!/bin/sh
# Makes the built-in test camera's clip beside this script, with ffmpeg (libx264, drawtext):
#
#   testcamera.h264   Annex B: H.264 High, 1280x720, 25 pictures a second, a sync sample with its parameter sets
#                     every second, no B pictures, no SEI
#   testcamera.aac    ADTS: AAC-LC, 16 kHz mono, a soft beep every second
#
# The clip is 8 s long: 200 pictures and exactly 125 AAC access units of 1024 samples, so both loop together.
# The audio is encoded three times over and the second turn is kept: it begins and ends in the state a loop needs.
set -eu
cd "$(dirname "$0")"
font=${FONT:-/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf}
seconds=8

ffmpeg -v error -y \
    -f lavfi -i "smptehdbars=size=1280x720:rate=25" -f lavfi -i "testsrc2=size=320x180:rate=25" \
    -filter_complex "[0][1]overlay=x=480+400*sin(2*PI*t/$seconds):y=60,
        drawtext=fontfile=$font:text='rtspkit test camera':fontsize=44:fontcolor=white:box=1:boxcolor=black@0.9:boxborderw=14:x=(w-tw)/2:y=290,
        drawtext=fontfile=$font:text='00\:0%{eif\:trunc(t)\:d}.%{eif\:mod(n\,25)*4\:d\:2}':fontsize=80:fontcolor=white:box=1:boxcolor=black@0.9:boxborderw=20:x=(w-tw)/2:y=400,
        format=yuv420p" \
    -t $seconds -c:v libx264 -profile:v high -level 3.1 -preset veryslow -tune zerolatency -crf 27 \
    -x264-params "keyint=25:min-keyint=25:scenecut=0:bframes=0:sliced-threads=0:threads=1:ref=2:colorprim=bt709:transfer=bt709:colormatrix=bt709" \
    -bsf:v filter_units=remove_types=6 -fflags +bitexact -f h264 testcamera.h264

ffmpeg -v error -y \
    -f lavfi -i "aevalsrc='0.12*sin(2*PI*t*if(eq(mod(trunc(t),$seconds),0),1046,784))*between(mod(t,1),0,0.16)*sin(PI*mod(t,1)/0.16)':s=16000:d=$((seconds * 3 + 1))" \
    -c:a aac -b:a 32k -ac 1 -fflags +bitexact -f adts three.aac
# cut access units 126 .. 250: the encoder's first one holds its delay
python3 - <<'PYTHON'
data, units, at = open("three.aac", "rb").read(), [], 0
while at < len(data):
    size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    units.append(data[at : at + size])
    at += size
open("testcamera.aac", "wb").write(b"".join(units[126:251]))
PYTHON
rm three.aac
