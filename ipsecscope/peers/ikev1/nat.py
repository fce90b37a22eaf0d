"""NAT traversal of phase 1, RFC 3947: NAT-D payloads, who is behind a NAT, the way to port 4500."""

from __future__ import annotations

from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.ikev1 import NatDetection
from ipsecscope.dissect.natt import Endpoint, nat_detection_hash
from ipsecscope.dissect.registry.isakmp import PayloadType
from ipsecscope.peers import events
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev1.messages import Received
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.peer import Path


def nat_detection(sa: IsakmpSa) -> list[Payload]:
    """NAT-D payloads: the remote end first, then our own (RFC 3947 section 3.2)."""
    version = sa.nat_traversal
    if version is None:
        return []
    own = _nat_hash(sa, sa.path.local)
    if sa.config.force_encapsulation:
        own = sa.owner.entropy.octets(len(own), "NAT hash")
    kind = int(PayloadType.NAT_D_DRAFT) if version.is_draft else None
    hashes = (_nat_hash(sa, sa.path.remote), own)
    return [Payload(body=NatDetection(data=data), type=kind) for data in hashes]


def _nat_hash(sa: IsakmpSa, end: Endpoint) -> bytes:
    assert sa.chosen is not None
    return nat_detection_hash(*sa.cookies, end.address, end.port, sa.chosen.prf.hash_name)


def learn_nat(sa: IsakmpSa, received: Received, now: Instant) -> None:
    """Compare the NAT-D payloads of a message with the addresses it came with."""
    hashes = [body.data for body in received.all(NatDetection)]
    if sa.nat_traversal is None or not hashes:
        return
    path = received.path
    local = _nat_hash(sa, path.local) != hashes[0] or sa.config.force_encapsulation
    remote = _nat_hash(sa, path.remote) not in hashes[1:]
    known = sa.has_nat
    sa.local_behind_nat, sa.remote_behind_nat = sa.local_behind_nat or local, sa.remote_behind_nat or remote
    if sa.has_nat and not known:
        sa.say(events.NatDetected, now, local=sa.local_behind_nat, remote=sa.remote_behind_nat)


def float_ports(sa: IsakmpSa) -> None:
    """Go to the ports of NAT traversal (RFC 3947 section 4), unless we are there."""
    port, there = sa.config.nat_port, sa.config.remote_ports[1]
    if sa.has_nat and sa.path.local.port != port:
        sa.path = Path(Endpoint(sa.path.local.address, port), Endpoint(sa.path.remote.address, there))
