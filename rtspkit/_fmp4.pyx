"""The hot half of the fMP4 writer: packed samples in, one moof and one mdat box out, in one pass.

Strategy: the whole fragment is planned first (decode times, durations, composition offsets and every box's
size, all in C, a row of 16 bytes a sample), then one bytes object of exactly that size is made and filled.
The media are copied once, from the run into that object; nothing is moved or patched afterwards, and no
Python object exists for a sample. Sizes that peers sent are only ever written as numbers: what is copied, and
how much, comes from the buffers themselves, so that a lying table can spoil the text of a box at most.

The interpreter lock is kept: a fragment takes some ten microseconds, giving the lock up to a busy thread would
cost milliseconds.

Spec: ISO/IEC 14496-12:2022, 8.8.4 moof, 8.8.5 mfhd, 8.8.6 traf, 8.8.7 tfhd, 8.8.8 trun, 8.8.12 tfdt, 8.1.1 mdat.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.number cimport PyNumber_Index
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, UINT32_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from rtspkit._wire cimport SAMPLE_SYNC, Sample, put_u32, put_u64

__all__ = ["survey", "write_fragment"]


cdef extern from *:
    const Py_ssize_t PY_SSIZE_T_MAX


cdef enum:
    BOX_HEADER = 8
    MFHD_SIZE = 16
    TRAF_SIZE = BOX_HEADER + 16 + 20 + 20   # with tfhd, tfdt and trun, without the rows of trun
    ROW_SIZE = 12                           # duration, size, flags; and 4 more with a composition offset

    DEFAULT_BASE_IS_MOOF = 0x020000         # tfhd
    DATA_OFFSET = 0x000001                  # trun
    SAMPLE_ROWS = 0x000700                  # trun: duration, size and flags stand in each row
    SAMPLE_COMPOSITION_OFFSET = 0x000800    # trun

    FLAGS_SYNC = 0x02000000                 # sample_depends_on = 2: on no other
    FLAGS_NON_SYNC = 0x01010000             # sample_depends_on = 1, sample_is_non_sync_sample

    SORTED_BY_INSERTION = 16                # a stretch this short; B-pictures are never displaced further

    PLAN_OK = 0
    PLAN_SIZES = 1
    PLAN_TIMES = 2


# Times beyond this many ticks (800,000 years at 90 kHz) are garbage; below it no sum of three overflows.
cdef int64_t TIME_LIMIT = <int64_t>1 << 61


# One row of trun, in the machine's byte order.
cdef struct Row:
    uint32_t duration
    uint32_t size
    uint32_t flags
    int32_t composition_offset


cdef struct Run:
    uint32_t track_id
    int64_t dts
    int64_t shift
    int64_t end
    int64_t default_duration
    int64_t delay
    bint is_even
    Py_buffer samples
    Py_buffer data
    bint has_samples            # the buffers that are held
    bint has_data
    Py_ssize_t count            # of samples
    Row* rows
    bint has_offsets            # some composition offset is not 0
    uint64_t announced          # the samples' sizes together


cdef inline int64_t clamp(int64_t value, int64_t low, int64_t high) noexcept nogil:
    return low if value < low else high if value > high else value


cdef void sort_times(int64_t* times, int64_t* spare, Py_ssize_t count) noexcept nogil:
    """Sort ascending, in n log n whatever the order: short stretches by insertion, then merged bottom-up."""
    cdef Py_ssize_t start, middle, stop, left, right, i, width
    cdef int64_t value
    cdef int64_t* source = times
    cdef int64_t* target = spare
    start = 0
    while start < count:
        stop = min(start + SORTED_BY_INSERTION, count)
        for i in range(start + 1, stop):
            value = times[i]
            left = i
            while left > start and times[left - 1] > value:
                times[left] = times[left - 1]
                left -= 1
            times[left] = value
        start = stop
    width = SORTED_BY_INSERTION
    while width < count:
        start = 0
        while start < count:
            middle = min(start + width, count)
            stop = min(middle + width, count)
            left = start
            right = middle
            for i in range(start, stop):
                if left < middle and (right >= stop or source[left] <= source[right]):
                    target[i] = source[left]
                    left += 1
                else:
                    target[i] = source[right]
                    right += 1
            start = stop
        source, target = target, source
        width *= 2
    if source != times:
        memcpy(times, source, <size_t>count * sizeof(int64_t))


cdef int plan_run(Run* run, int64_t* shown, int64_t* decoded, int64_t* spare) noexcept nogil:
    """Fill `run.rows`, and replace `run.dts`..`run.end` by the decode times at which the run begins and ends.

    `shown`, `decoded` and `spare` are scratch, as long as the run. Decode times follow the presentation times in
    ascending order, from where the track's previous run has ended, each at least a tick after the one before,
    no further than a duration can say, and before `end` where there is room; with `is_even` they go there in even
    steps. Whatever that moves goes into the composition offsets, and `delay` too.
    """
    cdef Sample sample
    cdef const uint8_t* record = <const uint8_t*>run.samples.buf
    cdef Py_ssize_t i
    cdef Py_ssize_t last = run.count - 1
    cdef bint ascending = True
    cdef int64_t previous
    cdef int64_t offset, span

    if not (0 <= run.dts <= TIME_LIMIT and -TIME_LIMIT <= run.shift <= TIME_LIMIT and run.end <= TIME_LIMIT
            and 0 <= run.delay <= TIME_LIMIT):
        return PLAN_TIMES
    run.announced = 0
    for i in range(run.count):
        memcpy(&sample, record, sizeof(Sample))     # the caller's table may lie at any address
        record += sizeof(Sample)
        if not -TIME_LIMIT <= sample.pts <= TIME_LIMIT:
            return PLAN_TIMES
        shown[i] = decoded[i] = sample.pts + run.shift
        if i and decoded[i] < decoded[i - 1]:
            ascending = False
        run.announced += sample.size
        run.rows[i].size = sample.size
        run.rows[i].flags = FLAGS_SYNC if sample.flags & SAMPLE_SYNC else FLAGS_NON_SYNC
    if run.announced != <uint64_t>run.data.len:
        return PLAN_SIZES
    run.has_offsets = False
    if run.count == 0:
        run.end = run.dts
        return PLAN_OK
    if run.is_even and run.end > run.dts:
        span = run.end - run.dts
        for i in range(1, run.count):
            decoded[i] = run.dts + span // run.count * i + span % run.count * i // run.count
    elif not ascending:
        sort_times(decoded, spare, run.count)

    decoded[0] = previous = run.dts
    for i in range(1, run.count):
        decoded[i] = clamp(decoded[i], previous + 1, previous + UINT32_MAX)
        if run.end >= 0 and decoded[i] > run.end - (run.count - i):
            decoded[i] = clamp(run.end - (run.count - i), previous + 1, previous + UINT32_MAX)
        run.rows[i - 1].duration = <uint32_t>(decoded[i] - previous)
        previous = decoded[i]
    if run.end < 0:
        run.end = previous + (run.rows[last - 1].duration if last else run.default_duration)
    run.end = clamp(run.end, previous + 1, previous + UINT32_MAX)
    run.rows[last].duration = <uint32_t>(run.end - previous)
    for i in range(run.count):
        offset = clamp(shown[i] + run.delay - decoded[i], INT32_MIN, INT32_MAX)
        run.rows[i].composition_offset = <int32_t>offset
        if offset:
            run.has_offsets = True
    return PLAN_OK


cdef inline uint64_t traf_size(const Run* run) noexcept nogil:
    return TRAF_SIZE + <uint64_t>run.count * (ROW_SIZE + (4 if run.has_offsets else 0))


cdef inline uint8_t* put_box(uint8_t* p, uint32_t size, const char* kind) noexcept nogil:
    p = put_u32(p, size)
    memcpy(p, kind, 4)
    return p + 4


cdef uint8_t* put_traf(uint8_t* p, const Run* run, uint32_t data_offset) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint32_t size = <uint32_t>traf_size(run)
    p = put_box(p, size, b"traf")
    p = put_box(p, 16, b"tfhd")
    p = put_u32(p, DEFAULT_BASE_IS_MOOF)
    p = put_u32(p, run.track_id)
    p = put_box(p, 20, b"tfdt")
    p = put_u32(p, 0x01000000)                      # version 1: 64 bits
    p = put_u64(p, <uint64_t>run.dts)
    p = put_box(p, size - (BOX_HEADER + 16 + 20), b"trun")
    p = put_u32(p, 0x01000000 | DATA_OFFSET | SAMPLE_ROWS    # version 1: signed composition offsets
                | (SAMPLE_COMPOSITION_OFFSET if run.has_offsets else 0))
    p = put_u32(p, <uint32_t>run.count)
    p = put_u32(p, data_offset)
    for i in range(run.count):
        p = put_u32(p, run.rows[i].duration)
        p = put_u32(p, run.rows[i].size)
        p = put_u32(p, run.rows[i].flags)
        if run.has_offsets:
            p = put_u32(p, <uint32_t>run.rows[i].composition_offset)
    return p


cdef int take_run(Run* run, Py_ssize_t index, object item) except -1:
    """Read one `FragmentRun` and hold its buffers; the caller lets go of them, also after an error."""
    track_id, dts, shift, end, default_duration, samples, data, *rest = item
    if len(rest) > 2:
        raise ValueError(f"run {index}: too many values to unpack, 7 to 9 are expected")
    try:
        run.track_id = PyNumber_Index(track_id)
        run.dts = PyNumber_Index(dts)
        run.shift = PyNumber_Index(shift)
        run.end = PyNumber_Index(end)
        run.default_duration = PyNumber_Index(default_duration)
        run.delay = PyNumber_Index(rest[0]) if rest else 0
        run.is_even = True if len(rest) > 1 and rest[1] else False
    except OverflowError:
        raise ValueError(f"run {index}: a number does not fit its field: track {track_id}, dts {dts}, shift {shift}, "
                         f"end {end}, default duration {default_duration}, delay {rest[:1]}") from None
    run.default_duration = clamp(run.default_duration, 1, UINT32_MAX)
    PyObject_GetBuffer(samples, &run.samples, PyBUF_SIMPLE)
    run.has_samples = True
    PyObject_GetBuffer(data, &run.data, PyBUF_SIMPLE)
    run.has_data = True
    if run.samples.len % <Py_ssize_t>sizeof(Sample):
        raise ValueError(f"run {index} (track {run.track_id}): {run.samples.len} bytes are no whole number of sample "
                         f"records of {sizeof(Sample)} bytes")
    run.count = run.samples.len // <Py_ssize_t>sizeof(Sample)
    return 0


cdef inline int64_t distance(int64_t before, int64_t after) noexcept nogil:
    """From one time to a later one, whatever they are; 0 where it is not later."""
    cdef uint64_t difference = <uint64_t>after - <uint64_t>before
    if after <= before:
        return 0
    return INT64_MAX if difference > <uint64_t>INT64_MAX else <int64_t>difference


def survey(samples):
    """What the times of a run's samples look like, in one pass.

    Args:
        samples: packed records of `rtspkit.media.SAMPLE_SIZE` bytes.

    Returns:
        (count, size, first, last, low, high, step, is_ordered, arrival, last_arrival, pause): how many samples there
        are, and how many bytes they announce; pts of the first and of the last, the least and the greatest, the
        longest distance from one to the next, in ticks; whether none is less than the one before it; and in ns when
        the first and the last arrived and the longest distance of two arrivals. All 0 of an empty table.

    Raises:
        ValueError: the table is no whole number of sample records.
    """
    cdef Py_buffer view
    cdef Sample sample
    cdef const uint8_t* record
    cdef Py_ssize_t i, count
    cdef int64_t first = 0, last = 0, low = 0, high = 0, step = 0
    cdef int64_t arrival = 0, last_arrival = 0, pause = 0
    cdef uint64_t size = 0
    cdef bint is_ordered = True
    PyObject_GetBuffer(samples, &view, PyBUF_SIMPLE)
    try:
        if view.len % <Py_ssize_t>sizeof(Sample):
            raise ValueError(f"{view.len} bytes are no whole number of samples")
        count = view.len // <Py_ssize_t>sizeof(Sample)
        record = <const uint8_t*>view.buf
        for i in range(count):
            memcpy(&sample, record, sizeof(Sample))
            record += sizeof(Sample)
            size += sample.size
            if i == 0:
                first = last = low = high = sample.pts
                arrival = last_arrival = sample.arrival
                continue
            if sample.pts < last:
                is_ordered = False
            low = min(low, sample.pts)
            high = max(high, sample.pts)
            step = max(step, distance(last, sample.pts))
            pause = max(pause, distance(last_arrival, sample.arrival))
            last = sample.pts
            last_arrival = sample.arrival
        return count, size, first, last, low, high, step, True if is_ordered else False, arrival, last_arrival, pause
    finally:
        PyBuffer_Release(&view)


def write_fragment(sequence_number, runs):
    """Write the samples of `runs` as one movie fragment.

    Args:
        sequence_number: of the fragment, 0 to 2**32 - 1.
        runs: one `FragmentRun` a track, a tuple of

            - track_id: as in the init section, from 1;
            - dts: decode time in ticks at which the run starts, where the track's previous run has ended;
            - shift: ticks that are added to each sample's pts to bring it onto the output's timeline;
            - end: time, on the output's timeline, at which the run ends (each sample lasts a tick at least, so it may
              end later where there are more samples than ticks); negative where it is unknown: then
              the last sample lasts as long as the one before it;
            - default_duration: ticks that the sample of a run of one lasts where `end` is unknown;
            - samples: packed records of `rtspkit.media.SAMPLE_SIZE` bytes;
            - data: the samples' media, one behind the other;
            - delay: ticks by which every sample is presented later than `shift` says, on top of its decode time; may
              be left out: 0. Without it a reordered picture is decoded after it is presented, by its composition
              offset. MSE and Apple take that (CMAF even prefers it), ffmpeg and what is built on it present the whole
              track later, apart from its sound. With as many picture durations as the SPS has reordered pictures no
              offset is negative; the sound then wants to be shifted as much;
            - is_even: decode times go on in even steps from `dts` to `end`; may be left out: they are the samples'
              presentation times in ascending order. It is for runs that end where the pictures shown before their
              last one have not all come: what those times are cannot be told from such a run.

    Returns:
        The moof and mdat boxes as one bytes object, and the decode time at which each run ends.

    Raises:
        ValueError: the samples' sizes do not sum up to their media, a time or a number is out of its range, or
            the fragment would not fit its 32-bit sizes.
    """
    cdef tuple items = tuple(runs)
    cdef Py_ssize_t run_count = len(items)
    cdef Py_ssize_t i
    cdef Py_ssize_t longest = 0
    cdef uint64_t row_count = 0
    cdef uint64_t moof_size = BOX_HEADER + MFHD_SIZE
    cdef uint64_t mdat_size = BOX_HEADER
    cdef uint64_t data_offset
    cdef uint32_t sequence
    cdef int outcome
    cdef Run* table = NULL
    cdef Run* run
    cdef Row* rows = NULL
    cdef int64_t* scratch = NULL
    cdef uint8_t* p
    cdef list ends = []

    try:
        sequence = PyNumber_Index(sequence_number)
    except OverflowError:
        raise ValueError(f"sequence number {sequence_number} does not fit 32 bits") from None

    table = <Run*>PyMem_Malloc((<size_t>run_count + 1) * sizeof(Run))
    if table == NULL:
        raise MemoryError
    memset(table, 0, <size_t>run_count * sizeof(Run))
    try:
        for i in range(run_count):
            take_run(&table[i], i, items[i])
            row_count += <uint64_t>table[i].count
            longest = max(longest, table[i].count)
        if row_count > <uint64_t>INT32_MAX // ROW_SIZE:
            raise ValueError(f"{row_count} samples are too many for one fragment")
        # No more than the records they come from, which lie in memory already (a run may be given twice).
        rows = <Row*>PyMem_Malloc((<size_t>row_count + 1) * sizeof(Row))
        scratch = <int64_t*>PyMem_Malloc((<size_t>longest + 1) * 3 * sizeof(int64_t))
        if rows == NULL or scratch == NULL:
            raise MemoryError

        row_count = 0
        for i in range(run_count):
            run = &table[i]
            run.rows = rows + row_count
            row_count += <uint64_t>run.count
            outcome = plan_run(run, scratch, scratch + longest, scratch + 2 * longest)
            if outcome == PLAN_SIZES:
                raise ValueError(f"run {i} (track {run.track_id}): its {run.count} samples announce {run.announced} "
                                 f"bytes, but there are {run.data.len}")
            if outcome == PLAN_TIMES:
                raise ValueError(f"run {i} (track {run.track_id}): a time is negative or beyond 2**61 ticks")
            moof_size += traf_size(run)
            mdat_size += <uint64_t>run.data.len
            ends.append(run.end)
        # trun counts from the start of moof, in a signed number
        if (moof_size + mdat_size - (<uint64_t>table[run_count - 1].data.len if run_count else 0) > <uint64_t>INT32_MAX
                or mdat_size > <uint64_t>UINT32_MAX or moof_size + mdat_size > <uint64_t>PY_SSIZE_T_MAX):
            raise ValueError(f"a fragment of {moof_size + mdat_size} bytes is too large: 32-bit sizes cannot say it")

        fragment = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(moof_size + mdat_size))
        p = <uint8_t*>PyBytes_AsString(fragment)
        p = put_box(p, <uint32_t>moof_size, b"moof")
        p = put_box(p, MFHD_SIZE, b"mfhd")
        p = put_u32(p, 0)
        p = put_u32(p, sequence)
        data_offset = moof_size + BOX_HEADER
        for i in range(run_count):
            p = put_traf(p, &table[i], <uint32_t>data_offset)
            data_offset += <uint64_t>table[i].data.len
        p = put_box(p, <uint32_t>mdat_size, b"mdat")
        for i in range(run_count):
            if table[i].data.len:
                memcpy(p, table[i].data.buf, <size_t>table[i].data.len)
                p += table[i].data.len
        return fragment, tuple(ends)
    finally:
        for i in range(run_count):
            if table[i].has_samples:
                PyBuffer_Release(&table[i].samples)
            if table[i].has_data:
                PyBuffer_Release(&table[i].data)
        PyMem_Free(scratch)
        PyMem_Free(rows)
        PyMem_Free(table)
