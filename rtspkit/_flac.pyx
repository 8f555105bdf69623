"""PCM as cameras send it in, FLAC frames of one block size out: each sample expanded, predicted and coded, in C.

Strategy: the samples of a run are expanded into one block, of 16-bit numbers, and whenever it is full it is written as
a frame: no Python object exists for a sample, a packet or a frame. Of FLAC only what pays for speech at 8 kHz is used:
the fixed predictors of orders 0 to 4 (no LPC), Rice partitions with parameters of 4 bits, wasted bits (G.711 has two or
three of them), and of stereo whichever two of left, right and their difference are cheapest. What a subframe takes is
bounded before it is written, and where the samples themselves are shorter they are written instead: a frame is
never larger than its PCM by more than its headers.

The time of a block is that of its first sample. Packets are laid one behind the other, whatever their timestamps say,
unless these step by more than a fifth of a second: cameras stamp sound by the clock of their system, or some packets
with the same time. What timestamps and samples differ by goes into the distances of blocks, a 64th of it into each, so
that a sample clock that is slow or fast is followed. Where packets are known to be missing there are zero samples. At a
step the block is filled up with them, and the next begins at the new time; timestamps that step with every packet, of a
clock with another rate, are not believed, and the steps that were are taken back. Nor are timestamps believed that are
more than a fifth of a second from where the samples are without ever having stepped: nothing is followed then, until
they have gone on as the samples do for a second, which is a step.

The twin of this module, in plain Python, is `tests/reference_flac.py`.

Spec: RFC 9639 (FLAC); ITU-T G.711; RFC 3551 4.5.11 (L16: big-endian).
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cimport cython
from rtspkit._wire cimport SAMPLE_DAMAGED, SAMPLE_SYNC, Sample, get_u16, put_u16, put_u32

__all__ = ["Encoder"]


cdef enum:
    MAX_CHANNELS = 8
    MAX_BLOCK = 4096        # the sums of a block's residuals fit 32 bits
    BITS = 16               # of one sample

    MAX_ORDER = 4           # of the fixed predictors
    MAX_PARTITIONS = 16
    MAX_RICE = 14           # parameters have 4 bits; 15 is an escape

    LEFT_SIDE = 8           # what a frame's header says of its channels; below: how many, less one
    SIDE_RIGHT = 9

    HEADER_SIZE = 16        # the longest: 4 bytes, a frame number of 6, block size, sample rate, CRC-8

    STEP = 5                # a timestamp that is more than a second / STEP off is another time, not an inexact one
    STEPS = 3               # so many packets in a row that step are believed
    SLEW = 6                # 1 / 2**SLEW of a difference goes into each distance of blocks ...
    SLEW_MOST = 7           # ... and 1 / 2**SLEW_MOST of a block at most: no crystal is off by so much


# Times beyond this many ticks are garbage; below it nothing here overflows.
cdef int64_t TIME_LIMIT = <int64_t>1 << 60
# A frame's number has 31 bits, and begins anew after 2.7 years.
cdef uint32_t FRAME_NUMBERS = <uint32_t>1 << 31

cdef int16_t[256] ALAW
cdef int16_t[256] MULAW
cdef uint16_t[4][256] CRC16


cdef void make_tables() noexcept:
    cdef uint32_t i, k, _bit, crc, code
    cdef int32_t value, exponent
    for i in range(256):
        code = i ^ 0x55                             # every other bit is sent inverted
        exponent = <int32_t>(code >> 4 & 7)
        value = <int32_t>(code & 15) * 16 + 8
        if exponent:
            value = (value + 256) << (exponent - 1)
        ALAW[i] = <int16_t>(value if code & 0x80 else -value)
        code = i ^ 0xFF
        value = ((<int32_t>(code & 15) * 8 + 132) << (code >> 4 & 7)) - 132
        MULAW[i] = <int16_t>(-value if code & 0x80 else value)
        crc = i << 8
        for _bit in range(8):
            crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
        CRC16[0][i] = <uint16_t>crc
    for k in range(1, 4):                           # of a byte with k zero bytes behind it
        for i in range(256):
            crc = CRC16[k - 1][i]
            CRC16[k][i] = <uint16_t>((crc << 8 & 0xFFFF) ^ CRC16[0][crc >> 8])


make_tables()


cdef uint8_t crc8(const uint8_t* p, Py_ssize_t size) noexcept nogil:
    """Of a frame's header, polynomial x8 + x2 + x + 1."""
    cdef uint32_t crc = 0
    cdef Py_ssize_t i
    cdef int _bit
    for i in range(size):
        crc ^= p[i]
        for _bit in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return <uint8_t>crc


