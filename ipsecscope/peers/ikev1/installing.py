"""The end of a quick mode: keys of both directions, the SAs, what they replace (RFC 2409 section 5.5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipsecscope.decrypt.groups import KeyPair
from ipsecscope.decrypt.keymat_ikev1 import quick_mode_keys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.isakmp import NotifyType
from ipsecscope.peers import events
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev1.config import ChildRequest, PhaseTwoOffer, Protocol
from ipsecscope.peers.ikev1.established import delete_children
from ipsecscope.peers.ikev1.messages import Received
from ipsecscope.peers.ikev1.negotiation import Chosen, Spis
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.ikev1.states import ChildSa, Talk
from ipsecscope.peers.peer import Input


@dataclass(slots=True, eq=False)
class Negotiation:
    """What one quick mode keeps. ``request`` is seen from here: local and remote."""

    request: ChildRequest | None = None
    offers: tuple[PhaseTwoOffer, ...] = ()
    ni: bytes = b""
    nr: bytes = b""
    pair: KeyPair | None = None
    g_xy: Secret | None = None
    chosen: Chosen | None = None
    spis_in: Spis = field(default_factory=dict)
    spis_out: Spis = field(default_factory=dict)
    tsi: str = ""
    tsr: str = ""
    replaces: list[ChildSa] = field(default_factory=list)
    refusal: NotifyType = NotifyType.NO_PROPOSAL_CHOSEN


def matter_of(talk: Talk) -> Negotiation:
    """What the quick mode keeps."""
    assert isinstance(talk.matter, Negotiation)
    return talk.matter


def install(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Derive the keys of both directions and tell of the SAs."""
    del received
    matter = matter_of(talk)
    assert matter.chosen is not None
    assert matter.request is not None
    children = [_child(sa, talk, matter, protocol) for protocol in matter.chosen.offer.protocols]
    replaced = matter.replaces or _replaced(sa, children)
    sa.completed(talk, now)
    _tell_secret(sa, matter, now)
    for child in children:
        sa.children.append(child)
        _tell(sa, child, now)
        lifetime = sa.config.patience.child_lifetime
        if lifetime and talk.by_us:
            sa.set_timer(f"lifetime {child.spi_in.hex()}", now + lifetime)
    for old in replaced:
        facts = {"protocol": old.security_protocol, "spi_i": old.spi_i, "spi_r": old.spi_r}
        sa.say(events.ChildSaRekeyed, now, **facts)
    if matter.replaces:
        delete_children(sa, [old for old in matter.replaces if old in sa.children], now)
    return None


def _replaced(sa: IsakmpSa, children: list[ChildSa]) -> list[ChildSa]:
    """SAs for the same traffic: this quick mode rekeys them, though nothing in it says so."""
    traffic = {child.traffic for child in children}
    return [old for old in sa.children if old.traffic in traffic]


def _child(sa: IsakmpSa, talk: Talk, matter: Negotiation, protocol: Protocol) -> ChildSa:
    assert sa.protection is not None
    assert matter.request is not None
    kind = protocol.protocol
    mine, theirs = matter.spis_in[kind], matter.spis_out[kind]
    keys = quick_mode_keys(
        sa.protection.prf,
        sa.protection.keys.skeyid_d,
        protocol.suite,
        protocol=int(kind),
        spi_to_initiator=mine if talk.by_us else theirs,
        spi_to_responder=theirs if talk.by_us else mine,
        ni=matter.ni,
        nr=matter.nr,
        g_xy=matter.g_xy,
    )
    return ChildSa(
        protocol=kind,
        spi_in=mine,
        spi_out=theirs,
        suite=protocol.suite,
        keys=keys,
        is_initiator=talk.by_us,
        tsi=matter.tsi,
        tsr=matter.tsr,
        mode=sa.config.child_mode,
        request=matter.request,
        message_id=talk.message_id,
    )


def _tell(sa: IsakmpSa, child: ChildSa, now: Instant) -> None:
    sa.say(
        events.ChildSaInstalled,
        now,
        protocol=child.security_protocol,
        spi_i=child.spi_i,
        spi_r=child.spi_r,
        is_initiator=child.is_initiator,
        suite=child.suite,
        keys=child.keys,
        tsi=(child.tsi,),
        tsr=(child.tsr,),
        mode=str(child.mode),
        src=sa.path.local,
        dst=sa.path.remote,
        encapsulated=sa.has_nat,
        virtual_ip=sa.virtual_ip,
    )


def _tell_secret(sa: IsakmpSa, matter: Negotiation, now: Instant) -> None:
    """The secret of perfect forward secrecy, which no key of the ISAKMP SA gives."""
    if matter.g_xy is None or matter.pair is None:
        return
    spis = (*matter.spis_in.values(), *matter.spis_out.values())
    facts = {"spi_i": sa.cookie_i, "spi_r": sa.cookie_r, "child_spis": spis}
    sa.say(events.SecretShared, now, **facts, method=matter.pair.method, secret=matter.g_xy)
