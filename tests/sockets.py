"""What several tests do with sockets."""

import socket
import struct


def reset_at_close(sock: socket.socket) -> None:
    """Closing the socket resets its connection (RST) from now on; an asyncio transport's will do, too."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