cdef uint32_t crc16(const uint8_t* p, Py_ssize_t size) noexcept nogil:
    """Of a whole frame, polynomial x16 + x15 + x2 + 1, four bytes at a time."""
    cdef const uint8_t* end = p + size
    cdef uint32_t crc = 0
    while end - p >= 4:
        crc ^= get_u16(p)
        crc = CRC16[3][crc >> 8] ^ CRC16[2][crc & 0xFF] ^ CRC16[1][p[2]] ^ CRC16[0][p[3]]
        p += 4
    while p < end:
        crc = (crc << 8 & 0xFFFF) ^ CRC16[0][(crc >> 8) ^ p[0]]
        p += 1
    return crc


# -- bits -----------------------------------------------------------------------------------------------------

# What is written, and up to 31 bits that are not whole words yet.
cdef struct Bits:
    uint8_t* p
    uint64_t held
    int count


cdef inline void put_bits(Bits* bits, uint32_t value, int count) noexcept nogil:
    """Write the `count` low bits of a value that has no others; up to 32."""
    bits.held = bits.held << count | value
    bits.count += count
    if bits.count >= 32:
        bits.count -= 32
        bits.p = put_u32(bits.p, <uint32_t>(bits.held >> bits.count))


cdef inline void put_signed(Bits* bits, int32_t value, int count) noexcept nogil:
    put_bits(bits, <uint32_t>value & ((<uint32_t>1 << count) - 1), count)


cdef void put_rest(Bits* bits) noexcept nogil:
    """Write the bits that are held, and zeros to the end of the byte."""
    if bits.count & 7:
        put_bits(bits, 0, 8 - (bits.count & 7))
    while bits.count:
        bits.count -= 8
        bits.p[0] = <uint8_t>(bits.held >> bits.count)
        bits.p += 1


# -- one subframe ---------------------------------------------------------------------------------------------

cdef int best_order(const int32_t* x, Py_ssize_t count, uint32_t* least) noexcept nogil:
    """The fixed predictor that leaves least; and how much it leaves, the magnitudes of its residual together."""
    cdef uint32_t[MAX_ORDER + 1] sums
    cdef uint32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0
    cdef int32_t e0, e1, e2, e3, e4
    cdef Py_ssize_t i
    cdef int order = 0, k
    for i in range(MAX_ORDER, count):
        e0 = x[i]
        e1 = x[i] - x[i - 1]
        e2 = e1 - (x[i - 1] - x[i - 2])
        e3 = x[i] - x[i - 3] - 3 * (x[i - 1] - x[i - 2])
        e4 = x[i] + x[i - 4] - 4 * (x[i - 1] + x[i - 3]) + 6 * x[i - 2]
        s0 += <uint32_t>(-e0 if e0 < 0 else e0)
        s1 += <uint32_t>(-e1 if e1 < 0 else e1)
        s2 += <uint32_t>(-e2 if e2 < 0 else e2)
        s3 += <uint32_t>(-e3 if e3 < 0 else e3)
        s4 += <uint32_t>(-e4 if e4 < 0 else e4)
    sums[0], sums[1], sums[2], sums[3], sums[4] = s0, s1, s2, s3, s4
    for k in range(1, MAX_ORDER + 1):
        if sums[k] < sums[order]:
            order = k
    least[0] = sums[order]
    return order


cdef void fold_residual(const int32_t* x, uint32_t* folded, Py_ssize_t count, int order) noexcept nogil:
    """What the predictor leaves of each sample behind its first `order`, as Rice codes count: 0, -1, 1, -2 ..."""
    cdef Py_ssize_t i
    cdef int32_t e
    if order == 0:
        for i in range(count):
            e = x[i]
            folded[i] = <uint32_t>e << 1 ^ <uint32_t>(e >> 31)
    elif order == 1:
        for i in range(1, count):
            e = x[i] - x[i - 1]
            folded[i] = <uint32_t>e << 1 ^ <uint32_t>(e >> 31)
    elif order == 2:
        for i in range(2, count):
            e = x[i] - 2 * x[i - 1] + x[i - 2]
            folded[i] = <uint32_t>e << 1 ^ <uint32_t>(e >> 31)
    elif order == 3:
        for i in range(3, count):
            e = x[i] - x[i - 3] - 3 * (x[i - 1] - x[i - 2])
            folded[i] = <uint32_t>e << 1 ^ <uint32_t>(e >> 31)
    else:
        for i in range(4, count):
            e = x[i] + x[i - 4] - 4 * (x[i - 1] + x[i - 3]) + 6 * x[i - 2]
            folded[i] = <uint32_t>e << 1 ^ <uint32_t>(e >> 31)


