"""NET for what should be in a tunnel and is not: traffic in the clear on the link that carries the tunnel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import msgspec

from ipsecscope.capture.clear import TUNNELS, ClearTraffic
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, LIKELY, MEDIUM, POSSIBLE, Evidence, Found, rule
from ipsecscope.diagnose.rules.lifecycle import silent_peer
from ipsecscope.diagnose.view import View
from ipsecscope.diagnose.words import NANOSECONDS, counted, span
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import IkeSa

MAX_LEAKS = 64  # pairs of hosts told one by one
MIN_REPLIES = 3
START_NS = 2 * NANOSECONDS  # within which both sides have installed a new SA
INTERNAL = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))
NEIGHBOURS = {4: 24, 6: 64}  # prefix length within which two hosts need no tunnel


@rule(
    "NET-014",
    "cleartext-leak",
    CRITICAL,
    title="Traffic leaves in the clear beside the tunnel",
    means="Packets that belong into the tunnel cross the network unencrypted.",
    detect="Packets between private networks, or tunnel protocols between the gateways, outside ESP on the same link.",
    look_alikes={
        "CAP-005": "Linux shows decrypted packets once more on the interface they came in by, right behind the ESP packet"
    },
    causes=(
        "a missing route or policy on the side that answers",
        "NAT before IPsec",
        "no policy that drops while the tunnel is down",
    ),
    confirm="Compare with the traffic selectors.",
    fix="Add the policy or route; drop what must not leave in the clear.",
    swanctl="children.NAME.start_action = trap",
    ios="ip access-list OUTSIDE-OUT / deny gre any any",
    rfc=("RFC 4301 5.1",),
)
def cleartext_leak(analysis: Analysis, view: View) -> Iterator[Found]:
    """Clear packets where an SA stands."""
    if not analysis.ike_sas:
        return
    scene = _Scene(analysis, view)
    told = 0
    for each in view.clear:
        found = scene.judge(each)
        if found is not None and told < MAX_LEAKS:
            told += 1
            yield found


class _Scene:
    """The gateways and flows of a capture, against which clear packets are held."""

    def __init__(self, analysis: Analysis, view: View) -> None:
        self.view = view
        self.first = analysis.ike_sas[0]
        self.gateways = {
            address for sa in analysis.ike_sas for end in (sa.initiator, sa.responder) for address, _ in end.addresses
        }
        self.subnets = {_neighbourhood(address) for address in self.gateways}
        self.is_public = not any(_is_internal(address) for address in self.gateways)
        self.pairs = {(each.src, each.dst): each for each in view.clear}
        self.flows = [flow for flow in analysis.flows if flow.dst in self.gateways or flow.src in self.gateways]
        self.selectors = [
            (sa, child, (_networks(child.tsi), _networks(child.tsr)))
            for sa in analysis.ike_sas
            for child in sa.child_sas
            if child.tsi is not None and child.tsr is not None
        ]

    def judge(self, each: ClearTraffic) -> Found | None:
        """What these packets mean beside the tunnel, if anything."""
        if each.echoes * 10 >= each.packets * 9:  # the host's own view of what it has decrypted
            return None
        if each.protocol in TUNNELS and {each.src, each.dst} <= self.gateways:
            return _found(each, self.first, "a tunnel without protection between the very gateways", certain=False)
        selected = self._selected(each)
        if selected is not None and not self._is_inside_view(each):
            if self._is_early(each):
                text = "in the moment before the tunnel was used in their direction"
                return _mild(_found(each, selected, text, certain=True))
            silent = silent_peer(selected)
            if silent is not None and each.first_ns > silent[1][-1].time_ns:
                text = "after the peer had stopped answering: the tunnel was given up"
                return _mild(_found(each, selected, text, certain=True))
            return _found(each, selected, "although the traffic selectors of the tunnel cover both", certain=True)
        if not self._is_remote(each) or self._is_inside_view(each):
            return None
        asked = self._asked(each)
        if asked is not None:
            flow, sa = asked
            text = f"while {flow.src} sends {counted(flow.packets, 'ESP packet')} to {flow.dst} and none comes back: the answers miss the tunnel"
            return _found(each, sa, text, certain=False)
        return self._beside(each)

    def _beside(self, each: ClearTraffic) -> Found:
        """Between private networks, on a link between public gateways; or just on the same link."""
        text = "beside a tunnel between the gateways"
        found = _found(each, self.first, text, certain=False)
        silent = silent_peer(self.first)
        if silent is not None and each.first_ns > silent[1][-1].time_ns:
            return _mild(found)
        # Where no ESP passes at all, the tunnel is unused (NET-013): nothing shows that these are meant for it.
        if self.is_public and each.packets >= MIN_REPLIES and self.flows:
            return found
        return _mild(found)

    def _is_early(self, each: ClearTraffic) -> bool:
        """Whether these few packets passed while a side was still installing the SA."""
        return each.packets < MIN_REPLIES and any(
            child.created_ns is not None and 0 <= each.last_ns - child.created_ns < START_NS
            for sa, child, _ in self.selectors
        )

    def _selected(self, each: ClearTraffic) -> IkeSa | None:
        """The IKE SA with a Child SA that stood at the time and whose selectors, where they are known, cover both ends."""
        for sa, child, (tsi, tsr) in self.selectors:
            standing = child.created_ns is not None and child.created_ns <= each.first_ns
            standing = standing and (child.deleted_ns is None or each.last_ns <= child.deleted_ns)
            if standing and any(
                _cover(one, each.src) and _cover(two, each.dst) for one, two in ((tsi, tsr), (tsr, tsi))
            ):
                return sa
        return None

    def _is_remote(self, each: ClearTraffic) -> bool:
        """Whether the two are hosts of different private networks, neither of them that of a gateway's link."""
        if not (_is_internal(each.src) and _is_internal(each.dst)):
            return False
        one, two = _neighbourhood(each.src), _neighbourhood(each.dst)
        return one != two and not {one, two} & self.subnets

    def _is_inside_view(self, each: ClearTraffic) -> bool:
        """Whether as many packets run both ways in the clear as in ESP: a capture on all interfaces of a gateway."""
        back = self.pairs.get((each.dst, each.src))
        if back is None:
            return False
        return any(
            _is_about(flow.packets, each.packets)
            and any(_is_about(other.packets, back.packets) for other in self._back(flow))
            for flow in self.flows
        )

    def _back(self, flow: Flow) -> list[Flow]:
        return [
            each for each in self.view.flows_between.get(frozenset({flow.src, flow.dst}), []) if each.src == flow.dst
        ]

    def _asked(self, each: ClearTraffic) -> tuple[Flow, IkeSa] | None:
        """The flow whose packets these answer: nothing answers it in ESP, and there are as many at the same time."""
        for flow in self.flows:
            sa = self.view.sa_of(flow)
            if sa is None or flow.packets < MIN_REPLIES or self._back(flow) or flow.first_ns > each.first_ns:
                continue
            if each.packets <= flow.packets + flow.packets // 10 + 1 and each.packets >= MIN_REPLIES:
                return flow, sa
        return None


