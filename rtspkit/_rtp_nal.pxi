# What the depacketizers of H.264 and H.265 share: NAL units become AVCC access units in the track's media buffer.
# Included by _rtp.pyx.
#
# A NAL unit is written where it will stay: its length field first, filled in when its last fragment has
# come. Parameter sets are taken out of the samples and kept for the init section; access unit delimiters,
# filler and end markers are left out. An access unit ends with the marker bit, or where the timestamp
# changes, for some cameras never set it.
#
# Some cameras send an IDR picture now and then, or none, and recovery points between them: pictures that decoding can
# start with as well. They are sync samples where no IDR picture has come for ten seconds.
#
# What differs is asked of the codec's own file once a packet or once a NAL unit: how payloads are packed, and what
# a NAL unit's header says (`nal_kind`). Both have the same first bit in each slice, 1 where a picture begins.

cdef enum NalKind:              # a slice of a picture: up to KIND_BROKEN_LINK
    KIND_SLICE
    KIND_SKIPPED_SLICE          # of one that refers to pictures before the last one that decoding can start with (RASL)
    KIND_SYNC_SLICE             # of one that decoding can start with
    KIND_BROKEN_LINK            # the same, and what is before it is not what was there when it was made (BLA)
    KIND_PARAMETER_SET
    KIND_LEFT_OUT               # delimiters, filler: a sample does not carry them; nor ...
    KIND_END                    # ... end markers: what follows refers to nothing before them
    KIND_MESSAGE                # SEI
    KIND_OTHER
    KIND_INVALID

cdef enum:
    RECOVERY_POINT_AFTER = 10   # seconds
    FU_START = 0x80             # of an FU header, the same in RFC 6184, 5.8 and RFC 7798, 4.4.3
    FU_END = 0x40


cdef int access_unit(Receiver receiver, TrackState t, Packet* packet, int64_t now) except -1:
    """The packet whose turn it is, of H.264 or H.265."""
    cdef int64_t pts
    cdef bint lied
    if t.unit_open and packet.timestamp != t.unit_timestamp:
        # FLIR's M400 sets no marker; eight units tell that from markers that were lost.
        if not t.has_marker and t.units >= 8:
            t.note(QUIRK_MARKER_NEVER_SET)
        end_unit(receiver, t)
        if t.gap:
            # What is missing may be the end of that unit, the beginning of this one, or both.
            t.after_loss = True
    t.gap = 0
    pts = receiver.tick(t, packet, now)
    if not t.unit_open:
        lied = t.may_go_on and packet.timestamp == t.unit_timestamp and goes_on(t, packet)
        if lied:
            t.marker_lies = True
            t.note(QUIRK_MARKER_WITHIN_PICTURE)
        if lied and t.table.size:
            reopen_unit(receiver, t)
        else:
            open_unit(receiver, t, packet.timestamp, pts, now)
    t.unit_arrival = now
    if not t.unit_skipped and packet.payload_size:
        if t.codec == CODEC_H264:
            h264(receiver, t, packet.payload, packet.payload_size)
        else:
            h265(receiver, t, packet.payload, packet.payload_size)
    if packet.marker:
        t.has_marker = True
        if t.unit_open and (t.unit_vcl or t.unit_skipped):
            t.may_go_on = end_unit(receiver, t)
            if t.may_go_on:
                receiver.cut_after(t)
        elif packet.payload_size >= t.nal_header and nal_kind(t, packet.payload) == KIND_MESSAGE:
            # Ivel sets it on SEI, before the picture's slices: there it ends nothing.
            t.note(QUIRK_MARKER_ON_SEI)
    return 0


cdef inline NalKind nal_kind(TrackState t, const uint8_t* header) noexcept nogil:
    return h264_kind(header) if t.codec == CODEC_H264 else h265_kind(header)


cdef inline bint goes_on(TrackState t, Packet* packet) noexcept nogil:
    """Whether a packet belongs to the picture before it, because of its first slice."""
    if t.codec == CODEC_H264:
        return h264_goes_on(packet.payload, packet.payload_size)
    return h265_goes_on(packet.payload, packet.payload_size)


cdef int open_unit(Receiver receiver, TrackState t, uint32_t timestamp, int64_t pts, int64_t now) except -1:
    receiver.cut_before(t, pts, now)
    t.unit_open = True
    t.unit_skipped = t.unit_damaged = t.unit_vcl = t.unit_sync = False
    t.unit_timestamp = timestamp
    t.unit_pts = pts
    t.unit_start = t.media.size
    t.unit_nals = 0
    t.fragment_open = t.has_changed = t.unit_recovers = False
    t.may_go_on = False
    return 0


