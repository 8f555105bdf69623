from collections.abc import Sequence

from typing_extensions import Buffer

__all__ = ["survey", "write_fragment"]

# rtspkit.fmp4.FragmentRun is its public name
_FragmentRun = (
    tuple[int, int, int, int, int, Buffer, Buffer]
    | tuple[int, int, int, int, int, Buffer, Buffer, int]
    | tuple[int, int, int, int, int, Buffer, Buffer, int, bool]
)

def write_fragment(sequence_number: int, runs: Sequence[_FragmentRun]) -> tuple[bytes, tuple[int, ...]]: ...
def survey(samples: Buffer) -> tuple[int, int, int, int, int, int, int, bool, int, int, int]: ...
