"""Text that attacks whoever reads it: terminal commands, forged lines, reordered words, in every place that is shown.

``judged`` checks that no output holds a character that a terminal obeys, and that JSON is exact; here it is checked
that the text arrived, escaped, and was not merely lost.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from crafting import SPI_R, datagram, enhanced, ike, interface, option, pcap, section, v1, write
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from judging import assert_harmless, judged, time_limit, written
from test_hostile_messages import notify, v1_sa, v1_transform

from ipsecscope.dissect.certificates import describe_certificate
from ipsecscope.reports.document import Report
from ipsecscope.reports.escape import MAX_SHOWN, show, visible_json
from ipsecscope.timeline.analysis import Analysis

SECONDS = 8

ATTACKS = {
    "clear-screen": "\x1b[2J",
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "hyperlink": "\x1b]8;;http://192.0.2.1/\x1b\\here\x1b]8;;\x1b\\",
    "title": "\x1b]0;root\x07",
    "c1-csi": "\x9b31m",
    "bell-backspace": "a\x07\x08\x7f",
    "forged-line": "x\nipsecscope: nothing wrong\r\n",
    "vertical-tab": "a\x0b\x0cb",
    "line-separator": "a\u2028b\u2029c\x85d",
    "bidi": "\u202egpj.exe\u2066\u2069",
    "zero-width": "pay\u200bpal\ufeff\u00ad",
    "tags": "\U000e0041\U000e007f",
    "private-use": "\ue000\U000f0000",
}
NOT_UTF8 = {
    "surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "latin-1": b"M\xfcnchen",
    "overlong": b"\xc0\x9b[2J",
    "nul": b"a\x00b",
}
OCTETS = {name: text.encode() for name, text in ATTACKS.items()} | NOT_UTF8


def analysed(tmp_path: Path, data: bytes) -> tuple[Analysis, Report]:
    with time_limit(SECONDS):
        return judged(write(tmp_path / "hostile", data))


def aggressive(kind: int, body: bytes) -> bytes:
    """An Aggressive Mode request and response: identities in the clear."""
    sa = v1_sa(v1_transform(b"\x80\x01\x00\x07\x80\x02\x00\x02\x80\x03\x00\x01\x80\x04\x00\x02"), 1)
    parts = [(1, sa), (4, bytes(128)), (10, bytes(16)), (5, bytes((kind, 0, 0, 0)) + body), (13, body)]
    request = datagram(v1(*parts, exchange=4))
    return pcap([request, datagram(v1(*parts, exchange=4, spi_r=SPI_R), back=True)])


@pytest.mark.parametrize("kind", [2, 3, 9, 11], ids=["fqdn", "user-fqdn", "dn", "key-id"])
@pytest.mark.parametrize("octets", OCTETS.values(), ids=OCTETS.keys())
def test_identity_and_vendor_id_are_shown_harmlessly(tmp_path: Path, octets: bytes, kind: int) -> None:
    analysis, report = analysed(tmp_path, aggressive(kind, octets))
    (sa,) = report.ike_sas
    if kind == 2:
        assert sa.initiator.id is not None
        text = written(report, analysis, "text").decode()
        assert show(sa.initiator.id.value) in text.replace("\n", "")
        document = json.loads(written(report, analysis, "json"))
        assert document["ike_sas"][0]["initiator"]["id"]["value"] == sa.initiator.id.value


@pytest.mark.parametrize("octets", OCTETS.values(), ids=OCTETS.keys())
def test_comments_and_names_of_a_file_are_shown_harmlessly(tmp_path: Path, octets: bytes) -> None:
    """Packet comments, section and interface options: ours to read, somebody else's to write."""
    message = datagram(ike((40, bytes(16))))
    head = section() + interface(option(2, octets), option(3, octets), option(1, octets))
    analysed(tmp_path, head + enhanced(message, option(1, octets), option(2988, octets)))


