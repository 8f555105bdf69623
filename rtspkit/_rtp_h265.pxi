# H.265 depacketizer (RFC 7798, one stream in decoding order): single NAL units, aggregation packets and fragmentation
# units. Included by _rtp.pyx; `_rtp_nal.pxi` makes access units of them.
#
# Decoding order numbers (DONL) are there only where the description says so, and such a description is refused.

cdef enum:
    H265_RASL_N = 8
    H265_RASL_R = 9
    H265_BLA_W_LP = 16
    H265_BLA_N_LP = 18
    H265_CRA = 21
    H265_LAST_VCL = 31
    H265_VPS = 32
    H265_SPS = 33
    H265_PPS = 34
    H265_AUD = 35
    H265_END_OF_SEQUENCE = 36
    H265_END_OF_BITSTREAM = 37
    H265_FILLER = 38
    H265_PREFIX_SEI = 39
    H265_SUFFIX_SEI = 40
    H265_AP = 48
    H265_FU = 49
    H265_FU_TYPE = 0x3F         # of an FU header


cdef inline int h265_type(const uint8_t* header) noexcept nogil:
    return header[0] >> 1 & 0x3F


cdef int h265(Receiver receiver, TrackState t, const uint8_t* p, size_t size) except -1:
    """One payload, not empty."""
    cdef int nal_type
    cdef uint8_t[2] header
    if size < 2:
        t.broken += 1
        return 0
    nal_type = h265_type(p)
    if nal_type == H265_FU:
        if size < 3:
            t.broken += 1
            return 0
        header[0] = (p[0] & 0x81) | (p[2] & H265_FU_TYPE) << 1
        header[1] = p[1]
        fragment(receiver, t, header, p[2], p + 3, size - 3)
    elif nal_type == H265_AP:
        aggregation(receiver, t, p + 2, size - 2)
    elif nal_type < H265_AP:
        t.drop_fragment()
        whole_nal(receiver, t, p, size)
    else:
        # PACI packets, which nobody sends, and types that are nobody's.
        t.discarded += 1
    return 0


cdef inline NalKind h265_kind(const uint8_t* header) noexcept nogil:
    cdef int nal_type = h265_type(header)
    if header[1] & 7 == 0:
        # No NAL unit has a temporal id below 0; the zeros of an Annex B start code look like one.
        return KIND_INVALID
    if nal_type <= H265_LAST_VCL:
        if H265_BLA_W_LP <= nal_type <= H265_CRA:
            return KIND_BROKEN_LINK if nal_type <= H265_BLA_N_LP else KIND_SYNC_SLICE
        return KIND_SKIPPED_SLICE if H265_RASL_N <= nal_type <= H265_RASL_R else KIND_SLICE
    if nal_type <= H265_PPS:
        return KIND_PARAMETER_SET
    if nal_type == H265_END_OF_SEQUENCE or nal_type == H265_END_OF_BITSTREAM:
        return KIND_END
    if nal_type == H265_AUD or nal_type == H265_FILLER or nal_type >= H265_AP:  # the last are RTP's own
        return KIND_LEFT_OUT
    return KIND_MESSAGE if nal_type == H265_PREFIX_SEI or nal_type == H265_SUFFIX_SEI else KIND_OTHER


cdef bint h265_goes_on(const uint8_t* p, size_t size) noexcept nogil:
    """Whether a payload belongs to the picture before it: a later slice segment, or SEI that stands behind slices."""
    cdef int nal_type
    cdef uint8_t first = 0  # of what stands behind the header
    if size < 3:
        return True
    nal_type = h265_type(p)
    if nal_type == H265_AP:
        if size <= 6:
            return False
        nal_type, first = h265_type(p + 4), p[6]
    elif nal_type == H265_FU:
        if not p[2] & FU_START:
            return True
        if size <= 3:
            return False
        nal_type, first = p[2] & H265_FU_TYPE, p[3]
    else:
        first = p[2]
    return nal_type == H265_SUFFIX_SEI or (nal_type <= H265_LAST_VCL and not first & 0x80)


cdef int h265_set_key(const uint8_t* nal, size_t size) noexcept nogil:
    """Of a parameter set: its key in `TrackState.parameter_sets`; -1 where it is none or cannot be used."""
    cdef int identifier
    if size < 3:
        return -1
    if h265_type(nal) == H265_VPS:
        return KEY_VPS
    if h265_type(nal) == H265_SPS:
        return KEY_SPS if size >= 15 else -1  # as far as profile, tier and level, which open it
    if h265_type(nal) != H265_PPS:
        return -1
    identifier = exp_golomb(nal, size, 16)
    return identifier if identifier <= 63 else -1


cdef object h265_parameters(dict sets):
    """What is in force; None until there are a VPS, an SPS and a PPS."""
    pps = picture_parameter_sets(sets)
    if KEY_VPS not in sets or KEY_SPS not in sets or not pps:
        return None
    return H265Parameters(sets[KEY_VPS], sets[KEY_SPS], pps)
