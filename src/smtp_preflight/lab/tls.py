"""TLS at the server's side, byte by byte.

asyncio's own hangs up on a client whose handshake fails without sending the alert that says why
(RFC 8446 section 6.2), which real servers do send.
"""

from __future__ import annotations

import contextlib
import re
import ssl

_ALERT = re.compile(rb"\A(\x15\x03.\x00\x02\x02).\Z", re.DOTALL)
"""A fatal alert in the clear, up to what it says (RFC 8446 sections 5.1 and 6)."""
_HANDSHAKE_FAILURE = bytes([40])


class ServerTls:
    """One connection's TLS engine: protected bytes in and out, words in between.

    vague: whatever a handshake fails of, its alert says no more than that.
    """

    def __init__(self, context: ssl.SSLContext, *, vague: bool = False) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._engine = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._vague = vague
        self.established = False

    def receive(self, data: bytes) -> None:
        """Take what came over the network."""
        self._incoming.write(data)

    def read(self) -> bytes:
        """Shake hands as far as it goes, and return what was said; raises ssl.SSLError where either fails."""
        words = bytearray()
        with contextlib.suppress(ssl.SSLWantReadError):
            if not self.established:
                self._engine.do_handshake()
                self.established = True
            while data := self._engine.read():
                words += data
        return bytes(words)

    def write(self, words: bytes) -> None:
        """Protect what is to be said."""
        self._engine.write(words)

    def close(self) -> None:
        """Say that nothing more will be said (RFC 8446 section 6.1)."""
        with contextlib.suppress(ssl.SSLError):  # the client has not said so yet
            self._engine.unwrap()

    def outgoing(self) -> bytes:
        """What has to go over the network now, alerts among it."""
        data = self._outgoing.read()
        if self._vague and not self.established:
            return _ALERT.sub(rb"\1" + _HANDSHAKE_FAILURE, data)
        return data
