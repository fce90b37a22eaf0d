"""Semantic checks of payload bodies: what reads well and yet is not what the RFC asks for.

``check_payload`` looks at one payload alone, with what the caller knows around it. It states facts with their place;
what they mean for a session is for rules to say. The catalogue of kinds is in ``notes``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ipsecscope.dissect.body import Body, Malformed, Opaque
from ipsecscope.dissect.certificates import describe_certificate
from ipsecscope.dissect.chain import GENERIC_HEADER_SIZE, Payload
from ipsecscope.dissect.ikev2.configuration import Configuration
from ipsecscope.dissect.ikev2.extensions.rfc7383 import EncryptedFragment
from ipsecscope.dissect.ikev2.extensions.rfc8019 import PuzzleSolution
from ipsecscope.dissect.ikev2.identification import Identification
from ipsecscope.dissect.ikev2.notes import NOTE_KINDS
from ipsecscope.dissect.ikev2.notify import Notify
from ipsecscope.dissect.ikev2.payloads import (
    DELETE_SPI_SIZE,
    SHA1_SIZE,
    Authentication,
    Certificate,
    CertificateRequest,
    Delete,
    Eap,
    KeyExchange,
    Nonce,
    VendorId,
)
from ipsecscope.dissect.ikev2.proposal_checks import check_proposals
from ipsecscope.dissect.ikev2.proposals import SecurityAssociation
from ipsecscope.dissect.ikev2.public_values import expected_size, is_degenerate
from ipsecscope.dissect.ikev2.selectors import LAST_PORT, Ipv4Selector, Ipv6Selector, TrafficSelectors
from ipsecscope.dissect.notes import Note
from ipsecscope.dissect.registry.ikev2 import (
    CertificateEncoding,
    IdType,
    NotifyType,
    PayloadType,
    SecurityProtocol,
)
from ipsecscope.dissect.wire import Field, Reader

NONCE_SIZES = (16, 256)
SPI_SIZES = {SecurityProtocol.AH: 4, SecurityProtocol.ESP: 4, SecurityProtocol.GIKE_UPDATE: 16}
ID_SIZES = {IdType.ID_IPV4_ADDR: 4, IdType.ID_IPV6_ADDR: 16, IdType.ID_FC_NAME: 8, IdType.ID_NULL: 0}
DATA_SIZES = {
    NotifyType.COOKIE: (1, 64),
    NotifyType.COOKIE2: (8, 64),
    NotifyType.QUICK_CRASH_DETECTION: (16, 128),
}
_ASN1_IDS = (IdType.ID_DER_ASN1_DN, IdType.ID_DER_ASN1_GN)
_HASHED_REQUESTS = (
    CertificateEncoding.X_509_CERTIFICATE_SIGNATURE,
    CertificateEncoding.HASH_AND_URL_OF_X_509_CERTIFICATE,
    CertificateEncoding.HASH_AND_URL_OF_X_509_BUNDLE,
)

Finding = tuple[str, str, str]  # kind, text, field path within the body
_STEP = re.compile(r"([^.\[\]]+)((?:\[\d+\])?)")


def span(body: Body, path: str) -> tuple[int, int]:
    """Where a field of a body stands, as offsets in the body; the whole body when there is no such field."""
    data = body.build()
    tree = type(body).trace(Reader(data))
    current: Field | None = tree
    for match in _STEP.finditer(path):
        current = _child(current, match.group(1))
        if match.group(2):
            current = _child(current, match.group())
    return (0, len(data)) if current is None else (current.start, current.stop)


def _child(parent: Field | None, name: str) -> Field | None:
    return None if parent is None else next((child for child in parent.children if child.name == name), None)


def check_body(
    body: Body, *, is_response: bool = False, offset: int = 0, name: str = "", prf_key_size: int | None = None
) -> Iterator[Note]:
    """What there is to say about one body; nothing for a body that could not be read.

    Args:
        body: the parsed body.
        is_response: whether its message is a response (a KE payload's size depends on it).
        offset: where the body begins in its message.
        name: how note paths call the payload; by default its short name.
        prf_key_size: octets of the negotiated PRF's key, when that is known.
    """
    if isinstance(body, Malformed | Opaque):
        return
    label = name or str(PayloadType(type(body).of or 0))
    for kind, text, path in _findings(body, is_response=is_response, prf_key_size=prf_key_size):
        assert kind in NOTE_KINDS, kind
        start, stop = span(body, path)
        yield Note(kind, text, offset + start, offset + stop, f"{label}.{path}" if path else label)


def check_payload(payload: Payload, *, is_response: bool = False, prf_key_size: int | None = None) -> Iterator[Note]:
    """What there is to say about one payload of a message: its generic header, then its body."""
    name = str(PayloadType(payload.kind))
    if payload.reserved:
        yield Note(
            "payload.reserved",
            "reserved bits of the payload header are set",
            payload.start + 1,
            payload.start + 2,
            name,
        )
    if payload.critical and PayloadType(payload.kind).reference == "7296":
        text = f"the critical bit has no meaning on {name}, which every implementation knows"
        yield Note("payload.critical-known", text, payload.start + 1, payload.start + 2, name)
    start = payload.start + GENERIC_HEADER_SIZE
    yield from check_body(payload.body, is_response=is_response, offset=start, name=name, prf_key_size=prf_key_size)


def _findings(body: Body, *, is_response: bool, prf_key_size: int | None) -> Iterator[Finding]:
    if getattr(body, "reserved", 0):
        yield "payload.reserved", "a reserved field is not zero", "reserved"
    if isinstance(body, SecurityAssociation):
        yield from check_proposals(body, is_response=is_response)
    elif isinstance(body, KeyExchange):
        yield from _key_exchange(body, is_response=is_response)
    elif isinstance(body, Nonce):
        yield from _nonce(body, prf_key_size)
    else:
        for kind, check in _CHECKS.items():
            if isinstance(body, kind):
                yield from check(body)


def _key_exchange(body: KeyExchange, *, is_response: bool) -> Iterator[Finding]:
    if not body.method.is_known:
        yield "ke.method-unknown", f"key exchange method {int(body.method)} is unknown", "method"
        return
    wanted = expected_size(body.method, is_response=is_response)
    if wanted is not None and len(body.data) != wanted:
        role = "response" if is_response else "request"
        text = f"{body.method} in a {role} takes {wanted} octets, {len(body.data)} are here"
        yield "ke.size", text, "data"
    elif is_degenerate(body.method, body.data):
        yield "ke.degenerate", f"this public value of {body.method} makes the shared secret known", "data"


def _nonce(body: Nonce, prf_key_size: int | None) -> Iterator[Finding]:
    size, (least, most) = len(body.data), NONCE_SIZES
    if not least <= size <= most:
        yield "payload.nonce-size", f"a nonce of {size} octets; {least} to {most} are allowed", "data"
    elif prf_key_size is not None and size * 2 < prf_key_size:
        text = f"a nonce of {size} octets where the PRF has a key of {prf_key_size}"
        yield "payload.nonce-short-for-prf", text, "data"


def _identification(body: Identification) -> Iterator[Finding]:
    if not body.id_type.is_known:
        yield "id.type-unknown", f"identification type {int(body.id_type)} is unknown", "id_type"
    wanted = ID_SIZES.get(body.id_type)
    if wanted is not None and len(body.data) != wanted:
        yield "id.size", f"{body.id_type} takes {wanted} octets, {len(body.data)} are here", "data"
    elif wanted is None and not body.data:
        yield "payload.empty", f"{body.id_type} without an identity", ""
    elif body.id_type in _ASN1_IDS and body.value == body.data.hex():
        yield "id.unreadable", f"{body.id_type} is not readable as ASN.1", "data"


def _certificate(body: Certificate) -> Iterator[Finding]:
    if body.encoding == CertificateEncoding.X_509_CERTIFICATE_SIGNATURE:
        facts = describe_certificate(body.data)
        if isinstance(facts, str):
            yield "cert.unreadable", facts, "data"
    elif body.inner() is not None and body.content() is None:
        yield "cert.malformed", f"{body.encoding} cannot be read", "data"


def _certificate_request(body: CertificateRequest) -> Iterator[Finding]:
    if body.encoding in _HASHED_REQUESTS and len(body.data) % SHA1_SIZE:
        yield "certreq.size", f"{len(body.data)} octets are no list of hashes of {SHA1_SIZE}", "data"


def _authentication(body: Authentication) -> Iterator[Finding]:
    if not body.method.is_known:
        yield "auth.method-unknown", f"authentication method {int(body.method)} is unknown", "method"
    elif not body.data:
        yield "payload.empty", "authentication without data", ""
    elif body.inner() is not None and body.content() is None:
        yield "auth.malformed", f"the data of {body.method} cannot be read", "data"


def _notify(body: Notify) -> Iterator[Finding]:
    size = len(body.spi)
    wanted = SPI_SIZES.get(body.protocol_id, 0)
    if (size and size != wanted) or (body.notify_type == NotifyType.REKEY_SA and size == 0):
        yield "notify.spi-size", f"an SPI of {size} octets with protocol {body.protocol_id}", "spi_size"
    least, most = DATA_SIZES.get(body.notify_type, (0, 0xFFFF))
    if body.inner() is not None and body.content() is None:
        yield "notify.data", f"the data of {body.notify_type} cannot be read as such", "data"
    elif not least <= len(body.data) <= most:
        text = f"{len(body.data)} octets of {body.notify_type}; {least} to {most} are allowed"
        yield "notify.data-size", text, "data"


def _delete(body: Delete) -> Iterator[Finding]:
    wanted = {SecurityProtocol.AH: DELETE_SPI_SIZE, SecurityProtocol.ESP: DELETE_SPI_SIZE, SecurityProtocol.IKE: 0}
    expected = wanted.get(body.protocol_id)
    if expected is not None and body.spi_size != expected:
        yield "delete.spi-size", f"SPIs of {body.spi_size} octets with protocol {body.protocol_id}", "spi_size"
    if body.count is not None:
        yield "delete.count", f"{body.count} SPIs are announced, {len(body.spis)} are here", "count"


def _selectors(body: TrafficSelectors) -> Iterator[Finding]:
    if body.count is not None:
        yield "ts.count", f"{body.count} selectors are announced, {len(body.selectors)} are here", "count"
    if not body.selectors:
        yield "payload.empty", "no traffic selector", ""
    for index, selector in enumerate(body.selectors):
        path = f"selectors[{index}]"
        kind = getattr(selector, "ts_type", None)
        if kind is not None and not kind.is_known:
            yield "ts.type-unknown", f"traffic selector type {int(kind)} is unknown", f"{path}.ts_type"
        if isinstance(selector, Ipv4Selector | Ipv6Selector):
            opaque = (selector.start_port, selector.end_port) == (LAST_PORT, 0)
            if selector.start_port > selector.end_port and not opaque:
                yield "ts.reversed", f"port {selector.start_port} to {selector.end_port}", f"{path}.start_port"
            if selector.start_address > selector.end_address:
                yield "ts.reversed", f"addresses {selector.summary()}", f"{path}.start_address"


def _fragment(body: EncryptedFragment) -> Iterator[Finding]:
    if not 1 <= body.fragment_number <= body.total_fragments:
        text = f"fragment {body.fragment_number} of {body.total_fragments}"
        yield "skf.number", text, "fragment_number"


def _configuration(body: Configuration) -> Iterator[Finding]:
    for index, attribute in enumerate(body.attributes):
        path = f"attributes[{index}]"
        if attribute.reserved:
            yield "payload.reserved", "the reserved bit of an attribute is set", f"{path}.attribute_type"
        if attribute.inner() is not None and attribute.content() is None:
            text = f"{len(attribute.value)} octets do not fit {attribute.attribute_type}"
            yield "cp.value", text, f"{path}.value"


def _eap(body: Eap) -> Iterator[Finding]:
    if body.length is not None:
        yield "eap.length", f"EAP length {body.length} in a payload of {len(body.data) + 4} octets", "length"
    elif body.inner() is not None and body.content() is None:
        yield "eap.malformed", f"the data of {body.eap_type} cannot be read", "data"


def _vendor_id(body: VendorId) -> Iterator[Finding]:
    if not body.data:
        yield "payload.empty", "a Vendor ID without octets", ""


def _puzzle_solution(body: PuzzleSolution) -> Iterator[Finding]:
    if not body.keys:
        yield "ps.size", f"{len(body.data)} octets are not four keys of one length", "data"


_CHECKS: dict[type[Body], Callable[..., Iterator[Finding]]] = {
    Identification: _identification,
    Certificate: _certificate,
    CertificateRequest: _certificate_request,
    Authentication: _authentication,
    Notify: _notify,
    Delete: _delete,
    TrafficSelectors: _selectors,
    EncryptedFragment: _fragment,
    Configuration: _configuration,
    Eap: _eap,
    VendorId: _vendor_id,
    PuzzleSolution: _puzzle_solution,
}
