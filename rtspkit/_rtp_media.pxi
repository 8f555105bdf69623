# Media memory: buffers that grow as bytes arrive, and are handed over whole. Included by _rtp.pyx.
#
# A track's buffer is handed over with each run, and comes back for a later one where nobody refers to the run any
# more: allocating a hundred kilobytes five times a second costs more than filling them.

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define is_only_reference(object) 0     /* another thread may be letting go of it at this instant */
    #else
    #define is_only_reference(object) (Py_REFCNT(object) == 1)
    #endif
    """
    bint is_only_reference(PyObject* object)


cdef struct Growing:
    uint8_t* data
    size_t size
    size_t capacity


cdef inline int reserve(Growing* buffer, size_t more) except -1 nogil:
    """Makes room for `more` bytes that are at hand; grows by half, so the whole costs O(size)."""
    cdef size_t capacity
    cdef uint8_t* data
    if buffer.capacity - buffer.size >= more:
        return 0
    capacity = buffer.capacity + (buffer.capacity >> 1)
    if capacity < buffer.size + more:
        capacity = buffer.size + more
    if capacity < 1024:
        capacity = 1024
    data = <uint8_t*>realloc(buffer.data, capacity)
    if data == NULL:
        with gil:
            raise MemoryError
    buffer.data = data
    buffer.capacity = capacity
    return 0


cdef inline int append(Growing* buffer, const uint8_t* data, size_t size) except -1 nogil:
    if size:
        reserve(buffer, size)
        memcpy(buffer.data + buffer.size, data, size)
        buffer.size += size
    return 0


cdef inline size_t roomy(size_t hint) noexcept nogil:
    """What to reserve where the last runs had so many bytes: an eighth more, in sizes that are easily used again."""
    return (hint + (hint >> 3) + 16383) & ~<size_t>16383


@cython.final
cdef class Media:
    """Read-only media bytes of one run; the memory goes back when the last user of it is gone."""

    cdef uint8_t* data
    cdef Py_ssize_t size
    cdef size_t capacity

    def __cinit__(self):
        self.data = NULL
        self.size = 0
        self.capacity = 0

    def __dealloc__(self):
        free(self.data)

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.data if self.data != NULL else <uint8_t*>b"", self.size, 1, flags)

    @staticmethod
    cdef Media take(Growing* buffer):
        """Takes over the buffer's memory and leaves it empty."""
        cdef Media media = Media.__new__(Media)
        media.data = buffer.data
        media.size = <Py_ssize_t>buffer.size
        media.capacity = buffer.capacity
        buffer.data = NULL
        buffer.size = 0
        buffer.capacity = 0
        return media

    cdef void give_back(self, Growing* buffer) noexcept nogil:
        """The empty buffer gets the memory; to be called where nobody else refers to these media."""
        buffer.data = self.data
        buffer.capacity = self.capacity
        self.data = NULL
        self.size = 0
        self.capacity = 0
