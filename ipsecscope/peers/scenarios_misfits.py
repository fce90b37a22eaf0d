"""The declared scenarios of two configurations that do not fit, beyond those that every version has a row for."""

from __future__ import annotations

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import ExchangeType, HashAlgorithm
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.peers.authority import KeyKind
from ipsecscope.peers.config import (
    AuthMethod,
    EapMethod,
    Faults,
    Identity,
    Offer,
    Patience,
    Pool,
)
from ipsecscope.peers.elements import Delay, Filter, Nat, Way
from ipsecscope.peers.entropy import EPOCH, SECOND, Instant
from ipsecscope.peers.ikev1.config import (
    ChildRequest,
    Ikev1Faults,
    PhaseOneMode,
    PhaseOneOffer,
    PhaseTwoOffer,
    UnreadableAnswer,
)
from ipsecscope.peers.meddlers import Meddler, ike, lose
from ipsecscope.peers.network import Tap
from ipsecscope.peers.scenario import (
    DAY,
    INSIDE,
    OUTSIDE,
    RIGHT_HOST,
    Changes,
    Ikev1Stage,
    MixedStage,
    Person,
    Scenario,
    World,
    before,
    behind,
)
from ipsecscope.peers.scenarios_ikev1 import check_alive
from ipsecscope.peers.scenarios_ikev2 import another_child, certified, client, eap_gateway, rekey_child
from ipsecscope.peers.scenarios_network import pings
from ipsecscope.peers.selectors import parse_selector

# -- building blocks of rows -----------------------------------------------------------------------------------------


def named(name: str) -> Person:
    """Proves itself with a certificate that is made out to somebody else."""

    def changes(world: World, identity: Identity) -> Changes:
        del identity
        return certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE)(world, Identity.parse(name))

    return changes


def of_another_world(world: World, identity: Identity) -> Changes:
    """Proves itself with a certificate of another authority, and trusts no other."""
    proof = certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE, authority="Another CA")(world, identity)
    return {**proof, "authorities": (world.authority("Another CA").certificate,)}


def with_more(person: Person, **more: object) -> Person:
    """A person with other settings besides."""
    return lambda world, identity: {**person(world, identity), **more}


def begin_from_the_right(stage: MixedStage, now: Instant) -> None:
    """The side that is asked in vain begins itself."""
    stage.responder.connect(now)


def ask_again(stage: Ikev1Stage, now: Instant) -> None:
    """The initiator asks for its phase 2 SAs once more."""
    sa = stage.initiator.sas[-1]
    left, right = (parse_selector(each) for each in ("10.1.0.0/16", "10.2.0.0/16"))
    stage.initiator.create_child(sa, ChildRequest(local_ts=left, remote_ts=right), now)


_CERTIFIED = certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE)
_WRONG_PSK = Secret(b"incorrect horse battery staple")
_QUICK = int(IsakmpExchangeType.QUICK_MODE)
_OLD = Offer.ike("ENCR_3DES AUTH_HMAC_MD5_96 PRF_HMAC_MD5 MODP_1024")
_OLD_ESP = Offer.esp("ENCR_3DES AUTH_HMAC_MD5_96")
_ANYWHERE = (parse_selector("0.0.0.0/0"),)

