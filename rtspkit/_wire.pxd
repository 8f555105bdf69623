# Inline helpers that both extensions cimport: the packed sample record, big-endian get and put, and a
# cursor that cannot read past its end. No Python object is touched here, so all of it runs without
# the interpreter's help and nothing of it exists at run time.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    SAMPLE_SYNC = 1     # decoding can start here
    SAMPLE_DAMAGED = 2  # packets were lost before or within it


# One access unit in a Run. Its media lie behind those of the sample before; rtspkit.media.SAMPLE
# describes this same layout to Python.
cdef struct Sample:
    int64_t pts         # ticks of the track's clock rate
    int64_t arrival     # monotonic nanoseconds
    uint32_t size       # bytes
    uint32_t flags      # SAMPLE_*


cdef inline uint32_t get_u16(const uint8_t* p) noexcept nogil:
    return (<uint32_t>p[0] << 8) | p[1]


cdef inline uint32_t get_u24(const uint8_t* p) noexcept nogil:
    return (<uint32_t>p[0] << 16) | (<uint32_t>p[1] << 8) | p[2]


cdef inline uint32_t get_u32(const uint8_t* p) noexcept nogil:
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]


cdef inline uint64_t get_u64(const uint8_t* p) noexcept nogil:
    return (<uint64_t>get_u32(p) << 32) | get_u32(p + 4)


cdef inline uint8_t* put_u16(uint8_t* p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t>(value >> 8)
    p[1] = <uint8_t>value
    return p + 2


cdef inline uint8_t* put_u24(uint8_t* p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t>(value >> 16)
    p[1] = <uint8_t>(value >> 8)
    p[2] = <uint8_t>value
    return p + 3


cdef inline uint8_t* put_u32(uint8_t* p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t>(value >> 24)
    p[1] = <uint8_t>(value >> 16)
    p[2] = <uint8_t>(value >> 8)
    p[3] = <uint8_t>value
    return p + 4


cdef inline uint8_t* put_u64(uint8_t* p, uint64_t value) noexcept nogil:
    return put_u32(put_u32(p, <uint32_t>(value >> 32)), <uint32_t>value)
