"""INTEROP for remote-access clients: what Windows offers by default, and clients that do not survive a rekey."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence, hints
from ipsecscope.diagnose.rule import CERTAIN, HIGH, LIKELY, POSSIBLE, Found, rule
from ipsecscope.diagnose.rules.authentication import CERTIFICATE_SIZE
from ipsecscope.diagnose.rules.negotiation import refusals
from ipsecscope.diagnose.rules.renewal import unrecovered
from ipsecscope.diagnose.view import View, copies, error_of, exchanges_of, next_after, opening, rounds
from ipsecscope.diagnose.words import NANOSECONDS, clock, frames, seconds, times, who
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.sas import Exchange, IkeSa

WINDOWS = "MS NT5 ISAKMPOAKLEY"
WEAK_GROUP = str(KeyExchangeMethod.MODP_1024)
SAME_AGE = 0.05  # of the age
WAIT_NS = 10 * NANOSECONDS


def is_windows(sa: IkeSa) -> bool:
    """Whether the initiator announces itself as Windows."""
    return any(WINDOWS in name for name in (*sa.initiator.vendors, *sa.initiator.vendor_ids))


@rule(
    "INTEROP-005",
    "windows-client-profile",
    HIGH,
    title="A known trap of the Windows VPN client",
    means="Windows has defaults and limits that other gateways do not expect: weak groups, no UDP encapsulation towards a "
    "gateway behind NAT, no IKE fragmentation in old versions, strict checks of the gateway's certificate.",
    detect="Microsoft's vendor id, and one of: only group 2 in a refused offer; a gateway behind NAT and nothing behind "
    "IKE_SA_INIT; IKE_AUTH in IP fragments without an answer; the end right behind the gateway's certificate.",
    look_alikes={
        "PH1-004": "another client's algorithms do not match",
        "PH1-012": "another client stops behind IKE_SA_INIT",
        "NET-003": "another client's IP fragments are lost",
        "AUTH-005": "another client refuses the gateway",
    },
    causes=("Windows' defaults",),
    confirm="The error number on the client: 13868 algorithms, 809 no answer, 13801 certificate.",
    fix="Give the client better algorithms; let the gateway send a certificate with its name and the key usage for servers.",
    swanctl="connections.NAME { fragmentation = yes; send_cert = always }; server certificate with serverAuth and its DNS name",
    ios="crypto ikev2 proposal P / encryption aes-cbc-256 / integrity sha256 / group 14",
    rfc=("RFC 7296 2.7", "RFC 7296 2.23", "RFC 7383", "RFC 4945 5.1.3.12"),
    headline=False,
)
def windows_client(sa: IkeSa, view: View) -> Iterator[Found]:
    """The four traps, the first that applies."""
    if not is_windows(sa) or sa.version == 1 or view.flows_of(sa):
        return
    yield from (
        _only_weak_group(sa) or _stops_behind_nat(sa, view) or _lost_fragments(sa) or _refuses_certificate(sa, view)
    )


def _only_weak_group(sa: IkeSa) -> list[Found]:
    refused = [*refusals(sa, NotifyType.NO_PROPOSAL_CHOSEN), *refusals(sa, NotifyType.INVALID_KE_PAYLOAD)]
    groups = hints.offered(hints.offers_of(sa, "initiator")).get("KE", [])
    if not refused or groups != [WEAK_GROUP] or sa.established_ns is not None:
        return []
    return [
        Found(
            confidence=CERTAIN,
            summary=f"The Windows client {who(sa, 'initiator')} offers {WEAK_GROUP} as its only group, and {who(sa, 'responder')} refused that "
            f"({frames(refused)}).",
            evidence=tuple(each for record in refused[:4] for each in evidence.errors(record)),
            fix="On the client: Set-VpnConnectionIPsecConfiguration with -DHGroup Group14 or ECP384 and -EncryptionMethod AES256.",
        )
    ]


def _stops_behind_nat(sa: IkeSa, view: View) -> list[Found]:
    first = opening(sa)
    if not sa.nat.responder or sa.nat.forced or len(sa.exchanges) > len(first) or first[-1].outcome != "completed":
        return []
    if view.horizon(first[-1].stop_ns) < WAIT_NS:
        return []
    return [
        Found(
            confidence=LIKELY,
            summary=f"{who(sa, 'responder')} is behind a NAT, and the Windows client {who(sa, 'initiator')} sent nothing behind IKE_SA_INIT "
            f"({frames(first[-1].records)}): by default Windows builds no tunnel to a gateway behind NAT.",
            evidence=evidence.messages(first[-1].records),
            fix="On the client: AssumeUDPEncapsulationContextOnSendRule = 2 under HKLM\\SYSTEM\\CurrentControlSet\\Services\\PolicyAgent.",
        )
    ]


def _lost_fragments(sa: IkeSa) -> list[Found]:
    for exchange in exchanges_of(sa, ExchangeType.IKE_AUTH):
        large = [each for each in copies(exchange, "initiator") if each.datagram.fragments > 1]
        if large and not exchange.response and len(rounds(large)) > 1:
            return [
                Found(
                    confidence=LIKELY,
                    summary=f"The Windows client {who(sa, 'initiator')} sent IKE_AUTH in IP fragments {times(len(rounds(large)))} ({frames(large)}) "
                    "without an answer; it does not use IKE fragmentation here.",
                    evidence=evidence.messages(large),
                )
            ]
    return []


def _refuses_certificate(sa: IkeSa, view: View) -> list[Found]:
    auths = exchanges_of(sa, ExchangeType.IKE_AUTH)
    if not auths or not auths[0].response:
        return []
    inner = view.inner(sa, auths[0].response)
    following = next_after(sa, auths[0])
    silent = following is None and view.horizon(auths[0].stop_ns) > WAIT_NS
    hung_up = following is not None and following.initiated_by == "initiator" and view.closes(sa, following)
    if inner is None or inner.low < CERTIFICATE_SIZE or not (silent or hung_up):
        return []
    records = (*auths[0].response, *(following.request if following is not None else ()))
    return [
        Found(
            confidence=LIKELY if hung_up else POSSIBLE,
            summary=f"The Windows client {who(sa, 'initiator')} {'hung up' if hung_up else 'fell silent'} right behind the gateway's certificate "
            f"({frames(records)}): it wants the gateway's name and the key usage for servers in it (error 13801).",
            evidence=evidence.messages(records),
            equation=inner.equation,
        )
    ]


def is_remote_access(sa: IkeSa) -> bool:
    """Whether a user logs in: EAP takes several rounds of IKE_AUTH, XAUTH a Transaction exchange."""
    return len(exchanges_of(sa, ExchangeType.IKE_AUTH)) > 1 or bool(exchanges_of(sa, IsakmpExchangeType.TRANSACTION))


def _unanswered(sa: IkeSa) -> Iterator[Exchange]:
    for exchange in exchanges_of(sa, ExchangeType.CREATE_CHILD_SA):
        if exchange.request and not exchange.response and len(rounds(copies(exchange, exchange.initiated_by))) > 2:
            yield exchange


def _failed_rekey(sa: IkeSa, view: View) -> Exchange | None:
    """The request for new keys that was refused or ignored, in a session of a user who had logged in."""
    if sa.version == 1 or not is_remote_access(sa) or not view.flows_of(sa):
        return None
    return next(iter([*unrecovered(sa, view), *_unanswered(sa)]), None)


@rule(
    "INTEROP-006",
    "client-cannot-rekey",
    HIGH,
    title="The client's session dies at its first rekey",
    means="A client that logged in well does not go along when keys are to be renewed, and its session ends at that age.",
    detect="A user's login (EAP), data, and then a CREATE_CHILD_SA that is refused or ignored; at the same age each time.",
    look_alikes={"PH2-007": "two gateways with different PFS: nobody logs in"},
    causes=(
        "the gateway wants a key exchange (PFS) or a group that the client does not have",
        "the client does not answer a renewal that the gateway begins",
    ),
    confirm="The age of the sessions when they end; IKE keys for this capture.",
    fix="Let the client renew, or give it a longer lifetime; offer proposals with and without a key exchange.",
    swanctl="children.NAME { rekey_time = 0; esp_proposals = aes256gcm16-ecp384, aes256gcm16 }",
    ios="crypto ipsec profile P / no set pfs",
    rfc=("RFC 7296 1.3", "RFC 7296 2.8"),
    headline=False,
)
def client_cannot_rekey(analysis: Analysis, view: View) -> Iterator[Found]:
    """Sessions of users that end at a rekey."""
    by_gateway: dict[str, list[tuple[IkeSa, Exchange]]] = {}
    for sa in analysis.ike_sas:
        exchange = _failed_rekey(sa, view)
        if exchange is not None and sa.established_ns is not None:
            by_gateway.setdefault(sa.responder.address, []).append((sa, exchange))
    for gateway, sessions in by_gateway.items():
        ages = [exchange.start_ns - (sa.established_ns or 0) for sa, exchange in sessions]
        usual = sorted(ages)[len(ages) // 2]
        alike = sum(abs(age - usual) <= SAME_AGE * usual for age in ages)
        sa, exchange = sessions[0]
        error = error_of(exchange.response)
        records = [record for _, each in sessions for record in each.records]
        how = f"refused with {error}" if error is not None else "refused" if exchange.response else "ignored"
        yield Found(
            confidence=CERTAIN if error is not None else LIKELY if alike > 1 else POSSIBLE,
            summary=f"{who(sa, 'initiator')} logged in at {gateway}, and the request of {who(sa, exchange.initiated_by)} for new keys at "
            f"{clock(exchange.start_ns)}, {seconds(usual)} later, was {how} ({frames(records)})"
            f"{f'; {alike} sessions end at this age' if alike > 1 else ''}.",
            evidence=evidence.messages(records),
            subject=sa.id,
        )
