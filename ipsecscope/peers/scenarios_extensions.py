"""The declared scenarios of extensions that change where an IKE SA leads or how it works; each is one row."""

from __future__ import annotations

import hashlib

from ipsecscope.peers.config import Mode, RedirectAt
from ipsecscope.peers.elements import Reorder
from ipsecscope.peers.entropy import MILLISECOND, Instant
from ipsecscope.peers.scenario import INSIDE, LEFT_HOST, RIGHT_HOST, Changes, Ikev2Stage, Scenario, behind, nat
from ipsecscope.peers.selectors import parse_selector

OTHER_GATEWAY = "192.0.2.22"

_FOLLOWS: Changes = {"follow_redirects": True}


def send_away(stage: Ikev2Stage, now: Instant) -> None:
    """The responder sends the initiator to the other gateway."""
    stage.responder.send_away(OTHER_GATEWAY, now)


def all_at_once(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator asks for four Child SAs and twice for a sign of life, without waiting."""
    for _ in range(4):
        stage.initiator.create_child(now)
    for _ in range(2):
        stage.initiator.probe(now)


def _sends_away(at: RedirectAt) -> Changes:
    return {"redirect_to": OTHER_GATEWAY, "redirect_at": at}


_STRONGSWAN = hashlib.md5(b"strongSwan", usedforsecurity=False).digest()  # whose number USE_BEET_MODE is
_BEET: Changes = {"mode": Mode.BEET, "vendor_ids": (_STRONGSWAN,)}

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
    Scenario(
        name="ikev2-window",
        title="N(SET_WINDOW_SIZE): four requests for Child SAs on their way at once, and two probes behind them",
        both={"window": 4},
        network=behind(lambda _: Reorder(numbers=[5], after=200 * MILLISECOND)),
        steps=((2, all_at_once),),
    ),
    Scenario(
        name="esp-beet",
        title="ESP in BEET mode: fixed inner addresses that no packet carries (strongSwan's N(USE_BEET_MODE))",
        left={"local_ts": (parse_selector(LEFT_HOST),), "remote_ts": (parse_selector(RIGHT_HOST),)},
        right={"local_ts": (parse_selector(RIGHT_HOST),), "remote_ts": (parse_selector(LEFT_HOST),)},
        both=_BEET,
        pings=4,
    ),
    Scenario(
        name="esp-beet-nat",
        title="BEET mode through a NAT, in UDP",
        left={
            "address": INSIDE,
            "local_ts": (parse_selector(LEFT_HOST),),
            "remote_ts": (parse_selector(RIGHT_HOST),),
        },
        right={"local_ts": (parse_selector(RIGHT_HOST),), "remote_ts": (parse_selector(LEFT_HOST),)},
        both=_BEET,
        network=nat(),
        pings=2,
    ),
)
