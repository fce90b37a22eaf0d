"""What payloads say, whichever version they belong to and whether they came in the clear or were opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry.equivalents import ikev2_equivalent
from ipsecscope.dissect.registry.ikev2 import NotifyType, SequenceNumbers, TransformType
from ipsecscope.dissect.registry.ipsec_doi import LifeType as PhaseTwoLifeType
from ipsecscope.dissect.registry.isakmp import AuthenticationMethod, LifeType
from ipsecscope.dissect.registry.isakmp import NotifyType as IsakmpNotifyType
from ipsecscope.timeline.sas import Suite

FIRST_STATUS = 16384  # RFC 7296 3.10.1, RFC 2408 3.14.1: notify types below are errors
_ASKS_AGAIN = frozenset({int(NotifyType.COOKIE)})

_AUTH_WORDS = {
    int(AuthenticationMethod.PRE_SHARED_KEY): "PSK",
    int(AuthenticationMethod.DSS_SIGNATURES): "DSS",
    int(AuthenticationMethod.RSA_SIGNATURES): "RSA",
    int(AuthenticationMethod.ECDSA_SIGNATURES): "ECDSA",
    int(AuthenticationMethod.ECDSA_WITH_SHA_256_ON_P_256): "ECDSA",
    int(AuthenticationMethod.ECDSA_WITH_SHA_384_ON_P_384): "ECDSA",
    int(AuthenticationMethod.ECDSA_WITH_SHA_512_ON_P_521): "ECDSA",
}

_Body = TypeVar("_Body")


def bodies(payloads: Iterable[Payload], cls: type[_Body]) -> Iterator[_Body]:
    """The payload bodies of one class, in order."""
    return (payload.body for payload in payloads if isinstance(payload.body, cls))


def first(payloads: Iterable[Payload], cls: type[_Body]) -> _Body | None:
    """The first payload body of a class."""
    return next(bodies(payloads, cls), None)


def notifies(payloads: Iterable[Payload]) -> Iterator[CodePoint]:
    """The notify types, in order."""
    for payload in payloads:
        if isinstance(payload.body, ikev2.Notify | ikev1.Notification):
            yield payload.body.notify_type


def refusal_of(payloads: Iterable[Payload]) -> str | None:
    """The name of the notify that refuses a request, or asks for another one.

    Any error type, and in IKE_SA_INIT COOKIE and REDIRECT (RFC 5685 section 3): they come with notifications only.
    """
    payloads = tuple(payloads)
    for kind in notifies(payloads):
        if isinstance(kind, IsakmpNotifyType):
            if int(kind) < FIRST_STATUS:
                return str(kind)
        elif (
            int(kind) < FIRST_STATUS
            or int(kind) in _ASKS_AGAIN
            or (kind == NotifyType.REDIRECT and _only_notifies(payloads))
        ):
            return str(kind)
    return None


def _only_notifies(payloads: tuple[Payload, ...]) -> bool:
    return all(isinstance(payload.body, ikev2.Notify | ikev2.VendorId) for payload in payloads)


def has_encrypted(payloads: tuple[Payload, ...]) -> bool:
    """Whether an IKEv2 message carries SK or SKF."""
    return bool(payloads) and isinstance(payloads[-1].body, ikev2.Encrypted | ikev2.EncryptedFragment)


def encrypted_fragment(payloads: Iterable[Payload]) -> tuple[int, int] | None:
    """Number and total of an SKF payload (RFC 7383 2.5)."""
    body = first(payloads, ikev2.EncryptedFragment)
    return None if body is None else (body.fragment_number, body.total_fragments)


def vendor_fragment(payloads: Iterable[Payload]) -> tuple[int, int] | None:
    """Number and total of an IKEv1 vendor fragment; the total is 0 until the last one says it."""
    body = first(payloads, ikev1.Fragment)
    return None if body is None else (body.number, body.number if body.is_last else 0)


def vendor_ids_of(payloads: Iterable[Payload]) -> Iterator[bytes]:
    """The octets of all Vendor ID payloads."""
    for payload in payloads:
        if isinstance(payload.body, ikev1.VendorId | ikev2.VendorId):
            yield payload.body.data


def is_gdoi(payloads: Iterable[Payload]) -> bool:
    """Whether an SA payload is of the Group DOI (RFC 6407)."""
    return first(payloads, ikev1.GdoiSecurityAssociation) is not None


def chosen_ikev2(payloads: Iterable[Payload]) -> Suite | None:
    """The suite of an SA payload that chooses: one proposal, one transform of each type (RFC 7296 2.7)."""
    body = first(payloads, ikev2.SecurityAssociation)
    return None if body is None or not body.proposals else ikev2_suite(body.proposals[0])


def ikev2_suite(proposal: ikev2.Proposal) -> Suite:
    """A chosen IKEv2 proposal as a suite."""
    names: dict[int, str] = {}
    exchanges: list[str] = []
    key_length, esn = None, None
    for kind, algorithm, length in proposal.algorithms:
        name = str(algorithm)
        if kind == TransformType.ENCR:
            names.setdefault(int(kind), name)
            key_length = length if key_length is None else key_length
        elif kind == TransformType.SN:
            esn = algorithm == SequenceNumbers(1)
        elif kind == TransformType.KE or TransformType.ADDKE1 <= kind <= TransformType.ADDKE7:
            exchanges += [name] if name != "NONE" else []
        else:
            names.setdefault(int(kind), name)
    integ = names.get(int(TransformType.INTEG))
    return Suite(
        encr=names.get(int(TransformType.ENCR)),
        key_length=key_length,
        prf=names.get(int(TransformType.PRF)),
        integ=None if integ == "NONE" else integ,
        ke=tuple(exchanges),
        esn=esn,
    )


def chosen_ikev1(payloads: Iterable[Payload]) -> Suite | None:
    """The suite of an ISAKMP SA payload that chooses one transform (RFC 2409 section 5)."""
    body = first(payloads, ikev1.SecurityAssociation)
    if body is None or not body.proposals or not body.proposals[0].transforms:
        return None
    return ikev1_suite(body.proposals[0].transforms[0])


def ikev1_suite(transform: ikev1.Transform) -> Suite:
    """A chosen phase 1 transform as a suite, in the words of IKEv2 where they mean the same."""
    group = transform.group
    return Suite(
        encr=_ikev2_word(transform.algorithm),
        key_length=transform.key_length,
        prf=_ikev2_word(transform.hash),
        ke=() if group is None else (_ikev2_word(group) or str(group),),
        hash=None if transform.hash is None else str(transform.hash),
        auth=None if transform.auth is None else auth_word(transform.auth),
        lifetime_s=transform.lifetime(LifeType.SECONDS),
        lifetime_kb=transform.lifetime(LifeType.KILOBYTES),
    )


def quick_mode_suite(transform: ikev1.Transform, protocol: str) -> Suite:
    """A chosen phase 2 transform as a suite; AH's transform is its integrity algorithm."""
    integ = _ikev2_word(transform.hash)
    group = transform.group
    return Suite(
        encr=_ikev2_word(transform.algorithm) if protocol == "ESP" else None,
        key_length=transform.key_length,
        integ=integ if protocol == "ESP" else integ or _ikev2_word(transform.algorithm),
        ke=() if group is None else (_ikev2_word(group) or str(group),),
        lifetime_s=transform.lifetime(PhaseTwoLifeType.SECONDS),
        lifetime_kb=transform.lifetime(PhaseTwoLifeType.KILOBYTES),
        esn=None,
    )


