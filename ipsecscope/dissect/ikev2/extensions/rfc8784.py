"""RFC 8784: Mixing Preshared Keys in IKEv2 for Post-quantum Security."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.identification import key_id_text
from ipsecscope.dissect.ikev2.notify import NoData, NotifyData
from ipsecscope.dissect.registry.ikev2 import NotifyType, PpkIdType
from ipsecscope.dissect.wire import REST, U8


class UsePpk(NoData, of=NotifyType.USE_PPK, rfc="8784 3"):
    """The data of a notification that has none."""


class PpkIdentity(NotifyData, of=NotifyType.PPK_IDENTITY, rfc="8784 5.1"):
    """Which postquantum preshared key the initiator uses."""

    ppk_id_type: Annotated[PpkIdType, U8]
    ppk_id: Annotated[bytes, REST]

    def summary(self) -> str:
        """Such as ``PPK_ID_FIXED qkd-7``."""
        return f"{self.ppk_id_type} {key_id_text(self.ppk_id)}"


class NoPpkAuth(NotifyData, of=NotifyType.NO_PPK_AUTH, rfc="8784 3"):
    """The authentication data for a peer that does not know the key: as in AUTH, without its method."""

    auth_data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.auth_data)} octets"