# How a residual is cut into partitions, and what it takes at most.
cdef struct Plan:
    int partition_order
    uint8_t[MAX_PARTITIONS] rice
    uint64_t bits


cdef inline uint64_t rice_bits(uint64_t total, uint64_t count, uint8_t* rice) noexcept nogil:
    """The bits that `count` numbers take at most whose sum is `total`, and the parameter with which they do."""
    cdef int k = 0
    while k < MAX_RICE and count << (k + 1) < total:
        k += 1
    rice[0] = <uint8_t>k
    return count * <uint64_t>(k + 1) + (total >> k)


cdef void plan_partitions(Plan* plan, const uint32_t* folded, Py_ssize_t count, int order) noexcept nogil:
    """Choose how a residual is partitioned."""
    cdef uint64_t[MAX_PARTITIONS] totals
    cdef uint8_t[MAX_PARTITIONS] rice
    cdef Py_ssize_t size, i
    cdef uint64_t total, bits
    cdef int k = 0, number
    while (2 << k) <= MAX_PARTITIONS and count % (2 << k) == 0 and count >> (k + 1) > MAX_ORDER:
        k += 1
    size = count >> k
    for number in range(1 << k):
        total = 0
        for i in range(order if number == 0 else number * size, (number + 1) * size):
            total += folded[i]
        totals[number] = total
    plan.bits, plan.partition_order = <uint64_t>-1, 0
    while k >= 0:
        size = count >> k
        bits = 6                                    # method and partition order
        for number in range(1 << k):
            bits += 4 + rice_bits(totals[number], <uint64_t>(size - (order if number == 0 else 0)), &rice[number])
        if bits < plan.bits:
            plan.bits, plan.partition_order = bits, k
            memcpy(plan.rice, rice, sizeof(rice))
        for number in range((1 << k) >> 1):
            totals[number] = totals[2 * number] + totals[2 * number + 1]
        k -= 1


cdef void put_residual(
    Bits* bits, const Plan* plan, const uint32_t* folded, Py_ssize_t count, int order
) noexcept nogil:
    cdef Bits b = bits[0]                           # in registers
    cdef Py_ssize_t size = count >> plan.partition_order
    cdef Py_ssize_t i = order, stop = 0
    cdef int number, k
    cdef uint32_t zeros
    put_bits(&b, <uint32_t>plan.partition_order, 6)
    for number in range(1 << plan.partition_order):
        k = plan.rice[number]
        put_bits(&b, <uint32_t>k, 4)
        stop += size
        while i < stop:
            zeros = folded[i] >> k
            while zeros > 16:                       # 15 more at most belong to the bits that end it
                put_bits(&b, 0, 16)
                zeros -= 16
            put_bits(&b, (<uint32_t>1 << k) | (folded[i] & ((<uint32_t>1 << k) - 1)), <int>zeros + 1 + k)
            i += 1
    bits[0] = b


cdef void put_subframe(Bits* bits, int32_t* x, uint32_t* folded, Py_ssize_t count, int width) noexcept nogil:
    """Write one channel.

    Args:
        bits: where to.
        x: its samples; they are shifted where their low bits are wasted.
        folded: scratch, as long.
        count: of samples.
        width: bits of one.
    """
    cdef Plan plan
    cdef uint32_t used = 0, least
    cdef int wasted = 0, order
    cdef Py_ssize_t i = 1
    while i < count and x[i] == x[0]:
        i += 1
    if i == count:                                  # digital silence
        put_bits(bits, 0, 8)
        put_signed(bits, x[0], width)
        return
    for i in range(count):
        used |= <uint32_t>x[i]
    while not used >> wasted & 1:
        wasted += 1
    if wasted:
        for i in range(count):
            x[i] >>= wasted
        width -= wasted
    order = best_order(x, count, &least)
    fold_residual(x, folded, count, order)
    plan_partitions(&plan, folded, count, order)
    if plan.bits + <uint64_t>(order * width) < <uint64_t>(count * width):
        put_bits(bits, 0x10 | <uint32_t>order << 1 | (1 if wasted else 0), 8)
    else:
        order = -1
        put_bits(bits, 0x02 | (1 if wasted else 0), 8)
    if wasted:
        put_bits(bits, 1, wasted)
    for i in range(count if order < 0 else order):
        put_signed(bits, x[i], width)
    if order >= 0:
        put_residual(bits, &plan, folded, count, order)


