"""ISAKMP and IKEv1: payload bodies, attributes, exchanges, checks."""

from __future__ import annotations

from typing import cast

from ipsecscope.dissect.body import Body, Ikev1Body
from ipsecscope.dissect.ikev1.attributes import Attribute, Lifetime, LongAttribute, ShortAttribute
from ipsecscope.dissect.ikev1.configuration import Attributes
from ipsecscope.dissect.ikev1.gdoi import (
    GdoiSecurityAssociation,
    GroupAssociatedPolicy,
    KeyDownload,
    ProofOfPossession,
    SaKek,
    SaTek,
    SequenceNumber,
)
from ipsecscope.dissect.ikev1.identification import Identification, Selector
from ipsecscope.dissect.ikev1.notification import Delete, Notification
from ipsecscope.dissect.ikev1.payloads import (
    Certificate,
    CertificateRequest,
    Fragment,
    Hash,
    KeyExchange,
    NatDetection,
    NatOriginalAddress,
    Nonce,
    Signature,
    VendorId,
)
from ipsecscope.dissect.ikev1.sa import ForeignSecurityAssociation, Proposal, SecurityAssociation
from ipsecscope.dissect.ikev1.transforms import Transform
from ipsecscope.dissect.registry.isakmp import NatTDraftPayloadType, PayloadType

__all__ = [
    "Attribute",
    "Attributes",
    "Certificate",
    "CertificateRequest",
    "Delete",
    "ForeignSecurityAssociation",
    "Fragment",
    "GdoiSecurityAssociation",
    "GroupAssociatedPolicy",
    "Hash",
    "Identification",
    "KeyDownload",
    "KeyExchange",
    "Lifetime",
    "LongAttribute",
    "NatDetection",
    "NatOriginalAddress",
    "Nonce",
    "Notification",
    "ProofOfPossession",
    "Proposal",
    "SaKek",
    "SaTek",
    "SecurityAssociation",
    "Selector",
    "SequenceNumber",
    "ShortAttribute",
    "Signature",
    "Transform",
    "VendorId",
    "payload_class",
]

_GDOI_MEANING: dict[int, type[Body]] = {int(PayloadType.SAK): SaKek, int(PayloadType.SAT): SaTek}
_DRAFT_MEANING: dict[int, type[Body]] = {
    int(NatTDraftPayloadType.NAT_D): NatDetection,
    int(NatTDraftPayloadType.NAT_OA): NatOriginalAddress,
}


def payload_class(kind: int, *, gdoi: bool = False, nat_t_drafts: bool = True) -> type[Body] | None:
    """The class of a payload number; None for one that nobody described.

    15 and 16 were given twice: SAK and SAT in the GDOI, NAT-D and NAT-OA in drafts 04 to 08 of NAT traversal.

    Args:
        kind: the payload number.
        gdoi: whether the SA's DOI is GDOI.
        nat_t_drafts: whether a Vendor ID announced one of those drafts, or nothing is known of Vendor IDs.
    """
    if gdoi and kind in _GDOI_MEANING:
        return _GDOI_MEANING[kind]
    if nat_t_drafts and kind in _DRAFT_MEANING:
        return _DRAFT_MEANING[kind]
    return cast("type[Body] | None", Ikev1Body.registry.get(kind) or _GDOI_MEANING.get(kind))