def _ikev2_word(value: CodePoint | None) -> str | None:
    if value is None:
        return None
    same = ikev2_equivalent(value)
    return str(value) if same is None else str(same)


def auth_word(method: CodePoint) -> str:
    """The short word of the report for an IKEv1 authentication method."""
    return _AUTH_WORDS.get(int(method), str(method))


def offer_of(payloads: Iterable[Payload]) -> list[dict[str, Any]] | None:
    """All proposals of an SA payload, in order, as the report shows them."""
    body2 = first(payloads, ikev2.SecurityAssociation)
    if body2 is not None:
        return [_ikev2_offer(proposal) for proposal in body2.proposals]
    body1 = first(payloads, ikev1.SecurityAssociation)
    return None if body1 is None else [_ikev1_offer(proposal) for proposal in body1.proposals]


def _ikev2_offer(proposal: ikev2.Proposal) -> dict[str, Any]:
    transforms: dict[str, list[str]] = {}
    for kind, algorithm, length in proposal.algorithms:
        name = str(algorithm) if length is None else f"{algorithm}-{length}"
        transforms.setdefault(str(kind), []).append(name)
    return {
        "number": proposal.number,
        "protocol": str(proposal.protocol_id),
        "spi": proposal.spi.hex() or None,
        "transforms": transforms,
    }


def _ikev1_offer(proposal: ikev1.Proposal) -> dict[str, Any]:
    return {
        "number": proposal.number,
        "protocol": str(proposal.protocol_id),
        "spi": proposal.spi.hex() or None,
        "transforms": [transform.summary() for transform in proposal.transforms],
    }
