"""What a camera's answers mean: plain functions of what was asked and what came back.

Strategy: the answer is believed where it can be true, else what was asked for holds. Nothing here keeps a
state; `rtsp.Connection` does.

Specs: RFC 2326 sections 12.39 (Transport) and 12.33 (RTP-Info).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence

from rtspkit.formats import MediaTrack
from rtspkit.messages import RTPInfo, Transport, parse_rtp_info, parse_transport
from rtspkit.quirks import Quirks

__all__ = ["TransportRefused", "free_channels", "granted_transport", "match_rtp_info"]

_SSRC = re.compile(r"ssrc\s*=([^;,]*)", re.IGNORECASE)


class TransportRefused(Exception):
    """The answer to SETUP is yes, but to something else; says what the camera "insists on"."""


def granted_transport(
    track: MediaTrack, wanted: Transport, headers: Sequence[str], taken: Collection[int], quirks: Quirks
) -> Transport:
    """What holds after SETUP was answered.

    Args:
        track: that was set up.
        wanted: what was asked for.
        headers: the Transport headers of the answer; only the first transport counts.
        taken: the interleaved channels of the other tracks.
        quirks: takes what is odd about the answer.

    Returns:
        TCP: with `interleaved`. UDP: with `client_port`, and `server_port` and `source` where the camera names
        them. Multicast: with `destination`, `port`, `ttl` and `source`. All of them with `ssrc`.

    Raises:
        TransportRefused: the answer is something that was not asked for and cannot be taken instead.
    """
    offers = parse_transport(headers)
    quirks.note("transport-missing", not offers)
    quirks.note("ssrc-spelling", any(not _is_ssrc(text) for value in headers for text in _SSRC.findall(value)))
    offer = offers[0] if offers else Transport(protocol=wanted.protocol)
    if offer.secure:
        raise TransportRefused("encrypted RTP")
    if wanted.protocol == "tcp":
        if offer.interleaved is None and (offer.server_port or offer.client_port or offer.port):
            raise TransportRefused("RTP over UDP")
        quirks.note("transport-protocol", offer.protocol != "tcp")  # Escam: the channels tell
        return _interleaved(wanted.interleaved, offer, taken, quirks)
    if offer.interleaved is not None and (offer.protocol == "tcp" or offer.server_port is None):
        quirks.note("udp-answered-with-tcp")
        return _interleaved(None, offer, taken, quirks)
    if offer.protocol == "tcp":
        raise TransportRefused("RTP over TCP")
    source = _address(offer.source)
    quirks.note("source-unusable", offer.source and source is None)
    if wanted.delivery == "multicast":
        return _multicast(track, offer, source, quirks)
    if offer.delivery == "multicast":
        raise TransportRefused("multicast")
    server_port = _usable_ports(offer.server_port)
    quirks.note("server-port-missing", server_port is None)
    return Transport(
        protocol="udp",
        delivery="unicast",
        client_port=wanted.client_port,
        server_port=server_port,
        source=source,
        ssrc=offer.ssrc or None,
    )


def _is_ssrc(text: str) -> bool:
    return re.fullmatch(r"[0-9A-Fa-f]{8}", text) is not None


def _interleaved(wanted: tuple[int, int] | None, offer: Transport, taken: Collection[int], quirks: Quirks) -> Transport:
    channels = offer.interleaved
    if channels is not None and (set(channels) & set(taken) or channels[0] == channels[1]):
        quirks.note("channels-unusable")
        channels = None
    quirks.note("other-channels", channels and wanted and channels != wanted)
    return Transport(
        protocol="tcp",
        delivery="unicast",
        interleaved=channels or wanted or free_channels(taken),
        ssrc=offer.ssrc or None,
    )


def free_channels(taken: Collection[int]) -> tuple[int, int]:
    """Two interleaved channels, beside each other, that are not taken."""
    first = next(even for even in range(0, 256, 2) if not {even, even + 1} & set(taken))
    return first, first + 1


def _multicast(track: MediaTrack, offer: Transport, source: str | None, quirks: Quirks) -> Transport:
    if offer.delivery == "unicast":
        raise TransportRefused("unicast")
    group = next(filter(_is_multicast, map(_address, (offer.destination, track.media.address))), None)
    if group is None:
        raise TransportRefused("multicast without an address")
    number = track.media.port.partition("/")[0]
    announced = int(number) if re.fullmatch(r"[0-9]{1,5}", number) else 0
    named = _usable_ports(offer.port or offer.client_port or offer.server_port)
    port = named or _usable_ports((announced, announced + 1))
    if port is None:
        raise TransportRefused("multicast without a port")
    quirks.note("multicast-incomplete", named is None or _address(offer.destination) != group)
    return Transport(
        protocol="udp",
        delivery="multicast",
        destination=group,
        port=port,
        ttl=offer.ttl,
        source=source,
        ssrc=offer.ssrc or None,
    )


def _is_multicast(address: str | None) -> bool:
    return address is not None and ipaddress.ip_address(address).is_multicast


def _usable_ports(pair: tuple[int, int] | None) -> tuple[int, int] | None:
    """None where one of them is 0 or out of range, as cameras write that do not know yet."""
    return pair if pair and 0 < pair[0] <= 65535 and 0 < pair[1] <= 65535 else None


def _address(text: str | None) -> str | None:
    """An IP address as it is usually written; None for a name, nonsense, and the unspecified address."""
    try:
        address = ipaddress.ip_address((text or "").strip("[]"))
    except ValueError:
        return None
    return None if address.is_unspecified else str(address)


def match_rtp_info(tracks: Sequence[MediaTrack], header: str | None, quirks: Quirks) -> tuple[RTPInfo | None, ...]:
    """The entry of an RTP-Info header that belongs to each track; None where none does.

    Args:
        tracks: that were set up.
        header: None where absent.
        quirks: takes what is odd about it.
    """
    text = header or ""
    entries = parse_rtp_info(text)
    quirks.note("rtp-info-missing", not entries)
    quirks.note("trailing-separators", text.rstrip().endswith((";", ",")))  # Laureii
    written = re.findall(r"(?i)[;\s](seq|rtptime)=([^;,]*)", text)
    readable = [value for entry in entries for value in (entry.seq, entry.rtptime) if value is not None]
    quirks.note("rtp-info-values", len(written) > len(readable))
    found = tuple(_find_rtp_info(track, entries) for track in tracks)
    quirks.note("rtp-info-url", any(entry not in found for entry in entries))
    if len(tracks) == len(entries) == 1:
        return tuple(entries)  # GW cameras name an URL they never announced
    return found


def _find_rtp_info(track: MediaTrack, entries: Iterable[RTPInfo]) -> RTPInfo | None:
    wanted = _path(track.url)
    for entry in entries:
        path = _path(entry.url)
        if path == wanted or entry.url == track.media.control:
            return entry
        if "://" not in entry.url and wanted.endswith("/" + path.lstrip("/")):
            return entry
    return None


def _path(url: str) -> str:
    """Path and query of an URL that may be relative."""
    match = re.match(r"[A-Za-z]+://[^/?]*", url)
    return url[match.end() :] if match else url
