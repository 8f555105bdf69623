# The order of packets that come over UDP. Included by _rtp.pyx.
#
# A packet whose turn it is goes on from where it was received, and nothing here is touched. One that comes before
# its turn is copied, once, and waits in a window of 64 sequence numbers for those before it. They are given up
# where a packet comes that is beyond the window, where one has waited for `Limits.reorder_time`, where more
# than `Limits.reorder_size` bytes would wait, and where another SSRC or sequence begins. What is given up is
# lost, and what was lost is told to the depacketizers just as over TCP (`TrackState.accept`).
#
# The first packet to come need not be the first that was sent: it waits as if a quarter of a window were missing
# before it, and the sequence begins with the lowest number that is there when its time is over. The camera's word
# (RTP-Info's seq) is not needed for that, and Tapo and OMNY say 0 or 1 whatever they send.

cdef struct Held:
    uint8_t* data               # the packet; NULL: this place is free
    size_t size
    int64_t arrival


cdef Held* new_window() except NULL:
    cdef Held* window = <Held*>calloc(WINDOW, sizeof(Held))
    if window == NULL:
        raise MemoryError
    return window


cdef void free_window(Held* window) noexcept nogil:
    cdef int i
    if window != NULL:
        for i in range(WINDOW):
            free(window[i].data)
        free(window)


cdef int reorder(
    Receiver receiver, TrackState t, Packet* packet, const uint8_t* data, size_t size, int64_t now
) except -1:
    """Takes a packet that came out of turn, or while others wait."""
    cdef uint16_t gap
    cdef bint is_too_much
    if not t.have_sequence and t.held == 0:
        if size > receiver.limit_held:
            return take_turn(receiver, t, packet, now)
        t.ssrc = packet.ssrc
        t.next_sequence = <uint64_t>65536 + packet.sequence - WINDOW // 4
        return hold(receiver, t, packet, data, size, now)
    if packet.ssrc != t.ssrc:
        if t.restarts and packet.ssrc == t.former_ssrc and now - t.ssrc_arrival < receiver.reorder_time:
            t.late += 1  # overtaken by the new source's first packets
            return 0
        release_all(receiver, t, now)
        return take_turn(receiver, t, packet, now)
    gap = <uint16_t>(packet.sequence - <uint16_t>t.next_sequence)
    if gap >= MAX_DROPOUT:
        if not t.have_sequence:
            release_all(receiver, t, now)
        if packet.sequence == t.suspect and gap < 65536 - MAX_MISORDER:
            release_all(receiver, t, now)
            t.suspect = packet.sequence
        return take_turn(receiver, t, packet, now)
    if gap < WINDOW:
        if t.window[packet.sequence % WINDOW].data != NULL:
            t.duplicates += 1
            return 0
        t.reordered += t.held and t.next_sequence + gap < t.held_last
    while gap:
        is_too_much = t.held_size + size > receiver.limit_held
        if gap < WINDOW and not is_too_much:
            return hold(receiver, t, packet, data, size, now)
        if t.held == 0 or first_held(t) > gap:
            break
        release_first(receiver, t, now)
        gap = <uint16_t>(packet.sequence - <uint16_t>t.next_sequence)
    take_turn(receiver, t, packet, now)
    return release_following(receiver, t, now)


cdef inline int take_turn(Receiver receiver, TrackState t, Packet* packet, int64_t now) except -1:
    if t.accept(packet):
        receiver.media_arrival = max(receiver.media_arrival, packet.arrival)
        receiver.deliver(t, packet, now)
    return 0


cdef int hold(
    Receiver receiver, TrackState t, Packet* packet, const uint8_t* data, size_t size, int64_t now
) except -1:
    cdef Held* place = t.window + packet.sequence % WINDOW
    cdef uint64_t extended = t.next_sequence + <uint16_t>(packet.sequence - <uint16_t>t.next_sequence)
    place.data = <uint8_t*>malloc(size)
    if place.data == NULL:
        raise MemoryError
    memcpy(place.data, data, size)
    place.size = size
    place.arrival = now
    if t.held == 0 or now < t.held_since:
        t.held_since = now
    if t.held == 0 or extended > t.held_last:
        t.held_last = extended
    t.held += 1
    t.held_size += size
    t.suspect = -1
    receiver.media_arrival = now
    return 0


cdef int first_held(TrackState t) noexcept nogil:
    """How many packets are missing before the first that waits; the caller has checked that there is one."""
    cdef int gap = 0
    while t.window[(t.next_sequence + <uint64_t>gap) % WINDOW].data == NULL:
        gap += 1
    return gap


cdef int release_first(Receiver receiver, TrackState t, int64_t now) except -1:
    """Gives up what is missing before the first packet that waits; it and those behind it take their turn."""
    deliver_held(receiver, t, first_held(t), now)
    return release_following(receiver, t, now)


cdef int release_following(Receiver receiver, TrackState t, int64_t now) except -1:
    """The packets that wait for nothing any more take their turn."""
    cdef int i
    while t.held and t.window[t.next_sequence % WINDOW].data != NULL:
        deliver_held(receiver, t, 0, now)
    if t.held:
        t.held_since = <int64_t>1 << 62
        for i in range(WINDOW):
            if t.window[i].data != NULL and t.window[i].arrival < t.held_since:
                t.held_since = t.window[i].arrival
    return 0


cdef int release_due(Receiver receiver, TrackState t, int64_t now) except -1:
    while t.held and now - t.held_since >= receiver.reorder_time:
        release_first(receiver, t, now)
    return 0


cdef int release_all(Receiver receiver, TrackState t, int64_t now) except -1:
    while t.held:
        release_first(receiver, t, now)
    return 0


cdef int deliver_held(Receiver receiver, TrackState t, int gap, int64_t now) except -1:
    """The packet that waits `gap` numbers ahead takes its turn."""
    cdef Held* place = t.window + (t.next_sequence + <uint64_t>gap) % WINDOW
    cdef Held held = place[0]
    cdef Packet packet
    place.data = NULL
    t.held -= 1
    t.held_size -= held.size
    try:
        if parse_packet_header(&packet, held.data, held.size):  # as it did when it came
            packet.arrival = held.arrival
            take_turn(receiver, t, &packet, now)
    finally:
        free(held.data)
    return 0
