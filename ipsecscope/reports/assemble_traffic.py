"""Flows and ICMP errors of an analysis as the report has them."""

from __future__ import annotations

from collections.abc import Iterable

from ipsecscope.diagnose import geometry
from ipsecscope.reports import document
from ipsecscope.reports.clock import NANOSECONDS, Clock
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.flows import Flow

TELLING_LENGTHS = 3  # with fewer distinct lengths nearly every family fits


def flow_of(flow: Flow, analysis: Analysis, clock: Clock) -> document.Flow:
    """One flow with the SA it belongs to and what the keys opened of it."""
    binding = analysis.bindings.get(flow.id)
    traffic = analysis.traffic.get(flow.id)
    return document.Flow(
        id=flow.id,
        protocol=flow.protocol,
        encapsulation=flow.encapsulation,
        src=flow.src,
        dst=flow.dst,
        spi=f"{flow.spi:08x}",
        child_sa=None if binding is None else binding.child_sa,
        ike_sa=None if binding is None else binding.ike_sa,
        binding=None if binding is None else binding.basis,
        packets=flow.packets,
        bytes=flow.octets,
        first_time=clock.always(flow.first_ns),
        last_time=clock.always(flow.last_ns),
        sequence=document.Sequence(
            first=flow.first_seq,
            last=flow.last_seq,
            lost=flow.lost,
            duplicates=flow.duplicates,
            reordered=flow.reordered,
            replayed=flow.replayed,
            gaps=list(flow.gaps),
            rolled_over=flow.rolled_over,
        ),
        opened=None if traffic is None else traffic.opened,
        refused=None if traffic is None else traffic.refused,
        reason=None if traffic is None else traffic.reason,
        inner=None if traffic is None else document.Inner(traffic.opened, traffic.protocols),
        key_origin=None if traffic is None else traffic.origin,
        inferred=_inferred(flow),
        sources=[f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address, port in flow.sources],
        first_frame=flow.first_frame,
        last_frame=flow.last_frame,
        longest_silence_s=flow.longest_silence_ns / NANOSECONDS,
        truncated=flow.truncated,
    )


def _inferred(flow: Flow) -> document.Inferred | None:
    """What the lengths of an ESP flow alone allow; None for AH, and where nothing plain fits."""
    found = (
        geometry.geometry_of(flow.lengths, flow.ciphertext) if flow.protocol == "ESP" and not flow.truncated else None
    )
    if found is None:
        return None
    mtu = None if found.plateau is None else geometry.path_mtu(flow, found.plateau)
    names = list(found.names) if found.distinct >= TELLING_LENGTHS else []
    return document.Inferred(suite=names, mode=found.mode, mtu=mtu)


def icmp_errors(analysis: Analysis, clock: Clock) -> Iterable[document.IcmpError]:
    """The ICMP errors that quote an IPsec packet."""
    for datagram, sa in analysis.icmp:
        quoted, error = datagram.quoted, datagram.icmp
        if quoted is None or error is None:
            continue
        spi = quoted.payload[:4].hex() if quoted.kind.name == "ESP" and len(quoted.payload) >= 4 else None
        yield document.IcmpError(
            frame=datagram.frame,
            time=clock.always(datagram.time_ns),
            sender=error.sender,
            type=error.type,
            code=error.code,
            mtu=error.mtu,
            quotes=quoted.kind.name,
            src=quoted.src,
            dst=quoted.dst,
            ike_sa=sa,
            spi=spi,
            file=datagram.file,
        )
