"""RFC 9867: Mixing Preshared Keys in IKE_INTERMEDIATE and CREATE_CHILD_SA for Post-Quantum Security."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.codecs import AllBut
from ipsecscope.dissect.ikev2.identification import key_id_text
from ipsecscope.dissect.ikev2.notify import NoData, NotifyData
from ipsecscope.dissect.registry.ikev2 import NotifyType, PpkIdType
from ipsecscope.dissect.wire import U8, Bytes

CONFIRMATION_SIZE = 8


class UsePpkInt(NoData, of=NotifyType.USE_PPK_INT, rfc="9867 3.1"):
    """The data of a notification that has none."""


class PpkIdentityKey(NotifyData, of=NotifyType.PPK_IDENTITY_KEY, rfc="9867 3.1"):
    """A key the initiator offers, with a check value by which the responder finds it."""

    ppk_id_type: Annotated[PpkIdType, U8]
    ppk_id: Annotated[bytes, AllBut(CONFIRMATION_SIZE)]
    confirmation: Annotated[bytes, Bytes(CONFIRMATION_SIZE)]

    def summary(self) -> str:
        """Such as ``PPK_ID_FIXED qkd-7``."""
        return f"{self.ppk_id_type} {key_id_text(self.ppk_id)}"
