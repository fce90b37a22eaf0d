"""SEC: audit of algorithms and habits. These findings never explain a failure.

What is weak is not written here: the status of an algorithm is in its registry row (RFC 8247 for IKE, RFC 8221 for
ESP and AH, RFC 9395 for what was withdrawn).
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence, hints, sizes
from ipsecscope.diagnose.rule import CERTAIN, HIGH, INFO, LIKELY, LOW, MEDIUM, Evidence, Found, Severity, rule
from ipsecscope.diagnose.view import View, exchanges_of, has_notify, is_open, opening, records_of
from ipsecscope.diagnose.words import counted, frames, listed, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry.ikev2 import (
    ESP_AH_STATUS,
    EncryptionAlgorithm,
    ExchangeType,
    IntegrityAlgorithm,
    KeyExchangeMethod,
    NotifyType,
    PseudorandomFunction,
)
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.contents import bodies, first
from ipsecscope.timeline.sas import ChildSa, IkeSa, MessageRecord, Suite

# RFC 8247 section 1.1 and RFC 8221 section 1: what the words of a status demand.
_GRAVE = frozenset({"MUST NOT", "DEPRECATED"})
_WEAK = frozenset({"SHOULD NOT", "MUST-", "MAY"})
PQ = frozenset({KeyExchangeMethod.ML_KEM_512, KeyExchangeMethod.ML_KEM_768, KeyExchangeMethod.ML_KEM_1024})
GIB = 1 << 30
SWEET32_WARN, SWEET32_LIMIT = GIB, 32 * GIB
BLOCK_64 = frozenset({"ENCR_3DES", "ENCR_DES", "ENCR_BLOWFISH", "ENCR_IDEA", "ENCR_CAST", "ENCR_RC5"})


def code_point(table: type[CodePoint], name: str | None) -> CodePoint | None:
    """The row that a name of a suite stands for; None for a name that the table does not have."""
    return table.__members__.get(name or "") if name else None


def weakness(value: CodePoint | None, *, esp: bool = False) -> Severity | None:
    """How weak an algorithm is by its status; None when there is nothing to say."""
    if value is None:
        return None
    status = ESP_AH_STATUS.get(type(value), {}).get(int(value), value.status) if esp else value.status
    if value == KeyExchangeMethod.MODP_1024:
        return HIGH  # RFC 8247 2.4: within reach of state-level attackers
    if status in _GRAVE:
        return HIGH
    if status == "MAY" and value != EncryptionAlgorithm.ENCR_3DES:
        return None
    return MEDIUM if status in _WEAK else None


def _choice(sa: IkeSa) -> MessageRecord | None:
    """The message in which the responder chose."""
    for exchange in opening(sa):
        for record in exchange.response:
            if any(True for _ in bodies(record.payloads, ikev2.SecurityAssociation)) or any(
                True for _ in bodies(record.payloads, ikev1.SecurityAssociation)
            ):
                return record
    return None


def _choice_places(record: MessageRecord) -> tuple[Evidence, ...]:
    return evidence.payloads(record, ikev1.SecurityAssociation, ikev2.SecurityAssociation)


@rule(
    "SEC-001",
    "ikev1-in-use",
    MEDIUM,
    title="IKEv1 is still in use",
    means="IKEv1 was withdrawn in 2023; it lacks today's algorithms and protections.",
    detect="Any IKEv1 negotiation.",
    causes=("an old peer or configuration",),
    fix="Migrate to IKEv2.",
    swanctl="connections.NAME.version = 2",
    ios="crypto ikev2 profile …",
    rfc=("RFC 9395",),
)
def ikev1_in_use(analysis: Analysis) -> Iterator[Found]:
    """Major version 1."""
    old = [sa for sa in analysis.ike_sas if sa.version == 1]
    if old:
        records = [next(records_of(sa)) for sa in old]
        yield Found(
            confidence=CERTAIN,
            summary=f"{counted(len(old), 'IKE SA')} use IKEv1 ({frames(records)}), which RFC 9395 withdrew.",
            evidence=evidence.messages(records),
        )


@rule(
    "SEC-002",
    "aggressive-mode",
    HIGH,
    title="Aggressive mode shows the identity and a hash that can be attacked offline",
    means="Whoever sees these messages learns who connects, and with a pre-shared key can guess the key at leisure.",
    detect="Aggressive mode with an identity in the clear, and a hash made with a pre-shared key.",
    look_alikes={"AUTH-001": "an aggressive mode that fails"},
    causes=("a group key for remote access", "a peer with a dynamic address"),
    fix="IKEv2, or main mode with certificates; a long random key.",
    swanctl="connections.NAME.aggressive = no",
    ios="crypto isakmp aggressive-mode disable",
    rfc=("RFC 2409 5.4", "RFC 9395"),
)
def aggressive_mode(sa: IkeSa) -> Iterator[Found]:
    """Identity and hash in the clear."""
    if sa.mode != "aggressive":
        return
    records = [record for exchange in opening(sa) for record in exchange.records]
    hashed = [r for r in records if r.sender == "responder" and first(r.message.payloads, ikev1.Hash) is not None]
    shared = (
        sa.suite is not None and sa.suite.auth is not None and ("PSK" in sa.suite.auth or "PRE_SHARED" in sa.suite.auth)
    )
    exposed = bool(hashed) and shared
    named = [r for r in records if first(r.message.payloads, ikev1.Identification) is not None]
    yield Found(
        confidence=CERTAIN if exposed else LIKELY,
        severity=HIGH if exposed else MEDIUM,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} use aggressive mode ({frames(records)}): identities are readable"
        f"{', and the hash of the pre-shared key can be attacked offline by whoever saw it' if exposed else ''}.",
        evidence=tuple(
            each
            for record in (*named[:2], *hashed[:1])
            for each in evidence.payloads(record, ikev1.Identification, ikev1.Hash)
        )
        or evidence.messages(records),
    )


@rule(
    "SEC-003",
    "weak-dh-chosen",
    HIGH,
    title="A weak Diffie-Hellman group was chosen",
    means="The key exchange is within reach of well-equipped attackers, now or for recorded traffic.",
    detect="The chosen group's status in RFC 8247.",
    look_alikes={"SEC-006": "offered only"},
    causes=("old defaults",),
    fix="Use ECP-256 or larger, X25519, or MODP-3072.",
    swanctl="connections.NAME.proposals = aes256gcm16-prfsha384-ecp384",
    ios="group 20 19 15",
    rfc=("RFC 8247 2.4",),
)
def weak_dh_chosen(sa: IkeSa) -> Iterator[Found]:
    """A group that RFC 8247 turns down."""
    record = _choice(sa)
    for name in sa.suite.ke if sa.suite is not None else ():
        grade = weakness(code_point(KeyExchangeMethod, name))
        if grade is not None and record is not None:
            yield Found(
                confidence=CERTAIN,
                severity=grade,
                summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} exchange keys with {name} ({frames([record])}).",
                evidence=_choice_places(record),
            )


def _weak_ciphers(suite: Suite | None, *, esp: bool) -> tuple[str, Severity] | None:
    if suite is None or suite.encr is None:
        return None
    grade = weakness(code_point(EncryptionAlgorithm, suite.encr), esp=esp)
    if esp and suite.encr in {"ENCR_NULL", "ENCR_NULL_AUTH_AES_GMAC"}:
        return None  # SEC-010 says so
    return None if grade is None else (suite.encr, grade)


@rule(
    "SEC-004",
    "weak-cipher-chosen",
    HIGH,
    title="A weak cipher was chosen",
    means="The encryption is broken or too short-lived for today's traffic.",
    detect="The chosen cipher's status in RFC 8247 (IKE) and RFC 8221 (ESP).",
    look_alikes={"SEC-006": "offered only"},
    causes=("an old peer",),
    fix="Use AES-GCM.",
    swanctl="children.NAME.esp_proposals = aes256gcm16",
    ios="crypto ipsec transform-set TS esp-gcm 256",
    rfc=("RFC 8247 2.1", "RFC 8221 5"),
)
def weak_cipher_chosen(sa: IkeSa, view: View) -> Iterator[Found]:
    """A cipher that the RFCs turn down, in IKE or in a Child SA that was read."""
    record = _choice(sa)
    found = _weak_ciphers(sa.suite, esp=False)
    if found is not None and record is not None:
        yield Found(
            confidence=CERTAIN,
            severity=found[1],
            summary=f"The IKE SA between {who(sa, 'initiator')} and {who(sa, 'responder')} uses {found[0]} ({frames([record])}).",
            evidence=_choice_places(record),
        )
    for child in sa.child_sas:
        weak = _weak_ciphers(child.suite, esp=True)
        flows = [view.flows[name] for name in child.flows if name in view.flows]
        if weak is not None and flows:
            yield Found(
                confidence=CERTAIN,
                severity=weak[1],
                summary=f"The tunnel {child.id} uses {weak[0]} ({frames([flow.first_frame for flow in flows])}).",
                evidence=tuple(each for flow in flows[:2] for each in evidence.flow(flow)),
                subject=child.id,
            )


@rule(
    "SEC-005",
    "weak-integrity",
    MEDIUM,
    title="A weak hash or integrity algorithm was chosen",
    means="MD5 and SHA-1 are no longer recommended.",
    detect="The status of the chosen PRF and integrity algorithm in RFC 8247.",
    look_alikes={"SEC-006": "offered only"},
    causes=("an old peer",),
    fix="SHA-256 or better, or AES-GCM.",
    swanctl="connections.NAME.proposals = aes256-sha256-…",
    ios="integrity sha384",
    rfc=("RFC 8247 2.2", "RFC 8247 2.3"),
)
def weak_integrity(sa: IkeSa) -> Iterator[Found]:
    """MD5 or SHA-1."""
    record = _choice(sa)
    if sa.suite is None or record is None:
        return
    graded = [
        (name, weakness(code_point(table, name)))
        for table, name in ((PseudorandomFunction, sa.suite.prf), (IntegrityAlgorithm, sa.suite.integ))
    ]
    weak = [(name, grade) for name, grade in graded if name is not None and grade is not None]
    if weak:
        worst: Severity = HIGH if any(grade == HIGH for _, grade in weak) else MEDIUM
        yield Found(
            confidence=CERTAIN,
            severity=worst,
            summary=f"The IKE SA between {who(sa, 'initiator')} and {who(sa, 'responder')} uses {listed([name for name, _ in weak])} "
            f"({frames([record])}).",
            evidence=_choice_places(record),
        )


@rule(
    "SEC-006",
    "weak-offer-tail",
    LOW,
    title="Weak algorithms are offered",
    means="They were not chosen, but a peer or an attacker who refuses all others could have them chosen.",
    detect="Offered algorithms whose status is weak, beside those chosen.",
    look_alikes={"SEC-003": "a weak group that was chosen", "SEC-004": "a weak cipher that was chosen"},
    causes=("default proposals",),
    fix="Offer only what you would accept.",
    swanctl="explicit proposals, without 'default'",
    ios="no crypto isakmp default policy",
    rfc=("RFC 8247 2",),
)
def weak_offer_tail(sa: IkeSa) -> Iterator[Found]:
    """What else is offered."""
    offered = hints.offered(hints.offers_of(sa, "initiator"))
    tables: dict[str, type[CodePoint]] = {
        "ENCR": EncryptionAlgorithm,
        "PRF": PseudorandomFunction,
        "INTEG": IntegrityAlgorithm,
        "KE": KeyExchangeMethod,
    }
    chosen = set() if sa.suite is None else {sa.suite.encr, sa.suite.prf, sa.suite.integ, *sa.suite.ke}
    weak = [
        name
        for kind, names in offered.items()
        if kind in tables
        for name in dict.fromkeys(each.partition("-")[0] for each in names)
        if weakness(code_point(tables[kind], name)) is not None and name not in chosen
    ]
    records = [record for exchange in opening(sa) for record in exchange.request]
    if weak and records:
        yield Found(
            confidence=CERTAIN,
            summary=f"{who(sa, 'initiator')} also offers {listed(weak)} ({frames(records[:1])}).",
            evidence=_choice_places(records[0]) or evidence.messages(records[:1]),
        )


@rule(
    "SEC-007",
    "no-pfs",
    MEDIUM,
    title="Tunnels are renewed without a fresh key exchange (no perfect forward secrecy)",
    means="One stolen IKE key opens all tunnels that were made with it.",
    detect="A CREATE_CHILD_SA exchange that succeeds without a KE payload, or without room for one.",
    look_alikes={"PH2-007": "PFS on one side only: the renewal is refused"},
    causes=("PFS is switched off",),
    fix="Configure a PFS group on both sides.",
    swanctl="children.NAME.esp_proposals = aes256gcm16-ecp384",
    ios="set pfs group20",
    rfc=("RFC 7296 1.3.3", "RFC 7296 2.12"),
)
def no_pfs(sa: IkeSa, view: View) -> Iterator[Found]:
    """A renewal without KE."""
    for exchange in exchanges_of(sa, ExchangeType.CREATE_CHILD_SA):
        if not exchange.response or view.is_short(sa, exchange.response):
            continue
        if any(is_open(record) for record in exchange.response):
            payloads = [payload for record in exchange.response for payload in record.payloads]
            if first(payloads, ikev2.SecurityAssociation) is None or first(payloads, ikev2.KeyExchange) is not None:
                continue
            equation, sure = None, CERTAIN
        else:
            inner = view.inner(sa, exchange.response)
            least = sizes.MIN_CHILD_RESPONSE + (sizes.key_exchange(KeyExchangeMethod.CURVE25519) or 0)
            most = sizes.security_association(3) + sizes.nonce() + sizes.MIN_SELECTORS + 4 * sizes.notify()
            if inner is None or inner.high >= least + sizes.security_association(1) - 8 or inner.high > most:
                continue
            equation, sure = inner.equation, LIKELY
        yield Found(
            confidence=sure,
            summary=f"{who(sa, exchange.initiated_by)} renewed or added a tunnel without a key exchange ({frames(exchange.records)}).",
            evidence=evidence.messages(exchange.records),
            equation=equation,
        )
        return


@rule(
    "SEC-008",
    "pq-unsafe",
    LOW,
    title="No protection against future quantum computers",
    means="Whoever records this traffic may be able to decrypt it later.",
    detect="No ML-KEM key exchange and no PPK in the negotiation.",
    look_alikes={"PH1-014": "an additional key exchange was agreed on and failed"},
    causes=("not configured or not supported",),
    fix="Add ML-KEM as an additional key exchange, or a PPK.",
    swanctl="connections.NAME.proposals = aes256gcm16-prfsha384-ecp384-ke1_mlkem1024",
    ios="ppk manual id …",
    rfc=("RFC 9370", "RFC 8784"),
)
def pq_unsafe(sa: IkeSa) -> Iterator[Found]:
    """Neither ML-KEM nor PPK."""
    record = _choice(sa)
    if sa.version == 1 or sa.suite is None or record is None or sa.established_ns is None:
        return
    if any(code_point(KeyExchangeMethod, name) in PQ for name in sa.suite.ke):
        return
    kinds = (NotifyType.USE_PPK, NotifyType.USE_PPK_INT)
    if any(
        has_notify(each.request, kind) and has_notify(each.response, kind) for each in opening(sa) for kind in kinds
    ):
        return
    yield Found(
        confidence=CERTAIN,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} exchange keys with {listed(list(sa.suite.ke)) or 'no known method'} only "
        f"({frames([record])}): recorded traffic is not safe from future quantum computers.",
        evidence=_choice_places(record),
    )


@rule(
    "SEC-010",
    "esp-null-or-no-integrity",
    HIGH,
    title="ESP without encryption or without integrity",
    means="The packets are readable, or can be changed on the way without notice.",
    detect="The negotiated transforms of a Child SA that was read.",
    look_alikes={"SEC-015": "AH"},
    causes=("a test profile left in place", "a policy that wants authentication only"),
    fix="Use AES-GCM.",
    swanctl="children.NAME.esp_proposals = aes256gcm16",
    ios="esp-gcm 256",
    rfc=("RFC 8221 4", "RFC 2410"),
)
def esp_null(child: ChildSa, view: View) -> Iterator[Found]:
    """NULL, GMAC, or no integrity."""
    suite = child.suite
    flows = [view.flows[name] for name in child.flows if name in view.flows]
    if suite is None or child.protocol != "ESP" or suite.encr is None or not flows:
        return
    if suite.encr in {"ENCR_NULL", "ENCR_NULL_AUTH_AES_GMAC"}:
        yield Found(
            confidence=CERTAIN,
            summary=f"The tunnel {child.id} does not encrypt ({suite.encr}, {frames([flow.first_frame for flow in flows])}).",
            evidence=tuple(each for flow in flows[:2] for each in evidence.flow(flow)),
        )


@rule(
    "SEC-011",
    "sweet32-volume",
    HIGH,
    title="Too much data under one key of a 64-bit block cipher",
    means="With so many blocks, collisions give parts of the contents away (Sweet32).",
    detect="The volume of an SA whose cipher has 64-bit blocks.",
    look_alikes={"SEC-004": "the cipher itself, whatever the volume"},
    causes=("a long lifetime",),
    fix="Use AES; renew keys by volume.",
    swanctl="children.NAME.rekey_bytes = 1000000000",
    rfc=("CVE-2016-2183",),
)
def sweet32(child: ChildSa, view: View) -> Iterator[Found]:
    """Volume of 64-bit blocks."""
    if child.suite is None or child.suite.encr not in BLOCK_64:
        return
    for name in child.flows:
        flow = view.flows.get(name)
        if flow is not None and flow.octets > SWEET32_WARN:
            yield Found(
                confidence=CERTAIN,
                severity=HIGH if flow.octets > SWEET32_LIMIT else MEDIUM,
                summary=f"SPI {flow.spi:08x} carried {flow.octets / GIB:.1f} GiB under one {child.suite.encr} key.",
                evidence=evidence.flow(flow),
            )


@rule(
    "SEC-013",
    "weak-randomness",
    HIGH,
    title="Values that should be random repeat or are too short",
    means="Keys made from repeated or short random values can be guessed or linked.",
    detect="The same nonce or key exchange value in different negotiations, or a nonce below the minimum.",
    look_alikes={"PH1-009": "a repeated request with a cookie is the same negotiation"},
    causes=("key exchange values kept for reuse", "a copied virtual machine", "a device without entropy"),
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


@rule(
    "SEC-014",
    "identity-and-version-leak",
    INFO,
    title="The handshake names product and vendor",
    means="Anyone who sees the handshake, or sends one, learns what is running here.",
    detect="Vendor IDs in the clear.",
    look_alikes={"HOST-001": "a scanner collects them"},
    causes=("defaults",),
    fix="Switch vendor IDs off where possible.",
    swanctl="charon.send_vendor_id = no",
    rfc=("RFC 7296 3.12",),
)
def version_leak(sa: IkeSa) -> Iterator[Found]:
    """Vendor IDs that name products."""
    named = [
        (role, end.vendors) for role, end in (("initiator", sa.initiator), ("responder", sa.responder)) if end.vendors
    ]
    records = [
        record
        for record in (r for e in opening(sa) for r in e.records)
        if first(record.payloads, ikev1.VendorId) is not None or first(record.payloads, ikev2.VendorId) is not None
    ]
    if named and records:
        yield Found(
            confidence=CERTAIN,
            summary=f"{'; '.join(f'the {role} names {listed(list(vendors))}' for role, vendors in named)} ({frames(records)}).",
            evidence=tuple(
                each for record in records[:2] for each in evidence.payloads(record, ikev1.VendorId, ikev2.VendorId)
            )[: evidence.MAX_EVIDENCE],
        )


# -- profiles -----------------------------------------------------------------------------------------------------


def _rfc8247(suite: Suite) -> list[str]:
    values = (
        code_point(EncryptionAlgorithm, suite.encr),
        code_point(PseudorandomFunction, suite.prf),
        code_point(IntegrityAlgorithm, suite.integ),
        *(code_point(KeyExchangeMethod, name) for name in suite.ke),
    )
    return [str(value) for value in values if weakness(value) is not None]


def _at_least(suite: Suite, *, bits: int, hashes: tuple[str, ...], groups: frozenset[KeyExchangeMethod]) -> list[str]:
    """What of a suite is outside a list of AES key sizes, hashes and key exchange methods."""
    bad = []
    if suite.encr is None or "AES" not in suite.encr or (suite.key_length or 0) < bits:
        bad.append(f"{suite.encr}-{suite.key_length}" if suite.key_length else str(suite.encr))
    bad += [name for name in (suite.prf, suite.integ) if name is not None and not any(each in name for each in hashes)]
    bad += [name for name in suite.ke if code_point(KeyExchangeMethod, name) not in groups]
    return bad


_K = KeyExchangeMethod
_NIST_GROUPS = frozenset(
    {_K.MODP_2048, _K.MODP_3072, _K.MODP_4096, _K.MODP_6144, _K.MODP_8192, _K.ECP_256, _K.ECP_384, _K.ECP_521} | PQ
)
_BSI_GROUPS = frozenset(
    {
        _K.MODP_3072,
        _K.MODP_4096,
        _K.ECP_256,
        _K.ECP_384,
        _K.ECP_521,
        _K.BRAINPOOL_P256R1,
        _K.BRAINPOOL_P384R1,
        _K.BRAINPOOL_P512R1,
        _K.ML_KEM_768,
        _K.ML_KEM_1024,
    }
)
_SHA2 = ("SHA2_256", "SHA2_384", "SHA2_512")


def profile_faults(suite: Suite) -> dict[str, list[str]]:
    """For each profile what an IKEv2 suite violates; an empty list is a pass. AEAD ciphers have no integrity to check."""
    cnsa = _at_least(suite, bits=256, hashes=("SHA2_384", "SHA2_512"), groups=frozenset({_K.ML_KEM_1024, _K.ECP_384}))
    if "ML_KEM_1024" not in suite.ke:
        cnsa.append("no ML_KEM_1024")
    return {
        "RFC 8247": _rfc8247(suite),
        "NIST SP 800-77r1": _at_least(suite, bits=128, hashes=_SHA2, groups=_NIST_GROUPS),
        "CNSA 2.0": cnsa,
        "BSI TR-02102-3": _at_least(suite, bits=128, hashes=_SHA2, groups=_BSI_GROUPS),
    }


@rule(
    "SEC-012",
    "profile-compliance",
    INFO,
    title="What known profiles say of this IKE SA",
    means="The chosen algorithms against RFC 8247, NIST SP 800-77r1, CNSA 2.0 and BSI TR-02102-3.",
    detect="The suite chosen in the clear.",
    look_alikes={"SEC-004": "a single weak cipher"},
    confirm="The current edition of the profile.",
    rfc=("RFC 8247", "NIST SP 800-77r1", "CNSA 2.0", "BSI TR-02102-3"),
)
def profile_compliance(sa: IkeSa) -> Iterator[Found]:
    """A verdict for each profile."""
    record = _choice(sa)
    if sa.version == 1 or sa.suite is None or record is None:
        return
    faults = profile_faults(sa.suite)
    passed = [name for name, bad in faults.items() if not bad]
    failed = [f"{name} ({', '.join(dict.fromkeys(bad))})" for name, bad in faults.items() if bad]
    yield Found(
        confidence=LIKELY,
        summary=f"The suite of {frames([record])} {f'passes {listed(passed)}' if passed else 'passes no profile'}"
        f"{f'; it fails {listed(failed)}' if failed else ''}.",
        evidence=_choice_places(record),
    )
