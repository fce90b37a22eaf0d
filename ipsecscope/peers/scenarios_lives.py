"""The declared scenarios of the lives of SAs, and of the quirks that implementations have."""

from __future__ import annotations

import msgspec

from ipsecscope.dissect.ikev2.extensions.fortinet import NETWORK_OVERLAY_ID
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.peers.authority import KeyKind
from ipsecscope.peers.config import AuthMethod, EapMethod, Faults, Identity, Mode, Offer
from ipsecscope.peers.elements import Delay, Nat, Way
from ipsecscope.peers.entropy import MILLISECOND, SECOND, Entropy, Instant
from ipsecscope.peers.ikev1.config import Ikev1Faults, PhaseOneOffer
from ipsecscope.peers.meddlers import Meddler, forge, ike
from ipsecscope.peers.network import Tap
from ipsecscope.peers.packets import udp_packet
from ipsecscope.peers.scenario import (
    INSIDE,
    LEFT,
    LEFT_HOST,
    OUTSIDE,
    RIGHT,
    RIGHT_HOST,
    Another,
    AnyStage,
    Changes,
    Ikev1Stage,
    Ikev2Stage,
    Scenario,
    World,
    before,
)
from ipsecscope.peers.scenarios_hostile import forged, opening, refusal
from ipsecscope.peers.scenarios_ikev2 import (
    another_child,
    certified,
    client,
    close,
    delete_child,
    eap_gateway,
    rekey_child,
)
from ipsecscope.peers.scenarios_network import BEGIN, STRANGER, connect, in_two_spells, pings
from ipsecscope.peers.selectors import parse_selector
from ipsecscope.peers.tcp_tunnel import StreamEnd
from ipsecscope.peers.traffic import Host, Idle, Ping, Voice

# -- building blocks of rows -----------------------------------------------------------------------------------------


def begin_again(stage: AnyStage, now: Instant) -> None:
    """The initiator's data plane begins with sequence number 1 again."""
    del now
    stage.left.restart_numbers()


def evict(stage: Ikev2Stage, now: Instant) -> None:
    """The responder has room for one pair of SAs: it deletes the oldest."""
    stage.responder.delete_child(now)


