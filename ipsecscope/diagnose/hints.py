"""Configuration hints from what was seen: the algorithms of an offer in the words of swanctl.conf and Cisco IOS.

Hints are starting points for the operator of one side; nobody applies them for him.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod
from ipsecscope.timeline.sas import IkeSa, Role

HINT = "hint, to be checked against your own policy: "
SHOWN_PROPOSALS = 4

_ENCRYPTION = {
    "ENCR_3DES": "3des",
    "ENCR_DES": "des",
    "ENCR_AES_CBC": "aes{bits}",
    "ENCR_AES_CTR": "aes{bits}ctr",
    "ENCR_CAMELLIA_CBC": "camellia{bits}",
    "ENCR_CHACHA20_POLY1305": "chacha20poly1305",
    "ENCR_NULL": "null",
    "ENCR_NULL_AUTH_AES_GMAC": "aes{bits}gmac",
}
_PRF = {
    "PRF_HMAC_MD5": "prfmd5",
    "PRF_HMAC_SHA1": "prfsha1",
    "PRF_HMAC_SHA2_256": "prfsha256",
    "PRF_HMAC_SHA2_384": "prfsha384",
    "PRF_HMAC_SHA2_512": "prfsha512",
    "PRF_AES128_XCBC": "prfaesxcbc",
    "PRF_AES128_CMAC": "prfaescmac",
}
_INTEG = {
    "AUTH_HMAC_MD5_96": "md5",
    "AUTH_HMAC_SHA1_96": "sha1",
    "AUTH_HMAC_SHA2_256_128": "sha256",
    "AUTH_HMAC_SHA2_384_192": "sha384",
    "AUTH_HMAC_SHA2_512_256": "sha512",
    "AUTH_AES_XCBC_96": "aesxcbc",
    "AUTH_AES_CMAC_96": "aescmac",
}
_AEAD = re.compile(r"ENCR_AES_(GCM|CCM)_(\d+)")


def swanctl_keyword(name: str) -> str | None:
    """The keyword of strongSwan for one transform as reports write it (``ENCR_AES_CBC-256``); None when it has none."""
    base, _, bits = name.partition("-")
    aead = _AEAD.fullmatch(base)
    if aead is not None:
        return f"aes{bits}{aead[1].lower()}{aead[2]}"
    if base in _ENCRYPTION:
        return _ENCRYPTION[base].format(bits=bits)
    return _PRF.get(base) or _INTEG.get(base) or group_keyword(base)


def group_keyword(name: str) -> str | None:
    """The keyword of strongSwan for a key exchange method."""
    for pattern, word in (("MODP_", "modp"), ("ECP_", "ecp"), ("ML_KEM_", "mlkem"), ("CURVE25519", "x25519")):
        if name.startswith(pattern):
            return word + name.removeprefix(pattern).replace("_", "s") if pattern.endswith("_") else word
    return "x448" if name == "CURVE448" else None


def offers_of(sa: IkeSa, role: Role) -> list[dict[str, Any]]:
    """The proposals that one end sent last, in order; empty when it sent none."""
    sent = [offer["proposals"] for offer in sa.offers if offer.get("from") == role]
    return list(sent[-1]) if sent else []


def offered(proposals: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """All transforms of some IKEv2 proposals by type, without repetition, in order."""
    found: dict[str, dict[str, None]] = {}
    for proposal in proposals:
        transforms = proposal.get("transforms")
        if isinstance(transforms, Mapping):
            for kind, names in transforms.items():
                found.setdefault(kind, {}).update(dict.fromkeys(names))
    return {kind: list(names) for kind, names in found.items()}


def offer_text(proposals: Sequence[Mapping[str, Any]]) -> str:
    """An offer on one line: every proposal with its alternatives."""
    said = []
    for proposal in proposals[:SHOWN_PROPOSALS]:
        transforms = proposal.get("transforms")
        if isinstance(transforms, Mapping):
            said.append(", ".join("/".join(names) for names in transforms.values()))
        elif isinstance(transforms, Sequence):
            said += [str(each) for each in transforms[:SHOWN_PROPOSALS]]
    more = len(proposals) - SHOWN_PROPOSALS
    return "; ".join(said) + (f" and {more} more" if more > 0 else "")


def swanctl_proposal(proposals: Iterable[Mapping[str, Any]], key: str) -> str:
    """A ``proposals`` or ``esp_proposals`` line that accepts the first of the proposals that has keywords."""
    for proposal in proposals:
        transforms = proposal.get("transforms")
        if not isinstance(transforms, Mapping):
            continue
        words = [swanctl_keyword(names[0]) for names in transforms.values() if names and names[0] != "NO_ESN"]
        known = [word for word in words if word]
        if known:
            return f"{HINT}{key} = {'-'.join(known)}"
    return ""


def ios_proposal(proposals: Iterable[Mapping[str, Any]]) -> str:
    """An IKEv2 proposal for Cisco IOS that accepts what was offered first."""
    transforms = offered(proposals)
    encryption = [_ios_encryption(name) for name in transforms.get("ENCR", [])[:1]]
    integrity = [word for name in transforms.get("INTEG", [])[:1] if (word := _INTEG.get(name))]
    groups = [number for name in transforms.get("KE", [])[:1] if (number := _group_number(name))]
    lines = [f"encryption {word}" for word in encryption if word]
    lines += [f"integrity {word}" for word in integrity] + [f"group {number}" for number in groups]
    return f"{HINT}crypto ikev2 proposal P / {' / '.join(lines)}" if lines else ""


def _ios_encryption(name: str) -> str | None:
    base, _, bits = name.partition("-")
    if base == "ENCR_3DES":
        return "3des"
    if base == "ENCR_AES_CBC":
        return f"aes-cbc-{bits}"
    return f"aes-gcm-{bits}" if base == "ENCR_AES_GCM_16" else None


def _group_number(name: str) -> int | None:
    try:
        return int(KeyExchangeMethod[name])
    except KeyError:
        return None


def differences(first: Mapping[str, Sequence[str]], second: Mapping[str, Sequence[str]]) -> list[str]:
    """The transform types for which two offers have nothing in common."""
    kinds = [kind for kind in first if kind in second]
    return [kind for kind in kinds if not set(first[kind]) & set(second[kind])]
