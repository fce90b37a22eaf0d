"""The declared scenarios of IKEv2, among them ESP and AH alone; each is one row."""

from __future__ import annotations

from msgspec.structs import replace

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.authority import KeyKind
from ipsecscope.peers.config import (
    AuthMethod,
    Credentials,
    EapMethod,
    Faults,
    Identity,
    Limits,
    Mode,
    Offer,
    Patience,
    Pool,
    Ppk,
    TlsVersion,
)
from ipsecscope.peers.elements import Delay, Duplicate, Filter, Loss, Mtu, Nat, OneWay, Reorder, Way
from ipsecscope.peers.entropy import EPOCH, MILLISECOND, SECOND, Instant
from ipsecscope.peers.network import Tap
from ipsecscope.peers.scenario import (
    DAY,
    INSIDE,
    LEFT,
    LEFT_6,
    OUTSIDE,
    RIGHT,
    RIGHT_6,
    RIGHT_HOST,
    Changes,
    Ikev2Stage,
    Person,
    Scenario,
    World,
    before,
    behind,
    nat,
)
from ipsecscope.peers.selectors import parse_selector

# -- building blocks of rows -----------------------------------------------------------------------------------------


def certified(kind: KeyKind, method: AuthMethod, *, authority: str = "Example CA", **dates: Instant) -> Person:
    """Proves itself with a certificate; trusts the example authority."""

    def changes(world: World, identity: Identity) -> Changes:
        issued = world.authority(authority).issue(identity, kind, **dates)
        own = Credentials(method=method, private_key=issued.private_key, certificates=issued.certificates)
        return {"credentials": own, "authorities": (world.authority().certificate,)}

    return changes


def client(method: EapMethod, password: bytes) -> Person:
    """Proves itself with EAP; trusts the example authority."""

    def changes(world: World, identity: Identity) -> Changes:
        del identity
        own = Credentials(method=AuthMethod.EAP, eap_method=method, user="alice", password=Secret(password))
        return {
            "credentials": own,
            "remote_methods": (AuthMethod.SIGNATURE,),
            "authorities": (world.authority().certificate,),
        }

    return changes


def tls_client(world: World, identity: Identity) -> Changes:
    """Proves itself with its certificate in EAP-TLS; trusts the example authority."""
    proof = certified(KeyKind.ED25519, AuthMethod.EAP)(world, identity)
    own = replace(proof["credentials"], eap_method=EapMethod.TLS, user=str(identity))
    return {**proof, "credentials": own, "remote_methods": (AuthMethod.SIGNATURE,)}


def stranger(world: World, identity: Identity) -> Changes:
    """A client of EAP-TLS whose certificate another authority issued."""
    changes, other = tls_client(world, identity), world.authority("Another CA").issue(identity, KeyKind.ED25519)
    own = replace(changes["credentials"], private_key=other.private_key, certificates=other.certificates)
    return {**changes, "credentials": own}


def eap_gateway(*methods: EapMethod, kind: KeyKind = KeyKind.ECDSA_P256) -> Person:
    """Proves itself with a certificate and asks for EAP."""

    def changes(world: World, identity: Identity) -> Changes:
        proof = certified(kind, AuthMethod.SIGNATURE)(world, identity)
        users = (("alice", Secret(b"wonderland")),)
        return {**proof, "remote_methods": (AuthMethod.EAP,), "users": users, "eap_methods": methods}

    return changes


