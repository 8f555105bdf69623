# The RTP header (RFC 3550, 5.1). Included by _rtp.pyx.

cdef struct Packet:
    bint marker
    uint8_t payload_type
    uint16_t sequence
    uint32_t timestamp
    uint32_t ssrc
    uint32_t csrc_count
    uint32_t padding
    const uint8_t* extension    # profile, length, data; NULL without one
    const uint8_t* payload
    size_t payload_size
    size_t size                 # of the whole packet
    int64_t arrival             # monotonic ns


cdef bint parse_packet_header(Packet* packet, const uint8_t* p, size_t size) noexcept nogil:
    """False where the packet contradicts itself: a header, extension or padding past its end."""
    cdef size_t header, words
    if size < RTP_HEADER or p[0] >> 6 != 2:
        return False
    packet.csrc_count = p[0] & 0x0F
    packet.marker = p[1] >> 7
    packet.payload_type = p[1] & 0x7F
    packet.sequence = <uint16_t>get_u16(p + 2)
    packet.timestamp = get_u32(p + 4)
    packet.ssrc = get_u32(p + 8)
    packet.extension = NULL
    packet.padding = 0
    header = RTP_HEADER + 4 * packet.csrc_count
    if header > size:
        return False
    if p[0] & 0x10:
        if header + 4 > size:
            return False
        words = get_u16(p + header + 2)
        packet.extension = p + header
        header += 4 + 4 * words
        if header > size:
            return False
    if p[0] & 0x20:
        if header >= size:
            return False
        packet.padding = p[size - 1]
        if packet.padding == 0 or packet.padding > size - header:
            return False
    packet.payload = p + header
    packet.payload_size = size - header - packet.padding
    packet.size = size
    return True


cdef inline bint is_report(const uint8_t* p, size_t size) noexcept nogil:
    """Whether it is RTCP that a camera multiplexes into the RTP channel: told by its packet types (RFC 5761, 4)."""
    return size >= 8 and 200 <= p[1] <= 207


cdef bint is_whole_report(const uint8_t* p, size_t size) noexcept nogil:
    """Whether the lengths in a compound packet (RFC 3550, 6.1) hold; junk behind a whole packet is passed over."""
    cdef size_t length
    cdef bint is_first = True
    while size:
        if size < 4:
            return False
        if p[0] >> 6 != 2:
            return not is_first
        length = 4 + 4 * get_u16(p + 2)
        if length > size:
            return False
        p += length
        size -= length
        is_first = False
    return True


def parse_packet(data):
    """One RTP packet as a tuple; see `rtspkit.rtp.RTPPacket`, which gives the fields their names."""
    cdef Py_buffer view
    cdef Packet packet
    cdef const uint8_t* p
    cdef uint32_t i
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        p = <const uint8_t*>view.buf
        if not parse_packet_header(&packet, p, <size_t>view.len):
            head = PyBytes_FromStringAndSize(<char*>view.buf, min(view.len, 32))
            raise RemoteProtocolError("not an RTP packet: its header contradicts its size", head=head)
        extension = None
        if packet.extension != NULL:
            extension = (
                get_u16(packet.extension),
                PyBytes_FromStringAndSize(<char*>packet.extension + 4, 4 * get_u16(packet.extension + 2)),
            )
        return (
            bool(packet.marker), packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc,
            tuple([get_u32(p + RTP_HEADER + 4 * i) for i in range(packet.csrc_count)]),
            extension, packet.padding,
            PyBytes_FromStringAndSize(<char*>packet.payload, <Py_ssize_t>packet.payload_size),
        )
    finally:
        PyBuffer_Release(&view)
