"""The declared scenarios of IKEv1, among them the bundles of AH and ESP; each is one row."""

from __future__ import annotations

from ipsecscope.decrypt.secret import Secret
from ipsecscope.peers.authority import KeyKind
from ipsecscope.peers.config import Identity, Mode, Patience, Pool
from ipsecscope.peers.elements import Filter
from ipsecscope.peers.entropy import SECOND, Instant
from ipsecscope.peers.ikev1.config import (
    Ikev1Faults,
    Method,
    NatTraversal,
    PhaseOneMode,
    PhaseOneOffer,
    PhaseTwoOffer,
    Unity,
    UnreadableAnswer,
)
from ipsecscope.peers.scenario import (
    INSIDE,
    LEFT,
    RIGHT,
    RIGHT_HOST,
    Changes,
    Ikev1Stage,
    Scenario,
    World,
    behind,
    nat,
)
from ipsecscope.peers.selectors import parse_selector


def rekey_child(stage: Ikev1Stage, now: Instant) -> None:
    """The initiator replaces its phase 2 SAs."""
    sa = stage.initiator.sas[-1]
    stage.initiator.rekey_child(sa, sa.children[-1], now)


def rekey(stage: Ikev1Stage, now: Instant) -> None:
    """The initiator replaces its ISAKMP SA, and with that the SA that carries its phase 2 SAs."""
    stage.initiator.rekey(stage.initiator.sas[-1], now)


def check_alive(stage: Ikev1Stage, now: Instant) -> None:
    """The initiator asks whether the responder is there (RFC 3706)."""
    stage.initiator.check_alive(stage.initiator.sas[-1], now)


def close(stage: Ikev1Stage, now: Instant) -> None:
    """The initiator deletes its phase 2 SAs and the ISAKMP SA, and one that was replaced as well."""
    for sa in reversed(list(stage.initiator.sas)):
        stage.initiator.close(sa, now)


def certified(world: World, identity: Identity) -> Changes:
    """Proves itself with an RSA certificate; trusts the example authority."""
    issued = world.authority().issue(identity, KeyKind.RSA)
    keys = {"private_key": issued.private_key, "certificates": issued.certificates}
    return {**keys, "authorities": (world.authority().certificate,)}


def certified_gateway(world: World, identity: Identity) -> Changes:
    """A gateway with a certificate that knows users and hands out addresses."""
    users = (("alice", Secret(b"wonderland")),)
    return {**certified(world, identity), "users": users, "pool": Pool(("10.3.0.1",), ()), "remote_ts": ()}


def trusting(world: World, identity: Identity) -> Changes:
    """A user with a password who trusts the example authority."""
    del identity
    user = {"user": "alice", "password": Secret(b"wonderland"), "request_config": True, "local_ts": ()}
    return {**user, "authorities": (world.authority().certificate,)}


_THREE_NETWORKS = tuple(parse_selector(f"10.2.{number}.0/24") for number in (0, 1, 2))
_AGGRESSIVE: Changes = {"mode": PhaseOneMode.AGGRESSIVE}
_TRANSPORT: Changes = {
    "child_mode": Mode.TRANSPORT,
    "phase_2": (PhaseTwoOffer.parse("AES_CBC-256 HMAC_SHA2_256_128 + AH HMAC_SHA2_256_128"),),
}
_TUNNEL: Changes = {**_TRANSPORT, "child_mode": Mode.TUNNEL}
_LEFT_ALONE, _RIGHT_ALONE = parse_selector(f"{LEFT}/32"), parse_selector(f"{RIGHT}/32")
_PFS = PhaseTwoOffer.parse("AES_CBC-256 HMAC_SHA2_256_128 MODP_2048")

