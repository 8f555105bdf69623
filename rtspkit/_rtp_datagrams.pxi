# UDP sockets: many datagrams a system call, each only from where it may come. Included by _rtp.pyx.
#
# recvmmsg(2) fills as many slots as there are datagrams. A slot has room for the largest there is, but its memory
# becomes real page by page, as far as datagrams reach: 64 slots of usual packets take 256 kB. Packets go into the
# depacketizers from there. Who knows a camera's port may send to us as well; only datagrams from the address and
# port that `Receiver.pin` was told are taken, all others are counted and forgotten.

cdef extern from *:
    """
    #include <errno.h>
    #include <string.h>
    #include <sys/types.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <netinet/in.h>
    #include <arpa/inet.h>

    #if (defined(__linux__) || defined(__FreeBSD__) || defined(__NetBSD__)) && !defined(RTSPKIT_NO_RECVMMSG)
    typedef struct mmsghdr rtspkit_message;

    static int rtspkit_receive(int fd, rtspkit_message *messages, int count) {
        return recvmmsg(fd, messages, count, MSG_DONTWAIT, NULL);
    }
    #else
    /* macOS has no recvmmsg(2): the same, a call each. */
    typedef struct { struct msghdr msg_hdr; unsigned int msg_len; } rtspkit_message;

    static int rtspkit_receive(int fd, rtspkit_message *messages, int count) {
        int i;
        for (i = 0; i < count; i++) {
            ssize_t size = recvmsg(fd, &messages[i].msg_hdr, MSG_DONTWAIT);
            if (size < 0)
                return i ? i : -1;
            messages[i].msg_len = (unsigned int)size;
        }
        return count;
    }
    #endif

    /* The datagrams the system has dropped on a socket so far, where it says so with this message; else 0. */
    static uint32_t rtspkit_drops(struct msghdr *message) {
        uint32_t drops = 0;
    #ifdef SO_RXQ_OVFL
        struct cmsghdr *part;
        for (part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part))
            if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SO_RXQ_OVFL && part->cmsg_len >= CMSG_LEN(4))
                memcpy(&drops, CMSG_DATA(part), 4);
    #endif
        return drops;
    }
    """
    enum:
        AF_INET
        AF_INET6
        MSG_TRUNC
        EBADF
        EFAULT
        EINVAL
        ENOTSOCK

    struct iovec:
        void* iov_base
        size_t iov_len
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_storage:
        int ss_family
    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_port
        in6_addr sin6_addr
    struct msghdr:
        void* msg_name
        size_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    ctypedef struct rtspkit_message:
        msghdr msg_hdr
        unsigned int msg_len

    int rtspkit_receive(int fd, rtspkit_message* messages, int count) nogil
    uint32_t rtspkit_drops(msghdr* message) nogil
    uint16_t ntohs(uint16_t value) nogil
    int inet_pton(int family, const char* text, void* address) nogil


cdef struct Slot:
    sockaddr_storage source
    iovec vector
    uint64_t control[8]         # of the system's messages only its count of drops is wanted


cdef int read_address(uint8_t* address, text) except -1:
    """An IP address in text, as the 16 bytes of IPv6; IPv4 as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2)."""
    cdef bytes encoded = text.partition("%")[0].encode("ascii", "replace")
    memset(address, 0, 16)
    if inet_pton(AF_INET6, PyBytes_AsString(encoded), address) == 1:
        return 0
    memset(address, 0, 16)
    address[10] = address[11] = 0xFF
    if inet_pton(AF_INET, PyBytes_AsString(encoded), address + 12) != 1:
        raise LocalProtocolError(f"{text!r} is not an IP address")
    return 0


cdef bint read_source(uint8_t* address, uint16_t* port, const sockaddr_storage* source) noexcept nogil:
    if source.ss_family == AF_INET:
        memset(address, 0, 10)
        address[10] = address[11] = 0xFF
        memcpy(address + 12, &(<const sockaddr_in*>source).sin_addr, 4)
        port[0] = ntohs((<const sockaddr_in*>source).sin_port)
        return True
    if source.ss_family == AF_INET6:
        memcpy(address, &(<const sockaddr_in6*>source).sin6_addr, 16)
        port[0] = ntohs((<const sockaddr_in6*>source).sin6_port)
        return True
    return False


cdef bint is_from_camera(
    TrackState t, int is_rtcp, const sockaddr_storage* source, const uint8_t* p, size_t size, int64_t now
) noexcept nogil:
    """Whether a datagram comes from where the track was pinned to; learns what it was not told.

    What was learned holds as long as something comes from there: a camera, or an address translation before it, may
    go on from another port.
    """
    cdef uint8_t address[16]
    cdef uint16_t port
    cdef bint is_silent = t.is_learned[is_rtcp] and now - t.heard[is_rtcp] >= SILENT_PORT
    if not t.is_pinned or not read_source(address, &port, source):
        return False
    if t.has_address and memcmp(address, t.address, 16):
        return False
    if t.has_address and t.ports[is_rtcp] and port == t.ports[is_rtcp]:
        t.heard[is_rtcp] = now
        return True
    if t.ports[is_rtcp] and port != t.ports[is_rtcp] and not is_silent:
        return False
    # a stray packet teaches nothing
    if size < 8 or p[0] >> 6 != 2 or not (is_report(p, size) or (not is_rtcp and p[1] & 0x7F == t.payload_type)):
        return False
    memcpy(t.address, address, 16)
    t.has_address = True
    t.is_learned[is_rtcp] = t.is_learned[is_rtcp] or t.ports[is_rtcp] == 0
    t.ports[is_rtcp] = port
    t.heard[is_rtcp] = now
    return True


