"""Child SAs: offering, choosing, narrowing, keys, addresses (RFC 7296 sections 1.3.1, 2.9, 2.17 and 2.19)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec

from ipsecscope.decrypt.keymat import derive_child_keymat
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import (
    Configuration,
    ConfigurationAttribute,
    Notify,
    Proposal,
    SecurityAssociation,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
)
from ipsecscope.dissect.ikev2.selectors import TrafficSelector
from ipsecscope.dissect.registry.ikev2 import (
    ConfigurationAttributeType,
    ConfigurationType,
    NotifyType,
)
from ipsecscope.dissect.registry.private import USE_BEET_MODE
from ipsecscope.peers import events
from ipsecscope.peers.config import Mode, Offer, is_key_exchange
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.negotiation import (
    child_suite,
    choose,
    has_esn,
    is_answer_to,
    key_exchange_of,
    offer,
)
from ipsecscope.peers.ikev2.sa import ChildSa, IkeSa
from ipsecscope.peers.selectors import RangeSelector, host_of, host_selector, narrow, parse_selector, texts, within

_EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
_ADDRESS = {
    4: (ConfigurationAttributeType.INTERNAL_IP4_ADDRESS, ConfigurationAttributeType.INTERNAL_IP4_DNS),
    6: (ConfigurationAttributeType.INTERNAL_IP6_ADDRESS, ConfigurationAttributeType.INTERNAL_IP6_DNS),
}
MODES = {Mode.TRANSPORT: NotifyType.USE_TRANSPORT_MODE, Mode.BEET: USE_BEET_MODE}  # tunnel mode needs no notification
INTERNAL_PREFIX = 128  # the prefix length behind an INTERNAL_IP6_ADDRESS that is one address


class Negotiation(msgspec.Struct, frozen=True):
    """A Child SA that we offered and that is not answered yet."""

    spi: bytes
    offered: SecurityAssociation
    tsi: tuple[RangeSelector, ...]
    tsr: tuple[RangeSelector, ...]
    mode: Mode
    asks_address: bool = False


class Agreed(msgspec.Struct, frozen=True, kw_only=True):
    """A Child SA that both sides agreed on and that has no keys yet."""

    chosen: Proposal
    spi_in: bytes
    spi_out: bytes
    tsi: tuple[RangeSelector, ...]
    tsr: tuple[RangeSelector, ...]
    mode: Mode
    is_initiator: bool
    virtual_ip: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no Child SA; ``data`` is that of the notification."""

    notify_type: NotifyType
    data: bytes = b""

    def notify(self) -> Notify:
        """The refusal as a notification."""
        return note(self.notify_type, self.data)


# -- the side that offers ----------------------------------------------------------------------------------------


def propose(
    sa: IkeSa,
    policy: Sequence[Offer],
    *,
    selectors: tuple[tuple[RangeSelector, ...], tuple[RangeSelector, ...]] | None = None,
) -> tuple[Negotiation, list[Body]]:
    """An offer and its payloads: [CP,] [N(USE_TRANSPORT_MODE),] SA, TSi, TSr."""
    config = sa.config
    asks = config.request_virtual_ip and not sa.virtual_ip and selectors is None
    tsi, tsr = selectors or (_own_side(sa, asks=asks), _other_side(sa))
    spi = sa.owner.entropy.child_spi()
    made = Negotiation(spi, offer(policy, spi), tsi, tsr, config.mode, asks_address=asks)
    bodies: list[Body] = [
        made.offered,
        TrafficSelectorsInitiator(selectors=tsi),
        TrafficSelectorsResponder(selectors=tsr),
    ]
    bodies += _mode_notify(config.mode)
    if asks:
        address, dns = _ADDRESS[_version(sa)]
        wanted = (ConfigurationAttribute(attribute_type=address), ConfigurationAttribute(attribute_type=dns))
        bodies.append(Configuration(cfg_type=ConfigurationType.CFG_REQUEST, attributes=wanted))
    return made, bodies


def _mode_notify(mode: Mode) -> list[Body]:
    """The notification that asks for a mode, or agrees to it."""
    return [note(MODES[mode])] if mode in MODES else []


def _agreed_mode(
    received: Received, wanted: Mode, tsi: Sequence[TrafficSelector], tsr: Sequence[TrafficSelector]
) -> Mode:
    """The mode that we want, where the other side says so too; BEET is for one host on each side."""
    if wanted not in MODES or received.notify(MODES[wanted]) is None:
        return Mode.TUNNEL
    if wanted == Mode.BEET and not all(len(each) == 1 and host_of(each[0]) for each in (tsi, tsr)):
        return Mode.TUNNEL
    return wanted


def _version(sa: IkeSa) -> int:
    return ipaddress.ip_address(sa.path.local.address).version


def _own_side(sa: IkeSa, *, asks: bool) -> tuple[RangeSelector, ...]:
    """Our selectors: as configured, everything while we ask for an address, else our own address."""
    if sa.config.local_ts:
        return sa.config.local_ts
    if asks:
        return (parse_selector(_EVERYWHERE[_version(sa)]),)
    return (host_selector(sa.virtual_ip or sa.path.local.address),)