IKEV1_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="ikev1-main-mode",
        title="IKEv1 main mode with a pre-shared key, quick mode, pings in ESP, a DPD, the end",
        version=1,
        steps=((4, check_alive), (3, close)),
        pings=4,
        lasts=2,
    ),
    Scenario(
        name="ikev1-aggressive-mode",
        title="IKEv1 aggressive mode with a pre-shared key, quick mode, pings in ESP, a DPD, the end",
        version=1,
        both=_AGGRESSIVE,
        steps=((4, check_alive), (3, close)),
        pings=4,
        lasts=2,
    ),
    Scenario(
        name="ah-esp-transport",
        title="AH around ESP in transport mode between two hosts: one quick mode, two SAs each way (RFC 2401 4.3)",
        version=1,
        left={"local_ts": (_LEFT_ALONE,), "remote_ts": (_RIGHT_ALONE,)},
        right={"local_ts": (_RIGHT_ALONE,), "remote_ts": (_LEFT_ALONE,)},
        both=_TRANSPORT,
        hosts=(LEFT, RIGHT),
        pings=4,
    ),
    Scenario(
        name="ah-esp-tunnel",
        title="AH around ESP in tunnel mode: one quick mode, two SAs each way (RFC 2401 4.3)",
        version=1,
        both=_TUNNEL,
        pings=4,
    ),
    Scenario(
        name="ikev1-pfs",
        title="IKEv1 quick mode with perfect forward secrecy, and its rekeying",
        version=1,
        both={"phase_2": (_PFS,)},
        steps=((3.5, rekey_child), (4.5, close)),
        pings=6,
        lasts=2,
    ),
    Scenario(
        name="ikev1-rekey",
        title="IKEv1 with both phases rekeyed, and the end soon after: deletes, and no peer that fell silent",
        version=1,
        steps=((2.5, rekey_child), (2, rekey), (0.8, close)),
        pings=5,
        lasts=2,
    ),
    Scenario(
        name="ikev1-nat",
        title="a NAT in front of the initiator: main mode floats to port 4500, ESP in UDP (RFC 3947)",
        version=1,
        left={"address": INSIDE},
        network=nat(),
        pings=4,
    ),
    Scenario(
        name="ikev1-nat-draft",
        title="NAT traversal by the numbers of draft-ietf-ipsec-nat-t-ike-02 in aggressive mode",
        version=1,
        left={"address": INSIDE},
        both={**_AGGRESSIVE, "nat_traversal": (NatTraversal.DRAFT_02N,)},
        network=nat(),
        pings=2,
    ),
    Scenario(
        name="ikev1-xauth",
        title="a road warrior: main mode, XAUTH, an address by mode configuration, Cisco Unity attributes",
        version=1,
        left={"user": "alice", "password": Secret(b"wonderland"), "request_config": True, "local_ts": ()},
        right={
            "users": (("alice", Secret(b"wonderland")),),
            "pool": Pool(("10.3.0.1",), ("10.2.0.53",)),
            "unity": Unity(banner="Welcome", default_domain="example", split_include=("10.2.0.0/16",)),
            "remote_ts": (),
        },
        both={"xauth": True},
        hosts=("10.3.0.1", RIGHT_HOST),
        pings=2,
    ),
    Scenario(
        name="ikev1-rsa",
        title="main mode with RSA signatures; the certificates come in IKE fragments",
        version=1,
        left=certified,
        right=certified,
        both={"method": Method.RSA, "fragment_size": 576},
        pings=2,
    ),
    Scenario(
        name="ikev1-hybrid",
        title="hybrid authentication in aggressive mode: the gateway signs, the user follows with XAUTH",
        version=1,
        left=trusting,
        right=certified_gateway,
        both={"method": Method.HYBRID, "psk": Secret(b""), **_AGGRESSIVE},
        hosts=("10.3.0.1", RIGHT_HOST),
        pings=2,
    ),
    Scenario(
        name="ikev1-config-push",
        title="the gateway pushes an address by mode configuration (SET and ACK) without being asked",
        version=1,
        left={"local_ts": ()},
        right={"pool": Pool(("10.3.0.1",), ("10.2.0.53",)), "remote_ts": ()},
        both={"push_config": True},
        hosts=("10.3.0.1", RIGHT_HOST),
        pings=2,
    ),
    Scenario(
        name="ikev1-commit-bit",
        title="the responder sets the commit bit; the initiator waits for CONNECTED before it uses its SAs",
        version=1,
        right={"commit_bit": True},
        pings=2,
    ),
    Scenario(
        name="ikev1-several-children",
        title="three quick modes under one ISAKMP SA, each for a network of its own",
        version=1,
        left={"local_ts": (parse_selector("10.1.0.0/16"),), "remote_ts": _THREE_NETWORKS},
        right={"local_ts": _THREE_NETWORKS, "remote_ts": (parse_selector("10.1.0.0/16"),)},
    ),
    Scenario(
        name="ikev1-xauth-wrong-password",
        title="XAUTH with a wrong password",
        version=1,
        left={"user": "alice", "password": Secret(b"looking-glass"), "request_config": True, "local_ts": ()},
        right={
            "users": (("alice", Secret(b"wonderland")),),
            "pool": Pool(("10.3.0.1",), ("10.2.0.53",)),
            "remote_ts": (),
        },
        both={"xauth": True},
        fails="XAUTH_FAILED",
    ),
    Scenario(
        name="ikev1-wrong-psk",
        title="main mode with pre-shared keys that differ: the responder cannot read message 5",
        version=1,
        right={"psk": Secret(b"incorrect horse battery staple"), "unreadable_answer": UnreadableAnswer.CLEAR},
        lasts=70,
        fails="PSK_MISMATCH",
    ),
    Scenario(
        name="ikev1-no-proposal",
        title="nothing that the initiator offers for phase 1 suits the responder",
        version=1,
        left={"phase_1": (PhaseOneOffer.parse("3DES SHA1 MODP_1024"),)},
        lasts=70,
        fails="IKE_PROPOSAL_MISMATCH",
    ),
    Scenario(
        name="ikev1-child-no-proposal",
        title="the ISAKMP SA stands, but the proposals of quick mode differ",
        version=1,
        right={"phase_2": (PhaseTwoOffer.parse("AES_CBC-128 HMAC_SHA1_96"),)},
        fails="ESP_PROPOSAL_MISMATCH",
    ),
    Scenario(
        name="ikev1-pfs-mismatch",
        title="perfect forward secrecy on the side of the responder only",
        version=1,
        right={"phase_2": (_PFS,)},
        fails="PFS_MISMATCH",
    ),
    Scenario(
        name="ikev1-ts-mismatch",
        title="the ISAKMP SA stands, but the phase 2 identities differ",
        version=1,
        right={"remote_ts": (parse_selector("10.9.0.0/16"),)},
        fails="TS_MISMATCH",
    ),
    Scenario(
        name="ikev1-no-answer",
        title="nobody answers main mode: a filter drops UDP port 500",
        version=1,
        network=behind(lambda _: Filter(ports=[500])),
        lasts=70,
        fails="NO_RESPONSE_UDP500",
    ),
    Scenario(
        name="ikev1-dead-peer",
        title="the responder falls silent after quick mode; DPD finds out (RFC 3706)",
        version=1,
        left={"patience": Patience(dpd_after=10 * SECOND, retransmissions=3)},
        right={"faults": Ikev1Faults(silent_after=4)},
        lasts=60,
        fails="PEER_SILENT",
    ),
)
