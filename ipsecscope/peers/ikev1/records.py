"""What an IKEv1 peer derived, as the key record that every key log is read into and written from."""

from __future__ import annotations

from ipsecscope.decrypt.keys import IkeV1Keys, NamedEncryption, NamedPrf, Origin, Role
from ipsecscope.peers.ikev1.events import IsakmpKeysDerived


def isakmp_record(event: IsakmpKeysDerived, origin: Origin) -> IkeV1Keys:
    """The keys of an ISAKMP SA; ``origin`` names them."""
    suite, keys = event.suite, event.skeyids
    return IkeV1Keys(
        origin=origin,
        cookie_i=event.cookie_i,
        cookie_r=event.cookie_r,
        skeyid=keys.skeyid,
        skeyid_d=keys.skeyid_d,
        skeyid_a=keys.skeyid_a,
        skeyid_e=keys.skeyid_e,
        ka=event.key,
        iv=event.iv,
        encryption=NamedEncryption.of(suite.encryption, suite.key_bits),
        hash=NamedPrf.of(suite.prf),
        role=Role(event.vantage),
    )
