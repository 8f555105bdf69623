from typing import final

from typing_extensions import Buffer

__all__ = ["Encoder"]

@final
class Encoder:
    def __init__(self, codec: str, *, channels: int, sample_rate: int, rate_code: int, block_size: int) -> None: ...
    def encode(self, samples: Buffer, data: Buffer) -> tuple[bytes, bytes]: ...
    def restart(self) -> None: ...