def rekey_child(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator rekeys the Child SA."""
    stage.initiator.rekey_child(now)


def rekey_ike(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator rekeys the IKE SA."""
    stage.initiator.rekey_ike(now)


def rekey_child_both(stage: Ikev2Stage, now: Instant) -> None:
    """Both sides rekey the Child SA at once."""
    stage.initiator.rekey_child(now)
    stage.responder.rekey_child(now)


def rekey_ike_both(stage: Ikev2Stage, now: Instant) -> None:
    """Both sides rekey the IKE SA at once."""
    stage.initiator.rekey_ike(now)
    stage.responder.rekey_ike(now)


def another_child(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator asks for another Child SA."""
    stage.initiator.create_child(now)


def delete_child(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator deletes a Child SA."""
    stage.initiator.delete_child(now)


def probe(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator asks whether the responder is alive."""
    stage.initiator.probe(now)


def close(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator deletes the IKE SA."""
    stage.initiator.close(now)


def reboot(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator loses all its state without a word, and connects anew."""
    for sa in list(stage.initiator.sas.values()):
        sa.close(now, "reboot")
    stage.initiator.connect(now)


def move(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator moves to another address."""
    stage.initiator.move(Endpoint("192.0.2.77", 4500), now)


_CBC = Offer.ike("ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 MODP_2048")
_STRONG = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_384 ECP_384")
_HYBRID = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_384 CURVE25519 ADDKE1:ML_KEM_768")
_HYBRID_TWICE = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_384 CURVE25519 ADDKE1:ML_KEM_768 ADDKE2:ML_KEM_1024")
_ESP_CBC = Offer.esp("ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128")
_ESP_PFS = Offer.esp("ENCR_AES_GCM_16-256 CURVE25519")
_ESP_HYBRID = Offer.esp("ENCR_AES_GCM_16-256 CURVE25519 ADDKE1:ML_KEM_768")
_AH = Offer.ah("AUTH_HMAC_SHA2_256_128")
_TRANSPORT: Changes = {"mode": Mode.TRANSPORT, "local_ts": (), "remote_ts": ()}
_ANYWHERE = (parse_selector("0.0.0.0/0"),)
_QPPK = Ppk(b"ppk-7", Secret(b"\x07" * 32))

IKEV2_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="ikev2",
        title="IKEv2 with a pre-shared key: a tunnel, pings, a rekeying of each kind, a probe, the end",
        steps=((4, rekey_child), (3, rekey_ike), (2, probe), (1, close)),
        pings=8,
    ),
    Scenario(name="esp-tunnel", title="ESP in tunnel mode, AES-GCM", pings=4),
    Scenario(
        name="esp-transport",
        title="ESP in transport mode between two hosts",
        left=_TRANSPORT,
        right=_TRANSPORT,
        hosts=(LEFT, RIGHT),
        pings=4,
    ),
    Scenario(name="ah-tunnel", title="AH in tunnel mode", both={"child_proposals": (_AH,)}, pings=4),
    Scenario(
        name="ah-transport",
        title="AH in transport mode between two hosts",
        left=_TRANSPORT,
        right=_TRANSPORT,
        both={"child_proposals": (_AH,)},
        hosts=(LEFT, RIGHT),
        pings=4,
    ),
    Scenario(
        name="ikev2-cbc",
        title="IKEv2 with AES-CBC and HMAC for IKE and ESP",
        both={"ike_proposals": (_CBC,), "child_proposals": (_ESP_CBC,)},
        pings=4,
    ),
    Scenario(
        name="ikev2-strong",
        title="the proposals that are called strong today: AES-GCM-256, SHA-384, ECP-384, PFS",
        both={
            "ike_proposals": (_STRONG,),
            "child_proposals": (Offer.esp("ENCR_AES_GCM_16-256 ECP_384 ESN"),),
        },
        steps=((4, rekey_child),),
        pings=6,
    ),
    Scenario(
        name="ikev2-ipv6",
        title="IKEv2 and ESP over IPv6",
        left={"address": LEFT_6, "remote_address": RIGHT_6},
        right={"address": RIGHT_6, "remote_address": LEFT_6},
        pings=4,
    ),
    Scenario(
        name="ikev2-rsa",
        title="certificates and RSA signatures of RFC 7296",
        left=certified(KeyKind.RSA, AuthMethod.RSA),
        right=certified(KeyKind.RSA, AuthMethod.RSA),
    ),
    Scenario(
        name="ikev2-rsa-pss",
        title="certificates and RSASSA-PSS signatures of RFC 7427, in fragments of RFC 7383",
        left=certified(KeyKind.RSA, AuthMethod.SIGNATURE_PSS),
        right=certified(KeyKind.RSA, AuthMethod.SIGNATURE_PSS),
        both={"fragment_size": 576},
    ),
    Scenario(
        name="ikev2-ecdsa",
        title="certificates and ECDSA signatures of RFC 4754",
        left=certified(KeyKind.ECDSA_P256, AuthMethod.ECDSA),
        right=certified(KeyKind.ECDSA_P256, AuthMethod.ECDSA),
    ),
    Scenario(
        name="ikev2-ed25519",
        title="certificates and Ed25519 signatures of RFC 8420",
        left=certified(KeyKind.ED25519, AuthMethod.SIGNATURE),
        right=certified(KeyKind.ED25519, AuthMethod.SIGNATURE),
    ),
    Scenario(
        name="ikev2-null-auth",
        title="NULL authentication of the initiator, of RFC 7619",
        left={"credentials": Credentials(method=AuthMethod.NULL), "remote_methods": (AuthMethod.PSK,)},
        right={"remote_methods": (AuthMethod.NULL,)},
    ),
    Scenario(
        name="ikev2-eap-mschapv2",
        title="EAP-MSCHAPv2 with a gateway that has a certificate",
        left=client(EapMethod.MSCHAPV2, b"wonderland"),
        right=eap_gateway(EapMethod.MSCHAPV2),
    ),
    Scenario(
        name="ikev2-eap-md5",
        title="EAP-MD5, asked for by the client instead of what the gateway offers first",
        left=client(EapMethod.MD5, b"wonderland"),
        right=eap_gateway(EapMethod.MSCHAPV2, EapMethod.MD5),
    ),
    Scenario(
        name="ikev2-eap-gtc",
        title="EAP-GTC: the password inside SK",
        left=client(EapMethod.GTC, b"wonderland"),
        right=eap_gateway(EapMethod.GTC),
    ),
    Scenario(
        name="ikev2-eap-tls",
        title="EAP-TLS with TLS 1.3 (RFC 9190): both sides have certificates, AUTH is keyed with the MSK",
        left=tls_client,
        right=eap_gateway(EapMethod.TLS, kind=KeyKind.ED25519),
        is_repeatable=False,
        pings=2,
    ),
    Scenario(
        name="ikev2-eap-tls-1-2",
        title="EAP-TLS with TLS 1.2 (RFC 5216)",
        left=tls_client,
        right=eap_gateway(EapMethod.TLS, kind=KeyKind.ED25519),
        both={"newest_tls": TlsVersion.TLS_1_2},
        is_repeatable=False,
    ),
    Scenario(
        name="ikev2-eap-tls-untrusted",
        title="EAP-TLS with a client certificate of an authority that the gateway does not trust: TLS alerts, EAP fails",
        left=stranger,
        right=eap_gateway(EapMethod.TLS, kind=KeyKind.ED25519),
        both={"newest_tls": TlsVersion.TLS_1_2},
        is_repeatable=False,
        fails="EAP_FAILED",
    ),
    Scenario(
        name="ikev2-ml-kem",
        title="a hybrid key exchange: Curve25519, then ML-KEM-768 in IKE_INTERMEDIATE",
        both={"ike_proposals": (_HYBRID,)},
        pings=2,
    ),
    Scenario(
        name="ikev2-ml-kem-twice",
        title="two additional key exchanges, ML-KEM-768 and ML-KEM-1024, in fragments",
        both={"ike_proposals": (_HYBRID_TWICE,), "fragment_size": 576},
    ),
    Scenario(
        name="ikev2-followup-ke",
        title="Child SA and IKE SA rekeyed with ML-KEM in IKE_FOLLOWUP_KE (RFC 9370): one round, then two",
        both={"ike_proposals": (_HYBRID_TWICE,), "child_proposals": (_ESP_HYBRID,)},
        steps=((3, rekey_child), (2, rekey_ike), (2, rekey_child)),
        pings=8,
    ),
    Scenario(
        name="ikev2-followup-ke-simultaneous",
        title="both sides rekey the Child SA at once; the one with the lowest nonce goes no further",
        both={"child_proposals": (_ESP_HYBRID,)},
        steps=((3, rekey_child_both),),
        pings=4,
    ),
    Scenario(name="ikev2-ppk", title="a post-quantum pre-shared key of RFC 8784", both={"ppk": _QPPK}, pings=2),
    Scenario(
        name="ikev2-pfs",
        title="Child SA rekeyings with PFS, the first with a key exchange method that the responder refuses",
        left={"child_proposals": (Offer.esp("ENCR_AES_GCM_16-256 ECP_256 CURVE25519"),)},
        right={"child_proposals": (_ESP_PFS,)},
        steps=((3, rekey_child), (2, rekey_child)),
        pings=6,
    ),
    Scenario(
        name="ikev2-narrowing",
        title="the responder narrows what the initiator offers",
        left={"local_ts": _ANYWHERE, "remote_ts": _ANYWHERE},
        pings=2,
    ),
    Scenario(
        name="ikev2-virtual-ip",
        title="a road warrior gets an address and a DNS server in CP(CFG_REPLY)",
        left={"request_virtual_ip": True, "local_ts": (), "remote_ts": _ANYWHERE},
        right={
            "pool": Pool(("10.3.0.1",), ("10.2.0.53",)),
            "local_ts": _ANYWHERE,
        },
        hosts=("10.3.0.1", RIGHT_HOST),
        pings=2,
    ),
    Scenario(
        name="ikev2-childless",
        title="an IKE SA without Child SA, which comes in CREATE_CHILD_SA later",
        both={"childless": True},
        steps=((2, another_child),),
    ),
    Scenario(
        name="ikev2-several-children",
        title="two Child SAs, one of them deleted again",
        steps=((2, another_child), (2, delete_child)),
        pings=4,
    ),
    Scenario(name="ikev2-mobike", title="the initiator moves (RFC 4555)", both={"mobike": True}, steps=((3, move),)),
    Scenario(
        name="ikev2-simultaneous-child-rekey",
        title="both sides rekey the Child SA at once; the one with the lowest nonce is closed",
        steps=((3, rekey_child_both),),
        pings=4,
    ),
    Scenario(
        name="ikev2-simultaneous-ike-rekey",
        title="both sides rekey the IKE SA at once; the one with the lowest nonce is closed",
        steps=((3, rekey_ike_both), (2, probe)),
    ),
    Scenario(
        name="ikev2-nat",
        title="a NAT in front of the initiator: port 4500, ESP in UDP",
        left={"address": INSIDE},
        network=nat(),
        pings=4,
    ),
    Scenario(
        name="ikev2-nat-rebinding",
        title="the NAT forgets its mapping; the responder follows the initiator to another port",
        network=nat(rebind=12),
        left={"address": INSIDE, "patience": Patience(keepalive_after=5 * SECOND)},
        steps=((15, probe),),
        pings=4,
    ),
    Scenario(
        name="ikev2-forced-encapsulation",
        title="an initiator without NAT forces ESP into UDP",
        left={"force_encapsulation": True},
        pings=2,
    ),
    Scenario(
        name="ikev2-lossy",
        title="a line that loses, doubles and reorders",
        network=behind(
            lambda entropy: Loss(0.15, entropy.fork("loss")),
            lambda entropy: Duplicate(0.1, entropy.fork("duplicate")),
            lambda entropy: Reorder(0.1, entropy.fork("reorder")),
        ),
        steps=((20, probe), (20, probe)),
        pings=8,
        lasts=60,
    ),
    Scenario(
        name="ikev2-cookie",
        title="the responder asks for a cookie before it works",
        right={"limits": Limits(cookies_from=0)},
    ),
    Scenario(
        name="ikev2-cookie-loop",
        title="a responder that is never content with a cookie",
        right={"faults": Faults(endless_cookies=True)},
        fails="COOKIE_LOOP",
    ),
    Scenario(
        name="ikev2-invalid-ke",
        title="the responder wants another key exchange method, and gets it",
        left={"ike_proposals": (Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 ECP_256 CURVE25519"),)},
    ),
    Scenario(
        name="ikev2-no-proposal",
        title="nothing that the initiator offers suits the responder",
        left={"ike_proposals": (Offer.ike("ENCR_3DES AUTH_HMAC_SHA1_96 PRF_HMAC_SHA1 MODP_1024"),)},
        fails="IKE_PROPOSAL_MISMATCH",
    ),
    Scenario(
        name="ikev2-wrong-psk",
        title="the pre-shared keys differ",
        right={"psk": Secret(b"incorrect horse battery staple")},
        fails="PSK_MISMATCH",
    ),
    Scenario(
        name="ikev2-unknown-id",
        title="the responder expects another identity",
        right={"remote_id": Identity.parse("somebody.example")},
        fails="PEER_ID_MISMATCH",
    ),
    Scenario(
        name="ikev2-wrong-responder-id",
        title="the initiator wants to meet another identity than the responder's",
        left={"remote_id": Identity.parse("somebody.example")},
        fails="RESPONDER_ID_MISMATCH",
    ),
    Scenario(
        name="ikev2-wrong-password",
        title="EAP-MSCHAPv2 with a wrong password",
        left=client(EapMethod.MSCHAPV2, b"looking-glass"),
        right=eap_gateway(EapMethod.MSCHAPV2),
        fails="EAP_FAILED",
    ),
    Scenario(
        name="ikev2-expired-certificate",
        title="the responder's certificate has expired",
        left=certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE),
        right=certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE, not_after=EPOCH - DAY),
        fails="CERT_EXPIRED",
    ),
    Scenario(
        name="ikev2-untrusted-certificate",
        title="the initiator's certificate comes from an authority that the responder does not trust",
        left=certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE, authority="Another CA"),
        right=certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE),
        fails="CERT_UNTRUSTED",
    ),
    Scenario(
        name="ikev2-ppk-mismatch",
        title="the responder demands a PPK that the initiator does not have",
        left={"ppk": _QPPK},
        right={"ppk": Ppk(b"ppk-8", Secret(b"\x08" * 32), required=True)},
        fails="PPK_MISMATCH",
    ),
    Scenario(
        name="ikev2-child-no-proposal",
        title="the IKE SA stands, but the ESP proposals differ",
        right={"child_proposals": (_ESP_CBC,)},
        fails="ESP_PROPOSAL_MISMATCH",
    ),
    Scenario(
        name="ikev2-ts-mismatch",
        title="the IKE SA stands, but the traffic selectors differ",
        right={"remote_ts": (parse_selector("10.9.0.0/16"),)},
        fails="TS_MISMATCH",
    ),
    Scenario(
        name="ikev2-pfs-mismatch",
        title="PFS on one side only: nothing is wrong until the first rekeying",
        left={"child_proposals": (_ESP_PFS,)},
        steps=((3, rekey_child),),
        pings=3,
        fails="PFS_MISMATCH",
    ),
    Scenario(
        name="ikev2-mode-mismatch",
        title="the initiator wants transport mode, the responder answers with tunnel mode",
        left={"mode": Mode.TRANSPORT},
        pings=2,
        fails="MODE_MISMATCH",
    ),
    Scenario(
        name="ikev2-no-additional-sas",
        title="the responder has no room for another Child SA",
        right={"faults": Faults(refuse_child="NO_ADDITIONAL_SAS")},
        steps=((2, another_child),),
        fails="CHILD_REFUSED",
    ),
    Scenario(
        name="ikev2-dead-peer",
        title="the responder falls silent; the liveness check finds out",
        left={"patience": Patience(dpd_after=10 * SECOND, retransmissions=3)},
        right={"faults": Faults(silent_after="IKE_AUTH")},
        lasts=60,
        fails="PEER_SILENT",
    ),
    Scenario(
        name="ikev2-no-answer",
        title="nobody answers IKE_SA_INIT: a filter drops UDP port 500",
        network=behind(lambda _: Filter(ports=[500])),
        lasts=70,
        fails="NO_RESPONSE_UDP500",
    ),
    Scenario(
        name="ikev2-port-4500-blocked",
        title="a NAT, and a filter that drops UDP port 4500: IKE_AUTH is never answered",
        left={"address": INSIDE},
        network=lambda _: (Tap("inside"), Nat(OUTSIDE), Filter(ports=[4500]), Delay()),
        lasts=70,
        fails="UDP4500_BLOCKED",
    ),
    Scenario(
        name="ikev2-one-way",
        title="answers do not come back",
        network=before(lambda _: OneWay(Way.LEFT)),
        lasts=70,
        fails="RESPONSE_DROPPED",
    ),
    Scenario(
        name="ikev2-fragments-dropped",
        title="certificates make IKE_AUTH too long, and a filter drops IP fragments",
        left=certified(KeyKind.RSA, AuthMethod.SIGNATURE),
        right=certified(KeyKind.RSA, AuthMethod.SIGNATURE),
        both={"fragmentation": False},
        network=lambda _: (Mtu(576), Tap(), Filter(fragments=True), Delay()),
        lasts=70,
        fails="IP_FRAGMENT_LOST",
    ),
    Scenario(
        name="ikev2-damaged-icv",
        title="IKE_AUTH responses whose integrity check fails",
        right={"faults": Faults(damage_icv_of="IKE_AUTH")},
        lasts=70,
        fails="IKE_DAMAGED",
    ),
    Scenario(
        name="ikev2-malformed",
        title="IKE_AUTH requests whose last payload is cut short inside SK",
        left={"faults": Faults(malformed="IKE_AUTH")},
        fails="MALFORMED_PAYLOAD",
    ),
    Scenario(
        name="ikev2-reboot",
        title="the initiator forgets everything and comes again with INITIAL_CONTACT",
        left={"initial_contact": True},
        steps=((5, reboot),),
        pings=8,
    ),
    Scenario(
        name="ikev2-message-id-ahead",
        title="requests with message ids outside the window",
        left={"faults": Faults(shift_message_id=3)},
        steps=((2, probe),),
        lasts=70,
        fails="MESSAGE_ID_OUTSIDE_WINDOW",
    ),
    Scenario(
        name="ikev2-duplicated",
        title="every packet arrives twice: retransmissions change nothing",
        network=before(lambda _: Duplicate(numbers=range(1, 100), after=MILLISECOND)),
        steps=((3, rekey_child),),
        pings=3,
    ),
)
