from __future__ import annotations

from pathlib import Path

import dpkt
import pytest

from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import Payload, parse_chain
from ipsecscope.dissect.families import IKEV1
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev1 import (
    Delete,
    ForeignSecurityAssociation,
    Fragment,
    Hash,
    Identification,
    KeyExchange,
    NatDetection,
    Nonce,
    Notification,
    SecurityAssociation,
    VendorId,
    checks,
)
from ipsecscope.dissect.ikev1.checks import MAX_NOTES, body_notes, check_key_exchange
from ipsecscope.dissect.ikev1.notes import NOTES
from ipsecscope.dissect.ikev1.sa import EspProposal, IsakmpProposal, Situation, SituationFlags
from ipsecscope.dissect.ikev1.transforms import (
    EspTransform,
    PhaseOneLong,
    PhaseOneShort,
    PhaseOneTransform,
    PhaseTwoLong,
    PhaseTwoShort,
)
from ipsecscope.dissect.notes import Note
from ipsecscope.dissect.registry import ipsec_doi, isakmp
from ipsecscope.dissect.registry.ip_protocols import IpProtocol

ESP = ipsec_doi.ProtocolId.PROTO_IPSEC_ESP
ONE, TWO = isakmp.PhaseOneAttribute, ipsec_doi.PhaseTwoAttribute
MAIN = Header(version=0x10, exchange_type=isakmp.ExchangeType.IDENTITY_PROTECTION, spi_i=b"initiatr")
QUICK = Header(version=0x10, exchange_type=isakmp.ExchangeType.QUICK_MODE, spi_i=b"initiatr")
TRANSFORM = EspTransform(transform_id=ipsec_doi.EspTransform.ESP_AES_CBC)


def notes_on(*bodies: Body, header: Header | None = None) -> list[Note]:
    position, payloads = 28, []
    for body in bodies:
        stop = position + 4 + len(body.build())
        payloads.append(Payload(body=body, start=position, stop=stop))
        position = stop
    return body_notes(payloads, header)


def esp(**changes: object) -> SecurityAssociation:
    fields: dict[str, object] = {"spi": b"\xc3\x5a\x2d\x1e", "transforms": (TRANSFORM,), **changes}
    return SecurityAssociation(proposals=(EspProposal(**fields),))  # type: ignore[arg-type]


def with_attribute(attribute: object, *, phase_one: bool = False) -> SecurityAssociation:
    if phase_one:
        transform = PhaseOneTransform(attributes=(attribute,))  # type: ignore[arg-type]
        return SecurityAssociation(proposals=(IsakmpProposal(transforms=(transform,)),))
    two = EspTransform(transform_id=TRANSFORM.transform_id, attributes=(attribute,))  # type: ignore[arg-type]
    return esp(transforms=(two,))


