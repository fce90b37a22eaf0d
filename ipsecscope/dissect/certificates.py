"""What a certificate, a key, a name or an algorithm identifier says. Displayed, never trusted, never fetched.

The octets may be hostile: the nesting and the size are checked here before a library sees them, and whatever the
library does with them comes back as a reason, never as an exception. The library is imported when first needed.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from cryptography import x509

MAX_CERTIFICATE = 64 * 1024  # octets of one certificate or key
MAX_ASN1_DEPTH = 32
MAX_ASN1_ELEMENTS = 20_000
MAX_NAME_PARTS = 128  # relative distinguished names shown of one name
MAX_ALTERNATIVE_NAMES = 64

SEQUENCE, SET, OID = 0x30, 0x31, 0x06
_CONSTRUCTED = 0x20

_T = TypeVar("_T")


class CertificateFacts(msgspec.Struct, frozen=True):
    """What an X.509 certificate says about itself. Times are text in UTC, ``2026-01-31T12:00:00Z``."""

    subject: str
    issuer: str
    serial: str
    not_before: str
    not_after: str
    key_type: str
    key_size: int | None
    signature_algorithm: str
    subject_alternative_names: tuple[str, ...] = ()
    is_ca: bool = False
    key_id: str = ""  # SHA-1 of the SubjectPublicKeyInfo, as CERTREQ carries it (RFC 7296 3.7)
    fingerprint: str = ""  # SHA-256 of the certificate


class Asn1Error(Exception):
    """The octets are not DER, or nest deeper than ``MAX_ASN1_DEPTH``."""


class Element(msgspec.Struct, frozen=True):
    """One DER element: its tag octet and its content."""

    tag: int
    content: bytes


def _header(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and stop of the content of the element at ``at``. Raises Asn1Error."""
    if end - at < 2:
        raise Asn1Error("an element is cut")
    tag, length = data[at], data[at + 1]
    if tag & 0x1F == 0x1F:
        raise Asn1Error("a tag of several octets")
    at += 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or count > end - at:
            raise Asn1Error("a length that is not DER")
        length = int.from_bytes(data[at : at + count], "big")
        at += count
    if length > end - at:
        raise Asn1Error("an element is longer than what holds it")
    return tag, at, at + length


def elements(data: bytes) -> Iterator[Element]:
    """The DER elements one behind the other in ``data``. Raises Asn1Error."""
    at = 0
    while at < len(data):
        tag, start, at = _header(data, at, len(data))
        yield Element(tag, data[start:at])


def one(data: bytes, tag: int) -> Element:
    """The only element in ``data``. Raises Asn1Error when there is another, or one with another tag."""
    found = list(elements(data))
    if len(found) != 1 or found[0].tag != tag:
        raise Asn1Error(f"not one element with tag {tag:#x}")
    return found[0]


def check_nesting(data: bytes) -> None:
    """Walk all constructed elements, without recursion. Raises Asn1Error at the limits of this module."""
    ends = [len(data)]
    at = count = 0
    while ends:
        if at >= ends[-1]:
            ends.pop()
            continue
        count += 1
        if count > MAX_ASN1_ELEMENTS:
            raise Asn1Error(f"more than {MAX_ASN1_ELEMENTS} ASN.1 elements")
        tag, start, stop = _header(data, at, ends[-1])
        if tag & _CONSTRUCTED:
            if len(ends) > MAX_ASN1_DEPTH:
                raise Asn1Error(f"ASN.1 nested deeper than {MAX_ASN1_DEPTH}")
            ends.append(stop)
            at = start
        else:
            at = stop


def dotted(content: bytes) -> str:
    """The content of an OBJECT IDENTIFIER as dotted numbers. Raises Asn1Error."""
    if not content or content[-1] & 0x80 or len(content) > MAX_NAME_PARTS:
        raise Asn1Error("not an object identifier")
    arcs, value = [], 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


