#!/bin/sh
# Makes small.h264 beside this script, with ffmpeg: one second of H.264 Main, 320x180, 25 pictures a second, its first
# picture a sync sample with its parameter sets. A fake camera changes to it in mid-stream.
set -eu
cd "$(dirname "$0")"
ffmpeg -v error -y -f lavfi -i "testsrc2=size=320x180:rate=25,format=yuv420p" -t 1 -c:v libx264 -profile:v main \
    -preset veryslow -tune zerolatency -crf 36 \
    -x264-params "keyint=25:min-keyint=25:scenecut=0:bframes=0:sliced-threads=0:threads=1" \
    -bsf:v filter_units=remove_types=6 -fflags +bitexact -f h264 small.h264
