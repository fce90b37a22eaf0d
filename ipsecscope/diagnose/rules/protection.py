"""SEC for the packets themselves: ESP that does not encrypt or does not protect, and too much under one key."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.hints import suite_config
from ipsecscope.diagnose.observed import is_aead
from ipsecscope.diagnose.rule import CERTAIN, HIGH, LIKELY, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import View
from ipsecscope.diagnose.words import counted, frames
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm, IntegrityAlgorithm
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import ChildSa, Suite

GIB = 1 << 30
SWEET32_WARN, SWEET32_LIMIT = GIB, 32 * GIB
BLOCK_64 = frozenset({"ENCR_3DES", "ENCR_DES", "ENCR_BLOWFISH", "ENCR_IDEA", "ENCR_CAST", "ENCR_RC5"})
MIN_READABLE = 3  # packets in the clear before chance is out of question
_IN_CLEAR = frozenset({EncryptionAlgorithm.ENCR_NULL.name, EncryptionAlgorithm.ENCR_NULL_AUTH_AES_GMAC.name})
_SOUND_HASH = IntegrityAlgorithm.AUTH_HMAC_SHA2_256_128.name


@rule(
    "SEC-010",
    "esp-null-or-no-integrity",
    HIGH,
    title="ESP without encryption or without integrity",
    means="The packets are readable, or can be changed on the way without notice.",
    detect="The negotiated transforms of a Child SA that was read; without keys, packets that end as ESP without "
    "encryption does (RFC 5879): padding that counts, its length, and a protocol number. That integrity is missing "
    "shows with keys only.",
    look_alikes={"SEC-015": "AH"},
    causes=("a test profile left in place", "a policy that wants authentication only"),
    confirm="The packets themselves: Wireshark shows their contents with 'Attempt to detect/decode NULL encrypted ESP payloads'.",
    fix="Use AES-GCM.",
    swanctl="children.NAME.esp_proposals = aes256gcm16",
    ios="crypto ipsec transform-set TS esp-gcm 256",
    libreswan="esp=aes_gcm256",
    rfc=("RFC 8221 4", "RFC 2410", "RFC 5879"),
)
def esp_null(flow: Flow, view: View) -> Iterator[Found]:
    """NULL, GMAC, or no integrity: once for both directions."""
    suite, name = _negotiated(flow, view)
    is_bare = suite is not None and (suite.encr in _IN_CLEAR or _lacks_integrity(suite))
    if flow.protocol != "ESP" or not (is_bare or (suite is None and _is_in_clear(flow))):
        return
    back = view.opposite(flow)
    both = [flow] if back is None or not _is_same(back, flow, view) else sorted([flow, back], key=_order)
    if both[0] is not flow:
        return
    where = frames([each.first_frame for each in both])
    places = tuple(place for each in both for place in evidence.flow(each))
    if suite is not None and suite.encr in _IN_CLEAR:
        lacks = " and does not protect its packets from changes" if _lacks_integrity(suite) else ""
        yield Found(
            confidence=CERTAIN,
            summary=f"The tunnel {name} does not encrypt ({suite.encr}, {where}){lacks}.",
            evidence=places,
        )
    elif suite is not None:
        yield Found(
            confidence=CERTAIN,
            summary=f"The tunnel {name} encrypts with {suite.encr} and checks nothing ({where}): its packets can be changed on the way.",
            evidence=places,
            fix="Add an integrity algorithm, or use AES-GCM.",
            config=suite_config(msgspec.structs.replace(suite, integ=_SOUND_HASH), "ESP"),
        )
    else:
        seen = sum(each.ciphertext.readable for each in both if each.ciphertext is not None)
        yield Found(
            confidence=LIKELY if seen >= MIN_READABLE else POSSIBLE,
            summary=f"ESP between {flow.src} and {flow.dst} does not encrypt (SPI {' and '.join(f'{each.spi:08x}' for each in both)}, {where}): "
            f"{counted(seen, 'packet')} end in the clear as ESP without encryption does.",
            evidence=places,
        )


def _negotiated(flow: Flow, view: View) -> tuple[Suite | None, str]:
    """The suite of a flow where its negotiation was read, and the name of its Child SA."""
    child = view.child_of(flow)
    if child is None or child.suite is None or child.suite.encr is None:
        return None, ""
    return child.suite, child.id


def _lacks_integrity(suite: Suite) -> bool:
    return suite.integ is None and suite.encr is not None and not is_aead(suite.encr)


def _is_in_clear(flow: Flow) -> bool:
    return flow.ciphertext is not None and flow.ciphertext.is_readable


def _is_same(flow: Flow, other: Flow, view: View) -> bool:
    """Whether two directions are told together: of one Child SA, or both readable."""
    suite, name = _negotiated(flow, view)
    return name == _negotiated(other, view)[1] and (suite is not None or _is_in_clear(flow) == _is_in_clear(other))


def _order(flow: Flow) -> tuple[int, int, str]:
    return flow.first_ns, flow.first_frame, flow.id


@rule(
    "SEC-011",
    "sweet32-volume",
    HIGH,
    title="Too much data under one key of a 64-bit block cipher",
    means="With so many blocks, collisions give parts of the contents away (Sweet32).",
    detect="The volume of an SA whose cipher has 64-bit blocks.",
    look_alikes={"SEC-004": "the cipher itself, whatever the volume"},
    causes=("a long lifetime",),
    confirm="The receiver's byte counter of this SA.",
    fix="Use AES; renew keys by volume.",
    swanctl="children.NAME.rekey_bytes = 1000000000",
    ios="crypto ipsec security-association lifetime kilobytes 1000000",
    libreswan="ipsec-max-bytes=1G",
    rfc=("CVE-2016-2183",),
)
def sweet32(child: ChildSa, view: View) -> Iterator[Found]:
    """Volume of 64-bit blocks."""
    if child.suite is None or child.suite.encr not in BLOCK_64:
        return
    for name in child.flows:
        flow = view.flows.get(name)
        if flow is None:
            continue
        # The sequence number counts what was sent before the capture began as well (RFC 4303 3.3.3).
        sent = max(flow.octets, flow.last_seq * (flow.octets // max(flow.packets, 1)))
        if sent > SWEET32_WARN:
            yield Found(
                confidence=CERTAIN if sent == flow.octets else LIKELY,
                severity=HIGH if sent > SWEET32_LIMIT else MEDIUM,
                summary=f"SPI {flow.spi:08x} carried {'' if sent == flow.octets else 'by its sequence numbers about '}{sent / GIB:.1f} GiB under one "
                f"{child.suite.encr} key.",
                evidence=evidence.flow(flow),
            )
