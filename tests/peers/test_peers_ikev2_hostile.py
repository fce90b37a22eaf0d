"""What arrives never ends a peer: any octets, any authentic message in any state, and floods cost a bounded amount."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peers_pair import Pair

from ipsecscope.dissect.body import Body, Opaque
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Flags, Header
from ipsecscope.dissect.ikev2 import (
    Authentication,
    Certificate,
    Configuration,
    ConfigurationAttribute,
    Delete,
    Eap,
    IdentificationInitiator,
    IdentificationResponder,
    KeyExchange,
    Nonce,
    Notify,
    SecurityAssociation,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
)
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.eap import EapCode
from ipsecscope.dissect.registry.ikev2 import (
    AuthenticationMethod,
    CertificateEncoding,
    ConfigurationAttributeType,
    ConfigurationType,
    ExchangeType,
    IdType,
    KeyExchangeMethod,
    NotifyType,
    SecurityProtocol,
)
from ipsecscope.peers.config import AuthMethod, Limits, Offer
from ipsecscope.peers.eap import EapClient, EapServer
from ipsecscope.peers.elements import Loss
from ipsecscope.peers.entropy import SECOND, Entropy
from ipsecscope.peers.ikev2.driver import Ikev2Peer
from ipsecscope.peers.ikev2.messages import header_of, note
from ipsecscope.peers.ikev2.negotiation import offer
from ipsecscope.peers.ikev2.sa import IkeSa, State
from ipsecscope.peers.network import Tap
from ipsecscope.peers.packets import Udp, split
from ipsecscope.peers.peer import Path
from ipsecscope.peers.selectors import parse_selector

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
OCTETS = st.binary(max_size=80)
ESP, IKE = Offer.esp("ENCR_AES_GCM_16-256"), Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519")
SELECTORS = tuple(parse_selector(text) for text in ("192.0.2.1/32", "0.0.0.0/0", "2001:db8::/64"))
INITIATORS = (State.IDLE, State.INIT_SENT, State.INTERMEDIATE_SENT, State.AUTH_SENT, State.EAP_SENT)
RESPONDERS = (State.INIT_ANSWERED, State.EAP_ASKED, State.EAP_DONE)
ANY_EXCHANGE = st.sampled_from([35, 36, 37, 43, 44, 99, 0])

BODIES: st.SearchStrategy[Body] = st.one_of(
    st.builds(
        lambda kind, spi, data: Notify(notify_type=kind, spi=spi, data=data),
        st.sampled_from(NotifyType),
        OCTETS,
        OCTETS,
    ),
    st.sampled_from([note(kind) for kind in NotifyType]),
    st.sampled_from(
        [offer((ESP,), bytes(4)), offer((IKE,), bytes(8)), offer((ESP, IKE), b"\1"), SecurityAssociation()]
    ),
    st.builds(lambda method, data: KeyExchange(method=method, data=data), st.sampled_from(KeyExchangeMethod), OCTETS),
    st.builds(
        lambda data: KeyExchange(method=KeyExchangeMethod.CURVE25519, data=data), st.binary(min_size=32, max_size=32)
    ),
    st.builds(lambda data: Nonce(data=data), OCTETS),
    st.builds(
        lambda which: TrafficSelectorsInitiator(selectors=which), st.lists(st.sampled_from(SELECTORS)).map(tuple)
    ),
    st.builds(
        lambda which: TrafficSelectorsResponder(selectors=which), st.lists(st.sampled_from(SELECTORS)).map(tuple)
    ),
    st.builds(lambda kind, data: IdentificationInitiator(id_type=kind, data=data), st.sampled_from(IdType), OCTETS),
    st.builds(lambda kind, data: IdentificationResponder(id_type=kind, data=data), st.sampled_from(IdType), OCTETS),
    st.builds(lambda kind, data: Authentication(method=kind, data=data), st.sampled_from(AuthenticationMethod), OCTETS),
    st.builds(lambda kind, data: Certificate(encoding=kind, data=data), st.sampled_from(CertificateEncoding), OCTETS),
    st.builds(
        lambda kind, number, data: Eap(code=kind, identifier=number, data=data),
        st.sampled_from(EapCode),
        st.integers(0, 255),
        OCTETS,
    ),
    st.builds(
        lambda kind, what, data: Configuration(
            cfg_type=kind, attributes=(ConfigurationAttribute(attribute_type=what, value=data),)
        ),
        st.sampled_from(ConfigurationType),
        st.sampled_from(ConfigurationAttributeType),
        OCTETS,
    ),
    st.builds(
        lambda kind, size, spis: Delete(protocol_id=kind, spi_size=size, spis=tuple(spi[:size] for spi in spis)),
        st.sampled_from(SecurityProtocol),
        st.just(4),
        st.lists(st.binary(min_size=4, max_size=4), max_size=3),
    ),
    st.builds(lambda data: Opaque(data=data), OCTETS),
)
CHAINS = st.lists(BODIES, max_size=7)


def payloads_of(bodies: list[Body]) -> tuple[Payload, ...]:
    return tuple(Payload(body=body, type=200 if isinstance(body, Opaque) else None) for body in bodies)


def messages_between(pair: Pair) -> list[tuple[bytes, Path]]:
    """The datagrams on the wire with the path that their receiver sees."""
    found = []
    for each in pair.tap.tapped:
        pieces = split(each.frame[14:])
        assert pieces is not None
        udp = Udp.parse(pieces.payload)
        found.append(
            (
                udp.data,
                Path(Endpoint(pieces.destination, udp.destination_port), Endpoint(pieces.source, udp.source_port)),
            )
        )
    return found


def forged(sa: IkeSa, bodies: list[Body], exchange: int, message_id: int, *, is_response: bool) -> bytes:
    """An authentic message of the other end of ``sa``: whoever holds its keys can send it."""
    other = sa.owner.new_sa(sa.other, sa.spi_i, sa.spi_r, sa.path)
    header = header_of(
        ExchangeType(exchange),
        message_id,
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        original_initiator=other.is_initiator,
        is_response=is_response,
    )
    assert sa.protection is not None
    sealer = type(sa.protection)(sa.suite, sa.keys, is_initiator=other.is_initiator, entropy=Entropy.seeded("forger"))
    return sealer.seal(header, payloads_of(bodies)).datagrams[0]


def deliver(peer: Ikev2Peer, sa: IkeSa, data: bytes, now: int) -> None:
    marker = bytes(4) if sa.path.local.port == peer.config.nat_port else b""
    peer.receive_datagram(marker + data, sa.path, now)
    list(peer.datagrams_to_send(now))
    while peer.next_event() is not None:
        pass


@QUIET
@given(data=st.binary(max_size=400), port=st.sampled_from((500, 4500)))
def test_any_octets_are_counted_and_dropped(data: bytes, port: int) -> None:
    pair = Pair()
    for peer in (pair.alice, pair.bob):
        peer.receive_datagram(data, Path(Endpoint("192.0.2.1", port), Endpoint("192.0.2.9", port)), pair.now)
        assert not list(peer.datagrams_to_send(pair.now))
        assert not peer.sas


HANDSHAKE = messages_between(
    Pair(bob={"limits": Limits(cookies_from=0)}).connect().do(lambda p: p.alice.rekey_child(p.now))
)


@QUIET
@given(st.data())
def test_changed_cut_and_repeated_datagrams_end_no_peer(data: st.DataObject) -> None:
    pair = Pair().connect()
    for _ in range(5):
        octets, path = data.draw(st.sampled_from(HANDSHAKE))
        at = data.draw(st.integers(0, len(octets) - 1))
        changed = octets[:at] + data.draw(st.binary(max_size=4)) + octets[at + data.draw(st.integers(0, 4)) :]
        for peer in (pair.alice, pair.bob):
            peer.receive_datagram(changed, path, pair.now)
    assert pair.established()


@QUIET
@given(bodies=CHAINS, spi=st.binary(min_size=8, max_size=8))
def test_any_ike_sa_init_request_is_answered_or_dropped(bodies: list[Body], spi: bytes) -> None:
    pair = Pair()
    header = Header(spi_i=spi, exchange_type=34, flags=int(Flags.INITIATOR))
    data = Message(header=header, payloads=payloads_of(bodies)).build()
    pair.bob.receive_datagram(data, Path(Endpoint("192.0.2.2", 500), Endpoint("192.0.2.9", 500)), pair.now)
    assert len(list(pair.bob.datagrams_to_send(pair.now))) <= 1


@QUIET
@given(
    bodies=CHAINS,
    exchange=ANY_EXCHANGE,
    is_response=st.booleans(),
    who=st.sampled_from(("alice", "bob")),
    busy=st.booleans(),
)
def test_any_authentic_message_to_an_established_peer_raises_nothing(
    bodies: list[Body], exchange: int, is_response: bool, who: str, busy: bool
) -> None:
    pair = Pair().connect()
    peer = getattr(pair, who)
    sa = pair.sa(peer)
    if busy:
        peer.rekey_child(pair.now)
    number = sa.sent.next_id if is_response else sa.came.lowest
    if is_response and sa.outstanding is not None:
        number, exchange = sa.outstanding.header.message_id, sa.outstanding.header.exchange_type
    deliver(peer, sa, forged(sa, bodies, exchange, number, is_response=is_response), pair.now)


@QUIET
@given(bodies=CHAINS, exchange=ANY_EXCHANGE, eap=st.booleans())
def test_any_authentic_request_to_a_half_open_responder_raises_nothing(
    bodies: list[Body], exchange: int, eap: bool
) -> None:
    pair = Pair(
        bob={"remote_methods": (AuthMethod.PSK, AuthMethod.EAP)}, elements=[Loss(numbers=range(3, 99))]
    ).connect(1)
    sa = pair.sa(pair.bob)
    if eap:
        deliver(
            pair.bob,
            sa,
            forged(
                sa,
                [IdentificationInitiator(id_type=IdType.ID_FQDN, data=b"x"), offer((ESP,), bytes(4))],
                35,
                1,
                is_response=False,
            ),
            pair.now,
        )
    deliver(pair.bob, sa, forged(sa, bodies, exchange, sa.came.lowest, is_response=False), pair.now)


@QUIET
@given(bodies=CHAINS)
def test_any_authentic_ike_auth_response_raises_nothing(bodies: list[Body]) -> None:
    pair = Pair(elements=[Loss(numbers=range(3, 99))]).connect(1)
    sa = pair.sa(pair.alice)
    assert sa.state == State.AUTH_SENT
    deliver(pair.alice, sa, forged(sa, bodies, 35, 1, is_response=True), pair.now)


@QUIET
@given(bodies=CHAINS)
def test_any_ike_sa_init_response_raises_nothing(bodies: list[Body]) -> None:
    pair = Pair(elements=[Loss(numbers=range(1, 99))]).connect(1)
    sa = pair.sa(pair.alice)
    header = Header(spi_i=sa.spi_i, spi_r=bytes(7) + b"\1", exchange_type=34, flags=int(Flags.RESPONSE))
    deliver(pair.alice, sa, Message(header=header, payloads=payloads_of(bodies)).build(), pair.now)


def forced(state: State) -> tuple[Pair, IkeSa]:
    """An IKE SA with keys in a state of our choice, on the side that may be in it."""
    pair = Pair(bob={"remote_methods": (AuthMethod.PSK, AuthMethod.EAP)}).connect()
    sa = pair.sa(pair.bob if state in RESPONDERS else pair.alice)
    sa.machine.state = state
    if state == State.EAP_SENT:
        sa.handshake.eap = EapClient(sa.config.credentials, sa.owner.entropy)
    if state in (State.EAP_ASKED, State.EAP_DONE):
        sa.handshake.eap = EapServer(sa.config.eap_methods, {}, sa.owner.entropy)
    return pair, sa


@pytest.mark.rfc("7296", "2.6")
def test_flood_of_half_open_ike_sas_is_bounded_and_honest_peers_get_in() -> None:
    limits = Limits(cookies_from=5, cookies_per_source=100, half_open=20, half_open_per_source=100)
    pair = Pair(bob={"limits": limits})
    (request, _), *_ = messages_between(Pair().connect(1))
    for number in range(1, 300):
        spoofed = number.to_bytes(8, "big") + request[8:]
        source = Endpoint(f"198.51.100.{number % 250}", 500)
        pair.bob.receive_datagram(spoofed, Path(Endpoint("192.0.2.2", 500), source), pair.now)
    answers = list(pair.bob.datagrams_to_send(pair.now))
    assert len(pair.bob.sas) == 5
    assert pair.bob.mailbox.counts["refused: COOKIE"] == 294
    assert all(len(data) <= 1.5 * len(request) for data, _ in answers)
    assert pair.connect(5).established()


def test_retransmitted_ike_sa_init_makes_no_second_ike_sa() -> None:
    pair = Pair()
    (request, path), *_ = messages_between(Pair().connect(1))
    for _ in range(3):
        pair.bob.receive_datagram(request, path, pair.now)
    answers = [data for data, _ in pair.bob.datagrams_to_send(pair.now)]
    assert len(pair.bob.sas) == 1
    assert len(answers) == 3
    assert len(set(answers)) == 1


def test_fragments_without_end_are_held_within_bounds() -> None:
    pair = Pair().connect()
    sa = pair.sa(pair.bob)
    assert sa.protection is not None
    sealer = type(sa.protection)(sa.suite, sa.keys, is_initiator=True, entropy=Entropy.seeded("forger"))
    for number in range(40):
        header = header_of(
            ExchangeType.INFORMATIONAL,
            2 + number,
            spi_i=sa.spi_i,
            spi_r=sa.spi_r,
            original_initiator=True,
            is_response=False,
        )
        first, *_ = sealer.seal(header, payloads_of([Nonce(data=bytes(2000))]), fragment_size=300).datagrams
        pair.bob.receive_datagram(first, sa.path, pair.now)
    assert len(sa.protection._pending) <= 4
    assert pair.established()


def test_events_that_nobody_fetches_are_dropped_beyond_the_limit() -> None:
    pair = Pair()
    path = Path(Endpoint("192.0.2.2", 4500), Endpoint("192.0.2.9", 4500))
    for number in range(10_100):
        pair.bob.receive_datagram(b"\xc0" + number.to_bytes(8, "big"), path, pair.now)
    assert pair.bob.mailbox.counts["events dropped"] == 100


def test_unknown_critical_payload_is_refused_by_name() -> None:
    """RFC 7296 section 2.5: the notification carries the payload type."""
    pair = Pair().connect()
    sa = pair.sa(pair.bob)
    assert sa.protection is not None
    sealer = type(sa.protection)(sa.suite, sa.keys, is_initiator=True, entropy=Entropy.seeded("forger"))
    header = header_of(
        ExchangeType.INFORMATIONAL, 2, spi_i=sa.spi_i, spi_r=sa.spi_r, original_initiator=True, is_response=False
    )
    critical = (Payload(body=Opaque(data=b"?"), type=200, critical=True),)
    pair.bob.receive_datagram(sealer.seal(header, critical).datagrams[0], sa.path, pair.now)
    ((answer, _),) = pair.bob.datagrams_to_send(pair.now)
    assert "N(UNSUPPORTED_CRITICAL_PAYLOAD)" in pair.bob.story_of(answer)
    assert pair.established()


def test_story_is_told_for_every_datagram_of_a_session() -> None:
    pair = Pair().connect().do(lambda p: p.alice.rekey_ike(p.now)).do(lambda p: p.alice.close(p.now))
    assert isinstance(pair.tap, Tap)
    assert all(each.comment for each in pair.tap.tapped)
    assert pair.now > SECOND
