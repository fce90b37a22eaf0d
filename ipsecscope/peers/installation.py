"""From a negotiated Child SA to its data plane: which key, which SPI and which end belong to which direction."""

from __future__ import annotations

from collections.abc import Sequence

from ipsecscope.decrypt.algorithms import NO_INTEGRITY, encryption
from ipsecscope.decrypt.opening_ah import AhSa
from ipsecscope.decrypt.opening_esp import EspSa
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm, SecurityProtocol
from ipsecscope.peers.dataplane import Bundle, InboundSa, OutboundSa, SaMode, SaPath
from ipsecscope.peers.entropy import Entropy
from ipsecscope.peers.events import ChildSaInstalled
from ipsecscope.peers.selectors import host_of, parse_selector


def install(
    installed: ChildSaInstalled,
    entropy: Entropy,
    *,
    window: int = 64,
    pad_to: int = 0,
    first_number: int = 0,
    is_adjacent: bool = False,
) -> tuple[OutboundSa, InboundSa]:
    """Both directions of one Child SA, as seen by the peer that told of it.

    Args:
        installed: the event.
        entropy: for IVs.
        window: packets of the anti-replay window, 0 for none.
        pad_to: TFC padding, octets.
        first_number: the sequence number before that of the first packet.
        is_adjacent: whether another SA of the same bundle is inside: this one then works in transport mode.
    """
    mode = SaMode.TRANSPORT if is_adjacent else SaMode(installed.mode)
    initiator = installed.is_initiator
    spi_in, spi_out = (
        int.from_bytes(spi, "big")
        for spi in ((installed.spi_i, installed.spi_r) if initiator else (installed.spi_r, installed.spi_i))
    )
    encapsulated = installed.encapsulated and not is_adjacent
    mine, theirs = _inner_hosts(installed) if mode is SaMode.BEET else ("", "")
    way_out = SaPath(
        source=installed.src,
        destination=installed.dst,
        mode=mode,
        encapsulated=encapsulated,
        inner_source=mine,
        inner_destination=theirs,
    )
    way_in = SaPath(
        source=installed.dst,
        destination=installed.src,
        mode=mode,
        encapsulated=encapsulated,
        inner_source=theirs,
        inner_destination=mine,
    )
    return (
        OutboundSa(
            spi_out, _keyed(installed, initiator=initiator), way_out, entropy, last_number=first_number, pad_to=pad_to
        ),
        InboundSa(spi_in, _keyed(installed, initiator=not initiator), way_in, window=window),
    )


def _inner_hosts(installed: ChildSaInstalled) -> tuple[str, str]:
    """The fixed inner addresses of BEET mode, ours first: its selectors are one host each."""
    ends = host_of(parse_selector(installed.tsi[0])), host_of(parse_selector(installed.tsr[0]))
    return ends if installed.is_initiator else (ends[1], ends[0])


def install_bundle(
    children: Sequence[ChildSaInstalled], entropy: Entropy, *, window: int = 64, pad_to: int = 0, first_number: int = 0
) -> Bundle:
    """The SAs that one IKEv1 quick mode made, ESP inside AH (RFC 2401 section 4.3)."""
    ordered = sorted(children, key=lambda child: child.protocol == SecurityProtocol.AH)
    pairs = [
        install(child, entropy, window=window, pad_to=pad_to, first_number=first_number, is_adjacent=position > 0)
        for position, child in enumerate(ordered)
    ]
    return Bundle([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _keyed(installed: ChildSaInstalled, *, initiator: bool) -> EspSa | AhSa:
    """Algorithms and keys of what the initiator, or the responder, of the exchange sends."""
    suite, keys = installed.suite, installed.keys
    integrity = suite.integrity or NO_INTEGRITY
    if installed.protocol == SecurityProtocol.AH:
        return AhSa(integrity=integrity, integrity_key=keys.integrity(initiator=initiator), esn=installed.esn)
    return EspSa(
        encryption=suite.encryption or encryption(EncryptionAlgorithm.ENCR_NULL),
        encryption_key=keys.encryption(initiator=initiator),
        integrity=integrity,
        integrity_key=keys.integrity(initiator=initiator),
        esn=installed.esn,
    )