def _other_side(sa: IkeSa) -> tuple[RangeSelector, ...]:
    return sa.config.remote_ts or (host_selector(sa.path.remote.address),)


def settle(sa: IkeSa, made: Negotiation, received: Received, *, exchanged: bool = False) -> Agreed | Refusal:
    """What a response agrees to, or why there is no Child SA; ``exchanged`` says whether there was a key exchange."""
    if received.error is not None:
        return Refusal(received.error.notify_type, received.error.data)
    answer = received.first(SecurityAssociation)
    tsi, tsr = received.first(TrafficSelectorsInitiator), received.first(TrafficSelectorsResponder)
    if answer is None or tsi is None or tsr is None or len(answer.proposals) != 1:
        return Refusal(NotifyType.INVALID_SYNTAX)
    chosen = answer.proposals[0]
    if not is_answer_to(chosen, made.offered) or len(chosen.spi) != len(made.spi):
        return Refusal(NotifyType.NO_PROPOSAL_CHOSEN)
    if not tsi.selectors or not within(tsi.selectors, made.tsi) or not within(tsr.selectors, made.tsr):
        return Refusal(NotifyType.TS_UNACCEPTABLE)
    if (key_exchange_of(chosen) is None) == exchanged:
        return Refusal(NotifyType.INVALID_SYNTAX)
    mode = _agreed_mode(received, made.mode, tsi.selectors, tsr.selectors)
    if made.asks_address:
        sa.virtual_ip = _assigned(received)
    return Agreed(
        chosen=chosen,
        spi_in=made.spi,
        spi_out=chosen.spi,
        tsi=_ranges(tsi.selectors),
        tsr=_ranges(tsr.selectors),
        mode=mode,
        is_initiator=True,
        virtual_ip=sa.virtual_ip,
    )


def _ranges(selectors: Sequence[object]) -> tuple[RangeSelector, ...]:
    return tuple(each for each in selectors if isinstance(each, RangeSelector))


def _assigned(received: Received) -> str:
    """The virtual address of a CFG_REPLY; empty when there is none."""
    reply = received.first(Configuration)
    for attribute in reply.attributes if reply is not None else ():
        if attribute.attribute_type in (_ADDRESS[4][0], _ADDRESS[6][0]) and len(attribute.value) >= 4:
            size = 4 if attribute.attribute_type == _ADDRESS[4][0] else 16
            if len(attribute.value) >= size:
                return str(ipaddress.ip_address(attribute.value[:size]))
    return ""


# -- the side that answers ---------------------------------------------------------------------------------------


def pick(sa: IkeSa, received: Received, *, in_auth: bool) -> Proposal | Refusal:
    """The proposal that we choose for a Child SA, with our SPI; the key exchange is not looked at in IKE_AUTH."""
    offered = received.first(SecurityAssociation)
    if offered is None:
        return Refusal(NotifyType.INVALID_SYNTAX)
    if len(sa.children) >= sa.config.limits.children_per_sa:
        return Refusal(NotifyType.NO_ADDITIONAL_SAS)
    policy = (
        [each.without_key_exchange() for each in sa.config.child_proposals]
        if in_auth
        else list(sa.config.child_proposals)
    )
    chosen = choose(_without_key_exchange(offered) if in_auth else offered, policy, spi=sa.owner.entropy.child_spi())
    if chosen is None or child_suite(chosen) is None:
        return Refusal(NotifyType.NO_PROPOSAL_CHOSEN)
    return chosen


def _without_key_exchange(offered: SecurityAssociation) -> SecurityAssociation:
    kept = [
        msgspec.structs.replace(
            proposal,
            transforms=tuple(item for item in proposal.transforms if not is_key_exchange(item.transform_type)),
            transform_count=None,
        )
        for proposal in offered.proposals
    ]
    return SecurityAssociation(proposals=tuple(kept))


def respond(sa: IkeSa, received: Received, chosen: Proposal) -> tuple[Agreed, list[Body]] | Refusal:
    """What we agree to, and the payloads that say so; or why there is no Child SA."""
    tsi, tsr = received.first(TrafficSelectorsInitiator), received.first(TrafficSelectorsResponder)
    offered = received.first(SecurityAssociation)
    theirs = (
        None if offered is None else next((each for each in offered.proposals if each.number == chosen.number), None)
    )
    if tsi is None or tsr is None or theirs is None or len(theirs.spi) != len(chosen.spi):
        return Refusal(NotifyType.INVALID_SYNTAX)
    transport = sa.config.mode == Mode.TRANSPORT and received.notify(NotifyType.USE_TRANSPORT_MODE) is not None
    configured = _assign(sa, received)
    if isinstance(configured, Refusal):
        return configured
    address, reply = configured
    if transport and sa.has_nat:
        mine, yours = _ranges(tsr.selectors), _ranges(tsi.selectors)  # RFC 7296 section 2.23.1
    else:
        yours = narrow(tsi.selectors, _their_policy(sa, address))
        mine = narrow(tsr.selectors, _own_side(sa, asks=False))
    if not mine or not yours:
        return Refusal(NotifyType.TS_UNACCEPTABLE)
    mode = _agreed_mode(received, sa.config.mode, yours, mine)
    agreed = Agreed(
        chosen=chosen,
        spi_in=chosen.spi,
        spi_out=theirs.spi,
        tsi=yours,
        tsr=mine,
        mode=mode,
        is_initiator=False,
        virtual_ip=address,
    )
    bodies: list[Body] = [
        *reply,
        SecurityAssociation(proposals=(chosen,)),
        TrafficSelectorsInitiator(selectors=yours),
        TrafficSelectorsResponder(selectors=mine),
    ]
    bodies += _mode_notify(mode)
    return agreed, bodies


