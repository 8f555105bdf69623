# What a Receiver keeps for one track, and RFC 3550's rules for its sequence numbers. Included by _rtp.pyx.

cdef enum ParameterSetKey:
    KEY_SPS = 256               # and its id; beyond every PPS id
    KEY_VPS = 288               # beyond every SPS id


@cython.final
cdef class TrackState:
    """One track of a Receiver: its sequence, its clock, its open run and the unit that is arriving."""

    cdef object track               # rtspkit.media.Track with the parameters in force
    cdef int codec
    cdef LossPolicy loss_policy
    cdef bint is_video              # units are pictures, which may come in another order than they are shown in
    cdef uint8_t payload_type
    cdef int64_t clock_rate
    cdef int64_t duration           # of a fragment, in ticks

    # sequence (RFC 3550, A.1)
    cdef bint have_sequence
    cdef uint32_t first_sequence
    cdef uint64_t next_sequence     # extended: the low 16 bits are the wire's
    cdef int32_t suspect            # the number that would prove a restart; -1: none is suspected
    cdef uint32_t ssrc
    cdef uint64_t seen              # which of the last 64 sequence numbers came; bit 0 is the highest
    cdef uint32_t former_ssrc       # before the last change of it ...
    cdef int64_t ssrc_arrival       # ... which came then
    cdef uint64_t received, lost, late, broken, discarded, restarts, units, damaged_units, duplicates, reordered, bytes
    cdef uint64_t units_left_out    # by the loss policy
    cdef uint64_t reports, broken_reports
    cdef int64_t first_arrival
    cdef int64_t jitter             # RFC 3550, A.8, in sixteenths of a tick
    cdef int64_t transit

    # over UDP: what came before its turn (_rtp_reorder.pxi)
    cdef Held* window               # by sequence number; NULL over TCP
    cdef int held                   # packets in it ...
    cdef size_t held_size           # ... and their bytes
    cdef int64_t held_since         # when the one came that has waited longest
    cdef uint64_t held_last         # the highest extended sequence number in it
    # ... and where from (_rtp_datagrams.pxi)
    cdef bint is_pinned
    cdef bint has_address
    cdef uint8_t[16] address        # IPv6, or IPv4 mapped into it
    cdef uint16_t[2] ports          # RTP, RTCP; 0: to be learned
    cdef bint[2] is_learned         # the camera has not told them ...
    cdef int64_t[2] heard           # ... and when something came from there
    cdef uint32_t[2] drops          # by the system for want of room, on either socket
    cdef uint64_t foreign

    # what cameras get wrong and this puts up with: a bit each, Quirk
    cdef uint32_t quirks
    cdef bint has_marker            # some packet had one
    cdef bint has_own_sps           # came in band
    cdef int standing               # units in a row with one pts
    cdef int64_t leap               # ticks by which the last unit's pts was far from the one before; 0: it was not

    # clock
    cdef bint have_time             # False at first, and when the camera's clock may have begun anew
    cdef bint had_time
    cdef bint have_origin
    cdef uint32_t origin            # the timestamp of pts 0, as the camera's RTP-Info says
    cdef uint32_t timestamp         # of the last packet
    cdef int64_t ticks              # the same, unwrapped, counted from pts 0
    cdef int64_t arrival            # when it came
    cdef bint by_origin             # the first pts is RTP-Info's, not the arrival's
    cdef int64_t least              # of the transits, since somebody looked (`Receiver.clock`) ...
    cdef int64_t floor              # ... and nothing less is one: a timestamp far ahead
    cdef int64_t shift              # from the ticks to pts, so that tracks stay together (rtspkit.clocks); it ...
    cdef int64_t wanted_shift       # ... goes towards this one ...
    cdef int64_t shifted            # ... and has got at these ticks where it is
    cdef bint have_wall
    cdef int64_t wall_ticks         # a sender report's instant on this track, by its ticks ...
    cdef double wall_clock          # ... and by the camera's clock

    # the open run: whole units, one behind the other
    cdef Growing media
    cdef Growing table              # of Sample
    cdef size_t hint                # bytes the last run had
    cdef Media given                # the last run's, whose memory may be used again

    # where the next unit is to be expected
    cdef bint has_last, has_base
    cdef int64_t last_pts
    cdef int64_t unit_distance      # ticks from one unit to the next, lately; 0: not known yet
    cdef int64_t distance_before    # what that was before it was learned last
    cdef int disorder               # pictures in order until it is forgotten that they are not; 0: they are
    cdef int64_t high, base         # the latest pts so far, and the latest before that
    cdef int64_t behind_high        # units since the latest came, itself among them
    cdef int64_t run_due            # decode time of the open run's first unit
    cdef int64_t last_sync          # pts of the last sync sample ...
    cdef int64_t sync_distance      # ... and ticks from the one before it; 0: there was none
    cdef uint64_t sync_samples, last_sync_unit, sync_units  # how many; its number; units from the one before it
    cdef int64_t sync_arrival, first_sync_arrival
    cdef uint64_t parameter_changes
    cdef bint has_changed           # within the unit that is arriving

    # the unit that is arriving; its media lie behind those of the whole ones
    cdef bint unit_open, unit_skipped, unit_damaged, unit_vcl, unit_sync
    cdef bint unit_recovers         # its SEI says that decoding can start with it
    cdef bint has_irap              # there was a picture that it can start with always ...
    cdef int64_t irap_pts           # ... the last one's pts
    cdef bint after_loss            # packets were lost since the last whole unit
    cdef int gap                    # so many were lost right before the packet that is being read
    cdef bint may_go_on             # the last unit ended with a marker, which may have lied
    cdef bint marker_lies           # it has: markers do not tell where units end
    cdef uint32_t unit_timestamp
    cdef int64_t unit_pts, unit_arrival
    cdef size_t unit_start
    cdef int unit_nals
    # the NAL unit, or AAC unit, that comes in fragments; its length field stands at fragment_start
    cdef bint fragment_open
    cdef size_t fragment_start, fragment_size

    # AAC-hbr (RFC 3640, 3.2.1)
    cdef uint32_t size_length, index_length, index_delta_length
    cdef int64_t unit_ticks

    cdef size_t block_size          # bytes of one sample of all channels, of PCM

    # LATM (ISO/IEC 14496-3, 1.7.3)
    cdef object read_mux            # reads a configuration that comes in band; None: none does
    cdef int mux_units              # access units in an element; 0: no configuration is known
    cdef size_t mux_unit_size       # bytes of each; 0: it says so itself
    cdef bint mux_has_more          # something else may follow them
    cdef bytes mux_head             # what an element that had a configuration began with ...
    cdef size_t mux_bits            # ... so many bits
    cdef Growing element            # that comes in fragments
    cdef Growing aligned            # what follows the bits an element begins with

    # H.265: pictures before the next sync sample are missing, or damaged; what refers to them is left out
    cdef bint references_lost, skips_leading

    # H.264, H.265: the last parameter sets of each id, by PPS id or ParameterSetKey
    cdef dict parameter_sets
    cdef int sps_key                # of the SPS in force; 0: there is none yet
    cdef bint has_several_sps       # with different ids: a picture says which one it is of
    cdef size_t nal_header          # bytes of a NAL unit's header ...
    cdef uint8_t nal_type_bits      # ... and where its first one has the type

    def __dealloc__(self):
        free(self.media.data)
        free(self.table.data)
        free(self.element.data)
        free(self.aligned.data)
        free_window(self.window)

    cdef inline Sample* samples(self) noexcept nogil:
        return <Sample*>self.table.data

    cdef inline int reserve_media(self, size_t more) except -1:
        """Makes room for `more` bytes of media that are at hand."""
        if self.media.capacity == 0:
            self.renew(&self.media)
        return reserve(&self.media, more)

    cdef int renew(self, Growing* buffer) except -1:
        """Gives an empty buffer the last run's memory where nobody uses that any more, else as much as runs had."""
        cdef size_t wanted = roomy(self.hint)
        if self.given is not None:
            if is_only_reference(<PyObject*>self.given) and wanted <= self.given.capacity <= 2 * wanted:
                self.given.give_back(buffer)
            self.given = None
        return reserve(buffer, wanted)

    cdef void slew(self) noexcept nogil:
        """Brings `shift` nearer to what is wanted, by no more than a 200th of the time that has passed."""
        cdef int64_t step = (self.ticks - self.shifted) // SLEW
        cdef int64_t missing = self.wanted_shift - self.shift
        if step < 0 or step > self.clock_rate:  # time has jumped
            self.shifted = self.ticks
        elif step:
            self.shift += missing if -step <= missing <= step else step if missing > 0 else -step
            self.shifted += step * SLEW

    cdef inline void note(self, Quirk quirk) noexcept nogil:
        self.quirks |= <uint32_t>1 << quirk

    cdef void measure(self, int64_t pts, int64_t arrival, uint32_t flags) noexcept nogil:
        """Learns from a unit how far units are apart, and sync samples."""
        cdef int64_t distance = pts - self.last_pts
        self.follow(pts)
        if self.has_last and not self.marker_lies:
            self.survey(distance)
        self.has_last = True
        self.last_pts = pts
        # A unit that went on after its marker is measured again: it is the same sync sample.
        if flags & SAMPLE_SYNC and not (self.sync_samples and self.units == self.last_sync_unit):
            if self.sync_samples:
                self.sync_distance = pts - self.last_sync
                self.sync_units = self.units - self.last_sync_unit
            else:
                self.first_sync_arrival = arrival
            self.last_sync = pts
            self.last_sync_unit = self.units
            self.sync_arrival = arrival
            self.sync_samples += 1
            if self.sync_samples > 1 and self.is_video and not self.has_own_sps:
                self.note(QUIRK_PARAMETER_SETS_ONLY_IN_SDP)

    cdef inline void survey(self, int64_t distance) noexcept nogil:
        """Notes timestamps that stand for three units, and single ones that are far from both neighbours."""
        self.standing = self.standing + 1 if distance == 0 else 0
        if self.standing == 2:
            self.note(QUIRK_TIMESTAMPS_STAND)
        if -5 * self.clock_rate <= distance <= 5 * self.clock_rate:
            self.leap = 0
        else:
            if self.leap and (self.leap < 0) != (distance < 0):
                self.note(QUIRK_TIMESTAMP_OUTLIER)
            self.leap = distance

    cdef void follow(self, int64_t pts) noexcept nogil:
        """Learns in what order units come, and how far they are apart; `rtspkit.reordering` says how."""
        if not self.has_last or (pts < self.high if not self.is_video
                                 else pts < self.high - MOST_REORDERED * self.unit_distance):
            self.high = pts
            self.has_base = False
            self.behind_high = 1
        elif pts > self.high:
            if not self.disorder:
                self.learn(pts - self.high)
            else:
                self.disorder -= 1
                if self.has_base:
                    self.learn((self.high - self.base) // self.behind_high)
            self.base = self.high
            self.has_base = True
            self.high = pts
            self.behind_high = 1
        elif pts != self.last_pts:
            if not self.disorder and self.distance_before:
                self.unit_distance = self.distance_before
            self.disorder = REORDERING_REMEMBERED
            if not self.distance_before:
                self.unit_distance = min(self.unit_distance, pts - self.last_pts if pts > self.last_pts
                                         else self.last_pts - pts)
            self.behind_high += 1

    cdef inline void learn(self, int64_t distance) noexcept nogil:
        """Jitter is smoothed, a new rate is believed at once."""
        if 0 < distance < 10 * self.clock_rate:
            self.distance_before = self.unit_distance
            if distance <= 2 * self.unit_distance <= 4 * distance:
                self.unit_distance = (3 * self.unit_distance + distance) // 4
            else:
                self.unit_distance = distance

    cdef inline int64_t due(self) noexcept nogil:
        """Decode time of the next unit, as a pts; there has been one."""
        if not self.disorder:
            return self.last_pts + self.unit_distance
        return (self.base if self.has_base else self.high - self.unit_distance) \
            + (self.behind_high + 1) * self.unit_distance

    cdef inline bint may_be_due(self) noexcept nogil:
        """Whether it shows by now in what order units come: no B-picture comes before the third."""
        return self.units > 2

    cdef inline bint knows_due(self) noexcept nogil:
        """Whether `due` can be relied on."""
        if self.disorder:
            return self.distance_before != 0
        return self.unit_distance != 0 and self.may_be_due()

    cdef inline bint is_next(self, Packet* packet) noexcept nogil:
        return self.have_sequence and packet.ssrc == self.ssrc and packet.sequence == <uint16_t>self.next_sequence

    cdef bint accept(self, Packet* packet) noexcept nogil:
        """Follows SSRC and sequence number; False for a packet that is late, doubled or not yet trusted."""
        cdef uint16_t gap
        if not self.have_sequence:
            self.first_arrival = packet.arrival
            if self.held:  # by numbers that were made up until now
                gap = <uint16_t>(packet.sequence - <uint16_t>self.next_sequence)
                self.held_last -= self.next_sequence + gap - packet.sequence
            self.start_sequence(packet)
        elif packet.ssrc != self.ssrc:
            # Cameras change it with every GOP or when their encoder restarts: the timeline is joined.
            self.restarts += 1
            self.note(QUIRK_SSRC_CHANGES)
            if packet.sequence != <uint16_t>self.next_sequence:
                self.lose(1)
            self.have_time = False
            self.former_ssrc = self.ssrc
            self.ssrc_arrival = packet.arrival
            self.start_sequence(packet)
        else:
            gap = <uint16_t>(packet.sequence - <uint16_t>self.next_sequence)
            if gap < MAX_DROPOUT:
                self.seen <<= 1
                if gap:
                    self.seen = self.seen << gap if gap < 64 else 0
                    self.lost += gap
                    self.lose(gap)
                self.seen |= 1
                self.next_sequence += <uint64_t>gap + 1
                self.suspect = -1
            elif gap >= 65536 - MAX_MISORDER:
                gap = 65535 - gap
                if gap < 64 and self.seen >> gap & 1:
                    self.duplicates += 1
                else:
                    self.late += 1
                return False
            elif packet.sequence != self.suspect:
                self.suspect = <uint16_t>(packet.sequence + 1)
                self.late += 1
                return False
            else:
                self.restarts += 1
                self.note(QUIRK_SEQUENCE_RESTARTS)
                self.lose(1)
                self.have_time = False
                self.start_sequence(packet)
        self.received += 1
        self.bytes += packet.size
        return True

    cdef void discard(self, Packet* packet) noexcept nogil:
        """A packet of another payload type: where its number is the next one of the track's, it is not missing."""
        self.discarded += 1
        self.note(QUIRK_JUNK_PAYLOAD_TYPE)
        if self.is_next(packet) and self.held == 0:
            self.next_sequence += 1
            self.seen = self.seen << 1 | 1

    cdef void start_sequence(self, Packet* packet) noexcept nogil:
        self.have_sequence = True
        self.ssrc = packet.ssrc
        self.first_sequence = packet.sequence
        self.next_sequence = <uint64_t>packet.sequence + 1
        self.seen = 1
        self.suspect = -1

    cdef void lose(self, int count) noexcept nogil:
        """So many packets are missing here, or it is not known how many (1): what was arriving is not whole."""
        cdef Sample* last
        if self.may_go_on and self.marker_lies and self.table.size:
            # with a marker on every slice nothing says that the last unit had all of them
            last = <Sample*>(self.table.data + self.table.size) - 1
            if self.loss_policy == LOSS_KEEP:
                self.damaged_units += not last.flags & SAMPLE_DAMAGED
                last.flags = SAMPLE_DAMAGED
            else:
                self.take_back()
                self.media.size -= last.size
                self.units_left_out += 1
        if self.fragment_open and not self.is_video:
            self.unit_skipped = self.fragment_size == 0  # in pieces: those to come do not tell what is missing
        self.drop_fragment()
        self.after_loss = self.references_lost = True
        self.gap = count
        self.may_go_on = False
        if self.unit_open:
            self.unit_damaged = True

    cdef Sample* take_back(self) noexcept nogil:
        """The record of the last unit, which is none any more; its media stay."""
        cdef Sample* last
        self.table.size -= sizeof(Sample)
        last = <Sample*>(self.table.data + self.table.size)
        self.units -= 1
        self.damaged_units -= last.flags & SAMPLE_DAMAGED != 0
        return last

    cdef inline bint is_left_out(self, bint is_sync) noexcept nogil:
        """Whether the policy is against the unit that has ended.

        What follows a loss is told by `after_loss`, for only a unit that is handed over ends that. Before the first
        sync sample nothing can be shown in any case: all that is whole is handed over there, and tells that it comes.
        """
        if self.loss_policy == LOSS_KEEP:
            return False
        if self.unit_damaged:
            return True
        return self.loss_policy == LOSS_SKIP and self.after_loss and not is_sync and self.sync_samples != 0

    cdef inline void drop_fragment(self) noexcept nogil:
        if self.fragment_open:
            self.fragment_open = False
            self.media.size = self.fragment_start
            self.unit_damaged = True
            if not self.is_video:  # there the fragment is the whole unit
                self.unit_open = False
                self.after_loss = True

    cdef void skip_unit(self) noexcept nogil:
        """Gives up the unit that is arriving; what is left of it is passed over."""
        self.fragment_open = False
        self.media.size = self.unit_start
        self.unit_skipped = True
        self.unit_damaged = True
        self.broken += 1
