# H.264 depacketizer (RFC 6184, non-interleaved mode): single NAL units, STAP-A and FU-A. Included by _rtp.pyx;
# `_rtp_nal.pxi` makes access units of them.

cdef enum:
    NAL_SLICE = 1
    NAL_IDR = 5
    NAL_SEI = 6
    NAL_SPS = 7
    NAL_PPS = 8
    NAL_AUD = 9
    NAL_FILLER = 12
    NAL_STAP_A = 24
    NAL_FU_A = 28


cdef int h264(Receiver receiver, TrackState t, const uint8_t* p, size_t size) except -1:
    """One payload, not empty."""
    cdef int nal_type = p[0] & 0x1F
    cdef uint8_t header
    if nal_type == NAL_FU_A:
        if size < 2:
            t.broken += 1
            return 0
        header = (p[0] & 0xE0) | (p[1] & 0x1F)
        fragment(receiver, t, &header, p[1], p + 2, size - 2)
    elif nal_type == NAL_STAP_A:
        aggregation(receiver, t, p + 1, size - 1)
    elif 1 <= nal_type <= 23:
        t.drop_fragment()
        whole_nal(receiver, t, p, size)
    elif nal_type == 0 and find_start_code(p, min(size, <size_t>4)) != NULL:
        # An Annex B byte stream as it is; its zeros look like a NAL unit of type 0.
        t.drop_fragment()
        whole_nal(receiver, t, p, size)
    else:
        # STAP-B, MTAP and FU-B belong to interleaved mode, which is never asked for.
        t.discarded += 1
    return 0


cdef inline NalKind h264_kind(const uint8_t* header) noexcept nogil:
    cdef int nal_type = header[0] & 0x1F
    if NAL_SLICE <= nal_type <= NAL_IDR:
        return KIND_SYNC_SLICE if nal_type == NAL_IDR else KIND_SLICE
    if nal_type == NAL_SPS or nal_type == NAL_PPS:
        return KIND_PARAMETER_SET
    if NAL_AUD <= nal_type <= NAL_FILLER:  # and the end markers between them
        return KIND_LEFT_OUT
    if nal_type == 0 or nal_type >= NAL_STAP_A:  # packets have these types, NAL units do not
        return KIND_LEFT_OUT
    return KIND_MESSAGE if nal_type == NAL_SEI else KIND_OTHER


cdef bint h264_recovers(const uint8_t* nal, size_t size) noexcept nogil:
    """Whether SEI says that decoding can start with this picture: a recovery_frame_cnt (H.264, D.1.8) of 0."""
    cdef size_t at = 1
    cdef size_t[2] read  # payloadType, payloadSize
    cdef int i
    while True:
        for i in range(2):
            read[i] = 0
            while at < size and nal[at] == 0xFF:
                read[i] += 255
                at += 1
            if at >= size:
                return False
            read[i] += nal[at]
            at += 1
        if at >= size:
            return False
        if read[0] == 6:
            return nal[at] >= 0x80
        if read[1] >= size - at:
            return False
        at += read[1]


cdef bint h264_goes_on(const uint8_t* p, size_t size) noexcept nogil:
    """Whether a payload belongs to the picture before it: its first slice does not begin at macroblock 0."""
    cdef int nal_type
    if size < 2:
        return True
    nal_type = p[0] & 0x1F
    if nal_type == NAL_STAP_A:
        return size > 4 and 1 <= p[3] & 0x1F <= NAL_IDR and not p[4] & 0x80
    if nal_type == NAL_FU_A:
        if not p[1] & FU_START:
            return True
        return 1 <= p[1] & 0x1F <= NAL_IDR and size > 2 and not p[2] & 0x80
    return 1 <= nal_type <= NAL_IDR and not p[1] & 0x80


cdef int h264_set_key(const uint8_t* nal, size_t size) noexcept nogil:
    """Of a parameter set: its key in `TrackState.parameter_sets`; -1 where it is none or cannot be used."""
    cdef int identifier
    cdef size_t bit = 8
    if size >= 4 and nal[0] & 0x1F == NAL_SPS:
        bit = 32  # seq_parameter_set_id stands behind profile and level
        identifier = exp_golomb(nal, size, &bit)
        return KEY_SPS + identifier if 0 <= identifier <= 31 else -1
    if size < 2 or nal[0] & 0x1F != NAL_PPS:
        return -1
    identifier = exp_golomb(nal, size, &bit)
    return identifier if identifier <= 255 else -1


cdef int h264_named_pps(const uint8_t* body, size_t size) noexcept nogil:
    """pic_parameter_set_id of a slice; -1 where it cannot be read."""
    cdef size_t bit = 0
    exp_golomb(body, size, &bit)  # first_mb_in_slice
    exp_golomb(body, size, &bit)  # slice_type
    return exp_golomb(body, size, &bit)


cdef object h264_parameters(TrackState t):
    """What is in force; None until there are an SPS and a PPS of it."""
    pps = picture_parameter_sets(t)
    return H264Parameters(t.parameter_sets[t.sps_key], pps) if pps else None
