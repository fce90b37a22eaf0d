"""The declared scenarios of strangers: who scans, floods, forges, guesses, and who is only on the wrong port."""

from __future__ import annotations

from collections.abc import Callable

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Flags, Header
from ipsecscope.dissect.ikev2.proposals import Proposal
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.registry.ikev2 import (
    ExchangeType,
    KeyExchangeMethod,
    NotifyType,
    SecurityProtocol,
    TransformType,
)
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.peers.config import Limits, Offer, Patience
from ipsecscope.peers.elements import Delay, Way
from ipsecscope.peers.encapsulation import find_carried
from ipsecscope.peers.entropy import EPOCH, MILLISECOND, SECOND, Entropy, Instant
from ipsecscope.peers.ikev1.config import Ikev1Faults
from ipsecscope.peers.meddlers import Meddler, esp, forge, from_elsewhere, ike, ike_octets, lose, repeat, sent_by
from ipsecscope.peers.network import Tap
from ipsecscope.peers.packets import Pieces, udp_packet
from ipsecscope.peers.scenario import RIGHT, AnyStage, Ikev2Stage, Scenario, before, behind
from ipsecscope.peers.scenarios_network import STRANGER, connect, forget

SECOND_ADDRESS = "192.0.2.3"
PROBE = "ENCR_3DES AUTH_HMAC_MD5_96 PRF_HMAC_MD5 MODP_1024"


def opening(entropy: Entropy, offer: Offer, key_size: int) -> bytes:
    """An IKE_SA_INIT request of somebody who brings nothing but an offer, a random key exchange value and a nonce."""
    proposal = Proposal(number=1, protocol_id=offer.protocol, transforms=offer.transforms)
    method = next(each.transform_id for each in offer.transforms if each.transform_type == TransformType.KE)
    header = Header(
        spi_i=entropy.ike_spi(),
        spi_r=bytes(8),
        exchange_type=int(ExchangeType.IKE_SA_INIT),
        flags=int(Flags.INITIATOR),
        message_id=0,
    )
    bodies = (
        ikev2.SecurityAssociation(proposals=(proposal,)),
        ikev2.KeyExchange(method=KeyExchangeMethod(method), data=entropy.octets(key_size, "key exchange")),
        ikev2.Nonce(data=entropy.octets(32, "nonce")),
    )
    return Message(header=header, payloads=tuple(Payload(body=body) for body in bodies)).build()


def flood(count: int, interval: Instant) -> Callable[[AnyStage, Instant], None]:
    """Strangers with invented addresses ask for IKE SAs and never come back."""

    def step(stage: AnyStage, now: Instant) -> None:
        entropy = Entropy.seeded("flood")
        offer = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519")
        for number in range(count):
            source = f"203.0.{113 + number // 250}.{number % 250 + 1}"
            packet = udp_packet((source, 500), (RIGHT, 500), opening(entropy, offer, 32), identification=number + 1)
            _send(stage, now + number * interval, packet, f"flood: IKE_SA_INIT request {number + 1} of {count}")

    return step


def scan(*targets: str) -> Callable[[AnyStage, Instant], None]:
    """A stranger asks every address what it offers."""

    def step(stage: AnyStage, now: Instant) -> None:
        entropy = Entropy.seeded("scan")
        for number, target in enumerate(targets):
            packet = udp_packet(
                (STRANGER, 40_000), (target, 500), opening(entropy, Offer.ike(PROBE), 128), identification=number + 1
            )
            _send(stage, now + number * 100 * MILLISECOND, packet, f"scan: IKE_SA_INIT request to {target}")

    return step


def chatter(stage: AnyStage, now: Instant) -> None:
    """Something that is no IKE uses the ports of IKE."""
    for number, data in enumerate((b"M-SEARCH * HTTP/1.1\r\n\r\n", b"\x16\xfe\xfd" + bytes(10), b"hello")):
        packet = udp_packet((STRANGER, 40_000), (RIGHT, 500), data, identification=number + 1)
        _send(stage, now + number * SECOND, packet, "no IKE: another protocol on UDP port 500")


def _send(stage: AnyStage, when: Instant, packet: bytes, story: str) -> None:
    stage.network.at(when, lambda _: stage.network.send(packet, Way.RIGHT, story))


def refusal(kind: NotifyType) -> Callable[[Pieces], bytes | None]:
    """An unprotected refusal in the responder's name, with another TTL than its own packets have."""
    return forged(kind, ttl=57)


def forged(kind: NotifyType, content: bytes = b"", ttl: int = 64) -> Callable[[Pieces], bytes | None]:
    """An unprotected answer in the responder's name that holds one notification."""

    def make(pieces: Pieces) -> bytes | None:
        octets = ike_octets(pieces)
        if octets is None:
            return None
        header = Header(
            spi_i=octets[:8],
            spi_r=bytes(8),
            exchange_type=octets[18],
            flags=int(Flags.RESPONSE),
            message_id=0,
        )
        body = ikev2.Notify(protocol_id=SecurityProtocol(0), notify_type=kind, data=content)
        data = Message(header=header, payloads=(Payload(body=body),)).build()
        return udp_packet((pieces.destination, 500), (pieces.source, 500), data, identification=0x4242, ttl=ttl)

    return make


