# Sound of which each packet is a unit: Opus (RFC 7587, 4.2), G.711, G.722, G.726, L16 (RFC 3551, 4.5).
# Included by _rtp.pyx.

cdef enum:
    LONGEST_OPUS = 5760         # samples of 48 kHz: 120 ms


cdef int whole_unit(Receiver receiver, TrackState t, Packet* packet, int64_t now) except -1:
    cdef size_t size = packet.payload_size
    cdef int64_t pts = receiver.tick(t, packet, now)
    if size == 0 or size > receiver.limit_unit or size % t.block_size:
        t.broken += 1
        return 0
    receiver.cut_before(t, pts, now)
    t.reserve_media(size)
    append(&t.media, packet.payload, size)
    receiver.add_sample(t, pts, now, size, SAMPLE_SYNC)
    return receiver.cut_after(t)


cdef bint is_opus(const uint8_t* p, size_t size) noexcept nogil:
    """Whether a packet is as RFC 6716, 3.4 wants it, as far as its first bytes tell: decoders refuse others."""
    cdef uint32_t configuration, count, length
    if size == 0:
        return False
    if p[0] & 3 == 0:
        return True
    if p[0] & 3 == 1:  # two frames of one size
        return size & 1 == 1
    if size < 2:
        return False
    if p[0] & 3 == 2:  # two frames, behind the size of the first
        length = p[1]
        if length < 252:
            return length <= size - 2
        return size >= 3 and length + 4 * p[2] <= size - 3
    configuration = p[0] >> 3
    count = p[1] & 0x3F
    if configuration >= 16:
        length = 120 << (configuration & 3)
    elif configuration >= 12:
        length = 480 << (configuration & 1)
    else:
        length = 2880 if configuration & 3 == 3 else 480 << (configuration & 3)
    return count != 0 and count * length <= LONGEST_OPUS
