# The bytes of an RTSP connection after PLAY: interleaved frames (RFC 2326, 10.12), RTSP messages among them, garbage.
# Included by _rtp.pyx.
#
# However the bytes were cut, what comes of them is the same. A frame that is whole where it was received goes on
# from there; only what is not whole yet is kept. Bytes on channels nobody set up are passed over, never kept, and
# too many of them, or of garbage, end the connection.

cdef int take_bytes(Receiver receiver, const uint8_t* p, size_t size, int64_t now) except -1:
    cdef size_t taken
    while size and receiver.error is None:
        if receiver.unknown_left:
            taken = min(size, receiver.unknown_left)
            receiver.unknown_left -= taken
        elif receiver.partial.size == 0 and p[0] == DOLLAR:
            taken = take_frame(receiver, p, size, now)
        elif receiver.partial.size and receiver.partial.data[0] == DOLLAR:
            taken = complete_frame(receiver, p, size, now)
        else:
            taken = take_text(receiver, p, size, now)
        p += taken
        size -= taken
        receiver.position += taken
    return 0


# Each of these takes as many bytes as it says; none where it has only changed what the next one sees.

cdef size_t take_frame(Receiver receiver, const uint8_t* p, size_t size, int64_t now) except? 0:
    """One interleaved frame that begins at `p`; a piece of one is kept until the rest comes."""
    cdef size_t whole
    if receiver.garbage and size > 1 and receiver.channels[p[1]] < 0:
        # While lost, a "$" before a channel nobody set up is most likely a byte of media.
        pass_over(receiver, 1, receiver.position)
        return 1
    if size < FRAME_HEADER:
        append(&receiver.partial, p, size)
        return size
    whole = FRAME_HEADER + get_u16(p + 2)
    if receiver.channels[p[1]] < 0:
        pass_over_frame(receiver, whole, receiver.position)
        return FRAME_HEADER
    if size < whole:
        append(&receiver.partial, p, size)
        return size
    receiver.frame(p, whole, now)
    return whole


cdef size_t complete_frame(Receiver receiver, const uint8_t* p, size_t size, int64_t now) except? 0:
    cdef size_t whole, taken
    if receiver.garbage and receiver.partial.size == 1 and receiver.channels[p[0]] < 0:
        receiver.partial.size = 0
        pass_over(receiver, 1, receiver.position - 1)
        return 0
    if receiver.partial.size < FRAME_HEADER:
        taken = min(size, FRAME_HEADER - receiver.partial.size)
        append(&receiver.partial, p, taken)
        if receiver.partial.size == FRAME_HEADER and receiver.channels[receiver.partial.data[1]] < 0:
            whole = FRAME_HEADER + get_u16(receiver.partial.data + 2)
            receiver.partial.size = 0
            pass_over_frame(receiver, whole, receiver.position + taken - FRAME_HEADER)
            return taken
    else:
        whole = FRAME_HEADER + get_u16(receiver.partial.data + 2)
        taken = min(size, whole - receiver.partial.size)
        append(&receiver.partial, p, taken)
    if receiver.partial.size >= FRAME_HEADER:
        whole = FRAME_HEADER + get_u16(receiver.partial.data + 2)
        if receiver.partial.size == whole:
            receiver.partial.size = 0
            receiver.frame(receiver.partial.data, whole, now)
    return taken


cdef int pass_over_frame(Receiver receiver, size_t whole, uint64_t start) except -1:
    """A frame on a channel nobody set up is never buffered; too many bytes of it end the connection."""
    receiver.unknown_bytes += whole
    receiver.unknown_left = whole - FRAME_HEADER
    if receiver.unknown_bytes > receiver.limit_unknown:
        receiver.error = LimitExceeded(
            f"more than {receiver.limit_unknown} bytes on interleaved channels that were never set up", offset=start
        )
    return 0


