"""IP payload compression, RFC 3173: the header, and DEFLATE (RFC 2394) within a bound."""

from __future__ import annotations

import zlib
from typing import Annotated, Final

from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import REST, U8, U16, Struct

LAST_WELL_KNOWN_CPI: Final = 63  # RFC 3173 section 3.3: 0 to 63 are transform numbers that need no negotiation
FIRST_NEGOTIATED_CPI: Final = 256
LAST_NEGOTIATED_CPI: Final = 61439
MAX_INFLATED: Final = 65535  # an IP packet cannot be larger


class IpComp(Struct, rfc="3173 3"):
    """An IPComp header and the compressed payload; ``next_header`` is what the payload was."""

    next_header: Annotated[IpProtocol, U8]
    flags: Annotated[int, U8] = 0
    cpi: Annotated[int, U16]
    data: Annotated[bytes, REST] = b""

    @property
    def is_well_known(self) -> bool:
        """Whether the CPI is the number of a transform rather than a negotiated index."""
        return self.cpi <= LAST_WELL_KNOWN_CPI

    def inflate(self, limit: int = MAX_INFLATED) -> bytes | None:
        """The payload if it is DEFLATE (RFC 2394) of at most ``limit`` octets; None otherwise."""
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            text = stream.decompress(self.data, limit)
        except zlib.error:
            return None
        return text if stream.eof else None

    def summary(self) -> str:
        """CPI and what is inside."""
        return f"IPComp(CPI={self.cpi:#06x}) {self.next_header}"
