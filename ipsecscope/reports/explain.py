"""Explanations: what a diagnosis, a notify, an algorithm or a vendor ID means, as plain text.

Diagnoses come from the rules themselves, everything else from the registries: nothing is written twice.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Iterator

from ipsecscope.decrypt.algorithms import (
    UnknownAlgorithmError,
    encryption_by_name,
    integrity_by_name,
    prf_by_name,
)
from ipsecscope.diagnose.dialects import TITLES, word_of
from ipsecscope.diagnose.engine import all_rules
from ipsecscope.diagnose.profile import Profile
from ipsecscope.diagnose.profiles import PROFILES
from ipsecscope.diagnose.rule import Rule
from ipsecscope.diagnose.rules.strength import weakness
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry import ikev2, isakmp
from ipsecscope.dissect.registry.equivalents import ikev2_equivalent
from ipsecscope.dissect.registry.vendor_ids import VENDOR_IDS, identify

WIDTH = 100
SHOWN = 12  # rows of one kind

_ALGORITHMS: tuple[tuple[str, type[CodePoint]], ...] = (
    ("IKEv2 encryption algorithm", ikev2.EncryptionAlgorithm),
    ("IKEv2 pseudorandom function", ikev2.PseudorandomFunction),
    ("IKEv2 integrity algorithm", ikev2.IntegrityAlgorithm),
    ("IKEv2 key exchange method", ikev2.KeyExchangeMethod),
    ("IKEv2 authentication method", ikev2.AuthenticationMethod),
    ("IKEv1 encryption algorithm", isakmp.EncryptionAlgorithm),
    ("IKEv1 hash", isakmp.HashAlgorithm),
    ("IKEv1 authentication method", isakmp.AuthenticationMethod),
    ("IKEv1 group", isakmp.Group),
)
_IKEV2_TABLES = tuple(table for kind, table in _ALGORITHMS if kind.startswith("IKEv2"))
_NOTIFIES: tuple[tuple[str, type[CodePoint]], ...] = (
    ("IKEv2", ikev2.NotifyType),
    ("IKEv1", isakmp.NotifyType),
)


def explain(term: str) -> str | None:
    """The explanation of a code, slug, profile, notify name, algorithm or vendor ID; None when nobody knows the term."""
    wanted = term.strip()
    if not wanted:
        return None
    for each in all_rules().values():
        if wanted.upper() == each.code or wanted.lower() == each.slug:
            return _diagnosis(each)
    profile = PROFILES.get(wanted.lower())
    if profile is not None:
        return _profile(profile)
    parts = [*_notifies(wanted), *_algorithms(wanted), *_vendors(wanted)]
    return "\n\n".join(parts) + "\n" if parts else None


def explain_list() -> str:
    """Every diagnosis on one line each: code, severity, slug, title."""
    rows = [(each.code, each.severity, each.slug, each.title) for each in all_rules().values()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "".join(
        f"{code:<{widths[0]}}  {severity:<{widths[1]}}  {slug:<{widths[2]}}  {title}\n"
        for code, severity, slug, title in rows
    )


def explain_profiles() -> str:
    """Every security profile with its edition, and what each asks."""
    return "\n".join(_profile(each) for each in PROFILES.values())


def suggestions(term: str) -> list[str]:
    """Names near a term that nobody knows: findings that speak of it, then whatever is spelled alike."""
    wanted = term.strip().lower()
    if not wanted:
        return []
    rules = all_rules().values()
    found = [
        f"{each.code} ({each.slug})" for each in rules if wanted in f"{each.code} {each.slug} {each.title}".lower()
    ]
    tables = [table for _, table in (*_ALGORITHMS, *_NOTIFIES)]
    names = [
        *(each.code for each in rules),
        *(each.slug for each in rules),
        *PROFILES,
        *(name for table in tables for name in table.__members__),
    ]
    spelled = {name.lower(): name for name in names}
    alike = difflib.get_close_matches(wanted.replace("-", "_"), spelled, n=SHOWN) or difflib.get_close_matches(
        wanted, spelled, n=SHOWN
    )
    return list(dict.fromkeys([*found[:SHOWN], *(spelled[name] for name in alike)]))[:SHOWN]


# -- diagnoses ----------------------------------------------------------------------------------------------------


def _diagnosis(rule: Rule) -> str:
    parts = [
        f"{rule.code}  {rule.slug}  ({rule.severity})\n{rule.title}",
        _section("What it means", [rule.means]),
        _section("How it is recognised", [rule.detect]),
        _section("Usual causes", _numbered(rule.causes)),
        _section("Looks alike", list(_look_alikes(rule))),
        _section("What would confirm it", [rule.confirm]),
        _section("What to do", [rule.fix]),
        _section("Configuration hints, to be checked against your own policy", list(_hints(rule))),
        _section("References", [", ".join(rule.references)]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, lines: Iterable[str]) -> str:
    shown = [_wrapped(line) for line in lines if line]
    return "\n".join([title, *shown]) if shown else ""


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _numbered(items: Iterable[str]) -> list[str]:
    return [f"{number}. {item}" for number, item in enumerate(items, 1)]


def _look_alikes(rule: Rule) -> Iterator[str]:
    rules = all_rules()
    for each in rule.look_alikes:
        other = rules.get(each.code)
        yield f"{each.code}{f' ({other.title})' if other is not None else ''}: {each.told_apart_by}"


def _hints(rule: Rule) -> Iterator[str]:
    for key, text in rule.config.items():
        yield f"{TITLES.get(key, key)}: {text}"
    if not rule.config:
        yield "none: there is no setting that would mend it"


# -- profiles -----------------------------------------------------------------------------------------------------


def _profile(profile: Profile) -> str:
    rows = [
        f"{clause.aspect}{f' (IKEv{clause.version})' if clause.version else ''}: {clause.asks} [{clause.section}]"
        for clause in profile.clauses
    ]
    parts = [
        f"{profile.name}  {profile.about}",
        _section("Edition", [profile.edition]),
        _section("How its values were checked", [profile.checked]),
        _section("What it asks for", rows),
        _section("How to use it", [f"ipsecscope analyze FILE --profile {profile.name}"]),
    ]
    return "\n\n".join(parts) + "\n"


# -- code points --------------------------------------------------------------------------------------------------


def _notifies(term: str) -> Iterator[str]:
    wanted = term.upper().replace("-", "_")
    for version, table in _NOTIFIES:
        row = table.__members__.get(wanted)
        if row is None:
            row = next((each for each in table if each.name.upper() == wanted), None)
        if row is None:
            continue
        kind = "error" if int(row) < isakmp.FIRST_STATUS_TYPE else "status"
        lines = [f"{row.name}: {version} notify {int(row)}, an {kind} message.".replace("an status", "a status")]
        lines.append(f"Defined in {_document(row)}.")
        related = _related(row.name)
        if related:
            lines.append(f"Diagnoses that rest on it: {', '.join(related)}.")
        yield "\n".join(_wrapped(line) if index else line for index, line in enumerate(lines))


def _related(name: str) -> list[str]:
    spelled = {name, name.replace("_", "-")}
    return [
        f"{each.code} ({each.slug})"
        for each in all_rules().values()
        if any(word in text for word in spelled for text in (each.detect, each.means, *each.causes))
    ]


def _document(row: CodePoint) -> str:
    return f"RFC {row.reference}" if row.reference.isdigit() else row.reference or "no document known here"


def _algorithms(term: str) -> Iterator[str]:
    names = {term.upper().replace("-", "_"), *_known_as(term)}
    for kind, table in _ALGORITHMS:
        for name in sorted(names & set(table.__members__)):
            row = table[name]
            lines = [f"{row.name}: {kind} {int(row)}, {_document(row)}."]
            if row.status:
                lines.append(f"Guidance for IKEv2 (RFC 8247, RFC 9395): {row.status}.")
            grade = weakness(row)
            if grade is not None:
                lines.append(f"The audit reports it as {grade}.")
            words = [f"{TITLES[each]}: {word}" for each in TITLES if (word := _in_dialect(row, each)) is not None]
            lines += [f"In configurations (hints): {'; '.join(words)}"] if words else []
            yield "\n".join(_wrapped(line) if index else line for index, line in enumerate(lines))


def _in_dialect(row: CodePoint, dialect: str) -> str | None:
    """What a dialect calls an algorithm of either version; AES and Camellia with a key of 256 bits."""
    named = row if isinstance(row, _IKEV2_TABLES) else ikev2_equivalent(row)
    return None if named is None else word_of(str(named), dialect, 256)  # type: ignore[arg-type]


def _known_as(term: str) -> Iterator[str]:
    """IANA's names of what other programs call by this term."""
    for find in (lambda name: encryption_by_name(name)[0], integrity_by_name, prf_by_name):
        try:
            row = find(term)
        except UnknownAlgorithmError:
            continue
        if row.id is not None:
            yield row.id.name


# -- vendor IDs ---------------------------------------------------------------------------------------------------


def _vendors(term: str) -> Iterator[str]:
    octets = _octets(term)
    found = identify(octets) if octets else None
    if found is not None:
        yield f"{found}: a Vendor ID{f' of {found.vendor}' if found.vendor else ', of an extension anybody may announce'}."
        return
    wanted = term.lower()
    rows = [each for each in VENDOR_IDS if wanted in each.name.lower()] if len(wanted) > 2 else []
    for each in rows[:SHOWN]:
        prefix = " and more" if each.prefix else ""
        yield f"{each.name}: Vendor ID {each.octets.hex()}{prefix}{f', {each.vendor}' if each.vendor else ''}."
    if len(rows) > SHOWN:
        yield f"… and {len(rows) - SHOWN} more Vendor IDs with '{term}' in their name."


def _octets(term: str) -> bytes:
    try:
        return bytes.fromhex(term) if len(term) >= 8 else b""
    except ValueError:
        return b""
