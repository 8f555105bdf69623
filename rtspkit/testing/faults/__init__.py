"""What a camera may do wrong, each a small value: `ScriptedCamera` takes a list of them.

Strategy: a fault is a subclass of `Fault` that overrides one hook or two; all of them are asked in the order of the
list, while the camera runs. Whoever needs another fault writes a class of five lines. Numbers of units and of
connections are counted for each connection, so that a fault means the same beside a second reader.
"""

from rtspkit.testing.faults.answers import (
    LIES,
    SDP_BOMBS,
    ContentLength,
    CSeq,
    Describe,
    Drip,
    Endless,
    Header,
    NeverAnswer,
    OfferBasic,
    Redirect,
    Refuse,
    Say,
    SessionTimeout,
    ShortBody,
    Slots,
    Turn,
)
from rtspkit.testing.faults.base import Fault, OnRequest
from rtspkit.testing.faults.media import (
    Ask,
    Between,
    Bye,
    Flood,
    Freeze,
    HangUp,
    HoldBack,
    Mute,
    PacketByPacket,
    Rewrite,
    WrongLength,
)
from rtspkit.testing.faults.network import Foreign, Network, NoDatagrams, unreachable

__all__ = [
    "LIES",
    "SDP_BOMBS",
    "Ask",
    "Between",
    "Bye",
    "CSeq",
    "ContentLength",
    "Describe",
    "Drip",
    "Endless",
    "Fault",
    "Flood",
    "Foreign",
    "Freeze",
    "HangUp",
    "Header",
    "HoldBack",
    "Mute",
    "Network",
    "NeverAnswer",
    "NoDatagrams",
    "OfferBasic",
    "OnRequest",
    "PacketByPacket",
    "Redirect",
    "Refuse",
    "Rewrite",
    "Say",
    "SessionTimeout",
    "ShortBody",
    "Slots",
    "Turn",
    "WrongLength",
    "unreachable",
]