# RFC 4514 section 3 and the names that certificates of VPN gateways carry besides.
_ATTRIBUTES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "2.5.4.43": "initials",
    "2.5.4.46": "dnQualifier",
    "2.5.4.97": "organizationIdentifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName",
}

_STRINGS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1B: "latin-1",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}

_SPECIAL = frozenset('",+;<>\\')


def _escape(text: str) -> str:
    """Escape a value as RFC 4514 section 2.4 says."""
    escaped = "".join("\\00" if char == "\0" else f"\\{char}" if char in _SPECIAL else char for char in text)
    if escaped[:1] in ("#", " "):
        escaped = "\\" + escaped
    if escaped.endswith(" ") and len(text) > 1:
        escaped = escaped[:-1] + "\\ "
    return escaped


def _value_text(element: Element, raw: bytes) -> str:
    encoding = _STRINGS.get(element.tag)
    if encoding is None:
        return "#" + raw.hex()
    try:
        return _escape(element.content.decode(encoding))
    except UnicodeDecodeError:
        return _escape(element.content.decode("latin-1"))


def _name_text(content: bytes) -> str:
    """The content of a Name as RFC 4514 text. Raises Asn1Error."""
    parts: list[str] = []
    for rdn in elements(content):
        if len(parts) == MAX_NAME_PARTS:
            parts.append("…")
            break
        if rdn.tag != SET:
            raise Asn1Error("a relative distinguished name that is no SET")
        parts.append("+".join(_assertion(item) for item in elements(rdn.content)))
    return ",".join(reversed(parts))


def _assertion(item: Element) -> str:
    parts = list(_slices(item.content)) if item.tag == SEQUENCE else []
    if len(parts) != 2 or parts[0][0] != OID:
        raise Asn1Error("not an attribute type and value")
    number = dotted(next(elements(parts[0])).content)
    return f"{_ATTRIBUTES.get(number, number)}={_value_text(next(elements(parts[1])), parts[1])}"


def _total(data: bytes, read: Callable[[bytes], _T]) -> _T | None:
    """What ``read`` finds in the octets, with the limits applied first; None where it raises."""
    if len(data) > MAX_CERTIFICATE:
        return None
    try:
        check_nesting(data)
        return read(data)
    except (Asn1Error, ValueError):
        return None


def describe_name(data: bytes) -> str | None:
    """A DER Name as RFC 4514 text; None when it is not one."""
    return _total(data, lambda der: _name_text(one(der, SEQUENCE).content))


def _other_name(content: bytes) -> str:
    kind = next(elements(content), None)
    if kind is None or kind.tag != OID:
        raise Asn1Error("not an OtherName")
    return f"otherName:{dotted(kind.content)}"


def _ip_name(content: bytes) -> str:
    if len(content) in (4, 16):
        return f"IP:{ipaddress.ip_address(content)}"
    return f"IP:#{content.hex()}"


_GENERAL_NAMES: dict[int, Callable[[bytes], str]] = {
    0xA0: _other_name,
    0x81: lambda content: "email:" + content.decode("latin-1"),
    0x82: lambda content: "DNS:" + content.decode("latin-1"),
    0xA4: lambda content: "dirName:" + _name_text(one(content, SEQUENCE).content),
    0x86: lambda content: "URI:" + content.decode("latin-1"),
    0x87: _ip_name,
    0x88: lambda content: "RID:" + dotted(content),
}


def _general_name(element: Element) -> str:
    write = _GENERAL_NAMES.get(element.tag)
    return f"[{element.tag & 0x1F}]#{element.content.hex()}" if write is None else write(element.content)


def _general_names(data: bytes) -> tuple[str, ...]:
    found = list(elements(data))
    if len(found) == 1 and found[0].tag == SEQUENCE:
        found = list(elements(found[0].content))
    if not found:
        raise Asn1Error("no name")
    return tuple(_general_name(item) for item in found[:MAX_ALTERNATIVE_NAMES])


