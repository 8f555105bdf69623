# AAC in LATM (RFC 6416, 6.1; ISO/IEC 14496-3, 1.7.3): an AudioMuxElement holds several access units, each behind its
# length, and comes in a packet or in several; the marker is on its last. Included by _rtp.pyx.
#
# With its configuration in band an element begins with that, and what follows is not aligned to bytes: it is shifted
# first. Another configuration is read by `TrackState.read_mux`, in Python; the usual one, which comes again and again,
# is told by its bytes. An element of which anything is wrong gives nothing.

cdef enum:
    MOST_LATM_UNITS = 64        # numSubFrames has six bits


cdef int latm(Receiver receiver, TrackState t, Packet* packet, int64_t now) except -1:
    cdef bint gap = t.gap != 0
    cdef bint is_rest = t.had_time and packet.timestamp == t.unit_timestamp and (t.unit_skipped or gap)
    cdef int64_t pts
    t.gap = 0
    if t.fragment_open and packet.timestamp != t.unit_timestamp:
        # its last packet had no marker: what has come is whole, or it is broken
        t.fragment_open = False
        latm_element(receiver, t, t.element.data, t.element.size, now)
    pts = receiver.tick(t, packet, now)
    if not t.fragment_open:
        t.unit_pts = pts
        t.unit_timestamp = packet.timestamp
        t.unit_damaged = gap  # its first packets may be among those that are missing
        t.element.size = 0
    t.unit_skipped = False
    if is_rest:  # of an element of which packets are missing, or that is too long
        t.unit_skipped = not packet.marker
    elif packet.marker and not t.fragment_open:
        return latm_element(receiver, t, packet.payload, packet.payload_size, now)
    elif t.element.size + packet.payload_size > receiver.limit_unit:
        t.drop_fragment()
        t.broken += 1
        t.unit_skipped = not packet.marker
    else:
        append(&t.element, packet.payload, packet.payload_size)
        t.fragment_open = not packet.marker
        t.fragment_start = t.media.size
        if packet.marker:
            return latm_element(receiver, t, t.element.data, t.element.size, now)
    return 0


cdef int latm_element(Receiver receiver, TrackState t, const uint8_t* p, size_t size, int64_t now) except -1:
    """Takes the access units of a whole element."""
    cdef size_t at = 0
    cdef size_t length = 0
    cdef int unit, units
    cdef int64_t pts = t.unit_pts
    if t.read_mux is not None and not latm_configuration(receiver, t, &p, &size):
        t.mux_units = 0  # what follows may have a configuration that nobody knows
    # first without taking any: they have to fit; more than are announced may come where nothing else can
    units = 0
    while units < t.mux_units or (units and t.read_mux is None and not t.mux_has_more and at < size):
        if units == MOST_LATM_UNITS or not latm_length(t, p, size, &at, &length):
            units = 0
            break
        at += length
        units += 1
    if units == 0:
        t.broken += 1
        t.after_loss = True
        return 0
    receiver.cut_before(t, pts, now)
    at = 0
    for unit in range(units):
        latm_length(t, p, size, &at, &length)
        if length:
            t.after_loss |= t.unit_damaged
            aac_unit(receiver, t, p + at, length, pts, now)
        at += length
        pts += t.unit_ticks
    return receiver.cut_after(t)


cdef bint latm_length(TrackState t, const uint8_t* p, size_t size, size_t* at, size_t* length) noexcept nogil:
    """Reads and passes over the length of the unit at `at` (PayloadLengthInfo); False where that unit is not whole."""
    cdef uint8_t byte = 0xFF
    length[0] = t.mux_unit_size
    if t.mux_unit_size == 0:
        while byte == 0xFF:
            if at[0] == size:
                return False
            byte = p[at[0]]
            at[0] += 1
            length[0] += byte
    return length[0] <= size - at[0]


cdef bint latm_configuration(Receiver receiver, TrackState t, const uint8_t** p, size_t* size) except -1:
    """Passes over what an element begins with, and goes by it; False where no configuration is known then."""
    cdef size_t bits = 1
    if size[0] == 0:
        return False
    if not p[0][0] & 0x80:  # useSameStreamMux
        if not is_same_mux(t, p[0], size[0]):
            head = PyBytes_FromStringAndSize(<char*>p[0], <Py_ssize_t>min(size[0], receiver.limit_parameter_set))
            try:
                mux = t.read_mux(head)
            except (RemoteProtocolError, UnsupportedError):
                return False
            take_mux(t, mux)
            t.mux_bits = 1 + mux.bits
            t.mux_head = head[:(t.mux_bits + 7) // 8]
            parameters = AACParameters(mux.config)
            if parameters != t.track.parameters:
                t.parameter_changes += t.track.parameters is not None
                receiver.cut(False, 0)
                t.track = _replace(t.track, parameters=parameters)
                receiver.tracks = tuple([(<TrackState>state).track for state in receiver.states])
        bits = t.mux_bits
    size[0] -= (bits + 7) // 8  # the last bits of the last byte are only there to fill it
    t.aligned.size = 0
    reserve(&t.aligned, size[0])
    shift_bits(t.aligned.data, p[0], bits, size[0])
    p[0] = t.aligned.data
    return t.mux_units != 0


cdef bint is_same_mux(TrackState t, const uint8_t* p, size_t size) except -1:
    """Whether an element begins as the last one did that had a configuration."""
    cdef size_t whole = t.mux_bits // 8
    cdef uint8_t* head
    if t.mux_bits == 0 or 8 * size < t.mux_bits or t.mux_units == 0:
        return False
    head = <uint8_t*>PyBytes_AsString(t.mux_head)
    if memcmp(p, head, whole):
        return False
    return t.mux_bits & 7 == 0 or (p[whole] ^ head[whole]) >> (8 - (t.mux_bits & 7)) == 0


cdef int take_mux(TrackState t, mux) except -1:
    """Goes over to another `rtspkit.latm.StreamMux`."""
    t.mux_units = mux.units
    t.mux_unit_size = mux.unit_size
    t.mux_has_more = True if mux.has_other_data else False
    t.unit_ticks = max(1, min(mux.unit_samples * t.clock_rate // mux.sample_rate, t.clock_rate))
    return 0


cdef void shift_bits(uint8_t* to, const uint8_t* p, size_t bit, size_t size) noexcept nogil:
    """Copies the `size` bytes that begin at a bit; the caller has checked that they are there."""
    cdef uint32_t shift = bit & 7
    cdef size_t i
    p += bit >> 3
    for i in range(size):
        to[i] = <uint8_t>(p[i] << shift | p[i + 1] >> (8 - shift)) if shift else p[i]