cdef size_t take_text(Receiver receiver, const uint8_t* p, size_t size, int64_t now) except? 0:
    """An RTSP message among the frames, or garbage that has to be passed over."""
    cdef size_t i
    cdef const uint8_t* end
    cdef size_t taken, left
    if receiver.partial.size == 0:
        # Some cameras send an empty line before "$"; it is not worth counting.
        if not receiver.garbage and (p[0] == 0x0D or p[0] == 0x0A):
            return 1
        if not 0x41 <= p[0] <= 0x5A:
            return pass_over_garbage(receiver, p, size)
        receiver.message_start = receiver.position
    if receiver.message_size:
        taken = min(size, receiver.message_size - receiver.partial.size)
        append(&receiver.partial, p, taken)
    else:
        # The header section, line by line: at most to the end of this line, or of its limit.
        left = receiver.partial.size - receiver.header_scan
        taken = min(size, receiver.limit_line + 1 - left, receiver.limit_headers + 1 - receiver.partial.size)
        end = <const uint8_t*>memchr(p, 0x0A, taken)
        if end != NULL:
            taken = <size_t>(end - p) + 1
        for i in range(taken):
            if p[i] >= 0x80 or (p[i] < 0x20 and p[i] != 0x0D and p[i] != 0x0A and p[i] != 0x09):
                return give_up_text(receiver, p, i, now)
        append(&receiver.partial, p, taken)
        left += taken
        if left > receiver.limit_line:
            fail_message(receiver, "a header line is longer", receiver.limit_line)
            return taken
        if receiver.partial.size > receiver.limit_headers:
            fail_message(receiver, "the header lines of a message are longer", receiver.limit_headers)
            return taken
        if end == NULL:
            return taken
        if left == 1 or (left == 2 and receiver.partial.data[receiver.header_scan] == 0x0D):
            receiver.message_size = receiver.partial.size + content_length(receiver)
            if receiver.error is not None:
                return taken
        receiver.header_scan = receiver.partial.size
    if receiver.message_size and receiver.partial.size == receiver.message_size:
        if len(receiver.messages) < 64:
            message = PyBytes_FromStringAndSize(<char*>receiver.partial.data, <Py_ssize_t>receiver.partial.size)
            receiver.messages.append(message)
        receiver.partial.size = 0
        receiver.message_size = 0
        receiver.header_scan = 0
        receiver.garbage = 0
    return taken


cdef size_t give_up_text(Receiver receiver, const uint8_t* p, size_t last, int64_t now) except? 0:
    """What looked like a message was garbage, for `p[last]` is no text; a frame may have begun within it.

    A "$" counts as one where a channel that was set up follows.
    """
    cdef Growing again
    cdef size_t i
    cdef size_t kept = receiver.partial.size
    cdef const uint8_t* text = receiver.partial.data
    receiver.header_scan = 0
    receiver.partial.size = 0
    for i in range(kept):
        if text[i] == DOLLAR and receiver.channels[text[i + 1] if i + 1 < kept else p[0]] >= 0:
            pass_over(receiver, i, receiver.message_start)
            again.data = NULL
            again.size = again.capacity = 0
            try:
                append(&again, text + i, kept - i)
                receiver.position -= again.size
                take_bytes(receiver, again.data, again.size, now)
            finally:
                free(again.data)
            return 0
    for i in range(last):
        if p[i] == DOLLAR and receiver.channels[p[i + 1]] >= 0:
            pass_over(receiver, kept + i, receiver.message_start)
            return i
    pass_over(receiver, kept + last + 1, receiver.message_start)
    return last + 1


cdef size_t content_length(Receiver receiver) except? 0:
    """The Content-Length among the header lines that are in `partial`; 0 without one."""
    header = PyBytes_FromStringAndSize(<char*>receiver.partial.data, <Py_ssize_t>receiver.partial.size)
    for line in header.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon and name.strip().lower() == b"content-length":
            value = value.strip()
            if not value.isdigit() or len(value) > 10 or int(value) > receiver.limit_body:
                receiver.error = LimitExceeded(
                    f"Content-Length is not a number up to {receiver.limit_body}",
                    offset=receiver.message_start, head=value,
                )
                return 0
            return int(value)
    return 0


cdef int fail_message(Receiver receiver, what, size_t limit) except -1:
    head = PyBytes_FromStringAndSize(<char*>receiver.partial.data, min(<Py_ssize_t>receiver.partial.size, 32))
    receiver.error = LimitExceeded(f"{what} than {limit} bytes", offset=receiver.message_start, head=head)
    return 0


cdef size_t pass_over_garbage(Receiver receiver, const uint8_t* p, size_t size) except? 0:
    """To the next byte that can begin a frame or a message."""
    cdef size_t i = 1
    while i < size and p[i] != DOLLAR and not 0x41 <= p[i] <= 0x5A:
        i += 1
    pass_over(receiver, i, receiver.position)
    return i


cdef int pass_over(Receiver receiver, size_t size, uint64_t start) except -1:
    if receiver.garbage == 0:
        receiver.resyncs += 1
        receiver.garbage_start = start
    receiver.garbage += size
    if receiver.garbage > receiver.limit_garbage:
        receiver.error = LimitExceeded(
            f"no RTSP message or interleaved frame within {receiver.limit_garbage} bytes", offset=receiver.garbage_start
        )
    return 0
