"""What a responder that anybody may talk to bears from strangers, in one table; a settings file may change the first seven."""

from __future__ import annotations

from typing import Final

MAX_WITHOUT_COOKIE: Final = 30  # half-open IKE SAs before an IKE_SA_INIT needs a cookie (RFC 7296 section 2.6)
MAX_WITHOUT_COOKIE_PER_SOURCE: Final = 3  # of one address
MAX_HALF_OPEN: Final = 200  # IKE SAs whose initiator has not proven who it is
MAX_HALF_OPEN_PER_SOURCE: Final = 10  # of one address
MAX_IKE_SAS: Final = 10_000
MAX_CHILDREN_PER_SA: Final = 64
MAX_AMPLIFICATION: Final = 1.5  # octets sent for each octet received, before an address is verified

MAX_STRANGERS: Final = 4_096  # addresses that are remembered though nothing verifies them
MAX_VERIFIED: Final = 16_384  # addresses that were seen to receive what is sent there
MAX_SHOWN_SPIS: Final = 16  # SPIs of ours that one unverified address is known to have been sent
MAX_LINES_PER_SECOND: Final = 1  # of the log, for each kind of line
