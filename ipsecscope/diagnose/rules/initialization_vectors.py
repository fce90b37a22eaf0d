"""SEC for initialization vectors: values that repeat, and values that can be foretold.

Only octets that stand in the clear are compared. Copies of one packet are no repetition, and neither is the beginning
of a packet that is not encrypted at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.decrypt.algorithms import EncryptionRow, UnknownAlgorithmError, encryption_by_name
from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, HIGH, LIKELY, Confidence, Evidence, Found, rule
from ipsecscope.diagnose.view import View
from ipsecscope.diagnose.words import counted, frames
from ipsecscope.timeline.ciphertext import Ciphertext
from ipsecscope.timeline.flows import Flow

MIN_BLOCKS = 3  # repetitions before chance and a single fault are out of question
MIN_CHAIN = 5  # packets in a row that begin with the last block of the one before
AES_BLOCK = 16


def _cipher(flow: Flow, view: View) -> EncryptionRow | None:
    """The cipher of a flow where its negotiation was read."""
    child = view.child_of(flow)
    if child is None or child.suite is None or child.suite.encr is None:
        return None
    try:
        return encryption_by_name(child.suite.encr)[0]
    except UnknownAlgorithmError:
        return None


@rule(
    "SEC-009",
    "esp-iv-reuse",
    CRITICAL,
    title="Packets of one SA are encrypted with the same IV",
    means="Each packet needs an initialization vector of its own. With the same one twice, GCM, CCM, ChaCha20 and counter "
    "mode give both contents and the integrity key away; CBC shows which packets begin alike.",
    detect="The same eight or sixteen octets in front of different ciphertexts of one SPI; or a CBC packet that begins "
    "with the last block of the one before.",
    look_alikes={
        "CAP-005": "the capture holds a packet twice",
        "ESP-002": "a packet was sent twice: all its octets are the same",
        "SEC-010": "the packets are not encrypted: what repeats are inner headers",
    },
    causes=(
        "a faulty implementation or hardware offload",
        "a cloned or restored virtual machine, or a takeover with the same keys and counter",
    ),
    confirm="Look at the octets behind the ESP header in the frames named.",
    fix="Renew the SA at once; have the sender repaired, or use another cipher on it.",
    swanctl="swanctl --rekey --child NAME",
    ios="clear crypto sa peer ADDRESS; no crypto engine accelerator",
    rfc=("RFC 4106 3.1", "RFC 4303 2.3", "RFC 3602 3", "RFC 8750"),
)
def esp_iv_reuse(flow: Flow, view: View) -> Iterator[Found]:
    """Equal IVs, and IVs taken from the packet before."""
    seen, cipher = flow.ciphertext, _cipher(flow, view)
    if flow.protocol != "ESP" or seen is None or seen.is_readable or (cipher is not None and not cipher.iv_size):
        return
    is_block_iv = cipher is not None and cipher.iv_size >= AES_BLOCK
    repeats = seen.block_repeats if is_block_iv else seen.iv_repeats
    if repeats:
        yield Found(
            confidence=_sureness(cipher, seen, repeats),
            summary=f"{counted(repeats, 'packet')} of {seen.compared} from {flow.src} to {flow.dst} (SPI {flow.spi:08x}) are encrypted with an IV "
            f"that another packet of the SA has, such as {frames(seen.repeat_pairs[0])}{_alike(seen)}.",
            evidence=(*_places(flow, seen, AES_BLOCK if is_block_iv else 8), *evidence.flow(flow)),
        )
    elif seen.chained >= MIN_CHAIN and seen.chained >= seen.successive * 9 // 10:
        yield Found(
            confidence=LIKELY,
            severity=HIGH,
            summary=f"{counted(seen.chained, 'packet')} from {flow.src} to {flow.dst} (SPI {flow.spi:08x}) begin with the last block of the packet "
            "before: their IVs can be foretold, which RFC 3602 forbids.",
            evidence=evidence.flow(flow),
        )


def _sureness(cipher: EncryptionRow | None, seen: Ciphertext, repeats: int) -> Confidence:
    """One repetition is enough for a nonce; where the first octets may be a CBC block, several are wanted."""
    is_nonce = cipher is not None and cipher.is_aead
    return CERTAIN if is_nonce or repeats >= MIN_BLOCKS or seen.is_counter else LIKELY


def _alike(seen: Ciphertext) -> str:
    if not seen.block_repeats:
        return ""
    return f"; in {seen.block_repeats} of them the first 16 octets are the same, so anybody sees that their contents begin alike"


def _places(flow: Flow, seen: Ciphertext, size: int) -> tuple[Evidence, ...]:
    numbers = [frame for pair in seen.repeat_pairs for frame in pair]
    return tuple(
        Evidence(frame, flow.file, "iv", (8, 8 + size), "the same octets as another packet") for frame in numbers
    )
