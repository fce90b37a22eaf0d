"""IKE_SA_INIT in more than one round: another key exchange group, or a cookie first (RFC 7296 1.2, 2.6)."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence, hints
from ipsecscope.diagnose.rule import CERTAIN, HIGH, INFO, LIKELY, POSSIBLE, Found, rule
from ipsecscope.diagnose.rules.negotiation import refusals
from ipsecscope.diagnose.view import notify_in, opening
from ipsecscope.diagnose.words import frames, times, who
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod, NotifyType
from ipsecscope.timeline.sas import IkeSa, MessageRecord


@rule(
    "PH1-007",
    "invalid-ke-retry",
    INFO,
    title="The first key exchange group was the wrong guess: one more round trip",
    means="The responder wanted another group of the offer, and the initiator tried again with it. This is normal.",
    detect="INVALID_KE_PAYLOAD, then the request again with the group it names, then an answer.",
    look_alikes={"PH1-008": "the retry never succeeds"},
    causes=("the initiator's first group is not the responder's favourite",),
    confirm="Nothing to confirm: the retry and its answer are in the capture.",
    fix="Put that group first to save a round trip.",
    swanctl="connections.NAME.proposals = aes256gcm16-prfsha384-ecp384",
    ios="crypto ikev2 proposal P / group 20 14",
    libreswan="ike=aes_gcm256-sha2_384-dh20",
    rfc=("RFC 7296 1.2", "RFC 7296 2.7"),
)
def invalid_ke_retry(sa: IkeSa) -> Iterator[Found]:
    """A group asked for and given."""
    asked = [(record, group) for record, group in _wanted_groups(sa)]
    if not asked or not any(each.outcome == "completed" for each in opening(sa)):
        return
    record, group = asked[-1]
    yield Found(
        confidence=CERTAIN,
        summary=f"{who(sa, 'responder')} asked for {group} ({frames([record])}); {who(sa, 'initiator')} tried again with it and "
        "was answered.",
        evidence=evidence.notify(record, NotifyType.INVALID_KE_PAYLOAD),
        config={
            name: f"initiator, with this group first: {text}" for name, text in hints.group_config(str(group)).items()
        },
    )


def _wanted_groups(sa: IkeSa) -> list[tuple[MessageRecord, KeyExchangeMethod]]:
    """Every INVALID_KE_PAYLOAD of the opening with the group that it asks for."""
    found = []
    for exchange in opening(sa):
        for record in exchange.response:
            hit = notify_in([record], NotifyType.INVALID_KE_PAYLOAD)
            if hit is not None and len(hit[1].data) == 2:
                found.append((record, KeyExchangeMethod(int.from_bytes(hit[1].data, "big"))))
    return found


@rule(
    "PH1-008",
    "invalid-ke-loop",
    HIGH,
    title="The two sides never agree on a key exchange group",
    means="The responder insists on a group that the initiator did not offer, or asks again although it was given.",
    detect="INVALID_KE_PAYLOAD for a group outside the offer, or again for the group just sent, and no answer.",
    look_alikes={
        "HOST-007": "a forged refusal: a genuine answer to the same request arrives as well",
        "PH1-007": "it succeeds",
    },
    causes=("the lists of groups have nothing in common", "a fault in the responder"),
    confirm="Compare the group it asks for with the offer.",
    fix="Add the group on one side, or remove it on the other.",
    swanctl="connections.NAME.proposals = aes256-sha256-modp2048-ecp256",
    ios="crypto ikev2 proposal P / group 14 19",
    libreswan="ike=aes256-sha2_256-dh14+dh19",
    rfc=("RFC 7296 1.2", "RFC 7296 2.7"),
)
def invalid_ke_loop(sa: IkeSa) -> Iterator[Found]:
    """A group that cannot be given."""
    asked = _wanted_groups(sa)
    if not asked or any(each.outcome == "completed" for each in opening(sa)):
        return
    offered = hints.offered(hints.offers_of(sa, "initiator")).get("KE", [])
    _, group = asked[-1]
    if not offered:
        confidence, why = POSSIBLE, "and the offer is not in this capture"
    elif str(group) not in offered:
        confidence, why = CERTAIN, f"which {who(sa, 'initiator')} did not offer ({', '.join(offered)})"
    elif len({group for _, group in asked}) < len(asked):
        confidence, why = LIKELY, f"although it was given, {times(len(asked))}"
    else:
        confidence, why = POSSIBLE, "and nothing follows"
    yield Found(
        confidence=confidence,
        headline=bool(offered),
        summary=f"{who(sa, 'responder')} asks for key exchange group {group} ({frames([each for each, _ in asked])}), {why}.",
        evidence=tuple(
            each for other, _ in asked[:4] for each in evidence.notify(other, NotifyType.INVALID_KE_PAYLOAD)
        ),
        config={name: f"initiator, to offer it: {text}" for name, text in hints.group_config(str(group)).items()},
    )


@rule(
    "PH1-009",
    "cookie-challenge",
    INFO,
    title="The responder is under load and asks for a cookie",
    means="The responder first wants proof that the initiator's address is real. This is normal under load.",
    detect="A COOKIE notify as the only answer, then the request again with the cookie, then an answer.",
    look_alikes={"PH1-010": "the cookie is never accepted"},
    causes=("many half-open SAs", "a policy that always asks"),
    confirm="The responder's count of half-open SAs at that time.",
    fix="Usually none.",
    swanctl="charon.cookie_threshold",
    ios="crypto ikev2 cookie-challenge 100",
    rfc=("RFC 7296 2.6",),
)
def cookie_challenge(sa: IkeSa) -> Iterator[Found]:
    """A cookie asked for and accepted."""
    asked = refusals(sa, NotifyType.COOKIE)
    if sa.version == 1 or not asked or not any(each.outcome == "completed" for each in opening(sa)):
        return
    yield Found(
        confidence=CERTAIN,
        summary=f"{who(sa, 'responder')} asked {who(sa, 'initiator')} for a cookie first ({frames(asked)}): it sees many "
        "half-open SAs, or always asks.",
        evidence=tuple(each for record in asked[:4] for each in evidence.notify(record, NotifyType.COOKIE)),
    )


@rule(
    "PH1-010",
    "cookie-loop",
    HIGH,
    title="Cookies are returned and never accepted",
    means="The initiator returns the cookie that it was given, and the responder asks for one again.",
    detect="Three or more COOKIE answers to one SPI, and no other answer.",
    look_alikes={"PH1-009": "a second round is legal, with INVALID_KE_PAYLOAD in between"},
    causes=(
        "a NAT changes the source address or port for each packet",
        "responders that do not share their secret",
        "packets altered on the way",
    ),
    confirm="Capture on both sides and compare.",
    fix="Keep the NAT's mapping; share the secret in the cluster.",
    rfc=("RFC 7296 2.6",),
)
def cookie_loop(sa: IkeSa) -> Iterator[Found]:
    """Cookies without end."""
    asked = refusals(sa, NotifyType.COOKIE)
    if sa.version == 1 or len(asked) < 2 or any(each.outcome == "completed" for each in opening(sa)):
        return
    yield Found(
        confidence=CERTAIN if len(asked) > 2 else POSSIBLE,
        summary=f"{who(sa, 'responder')} asked for a cookie {times(len(asked))} ({frames(asked)}) and never went on.",
        evidence=tuple(each for record in asked[:6] for each in evidence.notify(record, NotifyType.COOKIE)),
    )