def _found(each: ClearTraffic, sa: IkeSa, beside: str, *, certain: bool) -> Found:
    return Found(
        confidence=CERTAIN if certain else LIKELY,
        summary=f"{counted(each.packets, 'packet')} from {each.src} to {each.dst} ({span(each.first_frame, each.last_frame)}) cross this link "
        f"unencrypted, {beside}.",
        evidence=(
            Evidence(each.first_frame, each.file, "ip", None, f"{each.src} → {each.dst}, protocol {each.protocol}"),
            Evidence(each.last_frame, each.file, "ip", None, "last packet"),
        ),
        subject=sa.id,
    )


def _mild(found: Found) -> Found:
    """The same as a remark: it explains nothing."""
    return msgspec.structs.replace(found, confidence=POSSIBLE, severity=MEDIUM, headline=False)


def _is_about(count: int, expected: int) -> bool:
    return abs(count - expected) <= max(1, expected // 10)


Networks = tuple[IPv4Network | IPv6Network, ...]


def _networks(selectors: tuple[str, ...]) -> Networks:
    """The selectors that are whole networks of any protocol; one that takes every address tells nothing."""
    found: list[IPv4Network | IPv6Network] = []
    for each in selectors:
        with contextlib.suppress(ValueError):
            found.append(ip_network(each))
    return tuple(network for network in found if network.prefixlen)


def _cover(networks: Networks, address: str) -> bool:
    parsed = ip_address(address)
    return any(parsed in network for network in networks if network.version == parsed.version)


def _is_internal(address: str) -> bool:
    return _cover(INTERNAL, address)


def _neighbourhood(address: str) -> tuple[int, int]:
    """IP version and leading bits of an address: equal for hosts that need no tunnel to each other."""
    parsed = ip_address(address)
    return parsed.version, int(parsed) >> (parsed.max_prefixlen - NEIGHBOURS[parsed.version])
