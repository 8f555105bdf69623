"""What a camera's answers mean: plain functions of what was asked and what came back.

Strategy: the answer is believed where it can be true, else what was asked for holds. Nothing here keeps a
state; `rtsp.Connection` does.

Specs: RFC 2326 sections 12.39 (Transport) and 12.33 (RTP-Info).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from rtspkit.messages import RTPInfo, Transport
from rtspkit.sdp import MediaTrack

__all__ = ["TransportRefused", "granted_transport", "match_rtp_info"]


class TransportRefused(Exception):
    """The answer to SETUP is yes, but to something else; says what the camera "insists on"."""


def granted_transport(
    track: MediaTrack, wanted: Transport, offers: Sequence[Transport], taken: Collection[int]
) -> Transport:
    """What holds after SETUP was answered.

    Args:
        track: that was set up.
        wanted: what was asked for.
        offers: the Transport headers of the answer; only the first one counts.
        taken: the interleaved channels of the other tracks.

    Returns:
        TCP: with `interleaved`. UDP: with `client_port`, and `server_port` and `source` where the camera names
        them. Multicast: with `destination`, `port`, `ttl` and `source`. All of them with `ssrc`.

    Raises:
        TransportRefused: the answer is something that was not asked for and cannot be taken instead.
    """
    offer = offers[0] if offers else replace(wanted, delivery=None)
    if offer.secure:
        raise TransportRefused("encrypted RTP")
    if wanted.protocol == "tcp":
        # Escam leaves "/TCP" out: the channels tell
        if offer.interleaved is None and (offer.server_port or offer.client_port or offer.port):
            raise TransportRefused("RTP over UDP")
        return _interleaved(wanted.interleaved, offer, taken)
    if offer.interleaved is not None and (offer.protocol == "tcp" or offer.server_port is None):
        return _interleaved(None, offer, taken)
    if offer.protocol == "tcp":
        raise TransportRefused("RTP over TCP")
    if wanted.delivery == "multicast":
        return _multicast(track, offer)
    if offer.delivery == "multicast":
        raise TransportRefused("multicast")
    return Transport(
        protocol="udp",
        delivery="unicast",
        client_port=wanted.client_port,
        server_port=_usable_ports(offer.server_port),
        source=_address(offer.source),
        ssrc=offer.ssrc or None,
    )


def _interleaved(wanted: tuple[int, int] | None, offer: Transport, taken: Collection[int]) -> Transport:
    channels = offer.interleaved or wanted
    if channels is None or set(channels) & set(taken) or channels[0] == channels[1]:
        channels = wanted or _free_channels(taken)
    return Transport(protocol="tcp", delivery="unicast", interleaved=channels, ssrc=offer.ssrc or None)


def _free_channels(taken: Collection[int]) -> tuple[int, int]:
    first = next(even for even in range(0, 256, 2) if not {even, even + 1} & set(taken))
    return first, first + 1


def _multicast(track: MediaTrack, offer: Transport) -> Transport:
    group = _address(offer.destination)
    if group is None or not ipaddress.ip_address(group).is_multicast:
        raise TransportRefused("unicast" if offer.delivery == "unicast" else "multicast without an address")
    number = track.media.port.partition("/")[0]
    announced = int(number) if re.fullmatch(r"[0-9]{1,5}", number) else 0
    port = _usable_ports(offer.port or offer.client_port or offer.server_port or (announced, announced + 1))
    if port is None:
        raise TransportRefused("multicast without a port")
    return Transport(
        protocol="udp",
        delivery="multicast",
        destination=group,
        port=port,
        ttl=offer.ttl,
        source=_address(offer.source),
        ssrc=offer.ssrc or None,
    )


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


def match_rtp_info(tracks: Sequence[MediaTrack], entries: Sequence[RTPInfo]) -> tuple[RTPInfo | None, ...]:
    """The entry that belongs to each track; None where none does."""
    if len(tracks) == len(entries) == 1:
        return tuple(entries)  # GW cameras name an URL they never announced
    return tuple(_find_rtp_info(track, entries) for track in tracks)


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
