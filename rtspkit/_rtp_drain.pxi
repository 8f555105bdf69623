# Sockets: many receivers, one call, one scratch buffer. Included by _rtp.pyx.

@cython.final
cdef class Drain:
    """Reads many sockets in one call through one scratch buffer.

    Args:
        size: bytes of the scratch buffer, and so of one read.

    Attributes:
        fullest: the most bytes one socket had in the last call.
    """

    cdef uint8_t* scratch
    cdef size_t size
    cdef readonly size_t fullest

    def __cinit__(self, Py_ssize_t size=256 * 1024):
        if size < 1:
            raise LocalProtocolError(f"a scratch buffer of {size} bytes cannot be read into")
        self.scratch = <uint8_t*>malloc(<size_t>size)
        if self.scratch == NULL:
            raise MemoryError
        self.size = <size_t>size

    def __dealloc__(self):
        free(self.scratch)

    def drain(self, receivers, int64_t now):
        """Reads what each receiver's socket holds; returns those that have something to take.

        What costs is the system call. Where nothing that arrives would end a fragment yet (`Receiver.quiet_until`) the
        socket is left alone.

        Args:
            receivers: list of `Receiver`, each with a non-blocking `fd`.
            now: monotonic time in ns.
        """
        cdef Receiver receiver
        cdef ssize_t count
        cdef int _round, fd, number
        check_time(now)
        ready = []
        self.fullest = 0
        for each in receivers:
            receiver = <Receiver?>each
            receiver.found = 0
            if now < receiver.quiet_until:
                continue
            for _round in range(DRAIN_ROUNDS):
                if receiver.fd < 0 or receiver.eof or receiver.os_error or receiver.error is not None:
                    break
                fd = receiver.fd
                with nogil:
                    count = recv(fd, self.scratch, self.size, MSG_DONTWAIT)
                    number = errno
                if count > 0:
                    receiver.found += <size_t>count
                    receiver.consume(self.scratch, <size_t>count, now)
                    if <size_t>count < self.size:
                        break
                elif count == 0:
                    receiver.eof = True
                elif number == EINTR:
                    continue
                else:
                    if number != EAGAIN:  # EWOULDBLOCK is the same number on every POSIX system built for
                        receiver.os_error = number
                    break
            if receiver.found > self.fullest:
                self.fullest = receiver.found
            if receiver.has_news():
                ready.append(receiver)
        return ready