@pytest.mark.parametrize(
    "body",
    [
        esp(),
        with_attribute(PhaseTwoShort(attribute_type=TWO.KEY_LENGTH, value=128)),
        Nonce(data=bytes(8)),
        Nonce(data=bytes(256)),
        KeyExchange(data=b"x"),
        Identification(id_type=ipsec_doi.IdType.ID_FQDN, data=b"moon"),
        Notification(protocol_id=ESP, notify_type=isakmp.NotifyType.INITIAL_CONTACT),
        Delete(protocol_id=ESP, spi_size=4, spis=(b"\xc3\x5a\x2d\x1e",)),
        NatDetection(data=bytes(range(20))),
        Fragment(fragment_id=1, number=1, data=b"x"),
        VendorId(data=b"x"),
    ],
    ids=lambda body: type(body).__name__,
)
def test_payload_as_the_rfc_has_it_gives_no_note(body: Body) -> None:
    assert notes_on(body) == []


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        (esp(reserved=1), "ikev1.reserved", "SA.proposals[0].reserved"),
        (esp(transform_count=9), "ikev1.count", "SA.proposals[0].transform_count"),
        (esp(more=2), "ikev1.count", "SA.proposals[0].more"),
        (esp(transforms=()), "ikev1.no-transform", "SA.proposals[0]"),
        (esp(spi=b"\1\2"), "ikev1.spi-size", "SA.proposals[0].spi_size"),
        (esp(spi=b"\0\0\0\7"), "ikev1.spi-reserved", "SA.proposals[0].spi"),
        (esp(transforms=(TRANSFORM, TRANSFORM)), "ikev1.proposal-order", "SA.proposals[0].transforms[1].number"),
        (
            esp(transforms=(EspTransform(transform_id=TRANSFORM.transform_id, reserved=1),)),
            "ikev1.reserved",
            "SA.proposals[0].transforms[0].reserved",
        ),
        (
            esp(transforms=(EspTransform(transform_id=TRANSFORM.transform_id, reserved2=1),)),
            "ikev1.reserved",
            "SA.proposals[0].transforms[0].reserved2",
        ),
        (
            esp(transforms=(EspTransform(transform_id=TRANSFORM.transform_id, more=3),)),
            "ikev1.count",
            "SA.proposals[0].transforms[0].more",
        ),
        (
            SecurityAssociation(
                proposals=(
                    EspProposal(number=2, spi=b"\xff" * 4, transforms=(TRANSFORM,)),
                    EspProposal(number=1, spi=b"\xff" * 4, transforms=(TRANSFORM,)),
                )
            ),
            "ikev1.proposal-order",
            "SA.proposals[1].number",
        ),
        (
            SecurityAssociation(situation=Situation(flags=SituationFlags(0))),
            "ikev1.situation",
            "SA.situation.flags",
        ),
        (
            SecurityAssociation(situation=Situation(flags=SituationFlags(0x81))),
            "ikev1.situation",
            "SA.situation.flags",
        ),
        (ForeignSecurityAssociation(doi=isakmp.Doi(7)), "ikev1.doi", "SA.doi"),
        (
            with_attribute(PhaseTwoLong(attribute_type=TWO.KEY_LENGTH, value=b"\0\x80")),
            "ikev1.attribute-form",
            "SA.proposals[0].transforms[0].attributes[0]",
        ),
        (
            with_attribute(PhaseOneLong(attribute_type=ONE.KEY_LENGTH, value=b"\0\x80"), phase_one=True),
            "ikev1.attribute-form",
            "SA.proposals[0].transforms[0].attributes[0]",
        ),
        (
            with_attribute(PhaseTwoShort(attribute_type=TWO.KEY_LENGTH, value=129)),
            "ikev1.key-length",
            "SA.proposals[0].transforms[0]",
        ),
        (
            with_attribute(PhaseOneShort(attribute_type=ONE.KEY_LENGTH, value=0), phase_one=True),
            "ikev1.key-length",
            "SA.proposals[0].transforms[0]",
        ),
        (
            with_attribute(PhaseTwoShort(attribute_type=TWO.SA_LIFE_DURATION, value=1)),
            "ikev1.lifetime",
            "SA.proposals[0].transforms[0].attributes[0]",
        ),
        (Nonce(data=bytes(7)), "ikev1.nonce-size", "NONCE.data"),
        (Nonce(data=bytes(257)), "ikev1.nonce-size", "NONCE.data"),
        (KeyExchange(data=b""), "ikev1.ke-size", "KE"),
        (Identification(id_type=ipsec_doi.IdType.ID_IPV4_ADDR, data=b"\1"), "ikev1.id-size", "ID.data"),
        (Identification(id_type=ipsec_doi.IdType.ID_IPV4_ADDR, data=bytes(5)), "ikev1.id-size", "ID.data"),
        (
            Notification(protocol_id=ESP, notify_type=isakmp.NotifyType.R_U_THERE, data=b"\1"),
            "ikev1.notify-data",
            "N.data",
        ),
        (
            Notification(protocol_id=ESP, notify_type=isakmp.NotifyType.INVALID_SPI, spi=bytes(4)),
            "ikev1.spi-reserved",
            "N.spi",
        ),
        (Delete(protocol_id=ESP, spi_size=0), "ikev1.delete-spi-size", "D.spi_size"),
        (Delete(protocol_id=ESP, spi_size=3, spis=(b"abc",)), "ikev1.delete-spi-size", "D.spi_size"),
        (Delete(protocol_id=ESP, spi_size=4, count=9), "ikev1.count", "D.count"),
        (Delete(protocol_id=ESP, spi_size=4, trailing=b"x"), "ikev1.delete-trailing", "D.trailing"),
        (NatDetection(data=b"short"), "ikev1.nat-d-size", "NAT_D.data"),
        (Fragment(fragment_id=1, number=0, data=b""), "ikev1.fragment-number", "FRAGMENT.number"),
    ],
)
def test_payload_that_breaks_a_rule_gives_one_note_with_its_place(body: Body, kind: str, field: str) -> None:
    notes = notes_on(body)
    assert [(note.kind, note.field) for note in notes] == [(kind, field)]
    assert 28 <= notes[0].start < notes[0].stop <= 32 + len(body.build())
    assert notes[0].text


