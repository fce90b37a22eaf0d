"""Which input of the state machines a message is, by its content."""

from __future__ import annotations

from ipsecscope.dissect.ikev1 import Attributes, Hash, KeyExchange, SecurityAssociation
from ipsecscope.dissect.registry.isakmp import ConfigType, ExchangeType, NotifyType
from ipsecscope.peers.ikev1.authentication import grammar_of
from ipsecscope.peers.ikev1.messages import Received
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.ikev1.transitions import (
    AGGRESSIVE_PROOF,
    AGGRESSIVE_SA,
    CFG_ACK,
    CFG_REPLY,
    CFG_REQUEST,
    CFG_SET,
    MAIN_ID,
    MAIN_KE,
    MAIN_SA,
    PHASE_ONE,
    QUICK_CONNECTED,
    QUICK_HASH,
    QUICK_SA,
)
from ipsecscope.peers.peer import Input

PHASE_1_EXCHANGES = (ExchangeType.IDENTITY_PROTECTION, ExchangeType.AGGRESSIVE)
CONFIG_INPUTS = {
    ConfigType.REQUEST: CFG_REQUEST,
    ConfigType.REPLY: CFG_REPLY,
    ConfigType.SET: CFG_SET,
    ConfigType.ACK: CFG_ACK,
}


def phase_1_input(received: Received) -> Input | None:
    """Which message of phase 1 this is."""
    if received.exchange_type == ExchangeType.AGGRESSIVE:
        if received.first(SecurityAssociation) is not None:
            return None if received.is_encrypted else AGGRESSIVE_SA
        return AGGRESSIVE_PROOF
    if received.is_encrypted:
        return MAIN_ID
    if received.first(SecurityAssociation) is not None:
        return MAIN_SA
    return MAIN_KE if received.first(KeyExchange) is not None else None


_POSITIONS: dict[Input, tuple[int, int]] = {
    MAIN_SA: (0, 1),
    MAIN_KE: (2, 3),
    MAIN_ID: (4, 5),
    AGGRESSIVE_SA: (0, 1),
    AGGRESSIVE_PROOF: (2, 2),
}


def is_expected(sa: IsakmpSa, given: Input, received: Received) -> bool:
    """Whether the state has a use for the message, and it has what the grammar wants of it (RFC 2409 section 5)."""
    if given not in PHASE_ONE.rows.get(sa.state, {}) or received.malformed is not None:
        return False
    position = _POSITIONS[given][1 if sa.is_initiator else 0]
    return not received.lacks(position, grammar_of(sa))


def quick_input(received: Received) -> Input | None:
    """Which message of quick mode this is."""
    if received.first(SecurityAssociation) is not None:
        return QUICK_SA
    if received.notify(NotifyType.CONNECTED) is not None:
        return QUICK_CONNECTED
    return QUICK_HASH if received.first(Hash) is not None else None


def transaction_input(received: Received) -> Input | None:
    """Which message of a transaction this is."""
    body = received.first(Attributes)
    return None if body is None else CONFIG_INPUTS.get(ConfigType(int(body.config_type)))
