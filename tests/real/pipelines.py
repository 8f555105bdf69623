"""What the GStreamer camera sends: pipelines to RTP payloaders, and the kinds of camera made of them.

`VARIANTS` are cameras of the usual size and rate with H.264 and AAC; `CODECS` are small and slow ones, of which thirty
run on one machine, with a row for each codec, each way to pack it, and what encoders do to pictures.
"""

from dataclasses import dataclass
from pathlib import Path

#: Pictures a second of `CODECS`, and from one sync sample to the next.
RATE = 15
#: What they say, where a test is to hear it again: a tone of so many hertz.
TONE = 440


@dataclass(frozen=True)
class Variant:
    """What one kind of camera sends.

    Attributes:
        video: a pipeline to its first payloader, with its payload type; so is `audio` to the second.
        audio: see `video`; None where there is none.
        sample_rate: of the sound; so is `channels`.
        channels: see `sample_rate`.
        gop: pictures from one sync sample to the next.
        size: of the picture.
        rate: pictures a second.
    """

    video: str
    audio: str | None = None
    sample_rate: int = 0
    channels: int = 0
    gop: int = 25
    size: tuple[int, int] = (640, 360)
    rate: int = 25


def _pictures(size: tuple[int, int], rate: int, source: str = "pattern=smpte horizontal-speed=4") -> str:
    # colour bars that move: a picture that stands still would show; 4:2:0, else x264 would make a profile that no
    # browser plays
    return (
        f"videotestsrc is-live=true {source}"
        f" ! video/x-raw,format=I420,width={size[0]},height={size[1]},framerate={rate}/1"
    )


def video(
    *,
    gop: int = 25,
    size: tuple[int, int] = (640, 360),
    rate: int = 25,
    slices: int = 0,
    bframes: int = 0,
    pyramid: bool = False,
    aggregate: str = "zero-latency",
    noise: bool = False,
) -> str:
    """A pipeline to an H.264 payloader: `gop` pictures, `rate` a second, from one IDR picture to the next.

    Without `bframes` it encodes with `tune=zerolatency`, in one thread, for x264 makes a slice for each. `slices`
    cuts each picture into as many slices; `pyramid` lets B-pictures refer to B-pictures; `aggregate` says how parameter
    sets and slices share packets (STAP-A); `noise` is a still picture whose sync samples are larger than 300 kB.
    """
    options = f"scenecut=0:slices={slices}" if slices else "scenecut=0"
    tune = f"bframes={bframes} rc-lookahead=4 threads=1" if bframes else "tune=zerolatency threads=1"
    if pyramid:
        tune += " b-pyramid=true b-adapt=false"
    profile = "high" if bframes else "main" if slices else "constrained-baseline"
    # the fastest preset has no CABAC, and what it makes is Baseline whatever it is called
    preset = "veryfast" if bframes or slices else "ultrafast"
    source, quality = _pictures(size, rate), "bitrate=1000"
    if noise:
        source, quality = _pictures(size, rate, "pattern=snow"), "pass=quant quantizer=24"
        source = source.replace("is-live=true", "num-buffers=1").replace(
            " ! video/", " ! imagefreeze is-live=true ! video/"
        )
    return (
        f"{source}"
        f' ! x264enc {tune} speed-preset={preset} key-int-max={gop} {quality} option-string="{options}"'
        f" ! video/x-h264,profile={profile} ! h264parse"
        f" ! rtph264pay config-interval=-1 aggregate-mode={aggregate} mtu=1400 pt=96"
    )


def h265() -> str:
    """A pipeline to an H.265 payloader, small and slow. All have the same: x265 takes no two kinds in one process."""
    return (
        f"{_pictures((320, 240), RATE)}"
        f" ! x265enc tune=zerolatency speed-preset=ultrafast key-int-max={RATE} bitrate=300 log-level=none"
        ' option-string="pools=1:frame-threads=1:scenecut=0:open-gop=0:bframes=0"'
        " ! h265parse ! rtph265pay config-interval=-1 mtu=1400 pt=96"
    )


def audio(*, rate: int = 48000, channels: int = 2, mtu: int = 1400, wave: str = "ticks", latm: bool = False) -> str:
    """A pipeline to AAC: as AAC-hbr (RFC 3640), or as `latm` (RFC 6416).

    A small `mtu` spreads an access unit over several packets.
    """
    packing = "rtpmp4apay" if latm else "rtpmp4gpay"
    encoder = f"avenc_aac bitrate={32000 * channels} ! aacparse ! {packing} mtu={mtu} pt=97"
    return _sound(rate, channels, encoder, wave=wave)


def _sound(rate: int, channels: int, encoder: str, *, wave: str = "sine", form: str = "") -> str:
    tone = f"wave=sine freq={TONE} volume=0.5" if wave == "sine" else f"wave={wave}"
    return (
        f"audiotestsrc is-live=true {tone} ! audioconvert"
        f" ! audio/x-raw,rate={rate},channels={channels}{form} ! {encoder}"
    )