def describe_general_names(data: bytes) -> tuple[str, ...] | None:
    """DER GeneralNames, or one GeneralName, as texts such as ``DNS:moon.example``; None when it is neither."""
    return _total(data, _general_names)


def describe_general_name(data: bytes) -> str | None:
    """DER GeneralNames, or one GeneralName, as one text; None when it is neither."""
    names = describe_general_names(data)
    return None if names is None else " ".join(names)


_ALGORITHMS = {
    "1.2.840.113549.1.1.1": "rsaEncryption",
    "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.113549.1.1.14": "sha224WithRSAEncryption",
    "1.2.840.10040.4.1": "id-dsa",
    "1.2.840.10040.4.3": "dsa-with-sha1",
    "2.16.840.1.101.3.4.3.2": "dsa-with-sha256",
    "1.2.840.10045.2.1": "id-ecPublicKey",
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.3.101.110": "id-X25519",
    "1.3.101.111": "id-X448",
    "1.3.101.112": "id-Ed25519",
    "1.3.101.113": "id-Ed448",
    "2.16.840.1.101.3.4.3.17": "id-ml-dsa-44",
    "2.16.840.1.101.3.4.3.18": "id-ml-dsa-65",
    "2.16.840.1.101.3.4.3.19": "id-ml-dsa-87",
    "1.2.643.7.1.1.1.1": "id-tc26-gost3410-12-256",
    "1.2.643.7.1.1.1.2": "id-tc26-gost3410-12-512",
    "1.2.643.7.1.1.3.2": "id-tc26-signwithdigest-gost3410-12-256",
    "1.2.643.7.1.1.3.3": "id-tc26-signwithdigest-gost3410-12-512",
}
_PSS = "1.2.840.113549.1.1.10"
_HASHES = {
    "1.3.14.3.2.26": "SHA1",
    "2.16.840.1.101.3.4.2.1": "SHA256",
    "2.16.840.1.101.3.4.2.2": "SHA384",
    "2.16.840.1.101.3.4.2.3": "SHA512",
    "2.16.840.1.101.3.4.2.4": "SHA224",
}
_CURVES = {
    "1.2.840.10045.3.1.7": "secp256r1",
    "1.3.132.0.34": "secp384r1",
    "1.3.132.0.35": "secp521r1",
    "1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1",
    "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
    "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
}


def _algorithm(data: bytes) -> str:
    """An AlgorithmIdentifier: its name, with the hash of RSASSA-PSS or the curve of an EC key. Raises Asn1Error."""
    kind, *parameters = list(elements(one(data, SEQUENCE).content)) or [Element(0, b"")]
    if kind.tag != OID:
        raise Asn1Error("not an AlgorithmIdentifier")
    number = dotted(kind.content)
    name = _ALGORITHMS.get(number, number)
    if number == _PSS:
        return f"{name} {_pss_hash(parameters)}"
    if parameters and parameters[0].tag == OID:
        curve = dotted(parameters[0].content)
        return f"{name} {_CURVES.get(curve, curve)}"
    return name


def _pss_hash(parameters: list[Element]) -> str:
    """The hash of RSASSA-PSS-params (RFC 4055 section 3.1); SHA-1 is the default of the standard."""
    for item in elements(parameters[0].content) if parameters else ():
        if item.tag == 0xA0:
            identifier = next(elements(one(item.content, SEQUENCE).content), Element(0, b""))
            number = dotted(identifier.content)
            return _HASHES.get(number, number)
    return "SHA1"


def describe_algorithm(data: bytes) -> str:
    """A DER AlgorithmIdentifier by name, such as ``RSASSA-PSS SHA256``; hex when it is none."""
    found = _total(data, _algorithm)
    return data[:64].hex() if found is None else found


def _public_key(data: bytes) -> str:
    parts = list(_slices(one(data, SEQUENCE).content))
    if len(parts) != 2 or parts[0][:1] != b"\x30" or parts[1][:1] != b"\x03":
        raise Asn1Error("not a SubjectPublicKeyInfo")
    key = next(elements(parts[1])).content
    return f"{_algorithm(parts[0])} {max(len(key) - 1, 0)} octets"


