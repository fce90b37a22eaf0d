"""NAT for the devices themselves: what hides behind one, and what one breaks that means to help.

Detection hashes cover the address before translation (RFC 7296 2.23), so a search over private addresses can find it.
The search has a budget; what is not found within it is not there to be said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from itertools import chain, pairwise

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, HIGH, INFO, LIKELY, MEDIUM, POSSIBLE, Evidence, Found, rule
from ipsecscope.diagnose.view import View, opening, records_of
from ipsecscope.diagnose.words import NANOSECONDS, frames, listed, socket, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.natt import DIGEST_OF_SIZE, IKE_PORT, NAT_T_PORT
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import IkeSa, MessageRecord, Role
from ipsecscope.timeline.settle import role_of

MAX_HASHES = 250_000  # computed for one capture, about a fifth of a second
# The likely ones first: all of 192.168, the first network of every 10.x and 172.16 to 31, then more of 10 and 100.64.
PRIVATE = (
    "192.168.0.0/16",
    *(f"10.{second}.0.0/24" for second in range(256)),
    *(f"172.{second}.0.0/24" for second in range(16, 32)),
    "10.0.0.0/16",
    "100.64.0.0/16",
)
NEIGHBOURS = 24  # bits of the networks around addresses seen in the capture, which are searched first
STOPS_NS = 5 * NANOSECONDS
MIN_PACKETS = 3


def _hashes(sa: IkeSa, role: Role) -> Iterator[tuple[MessageRecord, bytes]]:
    """Every detection hash that one end made over its own address, with its message."""
    for exchange in opening(sa):
        for record in (*exchange.request, *exchange.response):
            if record.sender != role:
                continue
            if sa.version == 1:
                for body in list(bodies(record.payloads, ikev1.NatDetection))[1:]:
                    yield record, body.data
                continue
            for notify in bodies(record.payloads, ikev2.Notify):
                if notify.notify_type == NotifyType.NAT_DETECTION_SOURCE_IP:
                    yield record, notify.data


class _Search:
    """Looks for the input of detection hashes, within the budget of one capture; what was found once is tried first."""

    def __init__(self, view: View) -> None:
        self.left = MAX_HASHES
        self._found: dict[bytes, None] = {}
        seen = {
            address
            for sa in view.analysis.ike_sas
            for end in (sa.initiator, sa.responder)
            for address, _ in end.addresses
        }
        near = {
            str(ip_network(f"{each}/{NEIGHBOURS}", strict=False))
            for each in seen
            if ":" not in each and ip_address(each).is_private
        }
        self._networks = [*sorted(near), *PRIVATE]
        self._seen = [ip_address(each).packed for each in sorted(seen)]

    def input_of(self, spis: bytes, wanted: bytes, port: int) -> tuple[str, int] | None:
        """Address and port that a hash was made over; None when it was not found."""
        digest = DIGEST_OF_SIZE.get(len(wanted))
        if digest is None:
            return None
        start = hashlib.new(digest, spis, usedforsecurity=False)
        usual = (port,) if port in (IKE_PORT, NAT_T_PORT) else (IKE_PORT, NAT_T_PORT, port)
        ports = [number.to_bytes(2, "big") for number in usual]
        hosts = (each.packed for network in self._networks for each in ip_network(network))
        for packed in chain(self._found, self._seen, hosts):
            for suffix in ports:
                if self.left <= 0:
                    return None
                self.left -= 1
                made = start.copy()
                made.update(packed + suffix)
                if made.digest() == wanted:
                    self._found[packed] = None
                    return str(ip_address(packed)), int.from_bytes(suffix, "big")
        return None


@rule(
    "NAT-010",
    "inner-address-recovered",
    INFO,
    title="The address of a peer behind its NAT",
    means="The detection hashes are made over the address before translation. There are few private addresses, so anybody "
    "who sees the first messages can find it.",
    detect="A search over private addresses and usual ports for the input of a detection hash.",
    look_alikes={
        "NAT-003": "the hash was made up: no address fits",
        "CAP-008": "addresses were rewritten in the file: the true ones are public and are not searched for",
    },
    causes=("not a fault: detection hashes give private addresses away to whoever tries them all",),
    confirm="The address on the peer's own interface.",
    fix="Strip NAT detection before a capture is handed on, if inner addresses are confidential.",
    rfc=("RFC 7296 2.23", "RFC 3947 3.2"),
)
def inner_address(analysis: Analysis, view: View) -> Iterator[Found]:
    """Inputs of hashes that were found."""
    search = _Search(view)
    roles: tuple[Role, Role] = ("initiator", "responder")
    said: set[tuple[str, str, int]] = set()
    for sa in analysis.ike_sas:
        for role in roles:
            behind = sa.nat.initiator if role == "initiator" else sa.nat.responder
            if not behind or sa.nat.forced:
                continue
            found = next(_recovered(sa, role, search), None)
            if found is None:
                continue
            record, address, port = found
            key = (record.datagram.src, address, port)
            if (address, port) == (record.datagram.src, record.datagram.sport) or key in said:
                continue
            said.add(key)
            yield Found(
                confidence=CERTAIN,
                summary=f"{socket(record.datagram.src, record.datagram.sport)} is {socket(address, port)} behind its NAT: its detection hash "
                f"({frames([record])}) was made over that.",
                evidence=_hash_places(record),
                subject=sa.id,
            )


def _recovered(sa: IkeSa, role: Role, search: _Search) -> Iterator[tuple[MessageRecord, str, int]]:
    for record, wanted in _hashes(sa, role):
        header = (record.assembled or record.message).header
        if header is not None:
            found = search.input_of(header.spi_i + header.spi_r, wanted, record.datagram.sport)
            if found is not None:
                yield record, *found


def _hash_places(record: MessageRecord) -> tuple[Evidence, ...]:
    return (
        *evidence.notify(record, NotifyType.NAT_DETECTION_SOURCE_IP),
        *evidence.payloads(record, ikev1.NatDetection),
    )


def behind_one_nat(view: View) -> Iterator[list[IkeSa]]:
    """SAs of several clients that come from one translated address to one gateway, in order of appearance."""
    groups: dict[tuple[str, str], list[IkeSa]] = {}
    for sa in view.analysis.ike_sas:
        if sa.nat.initiator and not sa.nat.forced and sa.rekeys is None and sa.handshake_seen:
            groups.setdefault((sa.initiator.address, sa.responder.address), []).append(sa)
    for sas in groups.values():
        if len(sas) > 1:
            yield sorted(sas, key=lambda each: each.start_ns)


def _stays_on_500(sa: IkeSa) -> list[MessageRecord]:
    """Messages of an established SA with a NAT that never leaves port 500."""
    if sa.established_ns is None or sa.nat_t or not sa.nat.initiator or sa.nat.forced:
        return []
    return [record for record in records_of(sa) if NAT_T_PORT not in (record.datagram.sport, record.datagram.dport)]


@rule(
    "NAT-008",
    "ipsec-passthrough-alg",
    HIGH,
    title="A NAT with 'IPsec passthrough' gets in the way",
    means="Some routers handle UDP port 500 and plain ESP specially. It works for one client; with a second one the first "
    "loses its tunnel, because the device cannot tell them apart.",
    detect="Two clients behind one translated address with the same port, of which one falls silent as the other starts; or "
    "a NAT by the hashes, and IKE and plain ESP that never move to port 4500.",
    look_alikes={
        "NAT-001": "a NAT that keeps the port of its only client",
        "NAT-009": "one side alone sends plain ESP",
        "NAT-012": "the clients use port 4500, in transport mode",
    },
    causes=("IPsec passthrough (an application gateway) in a home router",),
    confirm="Switch passthrough off, or connect one client only.",
    fix="Switch passthrough off; use UDP port 4500 from the start.",
    swanctl="connections.NAME { remote_port = 4500; local_port = 4500; encap = yes }",
    rfc=("RFC 3715 2.1", "RFC 3948"),
    headline=False,
)
def passthrough(analysis: Analysis, view: View) -> Iterator[Found]:
    """Clients that displace each other, and a NAT that nobody reacts to."""
    for sas in behind_one_nat(view):
        for first, second in pairwise(sas):
            ports = {first.initiator.port, second.initiator.port}
            ended = _displaced(first, second, view)
            if len(ports) > 1 or ended is None:
                continue
            begin = next(records_of(second))
            yield Found(
                confidence=LIKELY,
                headline=True,
                summary=f"Two clients behind {who(first, 'initiator')} use port {first.initiator.port}: when the second one starts "
                f"({frames([begin])}), data to the first one stops (last packet in {frames([ended.last_frame])}).",
                evidence=(*evidence.messages([begin]), *evidence.flow(ended)),
                subject=first.id,
            )
    for sa in analysis.ike_sas:
        stays = _stays_on_500(sa)
        plain = [flow for flow in view.flows_of(sa) if flow.encapsulation == "ip" and flow.protocol == "ESP"]
        if stays and plain:
            yield Found(
                confidence=POSSIBLE,
                severity=MEDIUM,
                summary=f"{who(sa, 'initiator')} is behind a NAT by its detection hashes, and neither IKE ({frames(stays)}) nor ESP moves to UDP port "
                "4500: a device with IPsec passthrough carries both.",
                evidence=(*evidence.messages(stays[:4]), *evidence.flow(plain[0])),
                subject=sa.id,
            )


def _displaced(first: IkeSa, second: IkeSa, view: View) -> Flow | None:
    """The flow to the first client that ends as the second one starts, although that client goes on sending."""
    if first.spi_i == second.spi_i or second.established_ns is None:
        return None
    for flow in view.flows_of(first):
        back = view.opposite(flow)
        to_client = role_of(first, flow.dst) == "initiator"
        ends = abs(flow.last_ns - second.start_ns) <= STOPS_NS and flow.packets >= MIN_PACKETS
        if to_client and ends and back is not None and back.last_ns > max(flow.last_ns, second.start_ns) + STOPS_NS:
            return flow
    return None


@rule(
    "NAT-012",
    "transport-nat-conflict",
    MEDIUM,
    title="Two transport mode clients behind one NAT take each other's traffic",
    means="In transport mode the gateway tells clients apart by address only. Behind one NAT they have the same, so the "
    "gateway sends everything to whoever came last.",
    detect="Transport mode (read, or by sizes) from one translated address with two ports, and data to the first client that "
    "stops when the second one starts.",
    look_alikes={"NAT-008": "the clients have the same port: the NAT mixes them up"},
    causes=("L2TP over IPsec from two machines of one site",),
    confirm="Disconnect one of them.",
    fix="Use IKEv2 in tunnel mode; or mark the SAs of each client.",
    swanctl="children.NAME { mark_in = %unique; mark_out = %unique }, with the connmark plugin",
    rfc=("RFC 3948 5.2",),
)
def transport_conflict(analysis: Analysis, view: View) -> Iterator[Found]:
    """Clients with ports of their own, in transport mode, of which the first falls silent."""
    del analysis
    for sas in behind_one_nat(view):
        for first, second in pairwise(sas):
            ended = _displaced(first, second, view)
            both = {child.mode for sa in (first, second) for child in sa.child_sas}
            if ended is None or both != {"transport"} or _ports(first) & _ports(second):
                continue
            begin = next(records_of(second))
            yield Found(
                confidence=LIKELY,
                summary=f"Two transport mode clients come from {who(first, 'initiator')} (ports {listed([str(port) for port in sorted(_ports(first) | _ports(second))])}): "
                f"when the second one starts ({frames([begin])}), data to the first one stops (last packet in {frames([ended.last_frame])}).",
                evidence=(*evidence.messages([begin]), *evidence.flow(ended)),
                subject=first.id,
            )


def _ports(sa: IkeSa) -> set[int]:
    return {port for _, port in sa.initiator.addresses}
