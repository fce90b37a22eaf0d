"""Checks of an SA payload: numbering, sizes, and which transforms a protocol needs (RFC 7296 section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.ikev2.proposals import Proposal, SecurityAssociation, Transform
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm as Encr
from ipsecscope.dissect.registry.ikev2 import IntegrityAlgorithm, SecurityProtocol, TransformType

AEAD = frozenset(
    (
        Encr.ENCR_AES_CCM_8,
        Encr.ENCR_AES_CCM_12,
        Encr.ENCR_AES_CCM_16,
        Encr.ENCR_AES_GCM_8,
        Encr.ENCR_AES_GCM_12,
        Encr.ENCR_AES_GCM_16,
        Encr.ENCR_NULL_AUTH_AES_GMAC,
        Encr.ENCR_CAMELLIA_CCM_8,
        Encr.ENCR_CAMELLIA_CCM_12,
        Encr.ENCR_CAMELLIA_CCM_16,
        Encr.ENCR_CHACHA20_POLY1305,
        Encr.ENCR_AES_CCM_8_IIV,
        Encr.ENCR_AES_GCM_16_IIV,
        Encr.ENCR_CHACHA20_POLY1305_IIV,
        Encr.ENCR_KUZNYECHIK_MGM_KTREE,
        Encr.ENCR_MAGMA_MGM_KTREE,
        Encr.ENCR_KUZNYECHIK_MGM_MAC_KTREE,
        Encr.ENCR_MAGMA_MGM_MAC_KTREE,
    )
)
BLOCK_CIPHER_KEYS = (128, 192, 256)  # bits of an AES or Camellia key
NEEDS_KEY_LENGTH = frozenset(item for item in Encr if "_AES_" in item.name or "_CAMELLIA_" in item.name)
VARIABLE_KEY = frozenset((Encr.ENCR_RC5, Encr.ENCR_CAST, Encr.ENCR_BLOWFISH))  # a length may be given

_IKE_SPI_SIZES = (0, 8)  # a first IKE SA has none in the proposal, a rekeyed one has (RFC 7296 3.3.1)
_CHILD_SPI_SIZES = (4,)
SPI_SIZES = {
    SecurityProtocol.IKE: _IKE_SPI_SIZES,
    SecurityProtocol.AH: _CHILD_SPI_SIZES,
    SecurityProtocol.ESP: _CHILD_SPI_SIZES,
}
_T = TransformType
_ADDKE = tuple(_T(number) for number in range(_T.ADDKE1, _T.KWA))
MANDATORY = {
    SecurityProtocol.IKE: (_T.ENCR, _T.PRF, _T.KE),
    SecurityProtocol.AH: (_T.INTEG, _T.SN),
    SecurityProtocol.ESP: (_T.ENCR, _T.SN),
}
USED = {
    SecurityProtocol.IKE: (_T.ENCR, _T.PRF, _T.INTEG, _T.KE, *_ADDKE, _T.KWA),
    SecurityProtocol.AH: (_T.INTEG, _T.KE, _T.SN, *_ADDKE),
    SecurityProtocol.ESP: (_T.ENCR, _T.INTEG, _T.KE, _T.SN, *_ADDKE),
}

Finding = tuple[str, str, str]  # kind, text, field path within the body


def check_proposals(body: SecurityAssociation, *, is_response: bool) -> Iterator[Finding]:
    """What there is to say about the proposals of a request or a response."""
    if not body.proposals:
        yield "sa.no-proposal", "no proposal", ""
    if is_response and len(body.proposals) > 1:
        yield "sa.ambiguous-choice", f"{len(body.proposals)} proposals in a response", "proposals"
    seen: set[int] = set()
    for index, proposal in enumerate(body.proposals):
        path = f"proposals[{index}]"
        if proposal.number in seen:
            yield "sa.duplicate-proposal", f"proposal number {proposal.number} again", f"{path}.number"
        elif not is_response and proposal.number != index + 1:
            yield "sa.proposal-number", f"number {proposal.number} on proposal {index + 1}", f"{path}.number"
        seen.add(proposal.number)
        for kind, text, field in _proposal(proposal, is_response=is_response):
            yield kind, text, f"{path}.{field}" if field else path


def _proposal(proposal: Proposal, *, is_response: bool) -> Iterator[Finding]:
    yield from _frame(proposal)
    present = {item.transform_type for item in proposal.transforms}
    for missing in (kind for kind in MANDATORY.get(proposal.protocol_id, ()) if kind not in present):
        yield "sa.transform-missing", f"no {missing} transform for {proposal.protocol_id}", ""
    if is_response and len(present) < len(proposal.transforms):
        yield "sa.ambiguous-choice", "several transforms of one type in a response", "transforms"
    yield from _integrity(proposal)
    seen: set[tuple[object, ...]] = set()
    used = USED.get(proposal.protocol_id)
    for index, transform in enumerate(proposal.transforms):
        path = f"transforms[{index}]"
        key = (transform.transform_type, transform.transform_id, transform.attributes)
        if key in seen:
            yield "sa.duplicate-transform", f"{transform.summary()} again", path
        seen.add(key)
        if used is not None and transform.transform_type.is_known and transform.transform_type not in used:
            text = f"{proposal.protocol_id} has no {transform.transform_type} transform"
            yield "sa.transform-misplaced", text, f"{path}.transform_type"
        for kind, text, field in _transform(transform):
            yield kind, text, f"{path}.{field}"


def _frame(proposal: Proposal) -> Iterator[Finding]:
    """The fields around the transforms."""
    if proposal.reserved:
        yield "payload.reserved", "a reserved field is not zero", "reserved"
    if proposal.last is not None:
        yield "sa.last-marker", f"the marker of the proposal is {proposal.last}", "last"
    if proposal.transform_count is not None:
        text = f"{proposal.transform_count} transforms are announced, {len(proposal.transforms)} are here"
        yield "sa.transform-count", text, "transform_count"
    sizes = SPI_SIZES.get(proposal.protocol_id)
    if sizes is not None and len(proposal.spi) not in sizes:
        yield "sa.spi-size", f"an SPI of {len(proposal.spi)} octets for {proposal.protocol_id}", "spi_size"


def _integrity(proposal: Proposal) -> Iterator[Finding]:
    """Ciphers against integrity algorithms (RFC 7296 section 3.3, RFC 5282 section 8)."""
    ciphers = [item.algorithm for item in proposal.of_type(_T.ENCR)]
    if not ciphers:
        return
    combined = [cipher for cipher in ciphers if cipher in AEAD]
    integrity = [item for item in proposal.of_type(_T.INTEG) if item.algorithm != IntegrityAlgorithm.NONE]
    if combined and len(combined) < len(ciphers):
        yield "sa.aead-mixed", f"{combined[0]} beside a cipher that is no combined mode", "transforms"
    elif combined and integrity:
        text = f"{combined[0]} needs no integrity algorithm, {integrity[0].summary()} is there"
        yield "sa.aead-with-integrity", text, "transforms"
    elif not combined and not integrity:
        yield "sa.no-integrity", f"{ciphers[0]} without an integrity algorithm", "transforms"


def _transform(transform: Transform) -> Iterator[Finding]:
    if transform.reserved or transform.reserved2:
        yield "payload.reserved", "a reserved field is not zero", "reserved" if transform.reserved else "reserved2"
    if transform.last is not None:
        yield "sa.last-marker", f"the marker of the transform is {transform.last}", "last"
    algorithm = transform.algorithm
    if not isinstance(algorithm, CodePoint):
        yield "sa.transform-unknown", f"transform type {int(transform.transform_type)} is unknown", "transform_type"
        return
    if not algorithm.is_known:
        text = f"{transform.transform_type} transform {int(algorithm)} is unknown"
        yield "sa.transform-unknown", text, "transform_id"
        return
    bits = transform.key_length
    if algorithm in NEEDS_KEY_LENGTH and isinstance(algorithm, Encr):
        if bits is None:
            yield "sa.key-length-missing", f"{algorithm} without a key length", "transform_id"
        elif bits not in BLOCK_CIPHER_KEYS:
            yield "sa.key-length-invalid", f"{algorithm} with a key of {bits} bits", "attributes"
    elif bits is not None and not (isinstance(algorithm, Encr) and algorithm in VARIABLE_KEY):
        yield "sa.key-length-fixed", f"{algorithm} has a key of fixed length, {bits} bits are asked for", "attributes"
