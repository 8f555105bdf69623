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
    H265_SPS_HEAD = 96          # bytes of an SPS that its id is among, with profile and level of seven sub-layers


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
        # Those of another layer (nuh_layer_id) have ids like the base layer's, whose decoders ignore them.
        return KIND_LEFT_OUT if header[0] & 1 or header[1] >> 3 else KIND_PARAMETER_SET
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
    cdef size_t bit = 16
    if size < 3:
        return -1
    if h265_type(nal) == H265_VPS:
        return KEY_VPS
    if h265_type(nal) == H265_SPS:
        identifier = h265_sps_id(nal, size)
        return KEY_SPS + identifier if identifier >= 0 else -1
    if h265_type(nal) != H265_PPS:
        return -1
    identifier = exp_golomb(nal, size, &bit)
    return identifier if identifier <= 63 else -1


cdef int h265_sps_id(const uint8_t* nal, size_t size) noexcept nogil:
    """sps_seq_parameter_set_id, which stands behind profile, tier and level (7.3.3); -1 where it is none."""
    cdef uint8_t[H265_SPS_HEAD] head
    cdef size_t have = 0, i
    cdef int zeros = 0
    cdef int layer, layers, identifier
    cdef size_t bit = 120  # behind the general ones
    for i in range(size):
        if zeros >= 2 and nal[i] == 3:  # emulation_prevention_three_byte
            zeros = 0
            continue
        zeros = 0 if nal[i] else zeros + 1
        head[have] = nal[i]
        have += 1
        if have == H265_SPS_HEAD:
            break
    if have < 15:
        return -1
    layers = head[2] >> 1 & 7  # sps_max_sub_layers_minus1
    if layers == 7:
        return -1
    if layers:
        if have < 17:
            return -1
        bit += 16
        for layer in range(layers):
            i = 15 + (layer >> 2)
            bit += 88 * (head[i] >> (7 - 2 * (layer & 3)) & 1)  # sub_layer_profile_present_flag
            bit += 8 * (head[i] >> (6 - 2 * (layer & 3)) & 1)  # sub_layer_level_present_flag
    identifier = exp_golomb(head, have, &bit)
    return identifier if identifier <= 15 else -1


cdef int h265_named_pps(const uint8_t* body, size_t size) noexcept nogil:
    """slice_pic_parameter_set_id of a picture that decoding can start with; -1 where it cannot be read."""
    cdef size_t bit = 2  # behind first_slice_segment_in_pic_flag, no_output_of_prior_pics_flag
    return exp_golomb(body, size, &bit)


cdef object h265_parameters(TrackState t):
    """What is in force; None until there are a VPS, an SPS and a PPS of it."""
    pps = picture_parameter_sets(t)
    vps = t.parameter_sets.get(KEY_VPS)
    return H265Parameters(vps, t.parameter_sets[t.sps_key], pps) if vps is not None and pps else None