def test_every_note_kind_is_in_the_catalogue_once() -> None:
    assert len({row.id for row in NOTES}) == len(NOTES)
    assert all(row.id.startswith("ikev1.") and row.meaning for row in NOTES)


def test_lifetime_of_many_octets_gives_a_note_at_its_value() -> None:
    transform = PhaseOneTransform(
        attributes=(
            PhaseOneShort(attribute_type=ONE.LIFE_TYPE, value=1),
            PhaseOneLong(attribute_type=ONE.LIFE_DURATION, value=b"\xff" * 60_000),
        )
    )
    notes = notes_on(SecurityAssociation(proposals=(IsakmpProposal(transforms=(transform,)),)))
    assert [note.kind for note in notes] == ["ikev1.attribute-size"]
    assert notes[0].stop - notes[0].start == 60_000


def test_notes_on_one_payload_are_bounded() -> None:
    short = PhaseTwoLong(attribute_type=TWO.KEY_ROUNDS, value=b"")
    transform = EspTransform(transform_id=TRANSFORM.transform_id, attributes=(short,) * 500)
    assert len(notes_on(esp(transforms=(transform,)))) == MAX_NOTES


def test_reserved_octet_of_the_payload_header_is_told() -> None:
    notes = body_notes([Payload(body=Nonce(data=bytes(16)), reserved=1, start=28, stop=48)], MAIN)
    assert [(note.kind, note.start, note.stop) for note in notes] == [("ikev1.reserved", 29, 30)]


def test_sa_behind_another_payload_of_phase_1_is_told() -> None:
    vid, sa = VendorId(data=b"x"), SecurityAssociation()
    assert [note.kind for note in notes_on(vid, sa, header=MAIN)] == ["ikev1.sa-not-first"]
    assert notes_on(sa, vid, header=MAIN) == []
    assert notes_on(vid, sa) == []


def test_hash_behind_another_payload_of_quick_mode_is_told() -> None:
    nonce, hash_ = Nonce(data=bytes(16)), Hash(data=bytes(20))
    assert [note.kind for note in notes_on(nonce, hash_, header=QUICK)] == ["ikev1.hash-not-first"]
    assert notes_on(hash_, nonce, header=QUICK) == []
    assert notes_on(nonce, header=QUICK) == []
    assert notes_on(header=QUICK) == []


def test_fragment_among_other_payloads_is_told() -> None:
    fragment = Fragment(fragment_id=1, number=1, data=b"x")
    assert [note.kind for note in notes_on(fragment, VendorId(data=b"x"))] == ["ikev1.fragment-alone"]


def test_phase_1_identity_with_an_odd_port_is_told() -> None:
    odd = Identification(id_type=ipsec_doi.IdType.ID_FQDN, protocol_id=IpProtocol.TCP, port=80, data=b"moon")
    notes = notes_on(odd, header=MAIN)
    assert [(note.kind, note.field) for note in notes] == [("ikev1.id-port", "ID.port")]
    assert notes_on(odd, header=QUICK) == []


