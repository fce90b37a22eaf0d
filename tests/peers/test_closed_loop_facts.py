"""L7 of the laws: what both peers say of a scenario is what the analysis recovers from its capture, fact for fact.

With the keys everything, without them what is in the clear. What a tap cannot know, or knows better than the peers,
stands in the tables with its reason; an entry that nothing needs any more fails as well.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
from closed_loop import Facts, Said, in_the_clear, seen
from played import NAMES, analysed, played


class Difference(NamedTuple):
    """The kinds of facts of which the analysis has fewer, or more, than the peers."""

    reason: str
    fewer: frozenset[str] = frozenset()
    more: frozenset[str] = frozenset()


def kinds(words: str) -> frozenset[str]:
    return frozenset(words.replace("_", " ").split(","))


DIFFERENCES: dict[str, Difference] = {
    # -- the tap does not see everything
    "capture-mid-session": Difference(
        "the tap was switched on later", kinds("message,completed,packets,opened,child,identity,suite")
    ),
    "capture-one-direction": Difference(
        "the tap sees one way only",
        kinds("message,completed,packets,opened,child,identity,suite,established"),
        kinds("unanswered"),
    ),
    "capture-with-drops": Difference("the recorder missed packets", kinds("message,packets,opened")),
    "capture-without-port-4500": Difference(
        "the capture filter", kinds("message,completed,packets,opened,child,identity,established")
    ),
    "capture-snaplen": Difference("every frame is cut", kinds("suite,identity,child,opened")),
    "esp-loss": Difference("packets are lost before the tap", kinds("packets,opened")),
    "esp-one-way": Difference("the responder's ESP is lost before the tap", kinds("packets,opened")),
    "ikev2-nat-t-one-sided": Difference(
        "the responder's ESP is lost before the tap; only the tap compares the hashes",
        kinds("packets,opened"),
        kinds("NAT"),
    ),
    "ikev2-gone-quiet": Difference(
        "what the responder sends is lost before the tap",
        kinds("message,again,completed,packets,opened"),
        kinds("unanswered"),
    ),
    "ikev1-quick-mode-not-completed": Difference(
        "the third message is lost before the tap", kinds("message,again,completed")
    ),
    # -- the octets on the wire are not those that were sent
    "esp-damaged": Difference("some packets were changed on the way", kinds("opened")),
    "ikev2-damaged-icv": Difference(
        "no key opens what the responder sent: whether it refused is not known",
        kinds("child"),
        kinds("established,identity"),
    ),
    "ikev2-marker-missing": Difference("the change of ports is not marked as one", more=kinds("moved")),
    "ikev2-answer-from-elsewhere": Difference(
        "the other address is on the wire, and no hash fits it", more=kinds("NAT,moved")
    ),
    # -- somebody else has a hand in it
    "ikev2-forged-refusal": Difference(
        "the forged message; the genuine one was not heard", kinds("completed"), kinds("message")
    ),
    "ikev1-amplification": Difference("the answer is repeated by somebody else", more=kinds("again")),
    "ikev2-unknown-notify": Difference("a device in front of the responder refuses", more=kinds("message")),
    "ikev2-network-id": Difference("a device in front of the responder refuses", more=kinds("message")),
    "ikev2-invalid-ke-loop": Difference("a device in front of the responder refuses", more=kinds("message")),
    # -- a matter of words
    "esp-counter-restarts": Difference("numbers that were used twice count once", kinds("packets,opened")),
    "ikev2-simultaneous-ike-rekey": Difference(
        "the rekeying that lost is one as well, on the wire", more=kinds("IKE_SA_rekeyed")
    ),
}

# What follows from sizes, without keys, and is not so: the responder accepts, and the initiator does not.
WRONGLY_INFERRED = {
    "ikev2-certificate-not-yet-valid": "the initiator refuses in an INFORMATIONAL exchange of the size of a probe",
    "ikev2-expired-certificate": "the initiator refuses in an INFORMATIONAL exchange of the size of a probe",
    "ikev2-damaged-icv": "the responder's answer has the size of one that accepts",
}
TALLY: dict[str, dict[str, tuple[int, int]]] = {}


def differing(facts: Facts) -> frozenset[str]:
    return frozenset(str(fact[0]) for fact in facts)


@pytest.mark.parametrize("name", NAMES)
def test_facts_of_both_peers_are_those_of_the_capture_with_keys(name: str) -> None:
    said = Said(played(name))
    facts, found = said.facts(), seen(analysed(name, "all"), said.known)
    expected = DIFFERENCES.get(name, Difference(""))
    fewer, more = facts - found, found - facts
    TALLY.setdefault(name, {})["with keys"] = (facts & found).total(), facts.total()
    assert (differing(fewer), differing(more)) == (expected.fewer, expected.more), (fewer, more)


@pytest.mark.parametrize("name", NAMES)
def test_proofs_of_an_ike_sa_that_both_sides_accept_are_right(name: str) -> None:
    accepted = {fact[1] for fact in Said(played(name)).facts() if fact[0] == "established"}
    analysis = analysed(name, "all")
    for sa in analysis.ike_sas:
        if sa.group_id in accepted and analysis.verified[sa.id].details:
            assert analysis.verified[sa.id].verified is not False, analysis.verified[sa.id]


@pytest.mark.parametrize("name", NAMES)
def test_facts_in_the_clear_are_those_of_the_capture_without_keys(name: str) -> None:
    said = Said(played(name))
    everything = said.facts()
    facts, found = in_the_clear(everything), seen(analysed(name, "none"), said.known)
    expected = DIFFERENCES.get(name, Difference(""))
    fewer, more = facts - found, found - facts - everything  # what is in the clear by luck may be known as well
    if said.version == 1 and any(fact[0] == "refused" for fact in everything):  # refused in a message that is encrypted
        more = Counter({fact: count for fact, count in more.items() if fact[0] != "unanswered"})
    if name in WRONGLY_INFERRED:
        assert more.pop(next(fact for fact in more if fact[0] == "established"))
    TALLY.setdefault(name, {})["in the clear"] = (facts & found).total(), facts.total()
    assert differing(fewer) <= expected.fewer, fewer
    assert differing(more) <= expected.more, more


def test_closed_loop_in_figures() -> None:
    """Runs behind the others of its worker; the figures of all scenarios when there is one worker."""
    for kind in ("with keys", "in the clear"):
        figures = [each[kind] for each in TALLY.values() if kind in each]
        print(f"{kind}: {sum(n for n, _ in figures)} of {sum(n for _, n in figures)} facts of {len(figures)} scenarios")
    for name, each in sorted(TALLY.items()):
        print(f"{name:34} {'; '.join(f'{kind} {n} of {of}' for kind, (n, of) in each.items())}")
    assert DIFFERENCES.keys() | WRONGLY_INFERRED.keys() <= set(NAMES)
