# What cameras get wrong in RTP and is put up with: the bits of TrackState.quirks, and their names. `rtspkit.quirks`
# has the sentences. Included by _rtp.pyx.

cdef enum:
    MANY_NALS = 32              # in one unit: players differ in what they take

cdef enum Quirk:
    QUIRK_MARKER_NEVER_SET
    QUIRK_MARKER_ON_SEI
    QUIRK_MARKER_WITHIN_PICTURE
    QUIRK_FU_START_AND_END
    QUIRK_NAL_TYPE_CHANGES_IN_FU
    QUIRK_EMPTY_FRAGMENT
    QUIRK_ANNEXB_IN_RTP
    QUIRK_STAP_PADDING
    QUIRK_JUNK_PAYLOAD_TYPE
    QUIRK_ADTS_IN_AAC
    QUIRK_TIMESTAMPS_STAND
    QUIRK_TIMESTAMP_OUTLIER
    QUIRK_UNKNOWN_SSRC_IN_RTCP
    QUIRK_PARAMETER_SETS_ONLY_IN_BAND
    QUIRK_PARAMETER_SETS_ONLY_IN_SDP
    QUIRK_SSRC_CHANGES
    QUIRK_SEQUENCE_RESTARTS
    QUIRK_MANY_SLICES

QUIRKS = (
    "marker-never-set", "marker-on-sei", "marker-within-picture", "fu-start-and-end", "nal-type-changes-in-fu",
    "empty-fragment", "annexb-in-rtp", "stap-padding", "junk-payload-type", "adts-in-aac", "timestamps-stand",
    "timestamp-outlier", "unknown-ssrc-in-rtcp", "parameter-sets-only-in-band", "parameter-sets-only-in-sdp",
    "ssrc-changes", "sequence-restarts", "many-slices",
)
