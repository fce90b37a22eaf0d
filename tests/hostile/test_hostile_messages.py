"""IKE messages made to hurt: loops, lies, floods of small things. The number in an id is that of the bug class.

The classes are those that other programs fell to; each message is met by ``analyze`` and ``dissect`` and must end in
notes, not in an exception, within seconds.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from crafting import SPI_R, Part, datagram, ike, pcap, v1, write
from judging import judged, time_limit

SECONDS = 8
LONGEST = 65_507 - 28


def transform(
    kind: int = 1, number: int = 12, attributes: bytes = b"", *, more: int = 3, length: int | None = None
) -> bytes:
    size = 8 + len(attributes) if length is None else length
    return struct.pack(">BBHBBH", more, 0, size, kind, 0, number) + attributes


def proposal(
    transforms: bytes,
    count: int,
    *,
    more: int = 0,
    spi: bytes = b"",
    spi_size: int | None = None,
    length: int | None = None,
) -> bytes:
    size = 8 + len(spi) + len(transforms) if length is None else length
    said = len(spi) if spi_size is None else spi_size
    return struct.pack(">BBHBBBB", more, 0, size & 0xFFFF, 1, 1, said, count) + spi + transforms


def v1_sa(transforms: bytes, count: int, *, doi: int = 1, situation: int = 1) -> bytes:
    return struct.pack(">II", doi, situation) + proposal(transforms, count)


def v1_transform(attributes: bytes, *, more: int = 0, length: int | None = None) -> bytes:
    size = 8 + len(attributes) if length is None else length
    return struct.pack(">BBHBBH", more, 0, size & 0xFFFF, 1, 1, 0) + attributes


def selector(kind: int, size: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 17, size) + body


def notify(kind: int, data: bytes = b"", *, spi_size: int = 0, protocol: int = 0) -> bytes:
    return struct.pack(">BBH", protocol, spi_size, kind) + data


def many_transforms(count: int) -> bytes:
    """As many transforms as fit; every one says that another follows, but the last."""
    return transform() * (count - 1) + transform(more=0)


SA, KE, ID_I, CERT, AUTH, NONCE, NOTIFY, DELETE, VID, TS_I, SK, CP, EAP, SKF = (
    33,
    34,
    35,
    37,
    39,
    40,
    41,
    42,
    43,
    44,
    46,
    47,
    48,
    53,
)

V2: dict[str, list[Part]] = {
    "2-length-0": [(NONCE, b"", 0)],
    "2-length-1": [(NONCE, b"", 1)],
    "2-length-3": [(NONCE, bytes(12), 3)],
    "2-length-0-in-a-row": [(NONCE, b"", 0)] * 2000,
    "3-overrun": [(NONCE, bytes(16), 0xFFFF)],
    "3-overrun-by-one": [(SA, proposal(transform(more=0), 1)), (NONCE, bytes(16), 21)],
    "4-chain": [(NONCE, b"")] * (LONGEST // 4),
    "4-chain-unknown": [(200, b"")] * (LONGEST // 4),
    "5-payloads-of-version-1": [(number, bytes(24)) for number in range(1, 33)],
    "6-nothing": [],
    "7-reserved-types": [(number, bytes(8)) for number in (14, 49, 127, 128, 255, 200, 0x7F)],
    "8-critical": [(number, bytes(8), 12, 0x80) for number in (0x3F, 200, 255)],
    "8-wrong-critical-bit": [(200, bytes(8), 12, 0x01)],
    "11-spi-size-beyond-proposal": [(SA, proposal(transform(more=0), 1, spi_size=255))],
    "12-count-0": [(SA, proposal(transform(more=0), 0))],
    "12-count-255": [(SA, proposal(transform(more=0), 255))],
    "12-more-and-nothing": [(SA, proposal(transform(), 1, more=2))],
    "13-transform-length-0": [(SA, proposal(transform(length=0) * 40, 40))],
    "13-transform-length-7": [(SA, proposal(transform(length=7), 1))],
    "14-attribute-length": [(SA, proposal(transform(attributes=b"\x00\x0e\xff\xff\x01\x00", more=0), 1))],
    "16-transforms": [(SA, proposal(many_transforms(8000), 255))],
    "16-proposals": [(SA, proposal(b"", 0, more=2) * 8000)],
    "16-attributes": [(SA, proposal(transform(attributes=b"\x80\x0e\x01\x00" * 15_000, more=0), 1))],
    "18-no-transforms": [(SA, proposal(b"", 0))],
    "18-only-none": [(SA, proposal(transform(4, 0, more=0), 1))],
    "19-key-length-0": [(SA, proposal(transform(attributes=b"\x80\x0e\x00\x00", more=0), 1))],
    "19-key-length-odd": [(SA, proposal(transform(attributes=b"\x80\x0e\x00\x07", more=0), 1))],
    "19-key-length-65535": [(SA, proposal(transform(attributes=b"\x80\x0e\xff\xff", more=0), 1))],
    "20-ke-empty": [(KE, b"")],
    "20-ke-3-octets": [(KE, b"\x00\x0e\x00")],
    "20-ke-zero": [(KE, b"\x00\x0e\x00\x00" + bytes(256))],
    "20-ke-wrong-length": [(KE, b"\x00\x13\x00\x00" + bytes(7))],
    "20-ke-private-group": [(KE, b"\x04\x01\x00\x00" + bytes(60_000))],
    "21-nonce-0": [(NONCE, b"")],
    "21-nonce-60000": [(NONCE, bytes(60_000))],
    "22-id-0": [(ID_I, b"")],
    "22-id-1": [(ID_I, b"\x02")],
    "22-id-3": [(ID_I, b"\x02\x00\x00")],
    "22-id-60000": [(ID_I, b"\x02\x00\x00\x00" + b"A" * 60_000)],
    "22-id-address-of-3": [(ID_I, b"\x01\x00\x00\x00abc")],
    "22-id-dn-of-noise": [(ID_I, b"\x09\x00\x00\x00" + b"\x30\x84\xff\xff\xff\xff" * 100)],
    "23-selectors-255-of-0": [(TS_I, b"\xff\x00\x00\x00")],
    "23-selector-length-0": [(TS_I, b"\x02\x00\x00\x00" + selector(7, 0, bytes(12)) * 2)],
    "23-selector-length-65535": [(TS_I, b"\x01\x00\x00\x00" + selector(7, 65535, bytes(12)))],
    "23-selector-family-lies": [(TS_I, b"\x01\x00\x00\x00" + selector(8, 16, bytes(12)))],
    "24-notify-3": [(NOTIFY, b"\x00\x00\x40")],
    "24-notify-spi-size": [(NOTIFY, notify(16388, bytes(20), spi_size=255))],
    "24-notify-60000": [(NOTIFY, notify(16390, bytes(60_000)))],
    "24-notify-every-type-empty": [(NOTIFY, notify(kind)) for kind in [*range(1, 64), *range(16384, 16460), 40_000]],
    "24-notify-every-type-noise": [
        (NOTIFY, notify(kind, b"\xff" * 7)) for kind in [*range(1, 64), *range(16384, 16460)]
    ],
    "25-delete-spi-size-0": [(DELETE, struct.pack(">BBH", 3, 0, 65535))],
    "25-delete-count": [(DELETE, struct.pack(">BBH", 3, 4, 65535) + bytes(12))],
    "25-delete-many": [(DELETE, struct.pack(">BBH", 3, 4, 15_000) + bytes(60_000))],
    "26-delete-again": [(DELETE, struct.pack(">BBH", 3, 4, 1) + b"dead")] * 500,
    "27-eap-length-0": [(EAP, b"\x01\x01\x00\x00\x01")],
    "27-eap-length-65535": [(EAP, b"\x01\x01\xff\xff\x01abc")],
    "27-eap-aka-attribute-0": [(EAP, b"\x01\x01\x00\x18\x17\x01\x00\x00" + b"\x01\x00\x00\x00" * 4)],
    "27-eap-tls-length": [(EAP, b"\x01\x01\x00\x14\x0d\x80\xff\xff\xff\xff" + b"\x16\x03\x01\xff\xff" * 2)],
    "27-eap-mschapv2-short": [(EAP, b"\x01\x01\x00\x0a\x1a\x01\x01\xff\xff\x10")],
    "28-attributes": [(CP, b"\x01\x00\x00\x00" + b"\x00\x01\xff\xff" + bytes(4))],
    "28-attribute-count": [(CP, b"\x02\x00\x00\x00" + b"\x70\x00\x00\x00" * 15_000)],
    "28-attribute-text": [(CP, b"\x02\x00\x00\x00" + b"\x00\x07\x00\x08\x1b]0;x\x07\xff")],
    "33-certificate-encodings": [(CERT, bytes([kind]) + b"\x30\x80" * 30_000) for kind in range(1)],
    "36-hash-and-url": [(CERT, b"\x0c" + bytes(20) + b"http://192.0.2.1/\x1b[2J")],
    "vendor-ids": [(VID, bytes([number % 256]) * 16) for number in range(500)],
    "encrypted-empty": [(SK, b"", 4)],
    "encrypted-and-more": [(SK, bytes(40)), (NONCE, bytes(16))],
    "fragment-of-3": [(SKF, b"\x00\x01\x00")],
}

V1: dict[str, list[Part]] = {
    "2-length-0": [(1, b"", 0)],
    "4-chain": [(13, b"")] * (LONGEST // 4),
    "5-payloads-of-version-2": [(number, bytes(24)) for number in range(33, 54)],
    "7-drafts-and-private": [
        (number, bytes(24)) for number in (14, 15, 16, 17, 18, 20, 21, 22, 128, 130, 131, 132, 133, 255)
    ],
    "10-doi-and-situation": [(1, v1_sa(v1_transform(b""), 1, doi=0xFFFFFFFF, situation=0xFFFFFFFF))],
    "10-situation-secrecy": [(1, v1_sa(v1_transform(b""), 1, situation=7))],
    "12-count-255": [(1, v1_sa(v1_transform(b""), 255))],
    "13-transform-length-0": [(1, v1_sa(v1_transform(b"", length=0) * 40, 40))],
    "14-attribute-length": [(1, v1_sa(v1_transform(b"\x00\x0c\xff\xff\x01"), 1))],
    "15-lifetime-60000": [(1, v1_sa(v1_transform(b"\x80\x0b\x00\x01\x00\x0c\xea\x60" + b"\x39" * 60_000), 1))],
    "15-lifetime-8": [(1, v1_sa(v1_transform(b"\x80\x0b\x00\x01\x00\x0c\x00\x08" + b"\xff" * 8), 1))],
    "15-lifetime-9": [(1, v1_sa(v1_transform(b"\x80\x0b\x00\x02\x00\x0c\x00\x09" + b"\xff" * 9), 1))],
    "16-transforms": [(1, v1_sa(v1_transform(b"", more=3) * 8000, 255))],
    "16-proposals": [(1, struct.pack(">II", 1, 1) + proposal(v1_transform(b""), 1, more=2) * 4000)],
    "19-key-length-0": [(1, v1_sa(v1_transform(b"\x80\x01\x00\x07\x80\x0e\x00\x00"), 1))],
    "20-ke-empty": [(4, b"")],
    "22-id-3": [(5, b"\x02\x11\x01")],
    "22-id-list": [(5, b"\x0c\x00\x00\x00" + bytes(5))],
    "24-notify-spi-size": [(11, struct.pack(">IBBH", 1, 1, 255, 24578) + bytes(16))],
    "24-notify-short": [(11, b"\x00\x00\x00\x01\x01")],
    "25-delete-spi-size-0": [(12, struct.pack(">IBBH", 1, 1, 0, 65535))],
    "25-delete-many": [(12, struct.pack(">IBBH", 1, 3, 4, 15_000) + bytes(60_000))],
    "31-fragment-empty": [(132, b"")],
    "31-fragment-0": [(132, b"\x00\x01\x00\x00")],
    "nat-d": [(20, b""), (20, bytes(20)), (130, bytes(3))],
    "nat-oa-short": [(21, b"\x01")],
    "mode-config": [(14, b"\x02\x00\x00\x01" + b"\x40\x88\xff\xff")],
    "gap-and-sak": [(22, bytes(3)), (17, bytes(60))],
}


def analysed(tmp_path: Path, *datagrams: bytes) -> tuple[set[str], list[str]]:
    """The kinds of the notes of the report, and the exchange types that were found."""
    with time_limit(SECONDS):
        _, report = judged(write(tmp_path / "hostile.pcap", pcap(datagrams)))
    kinds = {note.kind for note in report.notes}
    return kinds, [each.type for sa in report.ike_sas for each in sa.exchanges]


@pytest.mark.parametrize("parts", V2.values(), ids=V2.keys())
def test_ikev2_message_is_read_as_far_as_it_goes(tmp_path: Path, parts: list[Part]) -> None:
    request, answer = ike(*parts), ike(*parts, flags=0x20, spi_r=SPI_R)
    _, exchanges = analysed(tmp_path, datagram(request), datagram(answer, back=True))
    assert exchanges == ["IKE_SA_INIT"]


@pytest.mark.parametrize("parts", V1.values(), ids=V1.keys())
def test_ikev1_message_is_read_as_far_as_it_goes(tmp_path: Path, parts: list[Part]) -> None:
    request, answer = v1(*parts), v1(*parts, spi_r=SPI_R)
    _, exchanges = analysed(tmp_path, datagram(request), datagram(answer, back=True))
    assert exchanges == ["IDENTITY_PROTECTION"]


@pytest.mark.parametrize("exchange", [0, 5, 34, 35, 36, 37, 38, 43, 44, 200, 255])
def test_every_payload_at_once_in_any_exchange(tmp_path: Path, exchange: int) -> None:
    """Class 9: messages before their state; nothing of them was negotiated."""
    parts = [(number, bytes([number]) * 24) for number in range(1, 256)]
    messages = [ike(*parts, exchange=exchange, spi_r=SPI_R, message_id=number) for number in (0, 7, 0xFFFFFFFF)]
    messages += [v1(*parts, exchange=exchange, spi_r=SPI_R, message_id=number) for number in (0, 7)]
    analysed(tmp_path, *map(datagram, messages))


@pytest.mark.parametrize("length", [0, 1, 27, 28, 29, 0x7FFFFFFF, 0xFFFFFFFF])
def test_header_length_that_lies_is_said(tmp_path: Path, length: int) -> None:
    """Class 1."""
    kinds, _ = analysed(tmp_path, datagram(ike((NONCE, bytes(16)), length=length)))
    assert "header.length" in kinds


@pytest.mark.parametrize("size", range(33))
def test_message_cut_at_any_octet_is_no_fault(tmp_path: Path, size: int) -> None:
    message = ike((NONCE, bytes(16)))[:size]
    analysed(tmp_path, datagram(message), datagram(bytes(4) + message, sport=4500, dport=4500))


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ([(NONCE, b"", 0)], "chain.bad-length"),
        ([(NONCE, bytes(16), 0xFFFF)], "chain.overrun"),
        ([(NONCE, b"")] * 600, "chain.too-many"),
        ([(SA, proposal(transform(length=0), 1))], "payload.malformed"),
        ([(200, bytes(4), 8, 0x80)], "payload.critical-unknown"),
    ],
    ids=["length-0", "overrun", "too-many", "transform", "critical"],
)
def test_lie_is_named_by_a_note_with_its_octets(tmp_path: Path, parts: list[Part], kind: str) -> None:
    with time_limit(SECONDS):
        _, report = judged(write(tmp_path / "lie.pcap", pcap([datagram(ike(*parts))])))
    notes = [note for note in report.notes if note.kind == kind]
    assert notes
    assert all(note.bytes is not None and note.frame == 1 for note in notes)


def test_transforms_in_a_response_are_compared_in_linear_time(tmp_path: Path) -> None:
    """Classes 16 and 17: thousands of transforms both ways, none of them equal."""
    offered = proposal(b"".join(transform(1 + n % 5, n, more=3) for n in range(8000)), 255)
    chosen = proposal(b"".join(transform(1 + n % 5, 60_000 - n, more=3) for n in range(8000)), 255)
    analysed(tmp_path, datagram(ike((SA, offered))), datagram(ike((SA, chosen), flags=0x20, spi_r=SPI_R), back=True))


def test_ikev2_fragments_that_lie_are_held_in_bounds(tmp_path: Path) -> None:
    """Classes 29 and 30: totals of 65535 of which the first comes, number 0, beyond the total, changing, twice."""
    heads = [(1, 65535), (0, 3), (4, 3), (1, 0), (65535, 65535), (2, 2), (1, 2), (1, 3), (2, 3)]
    messages = [
        ike((SKF, struct.pack(">HH", *head) + bytes([octet]) * 400), exchange=35, message_id=number, spi_r=SPI_R)
        for number in range(40)
        for octet in (1, 2)
        for head in heads
    ]
    _, exchanges = analysed(tmp_path, datagram(ike((NONCE, bytes(16)))), *map(datagram, messages))
    assert len(exchanges) >= 40


def test_ikev1_fragments_that_lie_are_held_in_bounds(tmp_path: Path) -> None:
    """Class 31: sets never completed, numbers that go down, a last fragment that comes first, nothing inside."""
    bodies = [
        struct.pack(">HBB", number, index, last) + b"\x33" * 500
        for number in range(30)
        for index in (9, 1, 0, 255)
        for last in (0, 1)
    ]
    messages = [v1((132, body), spi_r=SPI_R) for body in bodies]
    analysed(tmp_path, datagram(v1((1, v1_sa(v1_transform(b""), 1)))), *map(datagram, messages))


def test_messages_of_dead_and_unknown_sas_are_filed(tmp_path: Path) -> None:
    """Class 26: deletes again and again, for SAs that never were."""
    body = struct.pack(">BBH", 3, 4, 1) + b"dead"
    messages = [ike((DELETE, body), exchange=37, spi_r=SPI_R, message_id=number % 50) for number in range(300)]
    analysed(tmp_path, *map(datagram, messages))


def test_retransmissions_without_end_change_no_sa(tmp_path: Path) -> None:
    message = datagram(ike((NONCE, bytes(16))))
    with time_limit(SECONDS):
        _, report = judged(write(tmp_path / "again.pcap", pcap([message] * 3000)))
    (sa,) = report.ike_sas
    (exchange,) = sa.exchanges
    assert len(exchange.frames.request) == 1


def test_number_beyond_what_json_keeps_is_written_as_text(tmp_path: Path) -> None:
    """A lifetime of eight octets: no reader of JSON rounds it."""
    lifetime = b"\x80\x0b\x00\x01\x00\x0c\x00\x08" + b"\xff" * 8
    sa = (1, v1_sa(v1_transform(lifetime), 1))
    with time_limit(SECONDS):
        _, report = judged(
            write(tmp_path / "long.pcap", pcap([datagram(v1(sa)), datagram(v1(sa, spi_r=SPI_R), back=True)]))
        )
    assert report.ike_sas[0].proposal is not None
    assert report.ike_sas[0].proposal.lifetime_s == str(2**64 - 1)