@cython.final
cdef class DatagramDrain:
    """Reads many UDP sockets through one set of slots; one serves all cameras of a loop.

    Args:
        slots: datagrams read with one system call.
        size: bytes of a slot; what is longer counts as broken. No datagram is longer than the default.

    Attributes:
        packets: datagrams found in the last call, foreign ones among them ...
        bytes: ... and their bytes.
        fullest: the most bytes one socket had in the last call.
    """

    cdef rtspkit_message* messages
    cdef Slot* slots
    cdef uint8_t* scratch
    cdef int count, used
    cdef size_t size
    cdef readonly size_t packets, bytes, fullest

    def __cinit__(self, int slots=64, Py_ssize_t size=65536):
        cdef int i
        cdef size_t stride
        cdef msghdr* header
        if not 1 <= slots <= 1024 or not 1 <= size <= 65536:
            raise LocalProtocolError(f"{slots} slots of {size} bytes: up to 1024 of up to 65536")
        # Half a page more than a slot needs: slots that begin at multiples of 64 kB would share a few cache lines.
        stride = <size_t>size + 2048
        self.messages = <rtspkit_message*>calloc(slots, sizeof(rtspkit_message))
        self.slots = <Slot*>calloc(slots, sizeof(Slot))
        self.scratch = <uint8_t*>malloc(stride * <size_t>slots)
        if self.messages == NULL or self.slots == NULL or self.scratch == NULL:
            raise MemoryError
        self.count = self.used = slots
        self.size = <size_t>size
        for i in range(slots):
            self.slots[i].vector.iov_base = self.scratch + stride * <size_t>i
            self.slots[i].vector.iov_len = <size_t>size
            header = &self.messages[i].msg_hdr
            header.msg_name = &self.slots[i].source
            header.msg_iov = &self.slots[i].vector
            header.msg_iovlen = 1
            header.msg_control = self.slots[i].control

    def __dealloc__(self):
        free(self.messages)
        free(self.slots)
        free(self.scratch)

    def drain(self, Receiver receiver not None, sockets, int64_t now):
        """Reads what a camera's sockets hold, and lets go what `Receiver.release` would.

        An error that the system reports for what was sent (a closed port: ECONNREFUSED) is passed over; one that
        says that a socket cannot be read ends in `Receiver.os_error`.

        Args:
            receiver: with each track pinned (`Receiver.pin`): of others nothing is taken.
            sockets: (file descriptor, track index, whether it is the RTCP socket) of each.
            now: monotonic time in ns.

        Returns:
            Whether a socket may hold more, for it was not read to its end.
        """
        cdef TrackState t
        cdef int fd, index, number, found
        cdef int _round
        cdef size_t before
        cdef bint is_rtcp
        cdef bint more = False
        check_time(now)
        self.packets = self.bytes = self.fullest = 0
        for fd, index, is_rtcp in sockets:
            t = receiver.track_over_udp(index)
            before = self.bytes
            for _round in range(DRAIN_ROUNDS):
                self.prepare()
                with nogil:
                    found = rtspkit_receive(fd, self.messages, self.count)
                    number = errno
                if found >= 0:
                    self.used = found
                    self.take(receiver, t, is_rtcp, now)
                    if found < self.count:
                        break
                elif number == EAGAIN:
                    break
                elif number == EBADF or number == ENOTSOCK or number == EINVAL or number == EFAULT:
                    receiver.os_error = number
                    break
            else:
                more = True
            self.fullest = max(self.fullest, self.bytes - before)
        for each in receiver.states:
            release_due(receiver, <TrackState>each, now)
        return more

    cdef void prepare(self) noexcept nogil:
        """The system has written sizes over what it was given."""
        cdef int i
        for i in range(self.used):
            self.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
            self.messages[i].msg_hdr.msg_controllen = sizeof(self.slots[i].control)
        self.used = 0

    cdef int take(self, Receiver receiver, TrackState t, bint is_rtcp, int64_t now) except -1:
        cdef int i
        cdef size_t size
        cdef const uint8_t* data
        cdef msghdr* header
        for i in range(self.used):
            header = &self.messages[i].msg_hdr
            size = min(<size_t>self.messages[i].msg_len, self.size)
            data = <const uint8_t*>self.slots[i].vector.iov_base
            self.packets += 1
            self.bytes += size
            if header.msg_controllen:
                t.drops[is_rtcp] = max(t.drops[is_rtcp], rtspkit_drops(header))
            if not is_from_camera(t, is_rtcp, &self.slots[i].source, data, size, now):
                t.foreign += 1
            elif header.msg_flags & MSG_TRUNC:
                t.broken += 1
            else:
                receiver.datagram(t, is_rtcp, data, size, now)
        return 0