def clip(path: Path, *, aggregate: str = "none") -> str:
    """A pipeline that plays a file of pictures once, as they are; for `aggregate` see `video`."""
    codec = "h265" if "265" in path.name else "h264"
    payloader = f"rtp{codec}pay config-interval=-1 aggregate-mode={aggregate} mtu=1400 pt=96"
    return f"filesrc location={path} ! qtdemux ! {codec}parse ! {payloader}"


def in_band(video: str) -> str:
    """The same without parameter sets in the description: they come with the pictures alone."""
    codec, more = ("H265", "") if "rtph265pay" in video else ("H264", ",packetization-mode=(string)1")
    caps = f"application/x-rtp,media=video,clock-rate=90000,encoding-name={codec},payload=96{more}"
    return f'{video} ! capssetter replace=true join=false caps="{caps}"'


def recording(path: Path, payloader: str) -> str:
    """A pipeline that plays a WAV file of 16-bit samples once; `payloader` begins with what it is encoded with."""
    return f"filesrc location={path} ! wavparse ! audioconvert dithering=none ! {payloader}"


VARIANTS = {
    "h264": Variant(video()),
    "h264-gop2": Variant(video(gop=50), gop=50),
    "h264-sliced": Variant(video(slices=4, aggregate="max-stap"), gop=25),
    "h264-single": Variant(video(aggregate="none")),
    "h264-bframes": Variant(video(bframes=2)),
    "h264-noise": Variant(video(gop=50, size=(1280, 720), noise=True), gop=50, size=(1280, 720)),
    "h264-small": Variant(video(size=(320, 180)), size=(320, 180)),
    "h264+aac": Variant(video(), audio(), 48000, 2),
    "h264+aac44": Variant(video(), audio(rate=44100), 44100, 2),
    "h264+aac16": Variant(video(), audio(rate=16000, channels=1), 16000, 1),
    "h264-small+aac": Variant(video(size=(320, 180)), audio(rate=16000, channels=1), 16000, 1, size=(320, 180)),
    "h264+aac-split": Variant(video(slices=4), audio(mtu=100), 48000, 2),
}


def _row(picture: str, sound: str | None = None, rate: int = 0, channels: int = 0) -> Variant:
    return Variant(picture, sound, rate, channels, gop=RATE, size=(320, 240), rate=RATE)


def _h264(bframes: int = 0, *, slices: int = 0, pyramid: bool = False, aggregate: str = "zero-latency") -> str:
    return video(
        gop=RATE, size=(320, 240), rate=RATE, bframes=bframes, slices=slices, pyramid=pyramid, aggregate=aggregate
    )


def _mjpeg() -> str:
    return _pictures((320, 240), RATE) + " ! jpegenc ! rtpjpegpay pt=26"


CODECS = {
    "h264-aac48": _row(_h264(), audio(wave="sine"), 48000, 2),
    "h264-latm": _row(_h264(), audio(wave="sine", latm=True), 48000, 2),
    "h264-latm16": _row(_h264(), audio(rate=16000, channels=1, wave="sine", latm=True), 16000, 1),
    "h264-opus": _row(_h264(), _sound(48000, 2, "opusenc ! rtpopuspay pt=97"), 48000, 2),
    "h264-opus1": _row(_h264(), _sound(48000, 1, "opusenc ! rtpopuspay pt=97"), 48000, 1),
    "h264-pcma": _row(_h264(), _sound(8000, 1, "alawenc ! rtppcmapay pt=8"), 8000, 1),
    "h264-pcmu": _row(_h264(), _sound(8000, 1, "mulawenc ! rtppcmupay pt=0"), 8000, 1),
    "h264-l16": _row(_h264(), _sound(16000, 1, "rtpL16pay pt=97", form=",format=S16BE"), 16000, 1),
    "h264-l16stereo": _row(_h264(), _sound(44100, 2, "rtpL16pay pt=10", form=",format=S16BE"), 44100, 2),
    "h264-g722": _row(_h264(), _sound(16000, 1, "avenc_g722 ! rtpg722pay pt=9"), 16000, 1),
    "h264-g726": _row(_h264(), _sound(8000, 1, "avenc_g726 bitrate=32000 ! rtpg726pay pt=97"), 8000, 1),
    "h264-b3": _row(_h264(3, pyramid=True)),
    "h264-slices": _row(_h264(slices=3, aggregate="none")),
    "h264-stap": _row(_h264(slices=6, aggregate="max-stap")),
    "h264-inband": _row(in_band(_h264())),
    "h265": _row(h265()),
    "h265-aac48": _row(h265(), audio(wave="sine"), 48000, 2),
    "h265-pcmu": _row(h265(), _sound(8000, 1, "mulawenc ! rtppcmupay pt=0"), 8000, 1),
    "mjpeg": _row(_mjpeg()),
    "mjpeg-pcma": _row(_mjpeg(), _sound(8000, 1, "alawenc ! rtppcmapay pt=8"), 8000, 1),
    # its first track is its only one
    "pcma": _row(_sound(8000, 1, "alawenc ! rtppcmapay pt=8"), None, 8000, 1),
}
