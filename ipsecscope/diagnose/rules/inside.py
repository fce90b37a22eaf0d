"""ESP with keys: packets that do not belong into their tunnel, and errors of the hosts behind it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, HIGH, LIKELY, MEDIUM, Found, rule
from ipsecscope.diagnose.view import View
from ipsecscope.diagnose.words import counted, frames, listed
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import ChildSa
from ipsecscope.timeline.settle import role_of

SHOWN = 3  # pairs of hosts named

Networks = list[IPv4Network | IPv6Network]


def _networks(selectors: tuple[str, ...]) -> Networks | None:
    """The selectors as networks; None where one is a range, or for one protocol or port only."""
    try:
        return [ip_network(each) for each in selectors]
    except ValueError:
        return None


def _covers(networks: Networks, address: str) -> bool:
    parsed = ip_address(address)
    return any(parsed in network for network in networks if network.version == parsed.version)


@rule(
    "ESP-007",
    "selector-violation",
    HIGH,
    title="Packets in the tunnel are outside its networks",
    means="The sender puts packets into the tunnel that the traffic selectors do not cover. The receiver has to drop them.",
    detect="With keys: inner addresses outside the negotiated traffic selectors.",
    look_alikes={
        "ESP-008": "the packets belong here, and a host behind the tunnel refuses them",
        "PH2-008": "the networks were narrowed: the negotiation shows it",
    },
    causes=(
        "addresses are translated behind the policy (no NAT exemption)",
        "the SA of another network was chosen",
        "packets of the gateway itself, with its outer address",
    ),
    confirm="The receiver's counter of policy violations; its log.",
    fix="Exempt VPN traffic from NAT, or add the network on both sides.",
    swanctl="children.NAME.local_ts = NETWORK OF THE SENDER, added on both sides",
    ios="ip nat inside source list NAT-ACL (first line: deny ip LOCAL REMOTE)",
    rfc=("RFC 4301 5.2", "RFC 7296 2.9"),
)
def selector_violation(child: ChildSa, view: View) -> Iterator[Found]:
    """Inner addresses that no selector covers."""
    sa = view.owner(child)
    if sa is None or child.tsi is None or child.tsr is None:
        return
    local, remote = _networks(child.tsi), _networks(child.tsr)
    if local is None or remote is None:
        return
    for flow in (view.flows[name] for name in child.flows if name in view.flows):
        traffic = view.analysis.traffic.get(flow.id)
        sender = role_of(sa, flow.src)
        if traffic is None or sender is None:
            continue
        ends = (local, remote) if sender == "initiator" else (remote, local)
        outside = {
            pair: n
            for pair, n in traffic.pairs.items()
            if not (_covers(ends[0], pair[0]) and _covers(ends[1], pair[1]))
        }
        if not outside:
            continue
        shown = listed([f"{src} → {dst}" for src, dst in list(outside)[:SHOWN]])
        yield Found(
            confidence=CERTAIN,
            summary=f"{flow.src} sends {counted(sum(outside.values()), 'packet')} of {shown} through a tunnel that is for "
            f"{' '.join(child.tsi)} and {' '.join(child.tsr)} ({frames([flow.first_frame, flow.last_frame])}): {flow.dst} has to drop them.",
            evidence=evidence.flow(flow),
        )


@rule(
    "ESP-008",
    "inner-path-problem",
    MEDIUM,
    title="Behind the tunnel something refuses the traffic",
    means="The tunnel carries the packets; a host or router behind it answers that it cannot or will not take them.",
    detect="With keys: ICMP errors and refused TCP connections inside the tunnel.",
    look_alikes={"NET-012": "nothing at all comes back", "ESP-007": "the packets do not belong into this tunnel"},
    causes=("the service is down", "a firewall behind the gateway", "a missing route behind the gateway"),
    confirm="Try the same from a host beside the target.",
    fix="Not a fault of the VPN: look at the host that answers.",
    rfc=("RFC 4301 8.2", "RFC 792"),
)
def inner_path_problem(flow: Flow, view: View) -> Iterator[Found]:
    """Errors that came through the tunnel."""
    traffic = view.analysis.traffic.get(flow.id)
    if traffic is None or not traffic.errors:
        return
    shown = [f"{src} tells {dst}: {kind}, {count}×" for (kind, src, dst), count in list(traffic.errors.items())[:SHOWN]]
    yield Found(
        confidence=LIKELY,
        summary=f"Inside the tunnel from {flow.src} to {flow.dst} ({frames([flow.first_frame, flow.last_frame])}): {'; '.join(shown)}.",
        evidence=evidence.flow(flow),
    )