def invalid_spi(pieces: Pieces) -> bytes | None:
    """An unprotected notification about an ESP packet that no SA is known for."""
    carried = find_carried(pieces)
    if carried is None:
        return None
    header = Header(
        spi_i=carried.packet[:8],
        spi_r=bytes(8),
        exchange_type=int(ExchangeType.INFORMATIONAL),
        flags=int(Flags.INITIATOR),
        message_id=0,
    )
    body = ikev2.Notify(protocol_id=SecurityProtocol(0), notify_type=NotifyType.INVALID_SPI, data=carried.packet[:4])
    data = Message(header=header, payloads=(Payload(body=body),)).build()
    return udp_packet((pieces.destination, 500), (pieces.source, 500), data, identification=0x4243)


def ask_from_elsewhere(stage: AnyStage, now: Instant) -> None:
    """A stranger makes the offer that the initiator made, three times."""
    offer = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519")
    packet = udp_packet((STRANGER, 500), (RIGHT, 500), opening(Entropy.seeded("elsewhere"), offer, 32))
    _send(stage, now, packet, "IKE_SA_INIT request from another address")


def repeat_itself(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator restarts; its generator gives the nonces that it gave before."""
    for sa in list(stage.initiator.sas.values()):
        sa.close(now, "reboot")
    stage.initiator.entropy.rewind("Ni")
    stage.initiator.connect(now)


def guesses(count: int) -> tuple[tuple[float, Callable[[Ikev2Stage, Instant], None]], ...]:
    """Connect again and again."""
    return tuple((2.0, connect) for _ in range(count))


HOSTILE_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="ikev2-forged-refusal",
        title="somebody answers IKE_SA_INIT with NO_PROPOSAL_CHOSEN before the responder does",
        left={"patience": Patience(retransmissions=2)},
        network=lambda _: (
            Tap(),
            Delay(),
            Meddler(
                ike(int(ExchangeType.IKE_SA_INIT), response=False),
                forge(refusal(NotifyType.NO_PROPOSAL_CHOSEN), "forged by somebody on the path: NO_PROPOSAL_CHOSEN"),
            ),
            Delay(),
        ),
        fails="FORGED_NOTIFY",
    ),
    Scenario(
        name="ikev2-half-open-flood",
        title="more than five hundred IKE_SA_INIT requests from invented addresses; the responder has room for ten",
        network=before(),
        steps=((2, flood(510, 5 * MILLISECOND)),),
        right={"limits": Limits(half_open=10)},
        pings=2,
        fails="HALF_OPEN_FLOOD",
    ),
    Scenario(
        name="ikev2-scan",
        title="a stranger sends an IKE_SA_INIT of old algorithms to twelve addresses; the responder refuses",
        network=before(),
        pings=2,
        steps=((2, scan(*(f"192.0.2.{number}" for number in range(2, 14)))),),
    ),
    Scenario(
        name="ikev2-foreign-protocol",
        title="other protocols on UDP port 500 beside a healthy session",
        network=before(),
        steps=((2, chatter),),
        pings=2,
    ),
    Scenario(
        name="ikev2-guessing",
        title="ten attempts with a wrong pre-shared key, one after the other",
        right={"psk": Secret(b"incorrect horse battery staple")},
        steps=guesses(9),
        fails="PSK_MISMATCH",
    ),
    Scenario(
        name="ikev2-answer-from-elsewhere",
        title="the responder answers from another address than was asked; the initiator does not take it",
        network=lambda _: (
            Meddler(sent_by(SECOND_ADDRESS), lose),
            Tap(),
            Delay(),
            Meddler(ike(), from_elsewhere(SECOND_ADDRESS), way=Way.LEFT),
        ),
        fails="RESPONSE_FROM_ELSEWHERE",
        lasts=70,
    ),
    Scenario(
        name="ikev2-invalid-spi",
        title="the responder restarts, and says INVALID_SPI to every ESP packet (RFC 7296 1.5)",
        left={"patience": Patience(dpd_after=5 * SECOND, retransmissions=2)},
        network=behind(
            lambda _: Meddler(
                esp,
                forge(invalid_spi, "INFORMATIONAL, not protected: INVALID_SPI"),
                way=Way.RIGHT,
                since=EPOCH + 7 * SECOND,
            )
        ),
        steps=((6, forget),),
        pings=10,
        lasts=40,
        fails="PEER_LOST_STATE",
    ),
    Scenario(
        name="ikev2-unknown-address",
        title="the same offer from two addresses: the responder has no connection for the second one",
        network=lambda _: (
            Delay(),
            Tap(),
            Meddler(
                sent_by(STRANGER),
                forge(refusal(NotifyType.NO_PROPOSAL_CHOSEN), "IKE_SA_INIT response: NO_PROPOSAL_CHOSEN", passes=False),
            ),
        ),
        steps=((2, ask_from_elsewhere),),
        pings=2,
        fails="NO_CONFIG_FOR_PEER",
    ),
    Scenario(
        name="ikev2-same-nonce-again",
        title="the initiator restarts, and its random numbers begin again: the same nonce in two IKE SAs",
        steps=((4, repeat_itself),),
        pings=6,
        lasts=8,
    ),
    Scenario(
        name="ikev1-amplification",
        title="a stranger asks once in another's name and stays silent; the answer is repeated",
        version=1,
        left={"faults": Ikev1Faults(silent_after=1)},
        network=behind(
            lambda _: Meddler(
                ike(int(IsakmpExchangeType.IDENTITY_PROTECTION)), repeat(4 * SECOND, times=3), way=Way.LEFT
            )
        ),
        lasts=30,
    ),
)