def without_extras(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator leaves out what it announced, and begins anew."""
    stage.initiator.config = msgspec.structs.replace(stage.initiator.config, faults=Faults())
    stage.initiator.connect(now)


def weakly_certified(world: World, identity: Identity) -> Changes:
    """Proves itself with a certificate whose key has 1024 bits."""
    changes = certified(KeyKind.RSA, AuthMethod.SIGNATURE)(world, identity)
    issued = world.authority().issue(identity, KeyKind.RSA, bits=1024)
    own = msgspec.structs.replace(
        changes["credentials"], private_key=issued.private_key, certificates=issued.certificates
    )
    return {**changes, "credentials": own}


def enumerate_offers(stage: AnyStage, now: Instant) -> None:
    """A stranger tries one set of algorithms after the other."""
    entropy = Entropy.seeded("enumeration")
    ciphers = ("ENCR_3DES", "ENCR_AES_CBC-128", "ENCR_AES_CBC-192", "ENCR_CAMELLIA_CBC-128")
    hashes = (
        "AUTH_HMAC_MD5_96 PRF_HMAC_MD5",
        "AUTH_HMAC_SHA1_96 PRF_HMAC_SHA1",
        "AUTH_HMAC_SHA2_256_128 PRF_HMAC_SHA2_256",
    )
    offers = [Offer.ike(f"{cipher} {rest} MODP_1024") for cipher in ciphers for rest in hashes]
    for number, offer in enumerate(offers, 1):
        packet = udp_packet((STRANGER, 500), (RIGHT, 500), opening(entropy, offer, 128), identification=number)
        when = now + number * 500 * MILLISECOND
        story = f"IKE_SA_INIT request with one set of algorithms, {number} of {len(offers)}"
        stage.network.at(
            when,
            lambda _, packet=packet, story=story: stage.network.send(packet, Way.RIGHT, story),  # type: ignore[misc]
        )


def begin_from_the_right(stage: Ikev1Stage, now: Instant) -> None:
    """The responder begins itself."""
    stage.responder.connect(now)


def transport_pings() -> tuple[list[Host], list[Host]]:
    """Pings between the two gateways, some of them smaller than any packet in a tunnel."""
    asking: list[Host] = [
        Ping(LEFT, RIGHT, start=BEGIN + number * SECOND, count=1, size=size, identifier=number + 1)
        for number, size in enumerate((0, 12, 56, 100, 200, 300))
    ]
    return asking, [Idle(RIGHT)]


def steady_stream() -> tuple[list[Host], list[Host]]:
    """A thousand packets of one size at a constant rate, and half as many the other way."""
    slow, fast = 40 * MILLISECOND, 20 * MILLISECOND
    there = Voice(LEFT_HOST, RIGHT_HOST, start=BEGIN, duration=1_004 * fast, interval=fast, size=20)
    back = Voice(RIGHT_HOST, LEFT_HOST, start=BEGIN, duration=510 * slow, interval=slow, size=20)
    return [there], [back]


def _pings_from(address: str, count: int, begin: Instant) -> list[Host]:
    """Pings of a client itself to the gateway itself, each client with an identifier of its own."""
    return [Ping(address, RIGHT, start=begin, count=count, identifier=int(address.rpartition(".")[2]))]


SECOND_INSIDE = "10.1.0.2"
_TRANSPORT: Changes = {"mode": Mode.TRANSPORT, "local_ts": (), "remote_ts": ()}
_SECOND_SELECTOR = (parse_selector("10.1.0.0/16"), parse_selector("10.4.0.0/16"))
_ONE_OFFER = PhaseOneOffer.parse("AES_CBC-256 SHA2_256 MODP_2048")
_MANY_OFFERS = (
    *(
        PhaseOneOffer.parse(f"{cipher} {digest} {group}")
        for cipher in ("AES_CBC-128", "AES_CBC-192", "3DES")
        for digest in ("MD5", "SHA1")
        for group in ("MODP_1536", "MODP_2048")
    ),
    _ONE_OFFER,
)

LIVES_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="esp-counter-restarts",
        title="the initiator's sequence numbers begin again with 1 under the same keys; the responder drops the packets",
        steps=((8, begin_again),),
        pings=14,
        lasts=10,
        fails="ESP_COUNTER_RESTART",
    ),
    Scenario(
        name="esp-gap-at-rekey",
        title="the tunnel is deleted and made anew three seconds later instead of being rekeyed: a gap in the traffic",
        steps=((6, delete_child), (3, another_child)),
        traffic=pings(56, count=50, interval=250 * MILLISECOND),
        lasts=8,
        fails="REKEY_GAP",
    ),
    Scenario(
        name="ikev2-children-pile-up",
        title="the initiator asks for the same tunnel again and again, and never deletes one",
        steps=((2, another_child), (2, another_child), (2, another_child), (2, another_child)),
        pings=10,
    ),
    Scenario(
        name="ikev2-idle-timeout",
        title="the initiator deletes the IKE SA thirty seconds after the last packet, twice",
        traffic=in_two_spells(4, 60 * SECOND),
        steps=((36, close), (23, connect), (37, close)),
    ),
    Scenario(
        name="ikev2-flapping",
        title="the tunnel is built, deleted, and built again, four times in a minute",
        steps=((12, close), (3, connect), (12, close), (3, connect), (12, close), (3, connect)),
        pings=8,
        lasts=8,
    ),
    Scenario(
        name="ikev2-one-tunnel-at-a-time",
        title="the responder has room for one pair of SAs and deletes the one before whenever another is made",
        left={"local_ts": _SECOND_SELECTOR},
        right={"remote_ts": _SECOND_SELECTOR},
        steps=tuple(step for _ in range(4) for step in ((3.0, another_child), (0.5, evict))),
        pings=12,
        fails="SINGLE_SA_PAIR",
    ),
    Scenario(
        name="ikev2-client-cannot-rekey",
        title="a client that logged in with EAP rekeys its tunnel; the gateway refuses",
        left=client(EapMethod.MSCHAPV2, b"wonderland"),
        right=lambda world, identity: {
            **eap_gateway(EapMethod.MSCHAPV2)(world, identity),
            "faults": Faults(refuse_child="NO_PROPOSAL_CHOSEN"),
        },
        steps=((5, rekey_child),),
        pings=4,
        fails="REKEY_REFUSED",
    ),
    Scenario(
        name="ikev2-unknown-notify",
        title="the responder refuses a notification that it does not know; without it the initiator is welcome",
        left={"faults": Faults(announces=((40_960, b"hello"),))},
        network=lambda _: (
            Tap(),
            Delay(),
            Meddler(
                ike(int(ExchangeType.IKE_SA_INIT), response=False),
                forge(refusal(NotifyType.INVALID_SYNTAX), "IKE_SA_INIT response: INVALID_SYNTAX", passes=False),
                numbers=(1,),
            ),
        ),
        steps=((5, without_extras),),
        fails="UNKNOWN_NOTIFY_FATAL",
        lasts=8,
    ),
    Scenario(
        name="ikev2-first-selector-only",
        title="the initiator asks for two networks, the responder answers with the first one",
        left={"local_ts": _SECOND_SELECTOR},
        pings=3,
    ),
    Scenario(
        name="ikev2-network-id",
        title="two Fortinet gateways with network ids that differ: the responder refuses",
        left={"faults": Faults(announces=((int(NETWORK_OVERLAY_ID), b"\x01"),))},
        network=lambda _: (
            Tap(),
            Delay(),
            Meddler(
                ike(int(ExchangeType.IKE_SA_INIT), response=False),
                forge(refusal(NotifyType.NO_PROPOSAL_CHOSEN), "IKE_SA_INIT response: NO_PROPOSAL_CHOSEN", passes=False),
            ),
        ),
        fails="NETWORK_ID_MISMATCH",
    ),
    Scenario(
        name="ikev2-invalid-ke-loop",
        title="the responder names a key exchange method that was not offered",
        network=lambda _: (
            Tap(),
            Delay(),
            Meddler(
                ike(int(ExchangeType.IKE_SA_INIT), response=False),
                forge(
                    forged(NotifyType.INVALID_KE_PAYLOAD, b"\0\x14"),
                    "IKE_SA_INIT response: INVALID_KE_PAYLOAD with ECP_384",
                    passes=False,
                ),
            ),
        ),
        fails="IKE_DH_GROUP_MISMATCH",
    ),
    Scenario(
        name="ikev1-late-offer",
        title="of thirteen offers for phase 1 the last one suits the responder, which reads the first four",
        version=1,
        left={"phase_1": _MANY_OFFERS},
        right={"phase_1": (_ONE_OFFER,), "remote_id": None, "faults": Ikev1Faults(reads_offers=4)},
        steps=((5, begin_from_the_right),),
        fails="TOO_MANY_PROPOSALS",
        lasts=8,
    ),
    Scenario(
        name="ikev2-weak-certificate",
        title="a certificate whose RSA key has 1024 bits",
        left=weakly_certified,
        right=certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE),
        pings=2,
    ),
    Scenario(
        name="esp-transport-sizes",
        title="pings of many sizes in transport mode, some too small for a tunnel",
        left=_TRANSPORT,
        right=_TRANSPORT,
        both={"child_proposals": (Offer.esp("ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128"),)},
        traffic=transport_pings,
        lasts=10,
    ),
    Scenario(
        name="ikev2-enumeration",
        title="a stranger tries one set of algorithms after the other; the responder refuses each",
        network=before(),
        steps=((2, enumerate_offers),),
        pings=2,
        lasts=10,
        fails="ENUMERATION",
    ),
    Scenario(
        name="esp-steady",
        title="more than a thousand packets of one size at a constant rate: padding, or one application",
        traffic=steady_stream,
        lasts=30,
    ),
    Scenario(
        name="ikev2-two-behind-one-nat",
        title="two clients in transport mode behind one NAT: the gateway sends everything to whoever came last",
        left={**_TRANSPORT, "address": INSIDE},
        right={**_TRANSPORT, "remote_ts": (parse_selector("10.1.0.0/16"),)},
        network=lambda _: (Nat(OUTSIDE), Tap(), Delay()),
        traffic=lambda: (_pings_from(INSIDE, 20, BEGIN), [Idle(RIGHT)]),
        others=(
            Another(
                changes={"address": SECOND_INSIDE, "local_id": Identity.parse("second.example")},
                begins=8,
                hosts=lambda: _pings_from(SECOND_INSIDE, 10, BEGIN + 8 * SECOND),
            ),
        ),
        lasts=24,
        fails="TRANSPORT_BEHIND_NAT",
    ),
    Scenario(
        name="ikev2-tcp",
        title="IKE and ESP in a TCP connection, where UDP does not pass (RFC 9329)",
        both={"port": 4500},
        network=lambda _: (StreamEnd(LEFT, RIGHT, Way.RIGHT), Tap(), Delay(), StreamEnd(RIGHT, LEFT, Way.LEFT)),
        steps=((5, rekey_child), (3, close)),
        pings=4,
        lasts=2,
    ),
    Scenario(
        name="capture-snaplen",
        title="a healthy session of which the capture keeps the first 96 octets of every frame",
        network=lambda _: (Tap(snaplen=96), Delay()),
        pings=3,
    ),
)