def _their_policy(sa: IkeSa, assigned: str) -> tuple[RangeSelector, ...]:
    """What the other side may have: the address that we assigned, else what is configured, else its own address."""
    return (host_selector(assigned),) if assigned else _other_side(sa)


def _assign(sa: IkeSa, received: Received) -> tuple[str, list[Body]] | Refusal:
    """A virtual address and CP(CFG_REPLY) for CP(CFG_REQUEST) (RFC 7296 section 2.19)."""
    request = received.first(Configuration)
    if sa.config.request_virtual_ip:
        return "", []
    if request is None or request.cfg_type != ConfigurationType.CFG_REQUEST:
        needs = sa.config.pool.addresses and not sa.virtual_ip
        return Refusal(NotifyType.FAILED_CP_REQUIRED) if needs else (sa.virtual_ip, [])
    if not sa.config.pool.addresses:
        return Refusal(NotifyType.INTERNAL_ADDRESS_FAILURE)
    if not sa.virtual_ip:
        number = sa.owner.mailbox.counts["virtual addresses assigned"]
        if number >= len(sa.config.pool.addresses):
            return Refusal(NotifyType.INTERNAL_ADDRESS_FAILURE)
        sa.count("virtual addresses assigned")
        sa.virtual_ip = sa.config.pool.addresses[number]
    attributes = [_attribute(sa.virtual_ip, kind=0), *(_attribute(dns, kind=1) for dns in sa.config.pool.dns)]
    reply = Configuration(cfg_type=ConfigurationType.CFG_REPLY, attributes=tuple(attributes))
    return sa.virtual_ip, [reply]


def _attribute(address: str, *, kind: int) -> ConfigurationAttribute:
    parsed = ipaddress.ip_address(address)
    prefix = bytes((INTERNAL_PREFIX,)) if parsed.version == 6 and kind == 0 else b""
    return ConfigurationAttribute(attribute_type=_ADDRESS[parsed.version][kind], value=parsed.packed + prefix)


# -- both --------------------------------------------------------------------------------------------------------


def make(sa: IkeSa, agreed: Agreed, secrets: Sequence[Secret], ni: bytes, nr: bytes) -> ChildSa:
    """The Child SA with its keys; ``secrets`` are those of its key exchanges, none without PFS."""
    suite = child_suite(agreed.chosen)
    assert suite is not None
    return ChildSa(
        protocol=agreed.chosen.protocol_id,
        spi_in=agreed.spi_in,
        spi_out=agreed.spi_out,
        suite=suite,
        keys=derive_child_keymat(sa.suite.prf, sa.sk_d, suite, secrets, ni=ni, nr=nr),
        is_initiator=agreed.is_initiator,
        tsi=agreed.tsi,
        tsr=agreed.tsr,
        mode=agreed.mode,
        esn=has_esn(agreed.chosen),
        method=key_exchange_of(agreed.chosen),
        machine=sa.owner.child_machine(),
        virtual_ip=agreed.virtual_ip,
    )


def install(sa: IkeSa, child: ChildSa, now: Instant) -> None:
    """Put a Child SA to use and tell the data plane."""
    sa.children.append(child)
    sa.say(
        events.ChildSaInstalled,
        now,
        protocol=child.protocol,
        spi_i=child.spi_i,
        spi_r=child.spi_r,
        is_initiator=child.is_initiator,
        suite=child.suite,
        keys=child.keys,
        tsi=texts(child.tsi),
        tsr=texts(child.tsr),
        mode=str(child.mode),
        esn=child.esn,
        src=sa.path.local,
        dst=sa.path.remote,
        encapsulated=sa.has_nat,
        virtual_ip=child.virtual_ip,
    )
    lifetime = sa.config.patience.child_lifetime
    if lifetime:
        sa.set_timer(f"rekey {child.spi_in.hex()}", now + lifetime)


def remove(sa: IkeSa, child: ChildSa, now: Instant) -> None:
    """Take a Child SA out of use."""
    if child in sa.children:
        sa.children.remove(child)
        sa.clear_timer(f"rekey {child.spi_in.hex()}")
        sa.say(events.ChildSaDeleted, now, protocol=child.protocol, spi_i=child.spi_i, spi_r=child.spi_r)
