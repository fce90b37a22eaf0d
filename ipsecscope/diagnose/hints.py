"""Configuration hints from what was seen: offers and selectors in the words of strongSwan, libreswan and Cisco IOS.

Hints are starting points for the operator of one side; nobody applies them for him, and each says that it is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from ipsecscope.diagnose.dialects import Dialect, word_of
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.timeline.contents import bodies, ikev1_suite, ikev2_suite, quick_mode_suite
from ipsecscope.timeline.sas import Endpoint, IkeSa, MessageRecord, Role, Suite

HINT = "hint, to be checked against your own policy: "
SHOWN_PROPOSALS = 4
_PLAIN = re.compile(r"[A-Za-z0-9.@:_-]{1,64}")  # an identity that needs no quotes anywhere
_DIALECTS: tuple[Dialect, ...] = ("swanctl", "libreswan", "ios")


def labelled(config: Mapping[str, str]) -> dict[str, str]:
    """Hints by dialect, each with the words that say that it is one; a dialect without text is left out."""
    return {name: text if text.startswith(HINT) else f"{HINT}{text}" for name, text in config.items() if text}


# -- what was offered ----------------------------------------------------------------------------------------------


def offers_of(sa: IkeSa, role: Role) -> list[dict[str, Any]]:
    """The proposals that one end sent last, in order; empty when it sent none."""
    sent = [offer["proposals"] for offer in sa.offers if offer.get("from") == role]
    return list(sent[-1]) if sent else []


def offered(proposals: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """All transforms of some IKEv2 proposals by type, without repetition, in order."""
    found: dict[str, dict[str, None]] = {}
    for proposal in proposals:
        transforms = proposal.get("transforms")
        if isinstance(transforms, Mapping):
            for kind, names in transforms.items():
                found.setdefault(kind, {}).update(dict.fromkeys(names))
    return {kind: list(names) for kind, names in found.items()}


def offer_text(proposals: Sequence[Mapping[str, Any]]) -> str:
    """An offer on one line: every proposal with its alternatives."""
    said = []
    for proposal in proposals[:SHOWN_PROPOSALS]:
        transforms = proposal.get("transforms")
        if isinstance(transforms, Mapping):
            said.append(", ".join("/".join(names) for names in transforms.values()))
        elif isinstance(transforms, Sequence):
            said += [str(each) for each in transforms[:SHOWN_PROPOSALS]]
    more = len(proposals) - SHOWN_PROPOSALS
    return "; ".join(said) + (f" and {more} more" if more > 0 else "")


def differences(first: Mapping[str, Sequence[str]], second: Mapping[str, Sequence[str]]) -> list[str]:
    """The transform types for which two offers have nothing in common."""
    kinds = [kind for kind in first if kind in second]
    return [kind for kind in kinds if not set(first[kind]) & set(second[kind])]


def suites_of(records: Iterable[MessageRecord]) -> Iterator[tuple[int, str, Suite]]:
    """Each readable proposal as (IKE version, protocol, suite with the first algorithm of each type), in order."""
    for record in records:
        for body in bodies(record.payloads, ikev2.SecurityAssociation):
            for proposal in body.proposals:
                yield 2, str(proposal.protocol_id), ikev2_suite(proposal)
        for former in bodies(record.payloads, ikev1.SecurityAssociation):
            for old in former.proposals:
                protocol = str(old.protocol_id).rpartition("_")[2]
                for transform in old.transforms:
                    suite = ikev1_suite(transform) if protocol == "ISAKMP" else quick_mode_suite(transform, protocol)
                    yield 1, "IKE" if protocol == "ISAKMP" else protocol, suite


# -- algorithms ----------------------------------------------------------------------------------------------------


def ike_config(records: Iterable[MessageRecord], side: str = "") -> dict[str, str]:
    """Lines that accept the first IKE proposal of some messages that a dialect has words for; ``side`` says whose."""
    found: dict[str, str] = {}
    for version, protocol, suite in suites_of(records):
        if protocol == "IKE":
            for dialect in _DIALECTS:
                line = ike_line(suite, dialect, version)
                if line and dialect not in found:
                    found[dialect] = f"{f'{side}: ' if side else ''}{line}"
    return found


def ike_line(suite: Suite, dialect: Dialect, version: int = 2) -> str | None:
    """One line of configuration for an IKE suite; None when the dialect lacks a word for a part of it."""
    encr = _word(suite.encr, dialect, suite.key_length)
    prf, integ = _word(suite.prf, dialect), _word(suite.integ, dialect)
    groups = [word_of(name, dialect) for name in suite.ke]
    if encr is None or not groups or None in groups or (suite.integ and not integ) or (suite.prf and not prf):
        return None
    known = [str(group) for group in groups]
    if dialect == "swanctl":
        hashes = [prf and prf.removeprefix("prf")] if version == 1 else [integ, prf if _needs_prf(suite) else None]
        more = [f"ke{number}_{name}" for number, name in enumerate(known[1:], 1)]
        return f"proposals = {'-'.join([encr, *filter(None, hashes), known[0], *more])}"
    if dialect == "libreswan":
        return f"ike={'-'.join(filter(None, [encr, prf or integ, known[0]]))}" if len(known) == 1 else None
    if version == 1:
        head, _, length = encr.partition("-cbc-")
        lines = [f"encr {head} {length}".rstrip(), f"hash {prf}" if prf else "", f"group {known[0]}"]
        return "crypto isakmp policy 10 / " + " / ".join(filter(None, lines))
    if len(known) > 1:
        return None
    lines = [f"encryption {encr}", f"integrity {integ}" if integ else f"prf {prf}", f"group {known[0]}"]
    return "crypto ikev2 proposal P / " + " / ".join(lines)


def _word(name: str | None, dialect: Dialect, bits: int | None = None) -> str | None:
    return None if name is None else word_of(name, dialect, bits)


def _needs_prf(suite: Suite) -> bool:
    """Whether strongSwan needs the PRF said: beside a combined cipher, or when it is not that of the integrity."""
    if suite.prf is None or suite.integ is None:
        return True
    return not suite.integ.startswith(suite.prf.replace("PRF_", "AUTH_", 1))


def esp_config(records: Iterable[MessageRecord], side: str = "") -> dict[str, str]:
    """Lines that accept the first readable ESP or AH proposal of some messages."""
    found: dict[str, str] = {}
    for _, protocol, suite in suites_of(records):
        if protocol in {"ESP", "AH"}:
            for dialect in _DIALECTS:
                line = esp_line(suite, dialect, protocol)
                if line and dialect not in found:
                    found[dialect] = f"{f'{side}: ' if side else ''}{line}"
    return found


def suite_config(suite: Suite, protocol: str) -> dict[str, str]:
    """Lines for the suite of a Child SA in every dialect that has words for it."""
    lines = {dialect: esp_line(suite, dialect, protocol) for dialect in _DIALECTS}
    return {dialect: line for dialect, line in lines.items() if line is not None}


def esp_line(suite: Suite, dialect: Dialect, protocol: str = "ESP") -> str | None:
    """One line of configuration for the suite of a Child SA; None when the dialect lacks a word for a part of it."""
    names = [(suite.encr, suite.key_length), (suite.integ, None)]
    words = [word_of(name, dialect, bits, esp=True) for name, bits in names if name is not None]
    groups = [word_of(name, dialect) for name in suite.ke]
    if not words or None in words or None in groups:
        return None
    known, keys = [str(word) for word in words], [str(group) for group in groups]
    if dialect == "swanctl":
        more = [name if not number else f"ke{number}_{name}" for number, name in enumerate(keys)]
        return f"{protocol.lower()}_proposals = {'-'.join([*known, *more, *(['esn'] if suite.esn else [])])}"
    if len(keys) > 1:
        return None
    if dialect == "libreswan":
        return f"{protocol.lower()}={'-'.join([*known, *keys])}"
    text = f"crypto ipsec transform-set TS {' '.join(known)}"
    if protocol == "AH":
        text = text.replace("esp-", "ah-")
    return f"{text}; crypto map M 10 / set pfs group{keys[0]}" if keys else text


def group_config(name: str) -> dict[str, str]:
    """The words for one key exchange method, as part of a proposal."""
    forms: tuple[tuple[Dialect, str], ...] = (
        ("swanctl", "proposals = …-{}"),
        ("libreswan", "ike=…-{}"),
        ("ios", "crypto ikev2 proposal P / group {}"),
    )
    found = {dialect: (form, word_of(name, dialect)) for dialect, form in forms}
    return {dialect: form.format(word) for dialect, (form, word) in found.items() if word is not None}


# -- keys ----------------------------------------------------------------------------------------------------------


def psk_config(sa: IkeSa) -> dict[str, str]:
    """Where one pre-shared key has to stand on both sides, with the identities or addresses that were seen."""
    one, two = (_named(end) for end in (sa.initiator, sa.responder))
    near, far = sa.initiator.address, sa.responder.address
    version = "isakmp" if sa.version == 1 else "ikev2"
    ios = (
        f"on {near}: crypto isakmp key KEY address {far}; on {far}: crypto isakmp key KEY address {near}"
        if version == "isakmp"
        else f"on {near}: crypto ikev2 keyring K / peer B / address {far} / pre-shared-key KEY; on {far}: the same for {near}"
    )
    return {
        "swanctl": f"the same on both sides: secrets {{ ike-1 {{ id-1 = {one}; id-2 = {two}; secret = … }} }}",
        "libreswan": f'the same on both sides, in ipsec.secrets: {one} {two} : PSK "…"',
        "ios": ios,
    }


def _named(end: Endpoint) -> str:
    """The identity of one end where it was read and is a plain word, else its address."""
    value = end.id[1] if end.id is not None else ""
    return value if _PLAIN.fullmatch(value) else end.address


# -- selectors -----------------------------------------------------------------------------------------------------


def selector_config(own: Sequence[str], theirs: Sequence[str], side: str) -> dict[str, str]:
    """Lines for the side whose networks are ``own``, as dissected (``10.1.0.0/16[tcp/80]``); nothing without both."""
    if not own or not theirs:
        return {}
    lines = {
        "swanctl": f"{side}: children.NAME {{ local_ts = {','.join(own)}; remote_ts = {','.join(theirs)} }}",
        "libreswan": f"{side}: leftsubnets={{{' '.join(map(_bare, own))}}} rightsubnets={{{' '.join(map(_bare, theirs))}}}",
    }
    rules = [f"permit ip {mine} {peer}" for mine in map(_wildcard, own) for peer in map(_wildcard, theirs)]
    if all("None" not in rule for rule in rules):
        lines["ios"] = f"{side}: ip access-list extended VPN / {' / '.join(rules)}"
    return lines


def _bare(selector: str) -> str:
    return selector.partition("[")[0]


def _wildcard(selector: str) -> str | None:
    """A selector as an access list has it: ``10.1.0.0 0.0.255.255``, ``host 10.1.0.5``, ``any``; None for a range."""
    try:
        network = ip_network(_bare(selector))
    except ValueError:
        return None
    if network.prefixlen == 0:
        return "any"
    if network.version == 6:
        return str(network)
    if network.prefixlen == network.max_prefixlen:
        return f"host {network.network_address}"
    return f"{network.network_address} {network.hostmask}"
