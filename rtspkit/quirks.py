"""What cameras get wrong and this package puts up with: every one has an id, for machines, and a sentence, for people.

Strategy: one table; whoever meets a quirk notes its id. An id stays as it is once it is here, for health
reports and metrics name it. A sentence says what the camera does, and where it matters what was done about
it; it names no value of the camera's, which may hold anything.

What is noted is only what a standard or an announcement contradicts, not what has several correct forms.
"""

from __future__ import annotations

__all__ = ["SENTENCES", "Quirks"]

#: id -> sentence.
SENTENCES: dict[str, str] = {
    # -- SDP: the session
    "version-line": "The SDP does not begin with its version (v=0).",
    "origin-line": "The SDP's origin (o=) is missing or not valid.",
    "session-name": "The SDP has no session name (s=), or more than one.",
    "timing-line": "The SDP's times (t=) are missing or not valid.",
    "connection-line": "The SDP names no valid address in a connection line (c=).",
    "line-order": "The SDP's lines are in another order than the standard's.",
    "unreadable-lines": "The SDP has lines that are not SDP; they are left out.",
    "wrong-direction": "Media are marked as ones to send to; they are received all the same.",
    # -- SDP: a media
    "media-line": "A media line (m=) is not valid; that media is left out where it cannot be understood.",
    "media-port": "A media line (m=) has an impossible port.",
    "trailing-separators": "Attributes end in spaces or separators that do not belong there.",
    "empty-fmtp": "A format has an fmtp line without parameters.",
    "foreign-fmtp": "The format parameters of one media stand under another one.",
    "static-type-redefined": "A payload type with a fixed meaning is used for another encoding.",
    "clock-rate-missing": "A video format has no valid clock rate; 90000 is used.",
    "opus-clock": "Opus is announced with another clock than 48000 or other channels than 2.",
    "sprop-unusable": "The parameter sets of the SDP cannot be used; those in the stream are awaited.",
    "sprop-annexb": "The parameter sets of the SDP have start codes in them.",
    "aac-defaults": "AAC is announced without the lengths of its headers; the usual ones (13, 3, 3) are used.",
    "latm-config": "The configuration of AAC in LATM ends too early; the usual rest is assumed.",
    # -- URLs
    "content-base-scheme": "The base of the control URLs (Content-Base) has no scheme, or has it twice.",
    "content-base-address": "The base of the control URLs (Content-Base) has an address that is not valid.",
    "foreign-host": "URLs of the camera name another host than the one it was reached at, which is used on.",
    # -- RTSP: messages
    "cseq": "Answers carry a missing or wrong sequence number (CSeq).",
    "blank-lines": "Empty lines stand between messages or before media.",
    "header-lines": "Headers have lines that are folded or no header at all.",
    "garbage": "There are bytes between messages that belong to nothing; they are skipped.",
    "content-type-missing": "The description does not say that it is SDP (Content-Type).",
    # -- RTSP: session
    "options-refused": "OPTIONS is refused.",
    "session-changes": "The session has another identifier with each track; the first one is used.",
    "session-timeout": "The session's timeout cannot be read; 60 s are assumed.",
    "transport-missing": "The answer to SETUP has no Transport; what was asked for is assumed.",
    "transport-protocol": "The answer to SETUP leaves out that it means TCP.",
    "udp-answered-with-tcp": "UDP is answered with TCP, which is used.",
    "other-channels": "Media come on other channels than those that were asked for.",
    "channels-unusable": "The answer to SETUP has channels that cannot be; those that were asked for are assumed.",
    "source-unusable": "The answer to SETUP names a sender that is no address.",
    "server-port-missing": "The answer to SETUP does not say what ports media are sent from.",
    "multicast-incomplete": "The answer to SETUP leaves out the multicast address or port; the SDP's are used.",
    "ssrc-spelling": "The synchronization source (ssrc) is not written as the standard says.",
    "range-refused": "PLAY is refused with a Range; it was sent without.",
    "rtp-info-missing": "The answer to PLAY does not say where the tracks begin (RTP-Info).",
    "rtp-info-url": "The answer to PLAY names tracks (RTP-Info) that were not announced.",
    "rtp-info-values": "The answer to PLAY has impossible values in RTP-Info; they are left out.",
    "early-data": "Media come before PLAY is answered.",
    "unknown-channels": "Media come on channels that were never set up; they are dropped.",
    "keepalive-refused": "A keep-alive is refused; another kind of it is tried.",
    "keepalive-unanswered": "A keep-alive is not answered; another kind of it is tried.",
    "unknown-request": "The camera asks for something that is not known here.",
    # -- authentication
    "basic-in-clear": "The password is sent readably: the camera offers only Basic authentication, and no TLS.",
    "nonce-renewed": "Credentials are asked for again within the session.",
    # -- RTP
    "marker-never-set": "No packet is marked as the last one of its picture; the next timestamp ends it.",
    "marker-on-sei": "The marker is set on messages (SEI) before the picture has ended.",
    "marker-within-picture": "The marker is set within pictures, not only at their end.",
    "fu-start-and-end": "A fragment is marked as first and last at once.",
    "nal-type-changes-in-fu": "The NAL unit type changes within the fragments of one unit; the first one holds.",
    "empty-fragment": "There are fragments without a byte of media.",
    "annexb-in-rtp": "Packets hold several NAL units with start codes (Annex B) between them.",
    "stap-padding": "Aggregation packets are filled up with zeros.",
    "junk-payload-type": "Packets of a payload type come that was never announced; they are dropped.",
    "adts-in-aac": "AAC units are wrapped in ADTS headers; they are taken off.",
    "timestamps-stand": "Timestamps do not advance; times of arrival are used.",
    "timestamp-outlier": "Single timestamps are far from their neighbours; they are corrected.",
    "clock-rate-wrong": "Timestamps run at another rate than announced; times of arrival are used.",
    "unknown-ssrc-in-rtcp": "Reports speak of a source that sends no media; they are left out.",
    "sender-report-clock-wrong": "The camera's wall clock is far off; this machine's is used.",
    "parameter-sets-only-in-band": "Parameter sets come only in the stream, not in the SDP.",
    "parameter-sets-only-in-sdp": "Parameter sets come only in the SDP, not in the stream.",
    "ssrc-changes": "The source (SSRC) of a track changes while it plays.",
    "sequence-restarts": "Sequence numbers start anew while a track plays.",
    "many-slices": "Pictures are cut into unusually many slices.",
}


class Quirks(dict[str, str]):
    """The quirks met so far: id -> sentence, in the order in which they were met first."""

    def note(self, name: str, condition: object = True) -> None:
        """Adds one of `SENTENCES` if `condition` holds."""
        if condition:
            self[name] = SENTENCES[name]