# -- what is written ------------------------------------------------------------------------------------------

cdef struct Buffer:
    uint8_t* p
    Py_ssize_t used
    Py_ssize_t size


cdef int reserve(Buffer* buffer, Py_ssize_t more) except -1:
    """Make room for so many bytes."""
    cdef Py_ssize_t size = buffer.used + more
    cdef uint8_t* p
    if size > buffer.size:
        size += size >> 1
        p = <uint8_t*>PyMem_Realloc(buffer.p, <size_t>size)
        if p == NULL:
            raise MemoryError
        buffer.p, buffer.size = p, size
    return 0


@cython.final
cdef class Encoder:
    """The sound of one track, from its packets to FLAC frames. Belongs to one thread at a time.

    Args:
        codec: "pcma", "pcmu" or "l16".
        channels: 1 to 8.
        sample_rate: Hz, and ticks a second of all times.
        rate_code: what a frame's header says of the rate (RFC 9639, 9.1.2).
        block_size: samples of each channel in every frame, 16 to 4096.

    Raises:
        ValueError: an argument is out of its range.
    """

    cdef int32_t* signals           # a block of each channel; and one for the difference of two, and for a residual
    cdef const int16_t* law         # how bytes are expanded; NULL: they are 16-bit numbers
    cdef Py_ssize_t channels, block_size, filled
    cdef int64_t rate, block_pts, arrival
    cdef int64_t ahead, last_count  # of the last packet: by how much its timestamp is ahead of its samples; how many
    cdef int steps                  # packets in a row whose timestamps stepped ...
    cdef int64_t stepped            # ... and how far
    cdef int64_t mark, steady       # `ahead` some time ago, while it is too far to be followed; samples since then
    cdef uint32_t rate_code, frame_number
    cdef bint is_running, is_damaged
    cdef Buffer frames, records

    def __cinit__(self, codec, *, int channels, int sample_rate, int rate_code, int block_size):
        if codec not in ("pcma", "pcmu", "l16") or not (1 <= channels <= MAX_CHANNELS and 0 < sample_rate < 1 << 20
                                                        and 0 < rate_code < 15 and 16 <= block_size <= MAX_BLOCK):
            raise ValueError(f"FLAC cannot be made of {codec}, {channels} channels of {sample_rate} Hz, "
                             f"in blocks of {block_size}")
        self.law = ALAW if codec == "pcma" else MULAW if codec == "pcmu" else NULL
        self.channels, self.rate, self.block_size = channels, sample_rate, block_size
        self.rate_code = <uint32_t>rate_code
        self.signals = <int32_t*>PyMem_Malloc(<size_t>((channels + 2) * block_size) * sizeof(int32_t))
        if self.signals == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.signals)
        PyMem_Free(self.frames.p)
        PyMem_Free(self.records.p)

    def restart(self):
        """Time starts anew: what is held of a block is forgotten."""
        self.is_running = self.is_damaged = False
        self.filled = 0

    def encode(self, samples, data):
        """Take the packets of a run.

        Args:
            samples: packed records of `rtspkit.media.SAMPLE_SIZE` bytes.
            data: the packets' samples, one behind the other; what is no whole number of them in a packet is left out.

        Returns:
            the records and the media of the blocks that are complete now; both empty where none is.

        Raises:
            ValueError: the table is no whole number of records, or these announce other media than there are.
        """
        cdef Py_buffer table, media
        cdef Sample sample
        cdef const uint8_t* p
        cdef Py_ssize_t i
        cdef uint64_t announced = 0
        PyObject_GetBuffer(samples, &table, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(data, &media, PyBUF_SIMPLE)
            try:
                if table.len % <Py_ssize_t>sizeof(Sample):
                    raise ValueError(f"{table.len} bytes are no whole number of samples")
                for i in range(table.len // <Py_ssize_t>sizeof(Sample)):
                    memcpy(&sample, <const uint8_t*>table.buf + i * <Py_ssize_t>sizeof(Sample), sizeof(Sample))
                    announced += sample.size
                if announced != <uint64_t>media.len:
                    raise ValueError(f"the samples announce {announced} bytes, but there are {media.len}")
                self.frames.used = self.records.used = 0
                p = <const uint8_t*>media.buf
                for i in range(table.len // <Py_ssize_t>sizeof(Sample)):
                    memcpy(&sample, <const uint8_t*>table.buf + i * <Py_ssize_t>sizeof(Sample), sizeof(Sample))
                    self.take(&sample, p)
                    p += sample.size
                return (PyBytes_FromStringAndSize(<const char*>self.records.p, self.records.used),
                        PyBytes_FromStringAndSize(<const char*>self.frames.p, self.frames.used))
            finally:
                PyBuffer_Release(&media)
        finally:
            PyBuffer_Release(&table)

    cdef int take(self, const Sample* packet, const uint8_t* p) except -1:
        """Put a packet where its time says."""
        cdef Py_ssize_t width = self.channels * (1 if self.law != NULL else 2)
        cdef Py_ssize_t count = <Py_ssize_t>packet.size // width
        cdef Py_ssize_t part
        cdef int64_t pts = min(max(packet.pts, -TIME_LIMIT), TIME_LIMIT)
        cdef bint is_damaged = packet.flags & SAMPLE_DAMAGED != 0
        cdef bint is_near
        cdef int64_t change, limit = self.rate // STEP
        if count == 0:
            self.is_damaged |= is_damaged
            return 0
        if self.is_running:
            change = pts - (self.block_pts + self.filled) - self.ahead
            is_near = -limit - self.last_count <= change <= limit
            if is_near and is_damaged and change > 0:
                self.fill(change)
            elif is_near or self.steps == STEPS:
                self.ahead += change
            else:
                self.stepped += pts - (self.block_pts + self.filled)
                self.step_to(pts)
            if is_near:
                self.steps = 0
                self.stepped = 0
            elif self.steps < STEPS:
                self.steps += 1
                if self.steps == STEPS:
                    self.block_pts -= self.stepped
                    self.ahead += self.stepped
            if not -limit <= self.ahead <= limit:
                if self.steady >= self.rate:
                    change = self.ahead - self.mark
                    self.mark, self.steady = self.ahead, 0
                    if -self.rate <= change << SLEW <= self.rate:
                        self.step_to(pts)
                self.steady += count
            else:
                self.mark, self.steady = self.ahead, 0
        else:
            self.is_running = True
            self.block_pts, self.ahead, self.steps = pts, 0, 0
            self.stepped = self.mark = self.steady = 0
        self.last_count = count
        self.is_damaged |= is_damaged
        self.arrival = packet.arrival
        while count:
            part = min(count, self.block_size - self.filled)
            self.expand(p, part)
            p += part * width
            count -= part
            self.advance(part)
        return 0

    cdef int step_to(self, int64_t pts) except -1:
        """What comes now is at another time."""
        if self.filled:
            self.fill(self.block_size - self.filled)
        self.block_pts, self.ahead = pts, 0
        return 0

    cdef int fill(self, int64_t count) except -1:
        """Put zero samples where some are missing."""
        cdef Py_ssize_t part, channel
        while count:
            part = <Py_ssize_t>min(count, <int64_t>(self.block_size - self.filled))
            for channel in range(self.channels):
                memset(self.signals + channel * self.block_size + self.filled, 0, <size_t>part * sizeof(int32_t))
            self.is_damaged = True
            count -= part
            self.advance(part)
        return 0

    cdef void expand(self, const uint8_t* p, Py_ssize_t count) noexcept nogil:
        """Put so many samples of each channel into the block; there is room."""
        cdef Py_ssize_t channel, i
        cdef int32_t* x
        for channel in range(self.channels):
            x = self.signals + channel * self.block_size + self.filled
            if self.law != NULL:
                for i in range(count):
                    x[i] = self.law[p[i * self.channels + channel]]
            else:
                for i in range(count):
                    x[i] = <int16_t>get_u16(p + 2 * (i * self.channels + channel))

    cdef int advance(self, Py_ssize_t count) except -1:
        """Count what was put into the block, and write it where it is full."""
        cdef int64_t step = 0, most = max(1, self.block_size >> SLEW_MOST), limit = self.rate // STEP
        self.filled += count
        if self.filled == self.block_size:
            self.put_block()
            if -limit <= self.ahead <= limit:
                # away from 0: what is left of a difference goes, too
                step = (self.ahead if self.ahead < 0 else self.ahead + (1 << SLEW) - 1) >> SLEW
                step = min(max(step, -most), most)
            self.ahead -= step
            self.block_pts += self.block_size + step
            self.filled = 0
            self.is_damaged = False
        return 0

    cdef int put_block(self) except -1:
        """Write the block as a frame."""
        cdef Py_ssize_t n = self.block_size
        cdef Py_ssize_t i, size
        cdef int32_t* left = self.signals
        cdef int32_t* right = left + n
        cdef int32_t* side = left + self.channels * n
        cdef uint32_t* folded = <uint32_t*>(side + n)
        cdef uint32_t in_left, in_right, in_side
        cdef uint32_t assignment = <uint32_t>self.channels - 1
        cdef uint8_t* start
        cdef Bits bits
        cdef Sample record
        # 4 bytes of a subframe's header and of its last byte; each sample has 17 bits at most
        reserve(&self.frames, HEADER_SIZE + self.channels * (4 + (n * (BITS + 1) >> 3)) + 8)
        reserve(&self.records, <Py_ssize_t>sizeof(Sample))
        if self.channels == 2:
            for i in range(n):
                side[i] = left[i] - right[i]
            best_order(left, n, &in_left)
            best_order(right, n, &in_right)
            best_order(side, n, &in_side)
            if in_side < max(in_left, in_right):
                assignment = LEFT_SIDE if in_left <= in_right else SIDE_RIGHT

        start = self.frames.p + self.frames.used
        bits.p, bits.held, bits.count = self.put_header(start, assignment), 0, 0
        if assignment == LEFT_SIDE:
            put_subframe(&bits, left, folded, n, BITS)
            put_subframe(&bits, side, folded, n, BITS + 1)
        elif assignment == SIDE_RIGHT:
            put_subframe(&bits, side, folded, n, BITS + 1)
            put_subframe(&bits, right, folded, n, BITS)
        else:
            for i in range(self.channels):
                put_subframe(&bits, left + i * n, folded, n, BITS)
        put_rest(&bits)
        bits.p = put_u16(bits.p, crc16(start, bits.p - start))
        size = bits.p - start
        self.frames.used += size
        record.pts, record.arrival, record.size = self.block_pts, self.arrival, <uint32_t>size
        record.flags = SAMPLE_SYNC | (SAMPLE_DAMAGED if self.is_damaged else 0)
        memcpy(self.records.p + self.records.used, &record, sizeof(Sample))
        self.records.used += <Py_ssize_t>sizeof(Sample)
        self.frame_number = (self.frame_number + 1) % FRAME_NUMBERS
        return 0

    cdef uint8_t* put_header(self, uint8_t* p, uint32_t assignment) noexcept nogil:
        """A frame's header: blocks of one size, which stands in 16 bits, samples of 16 bits."""
        cdef uint8_t* start = p
        cdef uint32_t number = self.frame_number
        cdef uint32_t more = 0
        p = put_u16(p, 0xFFF8)
        p[0] = <uint8_t>(0x70 | self.rate_code)
        p[1] = <uint8_t>(assignment << 4 | 4 << 1)
        p += 2
        if number < 0x80:
            p[0] = <uint8_t>number
        else:                                       # coded as UTF-8 does it, up to six bytes
            while more < 5 and number >> (6 * more) >= <uint32_t>0x40 >> more:
                more += 1
            p[0] = <uint8_t>((0xFF80 >> more) & 0xFF | number >> (6 * more))
            while more:
                more -= 1
                p += 1
                p[0] = <uint8_t>(0x80 | number >> (6 * more) & 0x3F)
        p = put_u16(p + 1, <uint32_t>self.block_size - 1)
        if self.rate_code == 13:
            p = put_u16(p, <uint32_t>self.rate)
        p[0] = crc8(start, p - start)
        return p + 1
