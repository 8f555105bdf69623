"""RTSP cameras in, HLS out, without transcoding."""
