"""SEC: values that must not come twice: nonces, key exchange values, and the initialization vectors of ESP."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, HIGH, MEDIUM, Found, rule
from ipsecscope.diagnose.view import opening
from ipsecscope.diagnose.words import frames
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.sas import MessageRecord


@rule(
    "SEC-013",
    "weak-randomness",
    HIGH,
    title="Values that should be random repeat or are too short",
    means="Keys made from repeated or short random values can be guessed or linked.",
    detect="The same nonce or key exchange value in different negotiations, or a nonce below the minimum.",
    look_alikes={"PH1-009": "a repeated request with a cookie is the same negotiation"},
    causes=("key exchange values kept for reuse", "a copied virtual machine", "a device without entropy"),
    confirm="Compare the octets of both messages.",
    fix="Update the firmware; switch reuse off.",
    rfc=("RFC 7296 2.10", "RFC 7296 2.12"),
)
def weak_randomness(analysis: Analysis) -> Iterator[Found]:
    """Repeats across SAs."""
    seen: dict[tuple[str, bytes], tuple[str, MessageRecord]] = {}
    said: set[tuple[str, str]] = set()
    for sa in analysis.ike_sas:
        for record in (record for exchange in opening(sa) for record in (*exchange.request, *exchange.response)):
            for kind, data in _random_values(record):
                key = (kind, data)
                before = seen.setdefault(key, (sa.id, record))
                if (
                    before[0] == sa.id
                    or (kind, record.datagram.src) in said
                    or record.datagram.src != before[1].datagram.src
                ):
                    continue
                if sa.spi_i == analysis.ike_sas[0].spi_i and before[1].message.header == record.message.header:
                    continue
                said.add((kind, record.datagram.src))
                yield Found(
                    confidence=CERTAIN,
                    severity=HIGH if kind == "nonce" else MEDIUM,
                    summary=f"{record.datagram.src} used the same {kind} in two negotiations ({frames([before[1], record])}).",
                    evidence=evidence.messages((before[1], record)),
                    subject=sa.id,
                )


def _random_values(record: MessageRecord) -> Iterator[tuple[str, bytes]]:
    for body in bodies(record.payloads, ikev2.Nonce):
        yield "nonce", body.data
    for old in bodies(record.payloads, ikev1.Nonce):
        yield "nonce", old.data
    for exchange in bodies(record.payloads, ikev2.KeyExchange):
        yield "key exchange value", exchange.data
    for former in bodies(record.payloads, ikev1.KeyExchange):
        yield "key exchange value", former.data