cdef void reopen_unit(Receiver receiver, TrackState t) noexcept nogil:
    """The marker lied (some cameras set it on every slice): the last unit goes on."""
    cdef Sample* last = t.take_back()
    t.after_loss = last.flags & SAMPLE_DAMAGED != 0
    t.unit_open = True  # and as damaged as it was
    t.unit_skipped = False
    t.unit_vcl = True
    t.unit_sync = last.flags & SAMPLE_SYNC != 0
    t.unit_pts = last.pts
    t.unit_start = t.media.size - last.size
    t.may_go_on = False


cdef int end_unit(Receiver receiver, TrackState t) except -1:
    """The unit that was arriving is whole; 1 if it was worth keeping."""
    cdef size_t size
    cdef uint32_t flags = 0
    if not t.unit_open:
        return 0
    t.drop_fragment()
    t.unit_open = False
    size = t.media.size - t.unit_start
    if t.unit_damaged:
        t.after_loss = t.references_lost = True
    if t.unit_skipped or not t.unit_vcl or size == 0:
        t.media.size = t.unit_start
        return 0
    # An IDR picture that has lost a slice is nowhere to start.
    if t.unit_sync and not t.unit_damaged:
        flags = SAMPLE_SYNC
    if t.is_left_out(flags == SAMPLE_SYNC):
        t.media.size = t.unit_start
        t.units_left_out += 1
        if t is receiver.leading and t.loss_policy == LOSS_SKIP and t.sync_samples:
            receiver.awaits_sync = True
        return 0
    if receiver.awaits_sync and t is receiver.leading:
        receiver.awaits_sync = False
        receiver.resumes = True
    receiver.add_sample(t, t.unit_pts, t.unit_arrival, size, flags)
    return 1


cdef int aggregation(Receiver receiver, TrackState t, const uint8_t* p, size_t size) except -1:
    """Several NAL units, each after its size in 16 bits (STAP-A, AP)."""
    cdef size_t length
    t.drop_fragment()
    while size >= 2:
        length = get_u16(p)
        if length == 0:
            # Some cameras pad with zeros.
            t.note(QUIRK_STAP_PADDING)
            break
        if length > size - 2:
            t.broken += 1
            t.unit_damaged = True
            break
        whole_nal(receiver, t, p + 2, length)
        p += 2 + length
        size -= 2 + length
    return 0


cdef int fragment(
    Receiver receiver, TrackState t, const uint8_t* header, uint8_t flags, const uint8_t* body, size_t size
) except -1:
    """Part of a NAL unit.

    Args:
        header: that NAL unit's own.
        flags: the FU header, `FU_START` and `FU_END` among its bits.
        body: what comes behind it; it has `size` bytes.
    """
    if size == 0:
        t.note(QUIRK_EMPTY_FRAGMENT)
    if flags & FU_START:
        t.drop_fragment()
        if flags & FU_END:
            t.note(QUIRK_FU_START_AND_END)
            # Start and end at once (CostarHD), which the RFCs forbid: a whole NAL unit.
            if size and begin_nal(receiver, t, header, body, size):
                append(&t.media, body, size)
                end_nal(receiver, t)
            return 0
        if begin_nal(receiver, t, header, body, size):
            append(&t.media, body, size)
            t.fragment_open = True
        return 0
    if not t.fragment_open:
        # Its start was lost, which is counted as that, or never sent.
        if not t.after_loss and not t.unit_damaged:
            t.broken += 1
        t.unit_damaged = True
        return 0
    if t.media.size - t.unit_start + size > receiver.limit_unit:
        t.skip_unit()
        return 0
    if (t.media.data[t.fragment_start + 4] ^ header[0]) & t.nal_type_bits:
        t.note(QUIRK_NAL_TYPE_CHANGES_IN_FU)  # Tiandy: the first one holds
    append(&t.media, body, size)
    if flags & FU_END:
        t.fragment_open = False
        end_nal(receiver, t)
    return 0


cdef int whole_nal(Receiver receiver, TrackState t, const uint8_t* p, size_t size) except -1:
    if t.unit_skipped:
        return 0
    if size < t.nal_header:
        t.broken += 1
        return 0
    p += t.nal_header
    size -= t.nal_header
    if begin_nal(receiver, t, p - t.nal_header, p, size):
        append(&t.media, p, size)
        end_nal(receiver, t)
    return 0


