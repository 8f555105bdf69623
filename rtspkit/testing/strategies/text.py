"""Strategies for bytes as such: cut anywhere, damaged anywhere."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

__all__ = ["chunks", "damaged"]


def chunks(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """The same bytes in pieces, as a network may deliver them: whole, byte by byte, or cut anywhere.

    What a parser says must not depend on it. Shrinks towards one piece.
    """
    cuts = st.lists(st.integers(0, len(data)), max_size=12) | st.just(list(range(len(data))))
    return cuts.map(lambda places: [data[a:b] for a, b in pairwise(sorted({0, *places, len(data)}))])


@st.composite
def damaged(draw: st.DrawFn, data: bytes, *, max_changes: int = 4) -> bytes:
    """The bytes with some of them changed, left out or put in, or the end missing.

    Args:
        data: what is damaged.
        max_changes: changes beside the cut at the end.
    """
    found = bytearray(data)
    for _ in range(draw(st.integers(0, max_changes))):
        place = draw(st.integers(0, len(found)))
        match draw(st.sampled_from(["change", "leave out", "put in"])):
            case "change":
                found[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "leave out":
                del found[place : place + draw(st.integers(1, 8))]
            case _:
                found[place:place] = draw(st.binary(min_size=1, max_size=8))
    if draw(st.booleans()):
        del found[draw(st.integers(0, len(found))) :]
    return bytes(found)