MISFIT_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="ikev2-version-mismatch",
        title="one side begins with IKEv2, the other with IKEv1; neither understands the other",
        right_version=1,
        right={"remote_id": None},
        steps=((1, begin_from_the_right), (60, begin_from_the_right)),
        fails="IKE_VERSION_MISMATCH",
        lasts=70,
    ),
    # -- IKEv2, who is who
    Scenario(
        name="ikev2-auth-method-mismatch",
        title="the initiator proves itself with a pre-shared key, the responder wants a signature",
        right=with_more(_CERTIFIED, remote_methods=(AuthMethod.SIGNATURE,)),
        left={"remote_methods": (AuthMethod.PSK, AuthMethod.SIGNATURE)},
        fails="AUTH_METHOD_MISMATCH",
    ),
    Scenario(
        name="ikev2-certificate-identity",
        title="the initiator's certificate does not contain the identity that it claims",
        left=named("somebody.example"),
        right=_CERTIFIED,
        fails="CERT_IDENTITY_MISMATCH",
    ),
    Scenario(
        name="ikev2-two-authorities",
        title="each side has a certificate of another authority, and trusts only its own",
        left=of_another_world,
        right=_CERTIFIED,
        fails="CERT_UNTRUSTED",
    ),
    Scenario(
        name="ikev2-certificate-not-yet-valid",
        title="the responder's certificate is not valid yet: a clock is wrong",
        left=_CERTIFIED,
        right=certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE, not_before=EPOCH + DAY),
        fails="CERT_EXPIRED",
    ),
    Scenario(
        name="ikev2-signature-hash-mismatch",
        title="the responder takes Ed25519 and Ed448 signatures only; the initiator has an ECDSA key",
        left=with_more(_CERTIFIED, signature_hashes=(HashAlgorithm.SHA2_256,)),
        right=with_more(_CERTIFIED, signature_hashes=(HashAlgorithm.IDENTITY,)),
        fails="SIGNATURE_HASH_MISMATCH",
        lasts=70,
    ),
    Scenario(
        name="ikev2-eap-stalled",
        title="the EAP login stops: the client never answers the challenge",
        left=client(EapMethod.MSCHAPV2, b"wonderland"),
        right=eap_gateway(EapMethod.MSCHAPV2),
        network=behind(
            lambda _: Meddler(ike(int(ExchangeType.IKE_AUTH), response=False, message_id=3), lose, way=Way.RIGHT)
        ),
        fails="EAP_STALLED",
        lasts=70,
    ),
    Scenario(
        name="ikev2-pool-exhausted",
        title="the responder has no address left for the road warrior",
        left={"request_virtual_ip": True, "local_ts": (), "remote_ts": _ANYWHERE},
        right={"pool": Pool((), ("10.2.0.53",)), "local_ts": _ANYWHERE},
        hosts=("10.3.0.1", RIGHT_HOST),
        fails="NO_VIRTUAL_IP",
    ),
    # -- IKEv2, what is negotiated
    Scenario(
        name="ikev2-ke-not-offered",
        title="the responder insists on a key exchange method that the initiator does not offer",
        left={"ike_proposals": (Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 ECP_256"),)},
        fails="IKE_DH_GROUP_MISMATCH",
    ),
    Scenario(
        name="ikev2-weak",
        title="an old policy on both sides: 3DES, MD5, a group of 1024 bits; it works, and should not",
        both={"ike_proposals": (_OLD,), "child_proposals": (_OLD_ESP,)},
        traffic=pings(56, 100, 200, 300, 400),
        lasts=8,
    ),
    Scenario(
        name="esp-null",
        title="ESP without encryption: NULL and HMAC-SHA2-256",
        both={"child_proposals": (Offer.esp("ENCR_NULL AUTH_HMAC_SHA2_256_128"),)},
        pings=4,
    ),
    Scenario(
        name="esp-cbc-sizes",
        title="pings of many sizes in AES-CBC: the lengths tell block size and ICV",
        both={"child_proposals": (Offer.esp("ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128"),)},
        traffic=pings(8, 56, 100, 200, 300, 400, 500, 600, 700, 800),
        lasts=15,
    ),
    Scenario(
        name="ikev2-refused-again-and-again",
        title="another network is asked for six times, and the responder refuses it six times",
        right={"faults": Faults(refuse_child="TS_UNACCEPTABLE")},
        steps=tuple((3.0, another_child) for _ in range(6)),
        pings=4,
        fails="TS_MISMATCH",
    ),
    Scenario(
        name="ikev2-temporary-failure",
        title="the responder puts a rekeying off with TEMPORARY_FAILURE; the initiator tries again",
        right={"faults": Faults(refuse_child="TEMPORARY_FAILURE")},
        left={"patience": Patience(try_again=2 * SECOND)},
        steps=((4, rekey_child),),
        pings=6,
        lasts=8,
        fails="REKEY_REFUSED",
    ),
    Scenario(
        name="ikev2-delete-ignored",
        title="the responder does not act on a Delete of a Child SA and goes on sending with it",
        right={"faults": Faults(ignore_delete=True)},
        steps=((4, rekey_child),),
        pings=8,
        lasts=10,
    ),
    # -- IKEv1
    Scenario(
        name="ikev1-mode-mismatch",
        title="the initiator begins with aggressive mode, the responder takes main mode only",
        version=1,
        both={"mode": PhaseOneMode.AGGRESSIVE},
        right={"accepts": (PhaseOneMode.MAIN,)},
        fails="EXCHANGE_MODE_MISMATCH",
        lasts=70,
    ),
    Scenario(
        name="ikev1-aggressive-wrong-psk",
        title="aggressive mode with pre-shared keys that differ: the initiator does not believe HASH_R",
        version=1,
        both={"mode": PhaseOneMode.AGGRESSIVE},
        right={"psk": _WRONG_PSK},
        fails="PSK_MISMATCH",
        lasts=70,
    ),
    Scenario(
        name="ikev1-wrong-psk-silent",
        title="main mode with pre-shared keys that differ, and a responder that says nothing about it",
        version=1,
        right={"psk": _WRONG_PSK, "unreadable_answer": UnreadableAnswer.SILENT},
        fails="PSK_MISMATCH",
        lasts=70,
    ),
    Scenario(
        name="ikev1-main-mode-stalls",
        title="main mode stops at the key exchange: message 3 is never answered",
        version=1,
        right={"faults": Ikev1Faults(silent_after=1)},
        fails="KEY_EXCHANGE_UNANSWERED",
        lasts=70,
    ),
    Scenario(
        name="ikev1-port-4500-blocked",
        title="main mode behind a NAT floats to port 4500, which a filter drops",
        version=1,
        left={"address": INSIDE},
        network=lambda _: (Tap("inside"), Nat(OUTSIDE), Filter(ports=[4500]), Delay()),
        fails="UDP4500_BLOCKED",
        lasts=70,
    ),
    Scenario(
        name="ikev1-quick-mode-unanswered",
        title="quick mode is never answered, although the responder is alive",
        version=1,
        network=behind(lambda _: Meddler(ike(_QUICK), lose, way=Way.RIGHT)),
        steps=((3, check_alive), (4, check_alive)),
        fails="QUICK_MODE_UNANSWERED",
        lasts=70,
    ),
    Scenario(
        name="ikev1-quick-mode-not-completed",
        title="the third message of quick mode is lost: the responder repeats the second",
        version=1,
        network=before(lambda _: Meddler(ike(_QUICK), lose, way=Way.RIGHT, numbers=range(2, 99))),
        fails="QUICK_MODE_NOT_COMPLETED",
        lasts=70,
    ),
    Scenario(
        name="ikev1-refused-again-and-again",
        title="phase 2 identities that the responder does not know, asked for six times",
        version=1,
        right={"remote_ts": (parse_selector("10.9.0.0/16"),)},
        steps=tuple((3.0, ask_again) for _ in range(5)),
        fails="TS_MISMATCH",
    ),
    Scenario(
        name="ikev1-weak",
        title="an old policy on both sides: DES, MD5, a group of 768 bits; it works, and should not",
        version=1,
        both={
            "phase_1": (PhaseOneOffer.parse("DES_CBC MD5 MODP_768"),),
            "phase_2": (PhaseTwoOffer.parse("DES_CBC HMAC_MD5_96"),),
        },
        pings=4,
    ),
)