cdef int begin_nal(
    Receiver receiver, TrackState t, const uint8_t* header, const uint8_t* body, size_t size
) except -1:
    """A NAL unit begins: its length field and header go into the buffer; 0 if the unit is given up."""
    cdef size_t head = 4 + t.nal_header
    cdef NalKind kind = nal_kind(t, header)
    if t.unit_nals >= receiver.limit_nals or t.media.size - t.unit_start + size + head > receiver.limit_unit:
        t.skip_unit()
        return 0
    t.unit_nals += 1
    if t.unit_nals > MANY_NALS:
        t.note(QUIRK_MANY_SLICES)
    if kind == KIND_SKIPPED_SLICE and t.skips_leading:
        t.unit_skipped = True
        t.media.size = t.unit_start
        return 0
    if kind <= KIND_BROKEN_LINK:
        begin_slice(receiver, t, kind, body, size)
    t.reserve_media(size + head)
    t.fragment_start = t.media.size
    put_u32(t.media.data + t.media.size, 0)
    memcpy(t.media.data + t.media.size + 4, header, t.nal_header)
    t.media.size += head
    return 1


cdef int begin_slice(Receiver receiver, TrackState t, NalKind kind, const uint8_t* body, size_t size) except -1:
    # first_mb_in_slice, an Exp-Golomb number, is 0 exactly where its first bit is 1; in H.265 that bit is
    # first_slice_segment_in_pic_flag.
    if not t.unit_vcl and t.after_loss and (size == 0 or not body[0] & 0x80):
        t.unit_damaged = True
    if kind >= KIND_SYNC_SLICE:
        t.has_irap = True
        t.irap_pts = t.unit_pts
    elif t.unit_recovers and not t.unit_vcl \
            and not (t.has_irap and 0 <= t.unit_pts - t.irap_pts <= RECOVERY_POINT_AFTER * t.clock_rate):
        kind = KIND_SYNC_SLICE
    t.unit_vcl = True
    if kind >= KIND_SYNC_SLICE and not t.unit_sync:
        if t.has_several_sps:
            choose_sps(receiver, t, body, size)
        t.unit_sync = True
        # Pictures that refer to what was before it (RASL, H.265, 8.1.3) cannot be decoded where a stream begins with
        # it, nor well where something before it was lost.
        t.skips_leading = t.references_lost or kind == KIND_BROKEN_LINK
        t.references_lost = False
        if t is receiver.leading and t.table.size:
            receiver.cut(True, t.unit_pts)
    return 0


cdef int end_nal(Receiver receiver, TrackState t) except -1:
    """A NAL unit is whole: it is measured, and left out where a sample does not carry its type."""
    cdef uint8_t* nal = t.media.data + t.fragment_start + 4
    cdef size_t size = t.media.size - t.fragment_start - 4
    cdef NalKind kind = nal_kind(t, nal)
    if kind > KIND_BROKEN_LINK and split_annex_b(receiver, t, nal, size):
        return 0
    # Zero bytes behind a NAL unit belong to the byte stream format, not to it (H.264, 7.4.1; H.265, 7.4.2).
    while size > t.nal_header and nal[size - 1] == 0:
        size -= 1
        t.media.size -= 1
    if kind == KIND_PARAMETER_SET:
        t.media.size = t.fragment_start
        parameter_set(receiver, t, nal, size)
    elif kind == KIND_LEFT_OUT or kind == KIND_END:
        t.media.size = t.fragment_start
        if kind == KIND_END:
            t.references_lost = True
    elif kind == KIND_INVALID:
        t.media.size = t.fragment_start
        t.broken += 1
    else:
        put_u32(nal - 4, <uint32_t>size)
        if kind == KIND_MESSAGE and t.codec == CODEC_H264 and h264_recovers(nal, size):
            t.unit_recovers = True
    return 0


cdef bint split_annex_b(Receiver receiver, TrackState t, const uint8_t* nal, size_t size) except -1:
    """Whole Annex B access units in one RTP NAL unit (V380): the first NAL unit is never a slice there.

    A NAL unit cannot contain a start code, so one that does is several.
    """
    cdef const uint8_t* start = find_start_code(nal, size)
    cdef const uint8_t* following
    cdef const uint8_t* end = nal + size
    cdef Growing copy
    cdef size_t length
    if start == NULL:
        return False
    t.note(QUIRK_ANNEXB_IN_RTP)
    copy.data = NULL
    copy.size = copy.capacity = 0
    try:
        append(&copy, nal, size)
        t.media.size = t.fragment_start
        t.unit_nals -= 1
        nal = copy.data
        end = nal + size
        while nal < end and not t.unit_skipped:
            start = find_start_code(nal, <size_t>(end - nal))
            following = end if start == NULL else start + 3
            length = <size_t>((end if start == NULL else start) - nal)
            while length and nal[length - 1] == 0:
                length -= 1
            if length:
                whole_nal(receiver, t, nal, length)
            nal = following
    finally:
        free(copy.data)
    return True