@pytest.mark.parametrize("octets", OCTETS.values(), ids=OCTETS.keys())
def test_texts_inside_messages_are_shown_harmlessly(tmp_path: Path, octets: bytes) -> None:
    """Where IKEv2 carries text in the clear: vendor IDs, redirects, URLs of certificates, EAP identities."""
    gateway = b"\x03" + bytes([len(octets)]) + octets
    parts = [
        (43, octets),
        (41, notify(16407, gateway + bytes(20))),
        (41, notify(16408, b"\x03" + bytes([len(octets)]) + octets)),
        (41, notify(40_000, octets)),
        (37, b"\x0c" + bytes(20) + octets),
        (48, b"\x02\x01" + (5 + len(octets)).to_bytes(2, "big") + b"\x01" + octets),
        (35, b"\x02\x00\x00\x00" + octets),
        (47, b"\x02\x00\x00\x00\x00\x07" + len(octets).to_bytes(2, "big") + octets),
    ]
    analysed(tmp_path, pcap([datagram(ike(*parts)), datagram(ike(*parts, flags=0x20, spi_r=SPI_R), back=True)]))


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS.keys())
def test_certificate_is_shown_harmlessly(tmp_path: Path, text: str) -> None:
    """Class 35: names in a certificate are chosen by whoever made it."""
    der = certificate(text)
    facts = describe_certificate(der)
    assert not isinstance(facts, str)
    assert_harmless(show(facts.subject))
    analysed(tmp_path, pcap([datagram(ike((37, b"\x04" + der), exchange=35))]))


def certificate(name: str) -> bytes:
    key = ec.derive_private_key(7, ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, begin, begin + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def der(tag: int, body: bytes) -> bytes:
    size = len(body)
    head = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + head + body


def nest(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        body = der(0x30, body)
    return body


def hurt(old: bytes, new: bytes) -> bytes:
    whole = certificate("moon")
    assert old in whole
    return whole.replace(old, new, 1)


CERTIFICATES = {
    "empty": b"",
    "33-deep": nest(13_000),
    "33-indefinite": b"\x30\x80" * 30_000,
    "33-length-of-length-127": b"\x30\xff" + b"\xff" * 127,
    "33-length-2-63": b"\x30\x88\x7f" + b"\xff" * 7 + bytes(100),
    "33-wide": der(0x30, b"\x05\x00" * 30_000),
    "34-modulus-and-exponent-0": hurt(b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", b"\x06\x07\x2a\x86\x48\x86\xf7\x0d\x01"),
    "35-year-0": hurt(b"260101000000Z", b"000000000000Z"),
    "35-date-of-letters": hurt(b"260101000000Z", b"26ZZ01000000Z"),
    "35-negative-serial": hurt(b"\x02\x01\x01\x30", b"\x02\x01\xff\x30"),
    "35-nul-in-name": hurt(b"moon", b"m\x00on"),
    "35-bad-utf8": hurt(b"moon", b"m\xff\xfen"),
    "cut": certificate("moon")[:-30],
    "trailing": certificate("moon") + bytes(40),
}


@pytest.mark.parametrize("octets", CERTIFICATES.values(), ids=CERTIFICATES.keys())
@pytest.mark.parametrize("encoding", [1, 4, 7, 11, 15], ids=["pkcs7", "signature", "crl", "raw-rsa", "raw-key"])
def test_certificate_that_lies_is_no_fault(tmp_path: Path, octets: bytes, encoding: int) -> None:
    """Classes 33 to 35: the native library behind it may panic; that is a sentence too."""
    body = bytes([encoding]) + octets
    messages = [ike((37, body), exchange=35), v1((6, body), exchange=2), ike((38, body), exchange=35)]
    analysed(tmp_path, pcap(map(datagram, messages)))


def test_rsa_key_with_exponent_and_modulus_0_is_no_fault(tmp_path: Path) -> None:
    """Class 34: PKCS #1 and SubjectPublicKeyInfo."""
    for modulus in (b"\x00", b"\x01" + bytes(256), b"\x7f" * 50_000):
        for exponent in (b"\x00", b"\x01", b"\xff" * 20):
            pkcs1 = der(0x30, der(2, modulus) + der(2, exponent))
            algorithm = der(0x30, bytes.fromhex("06092a864886f70d0101010500"))
            info = der(0x30, algorithm + der(3, b"\x00" + pkcs1))
            parts = [(37, b"\x0b" + pkcs1), (37, b"\x0f" + info)]
            for part in parts:
                analysed(tmp_path, pcap([datagram(ike(part, exchange=35))]))


def test_long_text_is_cut_and_the_cut_is_counted(tmp_path: Path) -> None:
    analysis, report = analysed(tmp_path, aggressive(2, b"a" * 5000))
    text = written(report, analysis, "text").decode().replace("\n", "")
    assert "a" * (MAX_SHOWN + 1) not in text
    assert f"… (+{5000 - MAX_SHOWN})" in text


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS.keys())
def test_visible_json_has_the_same_value(text: str) -> None:
    document = json.dumps({"name": f"Zürich {text}"}, ensure_ascii=False).encode()
    assert_harmless(visible_json(document).decode())
    assert json.loads(visible_json(document)) == json.loads(document)
    assert "Zürich".encode() in visible_json(document)
