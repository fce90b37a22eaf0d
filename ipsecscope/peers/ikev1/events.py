"""What an IKEv1 peer tells beyond the events of both versions."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from ipsecscope.decrypt.algorithms import EncryptionRow, PrfRow
from ipsecscope.decrypt.keymat_ikev1 import SkeyidKeys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.peers.events import PeerEvent


class PhaseOneSuite(msgspec.Struct, frozen=True, kw_only=True):
    """The algorithms of an ISAKMP SA."""

    encryption: EncryptionRow
    key_bits: int | None = None
    prf: PrfRow


class IsakmpKeysDerived(PeerEvent, frozen=True, kw_only=True):
    """An ISAKMP SA has keys: SKEYID and its family, and the key and first IV of its cipher (RFC 2409 section 5)."""

    name: ClassVar[str] = "ike_sa:keys_derived"

    cookie_i: bytes
    cookie_r: bytes
    suite: PhaseOneSuite
    skeyids: SkeyidKeys
    key: Secret
    iv: bytes
    ni: bytes
    nr: bytes


class UserAuthenticated(PeerEvent, frozen=True, kw_only=True):
    """XAUTH came to its end; ``user`` is what the client called itself, where this peer knows it."""

    name: ClassVar[str] = "ike_sa:user_authenticated"

    user: str
    succeeded: bool

    @property
    def data(self) -> dict[str, Any]:
        """Who, and whether it succeeded."""
        return {"user": self.user, "succeeded": self.succeeded}


class ConfigurationExchanged(PeerEvent, frozen=True, kw_only=True):
    """Mode configuration gave the client its address and more; ``attributes`` are in words."""

    name: ClassVar[str] = "ike_sa:configured"

    address: str
    attributes: tuple[str, ...] = ()

    @property
    def data(self) -> dict[str, Any]:
        """The address and the attributes."""
        return {"address": self.address, "attributes": list(self.attributes)}
