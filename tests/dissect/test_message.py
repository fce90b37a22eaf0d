"""IKE messages: the chain, its faults, and where every field stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.body import Malformed, Opaque
from ipsecscope.dissect.chain import MAX_PAYLOADS, Context, Payload, parse_chain
from ipsecscope.dissect.families import IKEV1, IKEV2
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType, PayloadType, SecurityProtocol
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.dissect.wire import Field

INIT = int(ExchangeType.IKE_SA_INIT)
KE = ikev2.KeyExchange(method=KeyExchangeMethod.CURVE25519, data=bytes(range(32)))
NONCE = ikev2.Nonce(data=bytes(16))
COOKIE = ikev2.Notify(notify_type=NotifyType.COOKIE, protocol_id=SecurityProtocol(0), data=b"cookie")


def message(*payloads: Payload, trailing: bytes = b"", **header: int) -> Message:
    values = {"exchange_type": INIT, "flags": 0x08} | header
    return Message(header=Header(spi_i=b"initiate", **values), payloads=payloads, trailing=trailing)


def kinds(data: bytes, missing: int = 0) -> list[str]:
    return [note.kind for note in parse_message(data, missing=missing).notes]


def test_parse_of_build_is_the_message() -> None:
    built = message(Payload(COOKIE), Payload(KE), Payload(NONCE))
    assert parse_message(built.build()) == built
    assert parse_message(built.build()).notes == ()


def test_payload_names_follow_the_direction() -> None:
    request = message(Payload(COOKIE), Payload(KE), Payload(NONCE))
    response = message(Payload(NONCE), flags=0x20)
    assert parse_message(request.build()).payload_names == ("N(COOKIE)", "KE", "Ni")
    assert parse_message(response.build()).payload_names == ("Nr",)


def test_body_is_found_by_class() -> None:
    assert message(Payload(KE))[ikev2.KeyExchange] is KE
    with pytest.raises(KeyError):
        message(Payload(KE))[ikev2.Nonce]


def test_crafted_length_is_written_as_given() -> None:
    data = message(Payload(KE, length=3)).build()
    assert kinds(data) == ["chain.bad-length"]
    assert parse_message(data).trailing == data[28:]
    assert parse_message(data).build() == data


def test_payload_beyond_the_end_stops_the_chain_and_keeps_the_octets() -> None:
    data = message(Payload(NONCE), Payload(KE, length=4000)).build()
    parsed = parse_message(data)
    assert [note.kind for note in parsed.notes] == ["chain.overrun"]
    assert parsed.payload_names == ("Ni",)
    assert parsed.payloads[0].next_payload == PayloadType.KE
    assert parsed.build() == data


def test_trap_t45_cut_by_the_capture_is_not_the_senders_fault() -> None:
    data = message(Payload(NONCE), Payload(KE)).build()
    cut = data[:-10]
    assert kinds(cut, missing=10) == ["capture.truncated"]
    assert kinds(cut) == ["header.length", "chain.overrun"]
    assert kinds(data[:20], missing=100) == ["capture.truncated"]


def test_trap_t34_four_octet_payloads_end_at_the_limit_and_are_said() -> None:
    data = message(*[Payload(Opaque(), type=200)] * (MAX_PAYLOADS + 5)).build()
    parsed = parse_message(data)
    assert len(parsed.payloads) == MAX_PAYLOADS
    assert parsed.notes[-1].kind == "chain.too-many"
    assert parsed.build() == data


def test_trap_t34_zero_length_payload_ends_the_chain() -> None:
    data = message(Payload(NONCE, length=0)).build()
    assert kinds(data) == ["chain.bad-length"]


def test_unknown_payload_is_a_value_and_a_critical_one_is_said() -> None:
    parsed = parse_message(message(Payload(Opaque(data=b"abc"), type=240, critical=True)).build())
    assert parsed.payloads[0].body == Opaque(data=b"abc")
    assert [note.kind for note in parsed.notes] == ["payload.critical-unknown"]
    assert [note.kind for note in parse_message(message(Payload(Opaque(), type=240)).build()).notes] == [
        "payload.unknown"
    ]


def test_unreadable_body_keeps_its_octets_its_reason_and_what_was_read() -> None:
    data = message(Payload(Opaque(data=b"\x00\x1f"), type=int(PayloadType.KE)), Payload(NONCE)).build()
    parsed = parse_message(data)
    body = parsed.payloads[0].body
    assert isinstance(body, Malformed)
    assert [field.name for field in body.partial] == ["method"]
    assert parsed.payload_names == ("KE", "Ni")
    assert parsed.build() == data
    assert parsed.notes[0].kind == "payload.malformed"


def test_octets_behind_the_last_payload_are_kept_and_said() -> None:
    data = message(Payload(NONCE), trailing=b"more").build()
    assert parse_message(data).trailing == b"more"
    assert kinds(data) == ["chain.trailing"]


def test_header_length_shorter_than_the_datagram_ends_the_message() -> None:
    whole = message(Payload(NONCE)).build()
    parsed = parse_message(whole + b"padding")
    assert parsed.header is not None
    assert parsed.header.length == len(whole)
    assert parsed.trailing == b"padding"
    assert [note.kind for note in parsed.notes] == ["header.length"]


@pytest.mark.parametrize("length", [0, 27, 0xFFFFFFFF], ids=["zero", "below-header", "four-gib"])
def test_header_length_that_lies_is_said_and_rebuilt(length: int) -> None:
    data = message(Payload(NONCE), length=length).build()
    assert kinds(data)[0] == "header.length"
    assert parse_message(data).build() == data


@pytest.mark.parametrize(
    ("version", "kind"), [(0x21, ["header.version"]), (0x30, ["header.version"]), (0x20, [])], ids=["2.1", "3.0", "2.0"]
)
def test_trap_t37_other_versions_are_read_and_said(version: int, kind: list[str]) -> None:
    assert kinds(message(Payload(NONCE), version=version).build()) == kind


@pytest.mark.parametrize("number", range(34, 45))
def test_trap_t10_every_exchange_type_is_accepted(number: int) -> None:
    assert kinds(message(Payload(NONCE), exchange_type=number).build()) == []


def test_encrypted_payload_ends_the_chain_and_keeps_the_inner_type() -> None:
    sealed = Payload(ikev2.Encrypted(data=bytes(40)), next_payload=int(PayloadType.IDi))
    parsed = parse_message(message(sealed, exchange_type=35).build())
    assert parsed.payload_names == ("SK",)
    assert parsed.payloads[0].next_payload == PayloadType.IDi


def test_ikev1_body_behind_the_flag_is_ciphertext() -> None:
    header = Header(spi_i=b"initiate", spi_r=b"responds", version=0x10, exchange_type=5, flags=1, next_payload=8)
    parsed = parse_message(Message(header=header, ciphertext=bytes(40)).build())
    assert parsed.family is IKEV1
    assert (parsed.payloads, parsed.ciphertext) == ((), bytes(40))
    assert parsed.exchange_type == IsakmpExchangeType.INFORMATIONAL
    assert parse_message(parsed.build()[:-4], missing=4).notes[-1].kind == "capture.truncated"


def test_trap_t29_payload_15_is_nat_d_or_sak_by_context() -> None:
    payload = Payload(Opaque(data=bytes(20)), type=15).body
    data = b"\x00\x00\x00\x18" + payload.build()
    draft = parse_chain(data, 0, len(data), 15, IKEV1, Context(gdoi=False, nat_t_drafts=True))
    gdoi = parse_chain(data, 0, len(data), 15, IKEV1, Context(gdoi=True, nat_t_drafts=False))
    assert isinstance(draft.payloads[0].body, ikev1.NatDetection)
    assert not isinstance(gdoi.payloads[0].body, ikev1.NatDetection)


def test_span_finds_fields_by_dotted_path() -> None:
    built = message(Payload(COOKIE), Payload(KE), Payload(NONCE))
    data = built.build()
    start, stop = built.span("KE.data")
    assert data[start:stop] == bytes(range(32))
    assert built.span("payloads[KE].data") == built.span("payloads[1].data") == (start, stop)
    assert data[slice(*built.span("header.spi_i"))] == b"initiate"
    assert data[slice(*built.span("payloads[N(COOKIE)].data"))] == b"cookie"
    with pytest.raises(KeyError):
        built.span("KE.nothing")


def tile(field: Field) -> None:
    position = field.start
    for child in field.children:
        assert child.start == position, (field.name, child.name)
        position = child.stop
        tile(child)
    assert not field.children or position == field.stop, field.name


@given(st.binary(max_size=200))
def test_law_every_byte_string_parses_rebuilds_and_tiles(data: bytes) -> None:
    parsed = parse_message(data)
    assert parsed.build() == data
    tile(parsed.trace())


CHAIN = st.lists(
    st.tuples(st.integers(1, 140), st.integers(0, 255), st.binary(max_size=40), st.integers(-3, 6)), max_size=8
)


@given(CHAIN, st.sampled_from([0x10, 0x20]), st.integers(0, 255))
def test_law_every_chain_parses_rebuilds_and_tiles(
    entries: list[tuple[int, int, bytes, int]], version: int, flags: int
) -> None:
    chain = b""
    for index, (_, reserved, body, error) in enumerate(entries):
        following = entries[index + 1][0] if index + 1 < len(entries) else 0
        length = len(body) + 4 + (error if error > 3 else 0)
        chain += bytes([following, reserved]) + length.to_bytes(2, "big") + body
    first = entries[0][0] if entries else 0
    header = Header(
        spi_i=b"initiate",
        next_payload=first,
        version=version,
        exchange_type=2 if version == 0x10 else 34,
        flags=flags,
        length=28 + len(chain),
    )
    data = header.build() + chain
    parsed = parse_message(data)
    assert parsed.build() == data
    tile(parsed.trace())
    assert parsed == parse_message(parsed.build())
    assert hash(parsed) == hash(parse_message(data))


def test_family_of_a_short_message_is_ikev2() -> None:
    assert parse_message(b"").family is IKEV2
    assert parse_message(b"").exchange_type is None
    assert parse_message(b"abc").build() == b"abc"