cdef int parameter_set(Receiver receiver, TrackState t, const uint8_t* nal, size_t size) except -1:
    """Takes one that came in band; a changed one begins a new fragment."""
    cdef int key = -1
    if size <= receiver.limit_parameter_set:
        key = set_key(t, nal, size)
    if key < 0:
        t.broken += 1
        return 0
    known = t.parameter_sets.get(key)
    if KEY_SPS <= key < KEY_VPS:
        t.has_own_sps = True
        if not t.sps_key:
            t.note(QUIRK_PARAMETER_SETS_ONLY_IN_BAND)
    if known is not None and len(known) == <Py_ssize_t>size and not memcmp(PyBytes_AsString(known), nal, size):
        return 0
    keep_parameter_set(t, key, PyBytes_FromStringAndSize(<char*>nal, <Py_ssize_t>size))
    put_in_force(receiver, t, is_change=known is not None)
    return 0


cdef int put_in_force(Receiver receiver, TrackState t, bint is_change) except -1:
    """Begins a new fragment with the parameter sets that are in force from now on."""
    if is_change:
        t.parameter_changes += not t.has_changed
        t.has_changed = True
    receiver.cut(t is receiver.leading, t.unit_pts)
    parameters = h264_parameters(t) if t.codec == CODEC_H264 else h265_parameters(t)
    if parameters is not None:
        t.track = _replace(t.track, parameters=parameters)
        receiver.tracks = tuple([(<TrackState>state).track for state in receiver.states])
    return 0


cdef int choose_sps(Receiver receiver, TrackState t, const uint8_t* body, size_t size) except -1:
    """The SPS that a slice names, by its PPS, is in force from now on."""
    cdef int key = h264_named_pps(body, size) if t.codec == CODEC_H264 else h265_named_pps(body, size)
    pps = t.parameter_sets.get(key) if key < KEY_SPS else None
    if pps is None:
        return 0
    key = KEY_SPS + named_sps(pps, t.nal_header)
    if key != t.sps_key and KEY_SPS <= key < KEY_VPS and key in t.parameter_sets:
        t.sps_key = key
        put_in_force(receiver, t, is_change=True)
    return 0


cdef inline int set_key(TrackState t, const uint8_t* nal, size_t size) noexcept nogil:
    return h264_set_key(nal, size) if t.codec == CODEC_H264 else h265_set_key(nal, size)


cdef int know_parameter_sets(TrackState t, nals) except -1:
    """Takes those that the description has told; some descriptions have other things in their place."""
    cdef int key
    for nal in nals:
        key = set_key(t, <const uint8_t*>PyBytes_AsString(nal), <size_t>len(nal))
        if key >= 0:
            keep_parameter_set(t, key, nal)
    return 0


cdef int keep_parameter_set(TrackState t, int key, bytes nal) except -1:
    t.parameter_sets[key] = nal
    if KEY_SPS <= key < KEY_VPS:
        if not t.sps_key:
            t.sps_key = key
        elif key != t.sps_key:
            t.has_several_sps = True
    return 0


cdef tuple picture_parameter_sets(TrackState t):
    """Those that name the SPS in force; of others, left from before a change or not in use, a decoder complains."""
    cdef int key
    return tuple([
        nal for key, nal in t.parameter_sets.items()
        if key < KEY_SPS and KEY_SPS + named_sps(nal, t.nal_header) == t.sps_key
    ])


cdef int named_sps(bytes pps, size_t header) except -2:
    """The seq_parameter_set_id of a PPS, behind its own id; -1 where it cannot be read."""
    cdef const uint8_t* nal = <const uint8_t*>PyBytes_AsString(pps)
    cdef size_t bit = 8 * header
    exp_golomb(nal, <size_t>len(pps), &bit)
    return exp_golomb(nal, <size_t>len(pps), &bit)


cdef const uint8_t* find_start_code(const uint8_t* p, size_t size) noexcept nogil:
    cdef const uint8_t* end = p + size
    cdef const uint8_t* one
    p += 2
    while p < end:
        one = <const uint8_t*>memchr(p, 1, <size_t>(end - p))
        if one == NULL:
            return NULL
        if (one - 1)[0] == 0 and (one - 2)[0] == 0:
            return one - 2
        p = one + 1
    return NULL


cdef int exp_golomb(const uint8_t* nal, size_t size, size_t* bit) noexcept nogil:
    """The Exp-Golomb number from a bit on, below 511, and the bit behind it; -1 from one on that cannot be read."""
    cdef uint32_t zeros = 0
    cdef size_t start = bit[0]
    cdef size_t bits = size * 8
    while start < bits and not nal[start >> 3] >> (7 - (start & 7)) & 1:
        zeros += 1
        start += 1
    if zeros > 8 or start + zeros >= bits:
        bit[0] = bits
        return -1
    bit[0] = start + zeros + 1
    return <int>read_bits(nal, start, zeros + 1) - 1
