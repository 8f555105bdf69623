# Sound of which each packet is a unit: Opus (RFC 7587, 4.2), G.711, G.722, G.726, L16 (RFC 3551, 4.5).
# Included by _rtp.pyx.

cdef int whole_unit(Receiver receiver, TrackState t, Packet* packet, int64_t now) except -1:
    cdef size_t size = packet.payload_size
    cdef int64_t pts = receiver.tick(t, packet, now)
    if size == 0 or size > receiver.limit_unit:
        t.broken += 1
        return 0
    receiver.cut_before(t, pts, now)
    t.reserve_media(size)
    append(&t.media, packet.payload, size)
    receiver.add_sample(t, pts, now, size, SAMPLE_SYNC)
    return receiver.cut_after(t)
