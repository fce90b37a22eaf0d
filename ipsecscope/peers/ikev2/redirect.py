"""REDIRECT: a gateway sends its clients to another one, in IKE_SA_INIT, in IKE_AUTH or later (RFC 5685).

A client follows to an address, not to a name: whoever drives it would have to ask the DNS. It gives up where gateways
send it in circles.
"""

from __future__ import annotations

import ipaddress
from typing import ClassVar

from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import Nonce, Notify
from ipsecscope.dissect.ikev2.extensions.rfc5685 import GatewayIdentity, Redirect
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType, RedirectGatewayType
from ipsecscope.peers import events
from ipsecscope.peers.config import PeerConfig, RedirectAt
from ipsecscope.peers.entropy import SECOND, Instant
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.sa import IkeSa
from ipsecscope.peers.peer import Input, Path

MAX_REDIRECTS = 5  # RFC 5685 section 4: followed within ``LOOP_PERIOD``
LOOP_PERIOD = 300 * SECOND


def _identity(gateway: str) -> tuple[RedirectGatewayType, bytes]:
    try:
        address = ipaddress.ip_address(gateway)
    except ValueError:
        return RedirectGatewayType.FQDN, gateway.encode()
    kind = RedirectGatewayType.IPV4_ADDRESS if address.version == 4 else RedirectGatewayType.IPV6_ADDRESS
    return kind, address.packed


def redirect(gateway: str, nonce: bytes = b"") -> Notify:
    """N(REDIRECT) to a gateway; in IKE_SA_INIT with the initiator's nonce, against forgery."""
    kind, octets = _identity(gateway)
    return note(NotifyType.REDIRECT, Redirect(gateway_type=kind, gateway=octets, nonce_data=nonce).build())


def redirected_from(gateway: str) -> Notify:
    """N(REDIRECTED_FROM): the gateway that sent us away."""
    kind, octets = _identity(gateway)
    return note(NotifyType.REDIRECTED_FROM, GatewayIdentity(gateway_type=kind, gateway=octets).build())


# -- the client --------------------------------------------------------------------------------------------------


def is_forged(sa: IkeSa, received: Received) -> bool:
    """Whether an answer to IKE_SA_INIT sends us away without knowing our nonce (section 3)."""
    found = received.notify(NotifyType.REDIRECT) if received.exchange_type == ExchangeType.IKE_SA_INIT else None
    content = None if found is None else found.content()
    return found is not None and not (isinstance(content, Redirect) and content.nonce_data == sa.handshake.ni)


def follow(sa: IkeSa, received: Received, now: Instant) -> bool:
    """Begin with the gateway that a message names; False when it names none that we would go to."""
    found = received.notify(NotifyType.REDIRECT)
    content = None if found is None else found.content()
    if not sa.config.follow_redirects or not isinstance(content, Redirect):
        return False
    gateway = content.summary()
    sa.say(events.Redirected, now, gateway=gateway)
    if content.gateway_type == RedirectGatewayType.FQDN or not _is_address(gateway):
        sa.count("redirections to a name")
        return False
    sa.owner.redirect(sa, gateway, now)
    return True


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def leave(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Give up this IKE SA for one with the gateway that we are sent to."""
    if received is not None:
        follow(sa, received, now)
    sa.close(now, "redirected")
    return None


# -- the gateway -------------------------------------------------------------------------------------------------


def sends_away(config: PeerConfig, path: Path, at: RedirectAt, *, supported: bool) -> bool:
    """Whether this gateway sends a client away that came this way; the gateway that it names takes it."""
    return supported and config.redirect_at is at and config.redirect_to not in ("", path.local.address)


def supports(received: Received) -> bool:
    """Whether an IKE_SA_INIT request comes from a client that can be sent away (sections 3 and 4)."""
    return any(received.notify(kind) for kind in (NotifyType.REDIRECT_SUPPORTED, NotifyType.REDIRECTED_FROM))


def nonce_of(received: Received) -> bytes:
    """The initiator's nonce."""
    found = received.first(Nonce)
    return b"" if found is None else found.data


class SendAway:
    """HDR, SK {N(REDIRECT)}: an established client is to go (section 5)."""

    exchange_type: ClassVar = ExchangeType.INFORMATIONAL
    is_exclusive: ClassVar = False
    title = "sends its client to another gateway"

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway

    def begin(self, sa: IkeSa, now: Instant) -> tuple[Body, ...] | None:
        """The notification; None for a client that does not know what that is."""
        del now
        return (redirect(self._gateway),) if NotifyType.REDIRECT_SUPPORTED in sa.supported else None

    def finish(self, sa: IkeSa, reply: Received, now: Instant) -> Input | None:
        """The client deletes the IKE SA."""
        del sa, reply, now
        return None

    def give_up(self, sa: IkeSa, now: Instant) -> None:
        """Nothing to undo."""
