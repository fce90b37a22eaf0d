"""Handshakes per second of CPU time for each authentication method: one process, both ends, no network between them.

    python benchmarks/handshakes.py [SECONDS]

A handshake is everything up to the first Child SA at both ends, so the work of two peers. IKE and ESP algorithms are the
defaults (IKEv2: AES-GCM-256 and X25519; IKEv1: AES-CBC-256 and MODP 2048); RSA keys have 2048 bits.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from ipsecscope.decrypt.secret import Secret
from ipsecscope.peers.authority import KeyKind
from ipsecscope.peers.config import AuthMethod, Credentials, EapMethod, Identity
from ipsecscope.peers.entropy import EPOCH, Entropy
from ipsecscope.peers.ikev1.config import Method, PhaseOneMode
from ipsecscope.peers.live import LivePeer, Wish
from ipsecscope.peers.peer import Path
from ipsecscope.peers.scenario import Changes, Person, Scenario, World, configurations
from ipsecscope.peers.scenarios_ikev2 import certified, client, eap_gateway, tls_client

ALICE, WORD = "alice", Secret(b"wonderland")
NULL = {
    "left": {"credentials": Credentials(method=AuthMethod.NULL), "remote_methods": (AuthMethod.PSK,)},
    "right": {"remote_methods": (AuthMethod.NULL,)},
}
AGGRESSIVE = {"mode": PhaseOneMode.AGGRESSIVE}
XAUTH = {"xauth": True, "user": ALICE, "password": WORD, "users": ((ALICE, WORD),)}


def signing(kind: KeyKind, method: AuthMethod) -> dict[str, Person]:
    """Both ends prove themselves with a certificate."""
    return {"left": certified(kind, method), "right": certified(kind, method)}


def with_eap(method: EapMethod) -> dict[str, Person]:
    """A user of EAP and a gateway with a certificate."""
    user = tls_client if method == EapMethod.TLS else client(method, b"wonderland")
    return {"left": user, "right": eap_gateway(method)}


def signing_1(method: Method, more: Changes) -> Person:
    """An IKEv1 peer with a certificate of an RSA key."""

    def changes(world: World, identity: Identity) -> Changes:
        issued = world.authority().issue(identity, KeyKind.RSA)
        return {
            "method": method,
            "private_key": issued.private_key,
            "certificates": issued.certificates,
            "authorities": (world.authority().certificate,),
            **more,
        }

    return changes


METHODS: dict[str, dict[str, Any]] = {
    "IKEv2 PSK": {},
    "IKEv2 RSA, PKCS #1 with SHA-1": signing(KeyKind.RSA, AuthMethod.RSA),
    "IKEv2 RSA, RFC 7427": signing(KeyKind.RSA, AuthMethod.SIGNATURE),
    "IKEv2 RSASSA-PSS": signing(KeyKind.RSA, AuthMethod.SIGNATURE_PSS),
    "IKEv2 ECDSA P-256": signing(KeyKind.ECDSA_P256, AuthMethod.ECDSA),
    "IKEv2 Ed25519": signing(KeyKind.ED25519, AuthMethod.SIGNATURE),
    "IKEv2 NULL of the initiator": NULL,
    "IKEv2 EAP-MD5": with_eap(EapMethod.MD5),
    "IKEv2 EAP-GTC": with_eap(EapMethod.GTC),
    "IKEv2 EAP-MSCHAPv2": with_eap(EapMethod.MSCHAPV2),
    "IKEv2 EAP-TLS": with_eap(EapMethod.TLS),
    "IKEv1 main mode, PSK": {"version": 1},
    "IKEv1 aggressive mode, PSK": {"version": 1, "both": AGGRESSIVE},
    "IKEv1 main mode, RSA": {"version": 1, "left": signing_1(Method.RSA, {}), "right": signing_1(Method.RSA, {})},
    "IKEv1 aggressive mode, PSK and XAUTH": {"version": 1, "both": AGGRESSIVE | XAUTH},
    "IKEv1 main mode, hybrid": {
        "version": 1,
        "left": signing_1(Method.HYBRID, XAUTH),
        "right": signing_1(Method.HYBRID, XAUTH),
    },
}


def handshake(configs: tuple[Any, Any]) -> bool:
    """Everything up to the first Child SA; whether both ends have it."""
    left = LivePeer(configs[0], Entropy.system(), Wish(), initiates=True)
    right = LivePeer(configs[1], Entropy.system(), Wish(), initiates=False)
    left.start(EPOCH)
    under_way = [*left.datagrams_to_send(EPOCH)]
    while under_way:
        data, path = under_way.pop(0)
        receiver = right if path.local.address == left.config.address else left
        receiver.receive_datagram(data, Path(path.remote, path.local), EPOCH)
        under_way += receiver.datagrams_to_send(EPOCH)
    return bool(left.outcome.children and right.outcome.children)


def main() -> int:
    """Print the table; the exit code is 1 when a handshake fails."""
    span = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    print(f"{'method':<40}{'handshakes':>12}{'a CPU second':>14}{'failed':>8}")
    failed_at_all = 0
    for name, facts in METHODS.items():
        world = World(Entropy.seeded(name))
        configs = configurations(Scenario(name=name, title=name, **facts), world)
        handshake(configs)  # imports
        start, done, failed = time.process_time(), 0, 0
        while (passed := time.process_time() - start) < span:
            succeeded = handshake(configs)
            done, failed = done + succeeded, failed + (not succeeded)
        print(f"{name:<40}{done:>12,}{done / passed:>14.1f}{failed:>8,}")
        failed_at_all += failed
    return int(failed_at_all > 0)


if __name__ == "__main__":
    sys.exit(main())