def _slices(data: bytes) -> Iterator[bytes]:
    """The elements of ``data`` with their headers."""
    at = 0
    while at < len(data):
        stop = _header(data, at, len(data))[2]
        yield data[at:stop]
        at = stop


def describe_public_key(data: bytes) -> str:
    """A SubjectPublicKeyInfo (RFC 7670): algorithm and octets of the key, or that it is none."""
    found = _total(data, _public_key)
    return f"unreadable, {len(data)} octets" if found is None else found


def describe_certificate(der: bytes) -> CertificateFacts | str:
    """What an X.509 certificate says, or one sentence about why it cannot be read; never raises for any octets."""
    if len(der) > MAX_CERTIFICATE:
        return f"certificate of {len(der)} octets; {MAX_CERTIFICATE} are read"
    try:
        check_nesting(der)
    except Asn1Error as error:
        return f"not a certificate: {error}"
    return _guarded(lambda: _facts(der))


def _guarded(read: Callable[[], _T]) -> _T | str:
    """Run library code on hostile octets: any failure is a sentence, a panic of its native part included."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 (PyO3 panics are no Exception)
        return f"not readable: {type(error).__name__}"


def _facts(der: bytes) -> CertificateFacts:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    certificate = x509.load_der_x509_certificate(der)
    key_type, key_size, key_info = "unreadable", None, b""
    key = _guarded(certificate.public_key)
    if not isinstance(key, str):
        key_info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        key_type = type(key).__name__.removesuffix("PublicKey").lstrip("_")
        size = getattr(key, "key_size", None)
        key_size = size if isinstance(size, int) else None
    digest = hashes.Hash(hashes.SHA1())  # noqa: S303 (the identifier RFC 7296 section 3.7 asks for)
    digest.update(key_info)
    alternatives, is_ca = _extensions(certificate)
    return CertificateFacts(
        subject=_subject(certificate.subject),
        issuer=_subject(certificate.issuer),
        serial=f"{certificate.serial_number:x}",
        not_before=_time(certificate, "not_valid_before_utc"),
        not_after=_time(certificate, "not_valid_after_utc"),
        key_type=key_type,
        key_size=key_size,
        signature_algorithm=_signature_algorithm(certificate),
        subject_alternative_names=alternatives,
        is_ca=is_ca,
        key_id=digest.finalize().hex() if key_info else "",
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _time(certificate: x509.Certificate, name: str) -> str:
    """One of the times as text; an impossible date is said to be one."""
    found = _guarded(lambda: str(getattr(certificate, name).isoformat()))
    return found.replace("+00:00", "Z")


def _subject(name: x509.Name) -> str:
    """A Name as RFC 4514 text, from its own octets."""
    text = describe_name(name.public_bytes())
    return name.rfc4514_string() if text is None else text


def _signature_algorithm(certificate: x509.Certificate) -> str:
    number = certificate.signature_algorithm_oid.dotted_string
    name = _ALGORITHMS.get(number, number)
    if number != _PSS:
        return name
    algorithm = _guarded(lambda: certificate.signature_hash_algorithm)
    return f"{name} {getattr(algorithm, 'name', 'unknown').upper()}"


def _extensions(certificate: x509.Certificate) -> tuple[tuple[str, ...], bool]:
    """The subject alternative names and whether the certificate is a CA's; what cannot be read counts as absent."""
    from cryptography import x509

    def read() -> tuple[tuple[str, ...], bool]:
        names: tuple[str, ...] = ()
        is_ca = False
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                text = describe_general_names(extension.value.public_bytes())
                names = text or ()
            elif isinstance(extension.value, x509.BasicConstraints):
                is_ca = extension.value.ca
        return names, is_ca

    found = _guarded(read)
    return ((), False) if isinstance(found, str) else found
