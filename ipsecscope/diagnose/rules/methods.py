"""AUTH for the kind of proof: keys against certificates, and post-quantum keys that one side lacks or has otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import (
    HIGH,
    LIKELY,
    POSSIBLE,
    Found,
    rule,
)
from ipsecscope.diagnose.rules.authentication import (
    asks_for_certificate,
    both_announce,
    hang_up_behind_answer,
    shared_key_for_certificate,
    uses_certificate,
)
from ipsecscope.diagnose.view import (
    View,
    has_notify,
    opening,
)
from ipsecscope.diagnose.words import frames, who
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.timeline.sas import IkeSa


@rule(
    "AUTH-004",
    "auth-method-mismatch",
    HIGH,
    title="The two sides seem to expect different authentication methods",
    means="One side proves itself with a key, the other wants a certificate (or the other way round).",
    detect="The responder asks for certificates, the initiator sends a message without room for one, and is refused.",
    look_alikes={"AUTH-002": "a gateway that serves both asks for certificates in any case"},
    causes=("one side uses pre-shared keys, the other certificates", "EAP is expected"),
    confirm="The responder's log; IKE keys for this capture.",
    fix="Use the same method on both sides.",
    swanctl="local { auth = pubkey; certs = … } remote { auth = pubkey }",
    ios="crypto ikev2 profile P / authentication local rsa-sig / authentication remote rsa-sig",
    libreswan="leftauth=rsasig, rightauth=rsasig, leftcert=…",
    rfc=("RFC 7296 2.15", "RFC 9593"),
    headline=False,
)
def auth_method_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """A refused key where certificates were asked for, by either side."""
    yield from _unwanted_key(sa, view)
    answer = view.answer(sa)
    if (
        answer.kind != "refused"
        or answer.exchange is None
        or answer.rounds > 1
        or uses_certificate(sa, view) is not False
    ):
        return
    if not asks_for_certificate(sa) or not answer.exchange.request:
        return
    asked = [record for exchange in opening(sa) for record in exchange.response]
    inner = view.inner(sa, answer.exchange.request)
    yield Found(
        confidence=POSSIBLE,
        summary=f"{who(sa, 'responder')} asked for a certificate ({frames(asked)}), {who(sa, 'initiator')} sent no message large "
        f"enough for one ({frames(answer.exchange.request)}), and was refused ({frames(answer.exchange.response)}).",
        evidence=(
            *(each for record in asked for each in evidence.payloads(record, ikev2.CertificateRequest)),
            *evidence.messages(answer.exchange.records),
        ),
        equation=None if inner is None else inner.equation,
    )


def _unwanted_key(sa: IkeSa, view: View) -> Iterator[Found]:
    """The initiator asks for a certificate in IKE_AUTH, is given a proof with a key, and hangs up: read with keys."""
    hung_up = hang_up_behind_answer(sa, view)
    if hung_up is None:
        return
    exchange, following = hung_up
    if not shared_key_for_certificate(exchange):
        return
    yield Found(
        confidence=LIKELY,
        headline=True,
        summary=f"{who(sa, 'initiator')} asked for a certificate ({frames(exchange.request)}), {who(sa, 'responder')} proved itself with a "
        f"pre-shared key ({frames(exchange.response)}), and {who(sa, 'initiator')} refused it ({frames(following.request)}).",
        evidence=(
            *(each for record in exchange.request for each in evidence.payloads(record, ikev2.CertificateRequest)),
            *(each for record in exchange.response for each in evidence.payloads(record, ikev2.Authentication)),
            *evidence.all_errors(following.request),
            *evidence.messages((*exchange.records, *following.request)),
        ),
        causes=("the responder uses a pre-shared key, the initiator wants a certificate",),
    )


@rule(
    "AUTH-014",
    "ppk-mismatch",
    HIGH,
    title="The post-quantum pre-shared keys (PPK) may differ",
    means="Both sides agreed to mix in a second secret, and authentication failed: it may be missing or different.",
    detect="USE_PPK from both sides, then a refused IKE_AUTH.",
    look_alikes={"AUTH-002": "any other cause of a refused IKE_AUTH"},
    causes=("another PPK or PPK identity", "the PPK is required on one side and missing on the other"),
    confirm="Try without requiring the PPK.",
    fix="Install the same PPK with the same identity on both sides.",
    swanctl="ppk_id = ID; secrets { ppk-1 { id = ID; secret = 0x… } }",
    ios="crypto ikev2 keyring K / peer B / ppk manual id ID key … required",
    libreswan='ppk=yes, ppk-ids=ID; ipsec.secrets: : PPKS "ID" "…"',
    rfc=("RFC 8784 3", "RFC 9867"),
    headline=False,
)
def ppk_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """A refusal where a PPK was agreed on, or an initiator that stops because its PPK was not taken up."""
    yield from _ppk_ignored(sa)
    answer = view.answer(sa)
    if answer.kind != "refused" or answer.exchange is None or not both_announce(sa, NotifyType.USE_PPK):
        return
    announced = [record for exchange in opening(sa) for record in exchange.records]
    yield Found(
        confidence=POSSIBLE,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} agreed to use a PPK ({frames(announced)}), and the "
        f"authentication was refused ({frames(answer.exchange.response)}).",
        evidence=(
            *(each for record in announced for each in evidence.notify(record, NotifyType.USE_PPK)),
            *evidence.messages(answer.exchange.response),
        ),
    )


def _ppk_ignored(sa: IkeSa) -> Iterator[Found]:
    """USE_PPK from the initiator only, and nothing behind IKE_SA_INIT: it insists (RFC 8784 section 3)."""
    first = opening(sa)
    if sa.version == 1 or not first or len(sa.exchanges) > len(first) or first[-1].outcome != "completed":
        return
    asked, told = (has_notify(records, NotifyType.USE_PPK) for records in (first[-1].request, first[-1].response))
    if not asked or told:
        return
    yield Found(
        confidence=LIKELY,
        headline=True,
        summary=f"{who(sa, 'initiator')} announced a PPK, {who(sa, 'responder')} did not ({frames(first[-1].records)}), and "
        f"{who(sa, 'initiator')} went no further: it requires the PPK.",
        evidence=(
            *(each for record in first[-1].request for each in evidence.notify(record, NotifyType.USE_PPK)),
            *evidence.messages(first[-1].response),
        ),
        causes=("the responder has no PPK for this connection",),
    )
