"""The correlator: which datagrams make one exchange, which exchanges one SA."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.capture.datagrams import Datagram, Encapsulation, IcmpError, Kind
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.registry.ikev2 import (
    ExchangeType,
    KeyExchangeMethod,
    NotifyType,
    PayloadType,
    SecurityProtocol,
    TransformType,
)
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline.correlate import Correlator
from ipsecscope.timeline.sas import IkeSa
from ipsecscope.timeline.settle import settle

SPI_I, SPI_R = b"initiate", b"responds"
ALICE, BOB = "192.0.2.1", "198.51.100.2"
MILLISECOND = 10**6

SA = ikev2.SecurityAssociation(
    proposals=(
        ikev2.Proposal(
            number=1,
            protocol_id=SecurityProtocol.IKE,
            transforms=(
                ikev2.Transform.of_kind(TransformType.ENCR, 12, 256),
                ikev2.Transform.of_kind(TransformType.PRF, 5),
                ikev2.Transform.of_kind(TransformType.INTEG, 12),
                ikev2.Transform.of_kind(TransformType.KE, 31),
            ),
        ),
    )
)
KE = ikev2.KeyExchange(method=KeyExchangeMethod.CURVE25519, data=bytes(range(32)))


def notify(kind: NotifyType, data: bytes = b"") -> ikev2.Notify:
    return ikev2.Notify(protocol_id=SecurityProtocol(0), notify_type=kind, data=data)


class Wire:
    """Makes datagrams between two hosts, a millisecond apart, and keeps them in order."""

    def __init__(self) -> None:
        self.datagrams: list[Datagram] = []

    def send(self, message: Message, src: str = ALICE, dst: str = BOB, sport: int = 500, dport: int = 500) -> Wire:
        number = len(self.datagrams) + 1
        self.datagrams.append(
            Datagram(
                file=0,
                frames=(number,),
                time_ns=number * MILLISECOND,
                kind=Kind.IKE,
                encapsulation=Encapsulation.UDP,
                src=src,
                dst=dst,
                sport=sport,
                dport=dport,
                payload=message.build(),
            )
        )
        return self

    def request(self, *bodies: object, spi_r: bytes = bytes(8), kind: int = 34, mid: int = 0, **where: object) -> Wire:
        return self.send(message(bodies, spi_r=spi_r, kind=kind, mid=mid, flags=0x08), **where)  # type: ignore[arg-type]

    def response(self, *bodies: object, spi_r: bytes = SPI_R, kind: int = 34, mid: int = 0) -> Wire:
        return self.send(message(bodies, spi_r=spi_r, kind=kind, mid=mid, flags=0x20), src=BOB, dst=ALICE)

    def sas(self) -> list[IkeSa]:
        correlator = Correlator()
        for datagram in self.datagrams:
            correlator.feed(datagram)
        return settle(correlator.finish())


def message(
    bodies: tuple[object, ...], *, spi_r: bytes, kind: int, mid: int, flags: int, version: int = 0x20
) -> Message:
    payloads = tuple(body if isinstance(body, Payload) else Payload(body) for body in bodies)  # type: ignore[arg-type]
    header = Header(spi_i=SPI_I, spi_r=spi_r, exchange_type=kind, message_id=mid, flags=flags, version=version)
    return Message(header=header, payloads=payloads)


def sealed(octet: int, size: int = 200) -> Payload:
    return Payload(ikev2.Encrypted(data=bytes([octet]) * size), next_payload=int(PayloadType.IDi))


def nonce(octet: int) -> ikev2.Nonce:
    return ikev2.Nonce(data=bytes([octet]) * 16)


def handshake() -> Wire:
    wire = Wire().request(SA, KE, nonce(1)).response(SA, KE, nonce(2))
    return wire.request(sealed(1), spi_r=SPI_R, kind=35, mid=1).response(sealed(2), kind=35, mid=1)


def test_handshake_is_one_sa_with_its_suite() -> None:
    (sa,) = handshake().sas()
    assert (sa.spi_i, sa.spi_r, sa.version) == (SPI_I, SPI_R, 2)
    assert [(str(each.type), each.message_id, each.outcome) for each in sa.exchanges] == [
        ("IKE_SA_INIT", 0, "completed"),
        ("IKE_AUTH", 1, "completed"),
    ]
    assert sa.suite is not None
    assert (sa.suite.encr, sa.suite.key_length, sa.suite.ke) == ("ENCR_AES_CBC", 256, ("CURVE25519",))
    assert (sa.initiator.address, sa.responder.address) == (ALICE, BOB)


def test_trap_t4_cookie_and_invalid_ke_retries_are_one_sa() -> None:
    wire = Wire().request(SA, KE, nonce(1))
    wire.response(notify(NotifyType.COOKIE, b"c" * 16), spi_r=bytes(8))
    wire.request(notify(NotifyType.COOKIE, b"c" * 16), SA, KE, nonce(1))
    wire.response(notify(NotifyType.INVALID_KE_PAYLOAD, b"\x00\x0e"), spi_r=b"refusing")
    wire.request(notify(NotifyType.COOKIE, b"c" * 16), SA, KE, nonce(3))
    wire.response(SA, KE, nonce(2))
    (sa,) = wire.sas()
    assert sa.spi_r == SPI_R
    assert [each.outcome for each in sa.exchanges] == ["retried", "retried", "completed"]


def test_refusal_without_retry_is_refused_and_fails_the_sa() -> None:
    (sa,) = Wire().request(SA, KE, nonce(1)).response(notify(NotifyType.NO_PROPOSAL_CHOSEN)).sas()
    assert sa.exchanges[0].outcome == "refused"
    assert (sa.state, sa.basis) == ("failed", "observed")


def test_same_spi_after_an_established_sa_is_another_sa() -> None:
    wire = handshake().request(SA, KE, nonce(9)).response(SA, KE, nonce(8), spi_r=b"another!")
    assert [sa.spi_r for sa in wire.sas()] == [SPI_R, b"another!"]


def test_trap_t6_both_directions_number_from_zero() -> None:
    wire = handshake()
    wire.send(message((sealed(5),), spi_r=SPI_R, kind=37, mid=0, flags=0), src=BOB, dst=ALICE)
    wire.send(message((sealed(6),), spi_r=SPI_R, kind=37, mid=0, flags=0x28))
    wire.request(sealed(7), spi_r=SPI_R, kind=37, mid=2).response(sealed(8), kind=37, mid=2)
    (sa,) = wire.sas()
    assert [
        (each.initiated_by, each.message_id, len(each.request), len(each.response)) for each in sa.exchanges[2:]
    ] == [
        ("responder", 0, 1, 1),
        ("initiator", 2, 1, 1),
    ]


def test_retransmission_is_linked_and_never_counted_as_new() -> None:
    wire = (
        Wire().request(SA, KE, nonce(1)).request(SA, KE, nonce(1)).request(SA, KE, nonce(1)).response(SA, KE, nonce(2))
    )
    (sa,) = wire.sas()
    (exchange,) = sa.exchanges
    assert [record.frame for record in exchange.request] == [1]
    assert [record.frame for record in exchange.repeats] == [2, 3]
    assert exchange.retransmissions == 2


def test_unanswered_and_repeated_request_fails_the_sa() -> None:
    (sa,) = Wire().request(SA, KE, nonce(1)).request(SA, KE, nonce(1)).sas()
    assert sa.exchanges[0].outcome == "unanswered"
    assert (sa.state, sa.basis) == ("failed", "inferred")


def test_trap_t7_capture_that_begins_in_the_middle_gives_a_partial_sa() -> None:
    wire = Wire().response(sealed(2), kind=35, mid=1).request(sealed(3), spi_r=SPI_R, kind=36, mid=2)
    (sa,) = wire.sas()
    assert not sa.handshake_seen
    assert [(each.outcome, len(each.request)) for each in sa.exchanges] == [("completed", 0), ("unanswered", 1)]


def test_trap_t7_response_before_its_request_makes_one_exchange() -> None:
    wire = handshake().response(sealed(8), kind=37, mid=2).request(sealed(7), spi_r=SPI_R, kind=37, mid=2)
    assert len(wire.sas()[0].exchanges) == 3


def test_trap_t44_copy_with_another_flag_is_no_new_message() -> None:
    wire = handshake()
    copy = bytearray(wire.datagrams[2].payload)
    copy[19] ^= 0x08
    wire.datagrams.append(msgspec.structs.replace(wire.datagrams[2], frames=(9,), payload=bytes(copy)))
    (sa,) = wire.sas()
    assert len(sa.exchanges) == 2
    assert [record.frame for record in sa.exchanges[1].repeats] == [9]


def test_trap_t14_fragments_of_two_sas_with_one_message_id_do_not_mix() -> None:
    def fragment(number: int, octet: int) -> Payload:
        return Payload(ikev2.EncryptedFragment(fragment_number=number, total_fragments=2, data=bytes([octet]) * 60))

    wire = handshake()
    for number in (2, 1):
        wire.request(fragment(number, number), spi_r=SPI_R, kind=36, mid=2)
        wire.request(fragment(number, 7), spi_r=b"another!", kind=36, mid=2)
    first, second = wire.sas()
    assert [record.fragment for record in first.exchanges[-1].request] == [(2, 2), (1, 2)]
    assert [record.fragment for record in second.exchanges[-1].request] == [(2, 2), (1, 2)]


def test_repeated_fragments_are_one_retransmission_per_round() -> None:
    def fragment(number: int) -> Payload:
        return Payload(ikev2.EncryptedFragment(fragment_number=number, total_fragments=2, data=bytes([number]) * 60))

    wire = handshake()
    for _ in range(3):
        wire.request(fragment(1), spi_r=SPI_R, kind=36, mid=2).request(fragment(2), spi_r=SPI_R, kind=36, mid=2)
    exchange = wire.sas()[0].exchanges[-1]
    assert (len(exchange.request), len(exchange.repeats), exchange.retransmissions) == (2, 4, 2)


def test_trap_t39_rekeyed_sa_is_linked_to_the_old_one() -> None:
    wire = handshake().request(sealed(3), spi_r=SPI_R, kind=36, mid=2).response(sealed(4), kind=36, mid=2)
    wire.request(sealed(5), spi_r=SPI_R, kind=37, mid=3).response(sealed(6), kind=37, mid=3)
    new = message((sealed(9),), spi_r=b"newrspi!", kind=36, mid=0, flags=0x08)
    header = msgspec.structs.replace(new.header, spi_i=b"newispi!")
    wire.send(msgspec.structs.replace(new, header=header))
    old, sa = wire.sas()
    assert (sa.rekeys, sa.rekey_basis) == (old.id, "inferred")
    assert old.state == "rekeyed"


def test_path_change_is_followed_by_spi() -> None:
    wire = handshake().request(sealed(7), spi_r=SPI_R, kind=37, mid=2, src="203.0.113.9", sport=61000, dport=4500)
    (sa,) = wire.sas()
    assert sa.initiator.addresses == ((ALICE, 500), ("203.0.113.9", 61000))


def test_ikev1_main_mode_is_one_exchange_with_both_sides_told_apart() -> None:
    wire = Wire()
    vendor = ikev1.VendorId(data=b"x" * 16)
    for number in range(6):
        from_alice = number % 2 == 0
        spi_r = bytes(8) if number == 0 else SPI_R
        body = Payload(vendor if number < 4 else ikev1.Hash(data=bytes([number]) * 20))
        ends = {} if from_alice else {"src": BOB, "dst": ALICE}
        built = message(
            (body, ikev1.Nonce(data=bytes([number]) * 8)), spi_r=spi_r, kind=2, mid=0, flags=0, version=0x10
        )
        wire.send(built, **ends)
    (sa,) = wire.sas()
    (exchange,) = sa.exchanges
    assert (sa.version, sa.mode, exchange.type) == (1, "main", IsakmpExchangeType.IDENTITY_PROTECTION)
    assert [record.frame for record in exchange.request] == [1, 3, 5]
    assert [record.frame for record in exchange.response] == [2, 4, 6]
    assert exchange.outcome == "completed"


def test_icmp_error_that_quotes_a_request_is_linked_to_its_sa() -> None:
    wire = Wire().request(SA, KE, nonce(1))
    quoted = wire.datagrams[0]
    error = msgspec.structs.replace(
        quoted, frames=(2,), kind=Kind.ICMP, src=BOB, dst=ALICE, icmp=IcmpError(BOB, 3, 3, None, 4), quoted=quoted
    )
    correlator = Correlator()
    assert correlator.feed(quoted) is correlator.feed(error)
    assert len(correlator.sas) == 1


def test_octets_that_are_no_header_are_kept_apart() -> None:
    datagram = msgspec.structs.replace(Wire().request(SA).datagrams[0], payload=b"short")
    correlator = Correlator()
    assert correlator.feed(datagram) is None
    assert len(correlator.unreadable) == 1
    assert correlator.events[0].name == "ike:unreadable"


@given(st.lists(st.integers(0, 3), max_size=6), st.booleans())
def test_law_retransmissions_change_no_sa(repeats: list[int], late: bool) -> None:
    """L6: copies of any messages, at once or at the end, leave SAs, exchanges and states as they were."""
    plain = handshake()
    noisy: list[Datagram] = []
    tail: list[Datagram] = []
    for index, datagram in enumerate(plain.datagrams):
        noisy.append(datagram)
        copies = [datagram] * repeats.count(index)
        (tail if late else noisy).extend(copies)
    copied = Wire()
    copied.datagrams = noisy + tail

    def shape(wire: Wire) -> list[object]:
        return [
            (
                sa.spi_i,
                sa.spi_r,
                sa.state,
                sa.suite,
                [(e.type, e.message_id, len(e.request), len(e.response)) for e in sa.exchanges],
            )
            for sa in wire.sas()
        ]

    assert shape(copied) == shape(plain)


@given(st.lists(st.binary(max_size=120), max_size=8))
def test_law_no_datagram_raises(payloads: list[bytes]) -> None:
    template = Wire().request(SA).datagrams[0]
    correlator = Correlator()
    for number, payload in enumerate(payloads, 1):
        correlator.feed(msgspec.structs.replace(template, frames=(number,), payload=payload))
    settle(correlator.finish())


@pytest.mark.parametrize("kind", [Kind.ESP, Kind.OTHER])
def test_other_datagrams_are_none_of_its_business(kind: Kind) -> None:
    datagram = msgspec.structs.replace(Wire().request(SA).datagrams[0], kind=kind)
    assert Correlator().feed(datagram) is None


def test_exchange_type_changes_the_exchange() -> None:
    wire = handshake().request(sealed(3), spi_r=SPI_R, kind=36, mid=2).request(sealed(4), spi_r=SPI_R, kind=37, mid=2)
    kinds = [each.type for each in wire.sas()[0].exchanges[2:]]
    assert kinds == [ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL]
