"""SEC: audit of habits: which version and mode, what is readable, whether keys are renewed afresh.

These findings never explain a failure.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.renewals import renewals
from ipsecscope.diagnose.rule import CERTAIN, HIGH, INFO, LIKELY, MEDIUM, Found, rule
from ipsecscope.diagnose.view import View, opening, records_of
from ipsecscope.diagnose.words import counted, frames, listed, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.contents import first
from ipsecscope.timeline.sas import IkeSa


@rule(
    "SEC-001",
    "ikev1-in-use",
    MEDIUM,
    title="IKEv1 is still in use",
    means="IKEv1 was withdrawn in 2023; it lacks today's algorithms and protections.",
    detect="Any IKEv1 negotiation.",
    look_alikes={"HOST-001": "only a scanner asks with IKEv1, and no SA comes of it"},
    causes=("an old peer or configuration",),
    confirm="Nothing to confirm: the version stands in every message.",
    fix="Migrate to IKEv2.",
    swanctl="connections.NAME.version = 2",
    ios="crypto ikev2 profile …",
    libreswan="ikev2=yes",
    rfc=("RFC 9395",),
)
def ikev1_in_use(analysis: Analysis) -> Iterator[Found]:
    """Major version 1."""
    old = [sa for sa in analysis.ike_sas if sa.version == 1]
    if old:
        records = [next(records_of(sa)) for sa in old]
        yield Found(
            confidence=CERTAIN,
            summary=f"{counted(len(old), 'IKE SA')} use IKEv1 ({frames(records)}), which RFC 9395 withdrew.",
            evidence=evidence.messages(records),
        )


@rule(
    "SEC-002",
    "aggressive-mode",
    HIGH,
    title="Aggressive mode shows the identity and a hash that can be attacked offline",
    means="Whoever sees these messages learns who connects, and with a pre-shared key can guess the key at leisure.",
    detect="Aggressive mode with an identity in the clear, and a hash made with a pre-shared key.",
    look_alikes={"AUTH-001": "an aggressive mode that fails"},
    causes=("a group key for remote access", "a peer with a dynamic address"),
    confirm="Nothing to confirm: the messages are in the clear.",
    fix="IKEv2, or main mode with certificates; a long random key.",
    swanctl="connections.NAME.aggressive = no",
    ios="crypto isakmp aggressive-mode disable",
    libreswan="aggressive=no",
    rfc=("RFC 2409 5.4", "RFC 9395"),
)
def aggressive_mode(sa: IkeSa) -> Iterator[Found]:
    """Identity and hash in the clear."""
    if sa.mode != "aggressive":
        return
    records = [record for exchange in opening(sa) for record in exchange.records]
    hashed = [r for r in records if r.sender == "responder" and first(r.message.payloads, ikev1.Hash) is not None]
    shared = (
        sa.suite is not None and sa.suite.auth is not None and ("PSK" in sa.suite.auth or "PRE_SHARED" in sa.suite.auth)
    )
    exposed = bool(hashed) and shared
    named = [r for r in records if first(r.message.payloads, ikev1.Identification) is not None]
    yield Found(
        confidence=CERTAIN if exposed else LIKELY,
        severity=HIGH if exposed else MEDIUM,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} use aggressive mode ({frames(records)}): identities are readable"
        f"{', and the hash of the pre-shared key can be attacked offline by whoever saw it' if exposed else ''}.",
        evidence=tuple(
            each
            for record in (*named[:2], *hashed[:1])
            for each in evidence.payloads(record, ikev1.Identification, ikev1.Hash)
        )
        or evidence.messages(records),
    )


@rule(
    "SEC-007",
    "no-pfs",
    MEDIUM,
    title="Tunnels are renewed without a fresh key exchange (no perfect forward secrecy)",
    means="One stolen IKE key opens all tunnels that were made with it.",
    detect="A CREATE_CHILD_SA exchange that succeeds without a KE payload, or without room for one.",
    look_alikes={"PH2-007": "PFS on one side only: the renewal is refused"},
    causes=("PFS is switched off",),
    confirm="IKE keys show whether the renewal has a KE payload.",
    fix="Configure a PFS group on both sides.",
    swanctl="children.NAME.esp_proposals = aes256gcm16-ecp384",
    ios="set pfs group20",
    libreswan="pfs=yes, esp=aes_gcm256-dh20",
    rfc=("RFC 7296 1.3.3", "RFC 7296 2.12"),
)
def no_pfs(sa: IkeSa, view: View) -> Iterator[Found]:
    """A Child SA made or renewed without KE."""
    for renewal in renewals(sa, view):
        if renewal.has_key_exchange is not False:
            continue
        exchange = renewal.exchange
        yield Found(
            confidence=renewal.confidence,
            summary=f"{who(sa, exchange.initiated_by)} renewed or added a tunnel without a key exchange ({frames(exchange.records)}).",
            evidence=evidence.messages(exchange.records),
            equation=renewal.equation,
        )
        return


@rule(
    "SEC-014",
    "identity-and-version-leak",
    INFO,
    title="The handshake names product and vendor",
    means="Anyone who sees the handshake, or sends one, learns what is running here.",
    detect="Vendor IDs in the clear.",
    look_alikes={"HOST-001": "a scanner collects them"},
    causes=("defaults",),
    confirm="Nothing to confirm: the Vendor IDs are in the clear.",
    fix="Switch vendor IDs off where possible.",
    swanctl="charon.send_vendor_id = no",
    libreswan="send-vendorid=no",
    rfc=("RFC 7296 3.12",),
)
def version_leak(sa: IkeSa) -> Iterator[Found]:
    """Vendor IDs that name products."""
    named = [
        (role, end.vendors) for role, end in (("initiator", sa.initiator), ("responder", sa.responder)) if end.vendors
    ]
    records = [
        record
        for record in (r for e in opening(sa) for r in e.records)
        if first(record.payloads, ikev1.VendorId) is not None or first(record.payloads, ikev2.VendorId) is not None
    ]
    if named and records:
        yield Found(
            confidence=CERTAIN,
            summary=f"{'; '.join(f'the {role} names {listed(list(vendors))}' for role, vendors in named)} ({frames(records)}).",
            evidence=tuple(
                each for record in records[:2] for each in evidence.payloads(record, ikev1.VendorId, ikev2.VendorId)
            )[: evidence.MAX_EVIDENCE],
        )
