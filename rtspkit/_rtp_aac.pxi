# AAC-hbr depacketizer (RFC 3640, 3.3.6): several access units in a packet, or one over several packets.
# Included by _rtp.pyx.

cdef enum:
    LEAST_PIECE = 900           # bytes: nobody divides what fits into so many


cdef int aac(Receiver receiver, TrackState t, Packet* packet, int64_t now) except -1:
    cdef const uint8_t* p = packet.payload
    cdef size_t size = packet.payload_size
    cdef size_t header_bits, header_size, position, unit_size
    cdef uint32_t bits, index
    cdef bint is_piece
    cdef int missing = t.gap - t.unit_skipped  # not counting the last packet of the unit whose rest is passed over
    cdef bint is_rest = t.unit_skipped and packet.timestamp == t.unit_timestamp
    cdef int64_t pts = receiver.tick(t, packet, now)
    t.gap = 0
    t.has_marker |= packet.marker
    t.unit_skipped = is_rest and not packet.marker
    if is_rest:  # of a unit of which a piece is missing, or that is too long
        return 0
    if size < 2:
        t.broken += 1
        return 0
    header_bits = get_u16(p)
    header_size = (header_bits + 7) // 8
    bits = t.size_length + t.index_length
    if header_bits < bits or header_size > size - 2 or bits == 0:
        t.broken += 1
        return 0
    position = 0
    p += 2
    size -= 2
    unit_size = read_bits(p, position, t.size_length)
    # gortsplib (MediaMTX) has each fragment say its own size; so it is only where nothing else could be meant
    is_piece = unit_size == size - header_size and header_bits < bits + t.size_length + t.index_delta_length
    if t.fragment_open and t.fragment_size == 0 and packet.timestamp != t.unit_timestamp:
        end_pieces(receiver, t)  # it was whole, of a sender without markers
    if not t.fragment_open:
        is_piece = is_piece and not packet.marker and unit_size >= LEAST_PIECE \
            and not adts_header(p + header_size, unit_size)
    elif t.fragment_size:
        if packet.timestamp != t.unit_timestamp or unit_size != t.fragment_size:
            t.drop_fragment()
        is_piece = False
    elif not is_piece:
        t.drop_fragment()
    if missing > 0 and is_piece and t.has_marker:  # maybe not the first; of a sender without markers it is whole
        t.unit_timestamp = packet.timestamp
        t.unit_skipped = True
        return 0
    receiver.cut_before(t, pts, now)
    if is_piece:
        return aac_piece(receiver, t, packet, p + header_size, unit_size, pts, now)
    if t.fragment_open or unit_size > size - header_size:
        return aac_fragment(receiver, t, packet, p + header_size, size - header_size, unit_size, pts, now)
    size -= header_size
    while True:
        # AU-Index and AU-Index-delta are 0 unless units are interleaved, which is never asked for.
        index = read_bits(p, position + t.size_length, bits - t.size_length)
        if index != 0 or unit_size > size:
            t.broken += 1
            t.after_loss = True
            break
        aac_unit(receiver, t, p + header_size, unit_size, pts, now)
        position += bits
        header_size += unit_size
        size -= unit_size
        pts += t.unit_ticks
        bits = t.size_length + t.index_delta_length
        if bits == 0 or header_bits - position < bits:
            break
        unit_size = read_bits(p, position, t.size_length)
    receiver.cut_after(t)
    return 0


cdef int aac_unit(Receiver receiver, TrackState t, const uint8_t* p, size_t size, int64_t pts, int64_t now) except -1:
    cdef size_t adts = adts_header(p, size)
    if adts:
        t.note(QUIRK_ADTS_IN_AAC)
        p += adts
        size -= adts
    if size == 0 or size > receiver.limit_unit:
        t.broken += 1
        return 0
    t.reserve_media(size)
    append(&t.media, p, size)
    receiver.add_sample(t, pts, now, size, SAMPLE_SYNC)
    return 0


cdef size_t adts_header(const uint8_t* p, size_t size) noexcept nogil:
    """Bytes of the ADTS header that some cameras leave on a unit (ISO/IEC 14496-3, 1.A.2): 0, 7, 9 with a checksum."""
    cdef size_t adts
    if size > 7 and p[0] == 0xFF and p[1] & 0xF6 == 0xF0:
        adts = 7 if p[1] & 1 else 9
        if size > adts and (get_u32(p + 3) >> 13 & 0x1FFF) == size:
            return adts
    return 0


cdef int aac_piece(
    Receiver receiver, TrackState t, Packet* packet, const uint8_t* p, size_t size, int64_t pts, int64_t now,
) except -1:
    """One access unit over several packets that each say how much of it they have; the last has the marker."""
    if not t.fragment_open:
        t.unit_open = t.fragment_open = True
        t.unit_timestamp = packet.timestamp
        t.unit_pts = pts
        t.unit_start = t.fragment_start = t.media.size
        t.fragment_size = 0
    t.unit_arrival = now
    if t.media.size - t.unit_start + size > receiver.limit_unit:
        t.drop_fragment()
        t.broken += 1
        t.unit_skipped = not packet.marker
        return 0
    t.reserve_media(size)
    append(&t.media, p, size)
    return end_pieces(receiver, t) if packet.marker else 0


cdef int end_pieces(Receiver receiver, TrackState t) except -1:
    t.fragment_open = t.unit_open = False
    receiver.add_sample(t, t.unit_pts, t.unit_arrival, t.media.size - t.unit_start, SAMPLE_SYNC)
    return receiver.cut_after(t)


cdef int aac_fragment(
    Receiver receiver, TrackState t, Packet* packet, const uint8_t* p, size_t size, size_t unit_size,
    int64_t pts, int64_t now,
) except -1:
    """One access unit over several packets: each says the size of the whole (RFC 3640, 3.2.1)."""
    if not t.fragment_open:
        if unit_size > receiver.limit_unit:
            t.broken += 1
            return 0
        t.unit_open = t.fragment_open = True
        t.unit_timestamp = packet.timestamp
        t.unit_pts = pts
        t.unit_start = t.fragment_start = t.media.size
        t.fragment_size = unit_size
    if t.media.size - t.unit_start + size > unit_size:
        t.drop_fragment()
        t.broken += 1
        return 0
    t.reserve_media(size)
    append(&t.media, p, size)
    if t.media.size - t.unit_start == unit_size:
        t.fragment_open = t.unit_open = False
        receiver.add_sample(t, t.unit_pts, now, unit_size, SAMPLE_SYNC)
        receiver.cut_after(t)
    elif packet.marker:
        t.drop_fragment()
        t.broken += 1
    return 0


cdef uint32_t read_bits(const uint8_t* p, size_t position, uint32_t count) noexcept nogil:
    """`count` bits (0 to 32) from bit `position` on; the caller has checked that they are there."""
    cdef uint32_t value = 0
    cdef size_t bit
    for bit in range(position, position + count):
        value = (value << 1) | (p[bit >> 3] >> (7 - (bit & 7)) & 1)
    return value
