"""The declared scenarios of extensions that change where an IKE SA leads or how it works; each is one row."""

from __future__ import annotations

from ipsecscope.peers.config import RedirectAt
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.scenario import Changes, Ikev2Stage, Scenario

OTHER_GATEWAY = "192.0.2.22"

_FOLLOWS: Changes = {"follow_redirects": True}


def send_away(stage: Ikev2Stage, now: Instant) -> None:
    """The responder sends the initiator to the other gateway."""
    stage.responder.send_away(OTHER_GATEWAY, now)


def _sends_away(at: RedirectAt) -> Changes:
    return {"redirect_to": OTHER_GATEWAY, "redirect_at": at}


EXTENSION_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="ikev2-redirect",
        title="the gateway answers IKE_SA_INIT with N(REDIRECT); the client begins anew with the other one (RFC 5685)",
        left=_FOLLOWS,
        right=_sends_away(RedirectAt.IKE_SA_INIT),
        pings=2,
    ),
    Scenario(
        name="ikev2-redirect-auth",
        title="the gateway sends the client away in IKE_AUTH, once it knows who that is",
        left=_FOLLOWS,
        right=_sends_away(RedirectAt.IKE_AUTH),
        pings=2,
    ),
    Scenario(
        name="ikev2-redirect-later",
        title="the gateway sends an established client away by INFORMATIONAL",
        left=_FOLLOWS,
        right=_sends_away(RedirectAt.LATER),
        steps=((3, send_away),),
        pings=5,
    ),
)
