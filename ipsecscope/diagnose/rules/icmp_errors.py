"""What ICMP errors say about the VPN: nothing listens, a filter on the way, packets too big."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import (
    CERTAIN,
    CRITICAL,
    HIGH,
    MEDIUM,
    Found,
    rule,
)
from ipsecscope.diagnose.view import (
    View,
)
from ipsecscope.diagnose.words import (
    frames,
    socket,
    times,
    who,
)
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.sas import IkeSa

# ICMP errors by version, type and code (RFC 792, RFC 1812 5.2.7, RFC 4443 3).
PORT_UNREACHABLE = frozenset({(4, 3, 3), (6, 1, 4)})
TOO_BIG = frozenset({(4, 3, 4), (6, 2, 0)})
BARRED = {
    (4, 3, 0): "net unreachable",
    (4, 3, 1): "host unreachable",
    (4, 3, 9): "network administratively prohibited",
    (4, 3, 10): "host administratively prohibited",
    (4, 3, 13): "communication administratively prohibited",
    (4, 11, 0): "time to live exceeded: a routing loop",
    (6, 1, 0): "no route",
    (6, 1, 1): "administratively prohibited",
    (6, 1, 3): "address unreachable",
    (6, 3, 0): "time to live exceeded: a routing loop",
}


@rule(
    "PH1-002",
    "ike-port-closed",
    HIGH,
    title="The peer is up, but nothing listens on its IKE port",
    means="The peer's operating system answers that the port is closed: its IKE daemon is not running, or listens elsewhere.",
    detect="ICMP port unreachable from the peer's own address, quoting an IKE request.",
    look_alikes={
        "NET-002": "other ICMP codes, or another sender: a filter on the way",
        "NAT-006": "the port of a NAT, after a session",
    },
    causes=("the IKE daemon is stopped", "it listens on another address or VRF", "the wrong host"),
    confirm="On the peer: ss -ulnp | grep ':500'",
    fix="Start the daemon, or bind it to this address.",
    swanctl="charon.interfaces_use, charon.port = 500",
    ios="crypto map or tunnel protection on the interface and VRF that the packets come in by",
    rfc=("RFC 792", "RFC 4443 3.1"),
)
def ike_port_closed(sa: IkeSa, view: View) -> Iterator[Found]:
    """ICMP port unreachable from the peer."""
    found = [view.analysis.icmp[at][0] for at in view.icmp_of.get(sa.id, ())]
    closed = [
        each
        for each in found
        if each.icmp is not None
        and (each.icmp.version, each.icmp.type, each.icmp.code) in PORT_UNREACHABLE
        and each.quoted is not None
        and each.icmp.sender == each.quoted.dst
    ]
    if not closed or sa.established_ns is not None:
        return
    quoted = closed[0].quoted
    assert quoted is not None
    yield Found(
        confidence=CERTAIN,
        summary=f"{socket(quoted.dst, quoted.dport)} answered {who(sa, 'initiator')}'s IKE messages with ICMP 'port unreachable' "
        f"{times(len(closed))} (first in frame {closed[0].frame}): the host is up, but no IKE daemon listens there.",
        evidence=tuple(evidence.icmp(each) for each in closed[: evidence.MAX_EVIDENCE]),
    )


@rule(
    "NET-002",
    "icmp-blocked-admin",
    CRITICAL,
    title="A router says that it does not let the VPN through",
    means="A device on the way reports that it filters these packets or has no route for them.",
    detect="ICMP unreachable (filtered, no route) or time exceeded that quotes IKE, ESP or AH.",
    look_alikes={"PH1-002": "port unreachable from the peer itself", "NET-007": "packet too big"},
    causes=("an access list", "no route", "a routing loop"),
    confirm="The ICMP message names its sender: look there.",
    fix="Correct the filter or the route on the device that sent the ICMP message.",
    rfc=("RFC 1812 5.2.7", "RFC 4443 3.1"),
)
def icmp_blocked_admin(analysis: Analysis) -> Iterator[Found]:
    """ICMP errors that say no."""
    groups: dict[tuple[str, str, str | None], list[int]] = {}
    for position, (datagram, sa) in enumerate(analysis.icmp):
        error = datagram.icmp
        text = None if error is None else BARRED.get((error.version, error.type, error.code))
        if error is not None and text is not None:
            groups.setdefault((error.sender, text, sa), []).append(position)
    for (sender, text, sa), positions in groups.items():
        found = [analysis.icmp[position][0] for position in positions]
        quoted = found[0].quoted
        what = f"{quoted.kind.name} from {quoted.src} to {quoted.dst}" if quoted is not None else "IPsec"
        yield Found(
            confidence=CERTAIN,
            summary=f"{sender} reports '{text}' for {what}, {times(len(found))} ({frames([each.frame for each in found])}).",
            evidence=tuple(evidence.icmp(each) for each in found[: evidence.MAX_EVIDENCE]),
            subject=sa,
        )


@rule(
    "NET-007",
    "icmp-frag-needed",
    HIGH,
    title="A router reports that the packets are too big",
    means="The path carries smaller packets than are sent, and says so; if the sender does not listen, large packets are lost.",
    detect="ICMP 'fragmentation needed' or 'packet too big' that quotes ESP, AH or IKE.",
    look_alikes={"NET-008": "no ICMP error arrives", "HOST-007": "a forged error quotes a packet that was never sent"},
    causes=("PMTU discovery does not reach the inner hosts", "DF is copied to the outer packet"),
    confirm="Are packets still larger than the reported MTU afterwards?",
    fix="Clamp the MSS, lower the tunnel's MTU, honour the reports.",
    swanctl="charon.plugins.kernel-netlink.mtu",
    ios="ip mtu 1400; ip tcp adjust-mss 1360; crypto ipsec df-bit clear",
    rfc=("RFC 4301 8.2", "RFC 1191", "RFC 8201"),
)
def icmp_frag_needed(analysis: Analysis) -> Iterator[Found]:
    """Packet too big."""
    groups: dict[tuple[str, int | None], list[int]] = {}
    for position, (datagram, _) in enumerate(analysis.icmp):
        error = datagram.icmp
        if error is not None and (error.version, error.type, error.code) in TOO_BIG:
            groups.setdefault((error.sender, error.mtu), []).append(position)
    for (sender, mtu), positions in groups.items():
        found = [analysis.icmp[position][0] for position in positions]
        quoted = found[0].quoted
        yield Found(
            confidence=CERTAIN,
            severity=HIGH if len(found) > 2 else MEDIUM,
            headline=len(found) > 2,
            summary=f"{sender} reports {times(len(found))} that packets{f' from {quoted.src} to {quoted.dst}' if quoted else ''} do not fit"
            f"{f' its MTU of {mtu}' if mtu else ''} ({frames([each.frame for each in found])}).",
            evidence=tuple(evidence.icmp(each) for each in found[: evidence.MAX_EVIDENCE]),
            subject=analysis.icmp[positions[0]][1],
        )