@pytest.mark.parametrize(("group", "size"), [(1, 96), (2, 128), (5, 192), (14, 256), (18, 1024), (19, 64), (21, 132)])
def test_public_value_of_the_wrong_size_for_its_group_is_told(group: int, size: int) -> None:
    right = Payload(body=KeyExchange(data=b"\x7f" * size), start=28, stop=32 + size)
    wrong = Payload(body=KeyExchange(data=b"\xff" * (size - 1)), start=28, stop=31 + size)
    assert check_key_exchange(right, group) is None
    note = check_key_exchange(wrong, group)
    assert note is not None
    assert (note.kind, note.start, note.stop) == ("ikev1.ke-size", 32, 31 + size)


def test_public_value_of_0_or_1_is_told() -> None:
    for value in (0, 1):
        payload = Payload(body=KeyExchange(data=bytes(255) + bytes([value])), start=28, stop=288)
        note = check_key_exchange(payload, isakmp.Group.MODP_2048)
        assert note is not None
        assert note.kind == "ikev1.ke-value"
    assert check_key_exchange(Payload(body=KeyExchange(data=bytes(255) + b"\2")), isakmp.Group.MODP_2048) is None


def test_public_value_of_an_unknown_group_is_not_judged() -> None:
    assert check_key_exchange(Payload(body=KeyExchange(data=b"x")), 4711) is None
    assert check_key_exchange(Payload(body=Nonce(data=b"x")), isakmp.Group.MODP_2048) is None


def test_place_in_a_body_that_cannot_be_traced_falls_back_to_the_payload() -> None:
    notes = notes_on(Notification(protocol_id=ESP, notify_type=isakmp.NotifyType.CONNECTED, spi=bytes(4), spi_size=9))
    assert [(note.kind, note.field) for note in notes] == [("ikev1.spi-reserved", "N")]


def test_place_that_cannot_be_found_falls_back_to_the_payload() -> None:
    payload = Payload(body=Nonce(data=b"x"), start=28, stop=33)
    found = checks._notes(payload, [(NOTES[0], "text", ("nowhere", 3))])
    assert [(note.start, note.stop, note.field) for note in found] == [(28, 33, "NONCE")]


def messages(path: Path) -> list[bytes]:
    with path.open("rb") as stream:
        frames = [frame for _, frame in dpkt.pcap.Reader(stream)]
    found = []
    for frame in frames:
        udp = getattr(dpkt.ethernet.Ethernet(frame).data, "data", None)
        if isinstance(udp, dpkt.udp.UDP) and len(udp.data) > 28:
            found.append(bytes(udp.data).removeprefix(bytes(4)))
    return found


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("libreswan__01-isakmp-vid-first.pcap", True),
        ("libreswan__01-isakmp-vid-first-resp.pcap", True),
        ("libreswan__01-isakmp-vid-second-resp.pcap", False),
    ],
)
def test_public_capture_with_the_vendor_id_before_the_sa_is_told(shared: Path, name: str, told: bool) -> None:
    for data in messages(shared / "captures/public/captures" / name):
        header = Header.parse(data[:28])
        chain = parse_chain(data, 28, len(data), header.next_payload or 0, IKEV1)
        kinds = [note.kind for note in body_notes(chain.payloads, header)]
        assert ("ikev1.sa-not-first" in kinds) is told


def test_clear_messages_of_the_lab_give_no_errors(shared: Path) -> None:
    count = 0
    for path in sorted((shared / "captures/lab").glob("*v1*/capture.pcap")):
        for data in messages(path):
            header = Header.parse(data[:28])
            if header.major_version != 1 or header.is_encrypted:
                continue
            chain = parse_chain(data, 28, len(data), header.next_payload or 0, IKEV1)
            count += 1
            assert body_notes(chain.payloads, header) == [], path
    assert count > 50
