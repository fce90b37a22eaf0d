"""RFC 7383: IKEv2 Message Fragmentation."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.ikev2.notify import NoData
from ipsecscope.dissect.registry.ikev2 import NotifyType, PayloadType
from ipsecscope.dissect.wire import REST, U16


class FragmentationSupported(NoData, of=NotifyType.IKEV2_FRAGMENTATION_SUPPORTED, rfc="7383 2.3"):
    """The data of a notification that has none."""


class EncryptedFragment(Ikev2Body, of=PayloadType.SKF, rfc="7383 2.5"):
    """Encrypted and Authenticated Fragment payload: one piece of a message, protected by itself."""

    fragment_number: Annotated[int, U16]
    total_fragments: Annotated[int, U16]
    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """Such as ``2/3 520 octets``."""
        return f"{self.fragment_number}/{self.total_fragments} {len(self.data)} octets"
