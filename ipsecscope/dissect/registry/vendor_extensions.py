"""Vendor IDs that announce a protocol extension and say nothing about the product: NAT-T, DPD, XAUTH, fragmentation."""

from __future__ import annotations

from typing import Final

from ipsecscope.dissect.registry import vendor_fields
from ipsecscope.dissect.registry.vendor_rows import (
    IKEV1,
    VendorId,
    hashed,
    hashed_prefix,
    literal,
    literal_prefix,
    md5,
    raw,
    raw_prefix,
)

ANYBODY: Final = ""  # an extension is nobody's product

_HEARTBEAT: Final = vendor_fields.trailing_octets
_XAUTH_DRAFT: Final = "draft-ietf-ipsra-isakmp-xauth-06.txt"
_CHALLENGE: Final = "IKE Challenge/Response for Authenticated Cryptographic Keys"
_GSS_API: Final = "A GSS-API Authentication Method for IKE"

ROWS: Final[tuple[VendorId, ...]] = (
    hashed("RFC 3947", ANYBODY, name="NAT-T (RFC 3947)", ike_versions=IKEV1),
    hashed("RFC XXXX", ANYBODY, name="NAT-T (RFC 3947 before it had its number)", ike_versions=IKEV1),
    hashed("Testing NAT-T RFC", ANYBODY, ike_versions=IKEV1),
    hashed("draft-ietf-ipsec-nat-t-ike", ANYBODY, ike_versions=IKEV1),
    *(hashed(f"draft-ietf-ipsec-nat-t-ike-{number:02}", ANYBODY, ike_versions=IKEV1) for number in range(10)),
    hashed("draft-ietf-ipsec-nat-t-ike-02\n", ANYBODY, name="draft-ietf-ipsec-nat-t-ike-02\\n", ike_versions=IKEV1),
    hashed("draft-stenberg-ipsec-nat-traversal-01", ANYBODY, ike_versions=IKEV1),
    hashed("draft-stenberg-ipsec-nat-traversal-02", ANYBODY, ike_versions=IKEV1),
    hashed("draft-huttunen-ipsec-esp-in-udp-00.txt", ANYBODY, ike_versions=IKEV1),
    hashed("ESPThruNAT", ANYBODY, name="draft-huttunen-ipsec-esp-in-udp-01", ike_versions=IKEV1),
    VendorId("XAUTH", ANYBODY, md5(_XAUTH_DRAFT)[:8], origin=_XAUTH_DRAFT, ike_versions=IKEV1),
    VendorId("XAUTH (whole hash)", ANYBODY, md5(_XAUTH_DRAFT), origin=_XAUTH_DRAFT, ike_versions=IKEV1),
    raw_prefix(
        "afcad71368a1f1c96b8696fc7757",
        "DPD (RFC 3706)",
        ANYBODY,
        read=vendor_fields.two_octet_version,
        ike_versions=IKEV1,
        size=16,
    ),
    raw("afca071368a1f1c96b8696fc77570100", "DPD (an octet of RFC 3706 mistyped)", ANYBODY, ike_versions=IKEV1),
    hashed("DPD", ANYBODY, name="DPD (next generation)", ike_versions=IKEV1),
    hashed_prefix("FRAGMENTATION", 16, ANYBODY, read=vendor_fields.fragmentation),
    VendorId("Heartbeat Notify", ANYBODY, b"HeartBeat_Notify", prefix=True, ike_versions=IKEV1, read=_HEARTBEAT),
    VendorId("Heartbeat Notify", ANYBODY, b"HeartBeat Notify", prefix=True, ike_versions=IKEV1, read=_HEARTBEAT),
    raw("8db7a41811221660", "draft-ietf-ipsec-heartbeats-00", ANYBODY, ike_versions=IKEV1),
    raw("325df29a2319f2dd", "draft-krywaniuk-ipsec-antireplay-00", ANYBODY, ike_versions=IKEV1),
    hashed(_CHALLENGE, ANYBODY, ike_versions=IKEV1),
    hashed(_CHALLENGE + "\n", ANYBODY, name=_CHALLENGE + " (with a newline)", ike_versions=IKEV1),
    hashed(_CHALLENGE + " (Revised)", ANYBODY, ike_versions=IKEV1),
    hashed(_CHALLENGE + " (Revised)\n", ANYBODY, name=_CHALLENGE + " (Revised, with a newline)", ike_versions=IKEV1),
    hashed(_GSS_API, ANYBODY, ike_versions=IKEV1),
    hashed(_GSS_API + "\n", ANYBODY, name=_GSS_API + " (with a newline)", ike_versions=IKEV1),
    hashed("GSSAPI", ANYBODY, ike_versions=IKEV1),
    raw("2d7922c6b301d9b0e1342739e9cfbbd5", "Delete with reason", ANYBODY),
    literal("OpenPGP10171", ANYBODY, name="OpenPGP certificates", ike_versions=IKEV1),
    literal_prefix(
        "OpenPGP", ANYBODY, name="OpenPGP certificates (other version)", read=vendor_fields.text, ike_versions=IKEV1
    ),
)
