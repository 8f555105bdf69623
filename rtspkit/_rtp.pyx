"""RTP in, interleaved or in datagrams, fragments of AVCC access units out: the hot half of the camera side.

Strategy. A `Receiver` owns what one RTSP connection carries after PLAY. It takes the connection's bytes
however they were cut, splits them into interleaved frames (RFC 2326, 10.12) and RTSP messages, and puts
each RTP payload (RFC 3550) through its track's depacketizer straight into that track's media buffer: the
only copy made here. Whole access units stand behind one another in the buffer, described by packed
`Sample` records (`_wire.pxd`). When a sync sample or the fragment's duration says so, the buffers are
closed as one `rtspkit.media.Fragment` and handed over without a further copy. Python is called once a
fragment, not once a packet; RTSP messages and RTCP are collected for it.

A fragment is cut where an access unit of the leading track (the first video track) begins, before its media
have arrived, so that nothing has to be moved. With `low_latency` it is cut where one has ended, if the next
is not expected before the instant that was asked for (`cut_at`): nobody waits for a unit to learn that the
one before was the last of its part. A camera whose marker bits lie is cut where units begin all the same.

Depacketizers: H.264 (RFC 6184: single NAL unit, STAP-A, FU-A), H.265 (RFC 7798: single NAL unit, AP, FU), AAC-hbr
(RFC 3640), AAC in LATM (RFC 6416), and sound of which each packet is a unit (RFC 3551, RFC 7587). What is broken is
dropped and counted, never raised; only what makes the connection unusable ends in `Receiver.error`.
Nothing is allocated from a length that has not arrived, and every buffer has a bound from `Limits`.

This file is the receiver: telling time, cutting fragments. The files it includes are its memory (`_rtp_media`), the
bytes of a connection (`_rtp_stream`), the RTP header (`_rtp_packet`), the order of packets that come over UDP
(`_rtp_reorder`), what is kept for a track (`_rtp_track`), the habits of cameras (`_rtp_quirks`), access units of NAL
units (`_rtp_nal`), a depacketizer for each codec (`_rtp_h264`, `_rtp_h265` ...) and the reading of sockets
(`_rtp_drain` for TCP, `_rtp_datagrams` for UDP).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from rtspkit._wire cimport SAMPLE_DAMAGED, SAMPLE_SYNC, Sample, get_u16, get_u32, put_u32

from dataclasses import replace as _replace

from rtspkit.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError, UnsupportedError
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.media import AACParameters, Fragment, H264Parameters, H265Parameters, Run

__all__ = ["DatagramDrain", "Drain", "Receiver", "parse_packet"]

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_DONTWAIT
    ssize_t recv(int fd, void* data, size_t size, int flags)


cdef enum:
    CODEC_H264 = 1
    CODEC_AAC = 2
    CODEC_LATM = 3              # AAC, otherwise packed
    CODEC_OPUS = 4
    CODEC_WHOLE = 5             # each packet is a unit: G.711, G.722, G.726, L16
    CODEC_H265 = 6

    FRAME_HEADER = 4            # '$', channel, 16-bit length (RFC 2326, 10.12)
    RTP_HEADER = 12
    DOLLAR = 0x24

    # RFC 3550, appendix A.1: how far a sequence number may jump and still be loss, or late arrival.
    MAX_DROPOUT = 3000
    MAX_MISORDER = 100

    SLEW = 200                  # a track's time is moved by a tick in so many

    WINDOW = 64                 # sequence numbers within which packets over UDP are put in order; a power of 2
    MOST_REORDERED = 16         # units; see rtspkit.reordering
    REORDERING_REMEMBERED = 250  # pictures

    RESUMED_UNITS = 3           # of the first fragment after a hole: who doubts a step in time believes so many

    DRAIN_ROUNDS = 8            # reads of one socket in one drain: a flood does not starve the others
    QUIET_BYTES = 48 * 1024     # may wait in a socket that is left alone: the first window of TCP has 64 KB

cdef enum LossPolicy:           # what becomes of video that packets are missing of
    LOSS_KEEP                   # all is handed over, and marked
    LOSS_DROP                   # but no unit of which something is missing ...
    LOSS_SKIP                   # ... nor what comes behind it, or behind a lost one, until a whole sync sample

_LOSS_POLICIES = {"keep": LOSS_KEEP, "drop": LOSS_DROP, "skip": LOSS_SKIP}

# codec -> the depacketizer of its tracks
_CODECS = {
    "h264": CODEC_H264, "h265": CODEC_H265, "aac": CODEC_AAC, "opus": CODEC_OPUS, "pcma": CODEC_WHOLE,
    "pcmu": CODEC_WHOLE, "g722": CODEC_WHOLE, "g726": CODEC_WHOLE, "l16": CODEC_WHOLE,
}

cdef int64_t SECOND = 1000000000
# After which another port may take the place of a learned one: media that come never pause for so long, so nobody else
# gets in between, and it is soon enough for a camera that goes on from there not to be lost (`Limits.media_timeout`).
cdef int64_t SILENT_PORT = 2 * SECOND
cdef int64_t FASTEST_CLOCK = 100000000  # ticks a second; the fastest in use, MPEG's system clock, has 27 MHz


cdef inline int64_t scale(int64_t value, int64_t multiplier, int64_t divisor) noexcept nogil:
    """value * multiplier / divisor, towards zero, where the product alone would not fit in 64 bits."""
    return value // divisor * multiplier + value % divisor * multiplier // divisor


cdef int check_time(int64_t now) except -1:
    if not 0 <= now < <int64_t>1 << 62:
        raise LocalProtocolError(f"{now} is not monotonic nanoseconds")
    return 0


include "_rtp_quirks.pxi"
include "_rtp_media.pxi"
include "_rtp_packet.pxi"
include "_rtp_reorder.pxi"
include "_rtp_track.pxi"


@cython.final
cdef class Receiver:
    """What a camera sends after PLAY, over its RTSP connection and in datagrams beside it, taken apart.

    Feed it with `feed` and `feed_datagram` (bytes) or through `Drain` and `DatagramDrain` (sockets); then take
    what has become ready: `take_fragments`, `take_messages`, `take_rtcp`. Belongs to one thread at a time.

    Args:
        fragment_duration: seconds of media after which a fragment is closed where no sync sample does it.
        low_latency: close it with the unit that fills it, not where the next one begins.
        limits: bounds; see `rtspkit.limits.Limits`.
        loss_policy: "keep", "drop" or "skip"; see `rtspkit.options.CameraOptions`.

    Attributes:
        fd: the socket `Drain` reads; -1 for none.
        error: why nothing more can be read (`RtspkitError`), or None.
        eof: the peer has closed the connection.
        os_error: the error number of the socket's last read; 0 for none.
        bytes_received: all bytes of the connection, and of datagrams, since the receiver was made.
        found: the bytes that `Drain` found when it was last called.
        media_arrival: monotonic ns of the last new RTP packet of a known track; repeated ones over UDP do not count.
            0 before the first.
        quiet_until: monotonic ns before which `Drain` leaves the socket alone, for nothing ends a fragment.
        unknown_bytes: bytes on channels nobody set up.
        resyncs: how often garbage was skipped between messages.
        awaits_sync: units of the leading track are left out until a sync sample comes (`loss_policy` "skip").

    Raises:
        LocalProtocolError: an argument that is none of these.
    """

    cdef public int fd
    cdef readonly object error
    cdef readonly bint eof
    cdef readonly bint awaits_sync
    cdef readonly int os_error
    cdef readonly uint64_t bytes_received, unknown_bytes, resyncs
    cdef readonly int64_t media_arrival, quiet_until
    cdef readonly size_t found

    cdef list states                # of TrackState, by index
    cdef tuple tracks
    cdef tuple told                 # the tracks of the last fragment
    cdef TrackState leading         # cuts the fragments: the first video track, else the first
    cdef int channels[256]          # 2 * track, + 1 for RTCP; -1: not set up

    cdef list fragments, messages, rtcp
    cdef int64_t duration           # ns
    cdef bint low_latency
    cdef int forgetting             # how slowly the longest of the last runs is, as a shift
    cdef bint has_cut               # the next fragment ends where ...
    cdef int64_t wanted_cut         # ... the unit due for decoding then, or a later one, would begin
    cdef bint discontinuity
    cdef LossPolicy loss_policy
    cdef bint resumes               # before the first unit of the open fragment some were left out
    cdef bint started
    cdef int64_t start_arrival      # of the first RTP packet ...
    cdef int64_t start_time         # ... and its pts, in ns

    cdef Growing partial            # an interleaved frame or an RTSP message that is not whole yet
    cdef size_t message_size        # of that message, once its header section is whole; else 0
    cdef size_t unknown_left        # bytes of a frame on an unknown channel still to pass over
    cdef size_t garbage             # bytes passed over in search of the next message; while lost, not 0
    cdef uint64_t position          # bytes of the connection before the ones being looked at ...
    cdef uint64_t message_start, garbage_start  # ... before that message, and before the garbage
    cdef size_t header_scan         # header bytes already searched for the empty line

    cdef size_t limit_unit, limit_parameter_set, limit_fragment, limit_line, limit_headers, limit_body
    cdef size_t limit_garbage, limit_unknown, limit_held
    cdef int limit_nals
    cdef int64_t reorder_time       # ns

    def __init__(self, *, fragment_duration=1.0, low_latency=False, limits=DEFAULT_LIMITS, loss_policy="keep"):
        cdef int channel
        if loss_policy not in _LOSS_POLICIES:
            raise LocalProtocolError(f"loss_policy is {loss_policy!r}: it is keep, drop or skip")
        self.loss_policy = _LOSS_POLICIES[loss_policy]
        self.fd = -1
        self.error = None
        self.states = []
        self.tracks = self.told = ()
        self.leading = None
        self.fragments = []
        self.messages = []
        self.rtcp = []
        self.set_latency(fragment_duration, low_latency)
        for channel in range(256):
            self.channels[channel] = -1
        self.limit_unit = limits.access_unit_size
        self.limit_nals = limits.nal_unit_count
        self.limit_parameter_set = limits.parameter_set_size
        self.limit_fragment = limits.fragment_size
        self.limit_line = limits.line_size
        self.limit_headers = limits.headers_size
        self.limit_body = limits.body_size
        self.limit_garbage = limits.resync_size
        self.limit_unknown = limits.unknown_channel_size
        self.limit_held = limits.reorder_size
        self.reorder_time = <int64_t>(limits.reorder_time * 1e9)

    def __dealloc__(self):
        free(self.partial.data)

    def set_latency(self, fragment_duration, bint low_latency):
        """How fragments end from now on, the open one too; the arguments are those that a receiver is made with.

        Raises:
            LocalProtocolError: the duration is not one from 0 to 1000000 s.
        """
        cdef TrackState t
        if not 0 <= fragment_duration <= 1e6:
            raise LocalProtocolError(f"fragment_duration is {fragment_duration}: it is seconds, up to 1000000")
        self.duration = <int64_t>(fragment_duration * 1e9)
        self.low_latency = low_latency
        # a sync sample's run is the longest: with five parts a second it must not be forgotten until the next
        self.forgetting = 6 if low_latency else 3
        self.has_cut = False
        self.quiet_until = 0
        for t in self.states:
            t.duration = scale(self.duration, t.clock_rate, SECOND)

    def add_track(
        self, track, *, payload_type, channels=None, origin=None, size_length=13, index_length=3, index_delta_length=3,
        unit_ticks=1024, stream_mux=None, read_mux=None, block_size=1,
    ):
        """Adds the next track; its `index` must be the number of tracks added before.

        Args:
            track: `rtspkit.media.Track`.
            payload_type: the RTP payload type; packets of another are discarded.
            channels: the interleaved channels of its RTP and RTCP; None: it comes over UDP.
            origin: RTP timestamp of pts 0 where the camera has told it (RTP-Info); None: by arrival.
            size_length: AAC-hbr's sizeLength, index_length, index_delta_length: bits in an AU header.
            unit_ticks: duration of one AAC access unit in ticks.
            stream_mux: the configuration of AAC that comes in LATM, a `rtspkit.latm.StreamMux`; None: it is not known.
            read_mux: what reads those that come in band, `rtspkit.latm.read_element`; None: none do.
            block_size: of PCM, the bytes of one sample of all channels: a packet has whole ones.
        """
        cdef TrackState state = TrackState.__new__(TrackState)
        cdef int index = len(self.states)
        rtp_channel, rtcp_channel = channels or (0, 0)
        if track.index != index:
            raise LocalProtocolError(f"track {track.index} was added as number {index}")
        if not (0 <= rtp_channel <= 255 and 0 <= rtcp_channel <= 255):
            raise LocalProtocolError(f"channels {channels} are not two numbers from 0 to 255")
        if not 0 <= payload_type <= 127:
            raise LocalProtocolError(f"payload type {payload_type} is not a number from 0 to 127")
        if not 1 <= track.clock_rate <= FASTEST_CLOCK:
            raise LocalProtocolError(f"a clock rate of {track.clock_rate} is not one from 1 to {FASTEST_CLOCK}")
        if not all(0 <= bits <= 32 for bits in (size_length, index_length, index_delta_length)):
            raise LocalProtocolError("an AU header field has 0 to 32 bits")
        if not 0 < unit_ticks < 1 << 31:
            raise LocalProtocolError(f"an access unit of {unit_ticks} ticks")
        if not 1 <= block_size <= 1024:
            raise LocalProtocolError(f"a block of {block_size} bytes")
        if track.codec not in _CODECS:
            raise LocalProtocolError(f"no depacketizer for {track.codec}")
        state.codec = _CODECS[track.codec]
        if track.codec == "aac" and (stream_mux is not None or read_mux is not None):
            state.codec = CODEC_LATM
        if state.codec == CODEC_H264:
            state.nal_header = 1
            state.nal_type_bits = 0x1F
        elif state.codec == CODEC_H265:
            state.nal_header = 2
            state.nal_type_bits = 0x7E
        state.references_lost = True
        state.track = track
        state.is_video = track.kind == "video"
        state.loss_policy = self.loss_policy if state.is_video else LOSS_KEEP  # sound that is not whole is never used
        state.payload_type = payload_type
        state.clock_rate = track.clock_rate
        state.duration = scale(self.duration, state.clock_rate, SECOND)
        state.suspect = -1
        state.least = INT64_MAX
        state.floor = INT64_MIN
        if origin is not None:
            state.have_origin = True
            state.origin = origin
        state.size_length = size_length
        state.index_length = index_length
        state.index_delta_length = index_delta_length
        state.unit_ticks = unit_ticks
        state.block_size = block_size
        state.read_mux = read_mux
        if stream_mux is not None:
            take_mux(state, stream_mux)
        state.parameter_sets = {}
        if channels is None:
            state.window = new_window()
        if isinstance(track.parameters, H264Parameters):
            know_parameter_sets(state, (track.parameters.sps, *track.parameters.pps))
        elif isinstance(track.parameters, H265Parameters):
            know_parameter_sets(state, (track.parameters.vps, track.parameters.sps, *track.parameters.pps))
        self.states.append(state)
        self.tracks += (track,)
        if channels is not None:
            self.channels[<int>rtp_channel] = 2 * index
            if self.channels[<int>rtcp_channel] < 0:
                self.channels[<int>rtcp_channel] = 2 * index + 1
        if self.leading is None or (state.is_video and not self.leading.is_video):
            self.leading = state

    cdef TrackState track_state(self, int index):
        if not 0 <= index < <int>len(self.states):
            raise LocalProtocolError(f"no track has index {index}")
        return self.states[index]

    cdef TrackState track_over_udp(self, int index):
        cdef TrackState t = self.track_state(index)
        if t.window == NULL:
            raise LocalProtocolError(f"track {index} was added with channels: it comes over the RTSP connection")
        return t

    def pin(self, int index, address, rtp_port, rtcp_port):
        """Says where the datagrams of a track come from; `DatagramDrain` takes no others, and none before this.

        Args:
            index: of the track.
            address: the camera's IPv4 or IPv6 address as text; None: that of the first packet that looks like
                the track's.
            rtp_port, rtcp_port: the ports it sends from; None: learned from the first such packet of the address.
        """
        cdef TrackState t = self.track_over_udp(index)
        cdef uint8_t[16] told
        for port in (rtp_port, rtcp_port):
            if port is not None and not 1 <= port <= 65535:
                raise LocalProtocolError(f"port {port} is not a number from 1 to 65535")
        if address is not None:
            read_address(told, address)
            memcpy(t.address, told, 16)
        t.has_address = address is not None
        t.ports[0] = 0 if rtp_port is None else <uint16_t>rtp_port
        t.ports[1] = 0 if rtcp_port is None else <uint16_t>rtcp_port
        t.is_learned[0] = t.is_learned[1] = False
        t.is_pinned = True

    # what has become ready ----------------------------------------------------

    @property
    def ready(self):
        """Whether there is anything to take, a sync sample is awaited (`awaits_sync`), or the connection has ended."""
        return self.has_news()

    cdef inline bint has_news(self) noexcept:
        return (
            len(self.fragments) or len(self.messages) or len(self.rtcp) or self.eof or self.os_error
            or self.awaits_sync or self.error is not None
        )

    def take_fragments(self):
        """The fragments closed since the last call, oldest first (list of `rtspkit.media.Fragment`)."""
        taken, self.fragments = self.fragments, []
        return taken

    def take_messages(self):
        """Whole RTSP messages that came among the interleaved frames (list of bytes)."""
        taken, self.messages = self.messages, []
        return taken

    def take_rtcp(self):
        """RTCP compound packets (list of (track index, bytes))."""
        taken, self.rtcp = self.rtcp, []
        return taken

    def stats(self, int index):
        """Counters of a track as a tuple; `rtspkit.rtp.TrackStats` names the fields."""
        cdef TrackState t = self.track_state(index)
        return (
            t.received, t.lost, t.late, t.broken, t.discarded, t.restarts, t.units, t.damaged_units,
            t.ssrc, t.first_sequence, t.next_sequence - 1 if t.have_sequence else 0, t.jitter >> 4,
            t.duplicates, t.reordered, t.foreign, <uint64_t>t.drops[0] + t.drops[1], t.bytes,
            t.reports, t.broken_reports, t.first_arrival, t.arrival, t.sync_samples, t.first_sync_arrival,
            t.sync_arrival, t.sync_units, t.sync_distance, t.parameter_changes, t.ticks,
            t.units_left_out,
        )

    def quirks(self, int index):
        """What the camera gets wrong on a track and was put up with: ids of `rtspkit.quirks.SENTENCES`."""
        cdef TrackState t = self.track_state(index)
        return tuple([name for bit, name in enumerate(QUIRKS) if t.quirks >> <int>bit & 1])

    def set_wall_clock(self, int index, uint32_t timestamp, double wall_clock):
        """Ties an RTP timestamp to Unix seconds of the camera's clock, as a sender report does."""
        cdef TrackState t = self.track_state(index)
        if t.have_time:
            t.have_wall = True
            t.wall_ticks = t.ticks + <int32_t>(timestamp - t.timestamp)
            t.wall_clock = wall_clock

    def wall_clock(self, int index, int64_t pts):
        """Unix seconds, by the camera's clock, of an instant on a track; None before a sender report."""
        cdef TrackState t = self.track_state(index)
        if not t.have_wall:
            return None
        return t.wall_clock + (<double>(pts - t.shift) - <double>t.wall_ticks) / <double>t.clock_rate

    def clock(self, int index):
        """What is known of a track's clock, and what of it is new since the last call.

        Returns:
            (timestamp, ticks, transit, restarts, is_exact): of the last packet its RTP timestamp and the ticks that
            were made of it; the least that a packet's arrival, in ticks, was behind its own ticks since the last
            call, None where none came (a timestamp more than five seconds ahead of the others is not counted); how
            often the clock may have begun anew; and whether the ticks began where RTP-Info says. None before the
            first packet.
        """
        cdef TrackState t = self.track_state(index)
        cdef int64_t least = t.least
        if not t.had_time:
            return None
        t.least = INT64_MAX
        t.floor = INT64_MIN if least == INT64_MAX else least - 5 * t.clock_rate
        return (
            t.timestamp, t.ticks, None if least == INT64_MAX else least, t.restarts, True if t.by_origin else False,
        )

    def shift(self, int index):
        """What the ticks of a track are moved by at present to make its pts."""
        return self.track_state(index).shift

    def set_shift(self, int index, int64_t ticks):
        """Moves the pts of a track: by a 200th of the time that passes; at once at first, and by 0.25 s or more."""
        cdef TrackState t = self.track_state(index)
        if not -(<int64_t>1 << 59) <= ticks <= <int64_t>1 << 59:
            raise LocalProtocolError(f"a shift of {ticks} ticks is out of range")
        if t.shift == t.wanted_shift:
            t.shifted = t.ticks
        t.wanted_shift = ticks
        if t.units == 0 or not -t.clock_rate < 4 * (ticks - t.shift) < t.clock_rate:
            t.shift = ticks

    def cut_at(self, int64_t pts):
        """Where the next fragment should end; counts for one fragment, and with `low_latency` only.

        It ends at once where what has come already reaches so far.

        Args:
            pts: in ticks of the leading track: no unit that is to be decoded at `pts` or later belongs to it.
        """
        self.wanted_cut = pts
        self.has_cut = self.low_latency
        if self.leading is not None and not self.leading.unit_open:
            self.cut_after(self.leading)  # what was cut by a sync sample, or came in one burst, may be there already

    def flush(self):
        """Closes the open fragment with the units that are whole; nothing happens where there are none."""
        self.cut(False, 0)
        self.quiet_until = 0  # who calls this waits for units, not for fragments

    def finish(self):
        """The stream has ended: what is arriving counts as whole, and the open fragment is closed."""
        cdef TrackState t
        for t in self.states:
            release_all(self, t, self.media_arrival)
            if t.is_video:
                end_unit(self, t)
            else:
                t.drop_fragment()
        self.cut(False, 0)

    # bytes ----------------------------------------------------------------------

    def feed(self, data, int64_t now):
        """Takes bytes of the connection, cut anywhere.

        Args:
            data: any buffer of bytes.
            now: monotonic time in ns.
        """
        cdef Py_buffer view
        check_time(now)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.consume(<const uint8_t*>view.buf, <size_t>view.len, now)
        finally:
            PyBuffer_Release(&view)

    def feed_datagram(self, int index, bint is_rtcp, data, int64_t now):
        """Takes a datagram of a track that comes over UDP; it is believed to be the camera's.

        Args:
            index: of the track.
            is_rtcp: whether it came to the RTCP port.
            data: any buffer of bytes.
            now: monotonic time in ns.
        """
        cdef TrackState t = self.track_over_udp(index)
        cdef Py_buffer view
        check_time(now)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.datagram(t, is_rtcp, <const uint8_t*>view.buf, <size_t>view.len, now)
        finally:
            PyBuffer_Release(&view)

    def next_release(self):
        """The monotonic ns at which `release` has something to do; None while no packet waits for one before it."""
        cdef TrackState t
        due = None
        for t in self.states:
            if t.held and (due is None or t.held_since + self.reorder_time < due):
                due = t.held_since + self.reorder_time
        return due

    def release(self, int64_t now):
        """Gives up the packets that others have waited for too long (`Limits.reorder_time`).

        Args:
            now: monotonic time in ns.
        """
        cdef TrackState t
        check_time(now)
        for t in self.states:
            release_due(self, t, now)

    cdef int consume(self, const uint8_t* p, size_t size, int64_t now) except -1:
        self.position = self.bytes_received
        self.bytes_received += size
        return take_bytes(self, p, size, now)

    # one interleaved frame --------------------------------------------------------

    cdef int frame(self, const uint8_t* p, size_t size, int64_t now) except -1:
        cdef int channel = self.channels[p[1]]
        cdef TrackState t = <TrackState>self.states[channel >> 1]
        cdef Packet packet
        p += FRAME_HEADER
        size -= FRAME_HEADER
        if channel & 1 or is_report(p, size):
            self.garbage = 0
            return self.report(t, p, size)
        if not parse_packet_header(&packet, p, size):
            t.broken += 1
            return 0
        self.garbage = 0
        if packet.payload_type != t.payload_type:
            t.discard(&packet)
            return 0
        packet.arrival = now
        if not t.accept(&packet):
            return 0
        self.media_arrival = now
        return self.deliver(t, &packet, now)

    cdef int datagram(self, TrackState t, bint is_rtcp, const uint8_t* p, size_t size, int64_t now) except -1:
        cdef Packet packet
        self.bytes_received += size
        if is_rtcp or is_report(p, size):
            return self.report(t, p, size)
        if not parse_packet_header(&packet, p, size):
            t.broken += 1
            return 0
        if packet.payload_type != t.payload_type:
            t.discard(&packet)
            return 0
        packet.arrival = now
        if t.held or not t.is_next(&packet):
            return reorder(self, t, &packet, p, size, now)
        t.accept(&packet)
        self.media_arrival = now
        return self.deliver(t, &packet, now)

    cdef int report(self, TrackState t, const uint8_t* p, size_t size) except -1:
        t.reports += 1
        if not is_whole_report(p, size):
            t.broken_reports += 1
        elif size >= 8 and p[1] == 200 and t.have_sequence and get_u32(p + 4) != t.ssrc:
            t.note(QUIRK_UNKNOWN_SSRC_IN_RTCP)
        if len(self.rtcp) < 64:
            self.rtcp.append((t.track.index, PyBytes_FromStringAndSize(<char*>p, <Py_ssize_t>size)))
        return 0

    cdef int deliver(self, TrackState t, Packet* packet, int64_t now) except -1:
        """The packet whose turn it is."""
        if not self.started:
            self.started = True
            self.start_arrival = packet.arrival
            self.start_time = scale(self.first_ticks(t, packet, packet.arrival), SECOND, t.clock_rate)
        if t.nal_header:
            return access_unit(self, t, packet, now)
        if t.codec == CODEC_AAC:
            return aac(self, t, packet, now)
        if t.codec == CODEC_LATM:
            return latm(self, t, packet, now)
        if t.codec == CODEC_OPUS and not is_opus(packet.payload, packet.payload_size):
            t.broken += 1
            return 0
        return whole_unit(self, t, packet, now)

    # time ---------------------------------------------------------------------------

    cdef int64_t first_ticks(self, TrackState t, Packet* packet, int64_t now) noexcept nogil:
        """The pts of a track's first packet, or of the first after its clock began anew.

        RTP-Info says it exactly, where it is right: many cameras send 0, or another session's value. It
        is believed where it agrees with the arrival times within two seconds (ten for the first track,
        for a recorder may send what it has kept). Otherwise the arrival decides.

        With a new SSRC or sequence the timestamps may still go on as before; where they agree with the
        arrival within two seconds they do. Else the next unit begins where the last one ended, if it came soon
        enough: arrivals are uneven, and with a camera that begins anew at every sync sample that would add up.
        """
        cdef int64_t by_arrival, by_origin, slack
        if t.had_time:
            by_arrival = max(<int64_t>1, scale(now - t.arrival, t.clock_rate, SECOND))
            by_origin = <int32_t>(packet.timestamp - t.timestamp)
            slack = 2 * t.clock_rate
            if -slack <= by_origin - by_arrival <= slack:
                return t.ticks + by_origin
            if t.has_last and by_arrival <= 3 * t.unit_distance + t.clock_rate // 10:
                return max(t.high - t.shift + t.unit_distance, t.ticks + 1)
            return t.ticks + by_arrival
        by_arrival = scale(self.start_time + (now - self.start_arrival), t.clock_rate, SECOND)
        if t.have_origin:
            by_origin = <int32_t>(packet.timestamp - t.origin)
            slack = t.clock_rate * (10 if now == self.start_arrival else 2)
            if -slack <= by_origin - by_arrival <= slack:
                t.by_origin = True
                return by_origin
        return by_arrival

    cdef int64_t tick(self, TrackState t, Packet* packet, int64_t now) noexcept nogil:
        """The packet's pts: its timestamp, 32 bits unwrapped to 64."""
        cdef int64_t transit, change
        if t.have_time:
            t.ticks += <int32_t>(packet.timestamp - t.timestamp)
        else:
            t.ticks = self.first_ticks(t, packet, packet.arrival)
            t.have_time = t.had_time = True
        t.timestamp = packet.timestamp
        t.arrival = now
        transit = scale(packet.arrival, t.clock_rate, SECOND) - t.ticks
        if t.transit:
            change = transit - t.transit
            t.jitter += (change if change >= 0 else -change) - ((t.jitter + 8) >> 4)
        t.transit = transit
        if t.floor < transit < t.least:
            t.least = transit
        if t.shift != t.wanted_shift:
            t.slew()
        return t.ticks + t.shift

    # fragments ------------------------------------------------------------------------

    cdef int cut_before(self, TrackState t, int64_t pts, int64_t now) except -1:
        """Closes the open fragment where a unit of `t` begins and the fragment is long enough."""
        cdef Sample* first
        cdef int64_t span
        cdef bint is_full
        if t.table.size == 0:
            return 0
        first = t.samples()
        span = now - first.arrival
        if t is self.leading:
            # Timestamps that stand or go back do not keep it open for ever.
            if self.resumes and t.table.size >= RESUMED_UNITS * sizeof(Sample):
                is_full = True  # there were none for long enough: those who wait for them have these soon
            elif not self.low_latency:
                is_full = self.is_full(t, pts)
            elif t.disorder:
                is_full = t.knows_due() and self.is_full(t, t.due())
            else:
                is_full = t.may_be_due() and self.is_full(t, pts)
            if is_full or span >= 2 * self.duration:
                self.cut(t.is_video, pts)
        elif span >= 3 * self.duration:
            self.cut(False, 0)
        return 0

    cdef int cut_after(self, TrackState t) except -1:
        """Closes the open fragment where a unit of `t` has ended and the next one, as is to be expected, is not its."""
        cdef Sample* last
        if self.low_latency and t is self.leading and t.table.size and t.knows_due() and not t.marker_lies:
            if self.is_full(t, t.due()):
                last = <Sample*>(t.table.data + t.table.size) - 1
                self.quiet_until = last.arrival + self.quiet_spell(t)
                self.cut(False, 0)
        return 0

    cdef int64_t quiet_spell(self, TrackState t) noexcept nogil:
        """For how long (ns) from the last unit of a full fragment on nothing that comes will end the next one.

        Three fifths of a fragment; of the rest everything is read as it comes, for what is not read is acknowledged
        late, and a camera that collects small packets (Nagle) holds back the end of a picture for as long. No longer
        than until the next sync sample is due, nor than what has come since fits into the first window of TCP.
        """
        cdef int64_t duration = min(self.duration, SECOND)
        cdef int64_t spell = min(duration * 3 // 5, duration * QUIET_BYTES // max(<int64_t>t.media.size, 1))
        cdef int64_t sync = t.last_sync + t.sync_distance + t.unit_distance - t.due()
        if 2 * sync > 3 * t.unit_distance:  # else it begins the next fragment
            spell = min(spell, scale(sync, SECOND, t.clock_rate))
        return spell

    cdef inline bint is_full(self, TrackState t, int64_t due) noexcept nogil:
        """Whether a unit of the leading track that is `due` then is too late for the open fragment, no empty one."""
        if self.has_cut:
            return due >= self.wanted_cut
        if self.low_latency:  # as near to the duration as whole units allow
            return due - t.run_due >= t.duration - (t.unit_distance >> 1)
        return due - t.samples().pts >= t.duration

    cdef wall_clock_of(self, TrackState t, int64_t pts):
        """The camera's clock at an instant of a track; by another track's sender reports where it has none itself."""
        cdef TrackState other
        if t.have_wall:
            return self.wall_clock(t.track.index, pts)
        for other in self.states:
            if other.have_wall:
                return self.wall_clock(other.track.index, scale(pts, other.clock_rate, t.clock_rate))
        return None

    cdef int cut(self, bint have_next, int64_t next_pts) except -1:
        """Hands over all whole units; the units that are arriving move to new buffers."""
        cdef TrackState t
        cdef Growing rest
        cdef size_t whole, size
        cdef bint is_sync = False
        cdef Sample* last
        runs = []
        wall = None
        self.has_cut = self.resumes = False
        if self.leading is None:
            return 0
        if self.leading.table.size:
            is_sync = self.leading.samples().flags & SAMPLE_SYNC != 0
            last = <Sample*>(self.leading.table.data + self.leading.table.size) - 1
            if last.pts == next_pts:
                # A camera whose clock stands, or that sends parameter sets with the picture before them.
                have_next = False
        elif not self.leading.is_video:
            is_sync = True
        for t in self.states:
            if t.table.size == 0:
                continue
            if not runs:
                wall = self.wall_clock_of(t, t.samples().pts)
            whole = t.unit_start if t.unit_open else t.media.size
            size = t.media.size - whole
            rest.data = NULL
            rest.size = rest.capacity = 0
            t.hint = max(whole, t.hint - (t.hint >> self.forgetting))
            if size:
                t.renew(&rest)
                reserve(&rest, size)
                memcpy(rest.data, t.media.data + whole, size)
                rest.size = size
                t.media.size = whole
            t.given = Media.take(&t.media)
            t.media = rest
            if t.fragment_open:
                t.fragment_start -= whole
            t.unit_start = 0
            samples = PyBytes_FromStringAndSize(<char*>t.table.data, <Py_ssize_t>t.table.size)
            t.table.size = 0
            runs.append(Run(t.track.index, samples, t.given))
        if runs:
            if self.tracks is not self.told and self.tracks == self.told:
                self.tracks = self.told  # a parameter set has changed and changed back
            self.told = self.tracks
            self.fragments.append(Fragment(
                self.tracks, tuple(runs), True if is_sync else False, True if self.discontinuity else False,
                next_pts if have_next else None, wall,
            ))
            self.discontinuity = False
        return 0

    cdef int add_sample(self, TrackState t, int64_t pts, int64_t arrival, size_t size, uint32_t flags) except -1:
        cdef Sample* sample
        if t.table.size == 0:
            t.run_due = t.due() if t.disorder else pts
        t.measure(pts, arrival, flags)
        reserve(&t.table, sizeof(Sample))
        sample = <Sample*>(t.table.data + t.table.size)
        sample.pts = pts
        sample.arrival = arrival
        sample.size = <uint32_t>size
        sample.flags = flags | (SAMPLE_DAMAGED if t.after_loss else 0)
        t.table.size += sizeof(Sample)
        t.units += 1
        t.damaged_units += sample.flags & SAMPLE_DAMAGED != 0
        t.after_loss = False
        # The records count too: they are larger than the smallest units.
        if t.media.size + t.table.size > self.limit_fragment:
            self.cut(False, 0)
        return 0


include "_rtp_stream.pxi"
include "_rtp_nal.pxi"
include "_rtp_h264.pxi"
include "_rtp_h265.pxi"
include "_rtp_aac.pxi"
include "_rtp_latm.pxi"
include "_rtp_audio.pxi"
include "_rtp_drain.pxi"
include "_rtp_datagrams.pxi"
