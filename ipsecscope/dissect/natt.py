"""NAT traversal: what shares UDP port 4500 (RFC 3948) and what NAT detection hashes tell (RFC 7296 2.23, RFC 3947 3.2).

The hashes cover SPIs, address and port, so whoever sees a packet can tell whether its addresses are those that its
sender knew. The file states what fits; whether a translation does harm is for others to say.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import pairwise
from typing import Final

import msgspec

NON_ESP_MARKER: Final = bytes(4)  # RFC 3948 section 2.2: in front of IKE on port 4500
KEEPALIVE: Final = b"\xff"  # RFC 3948 section 2.3
IKE_PORT: Final = 500
NAT_T_PORT: Final = 4500
GDOI_PORT: Final = 848
USUAL_PORTS: Final = (IKE_PORT, NAT_T_PORT, GDOI_PORT)
MAX_SEARCHED: Final = 200_000  # hashes that one search for an original address computes
DIGEST_OF_SIZE: Final = {16: "md5", 20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}
PRIVATE_NETWORKS: Final = ("192.168.0.0/24", "192.168.1.0/24", "10.0.0.0/24", "172.16.0.0/24")
NO_SPI: Final = bytes(8)


class UdpContent(Enum):
    """What the payload of a UDP datagram on port 4500 is, by its first octets (RFC 3948 section 2)."""

    IKE = "IKE"
    ESP = "ESP"
    KEEPALIVE = "keepalive"
    UNREADABLE = "unreadable"


def classify(payload: bytes) -> UdpContent:
    """Tell IKE, ESP and keepalive apart; a payload too short for an SPI is unreadable."""
    if payload == KEEPALIVE:
        return UdpContent.KEEPALIVE
    if len(payload) < len(NON_ESP_MARKER):
        return UdpContent.UNREADABLE
    return UdpContent.IKE if payload.startswith(NON_ESP_MARKER) else UdpContent.ESP


def nat_detection_hash(spi_i: bytes, spi_r: bytes, address: str, port: int, digest: str = "sha1") -> bytes:
    """The NAT detection hash over SPIs, IP address and port (RFC 7296 section 2.23; RFC 3947 section 3.2).

    Args:
        spi_i: SPI or cookie of the initiator, 8 octets.
        spi_r: SPI or cookie of the responder, 8 octets; zeros while there is none.
        address: IPv4 or IPv6 address in text form.
        port: UDP port.
        digest: ``sha1`` in IKEv2; in IKEv1 the negotiated hash, by hashlib's name.

    Raises:
        ValueError: when the address is none.
    """
    return _hash(spi_i + spi_r, ipaddress.ip_address(address).packed, port, digest)


def _hash(spis: bytes, address: bytes, port: int, digest: str) -> bytes:
    return hashlib.new(digest, spis + address + port.to_bytes(2, "big"), usedforsecurity=False).digest()


class NatFit(Enum):
    """What the NAT detection hashes for one end of a packet fit."""

    ABSENT = "no hash was sent"
    MATCHES = "fits the address and port seen"
    TRANSLATED = "fits another address or port: translated on the way"
    FORCED = "made so that it fits nothing: UDP encapsulation is forced"
    MISCOMPUTED = "fits the address and port seen, computed in a way of its own"
    UNEXPLAINED = "fits nothing known: translated on the way, or made up to force UDP encapsulation"


Explanation = tuple[NatFit, bytes, int, bytes, str]  # fit, address, port, SPIs, in words


class NatSide(msgspec.Struct, frozen=True):
    """What the hashes say of one end. ``original`` is the address and port that a hash fits; ``detail`` says how."""

    fit: NatFit
    address: str
    port: int
    original: tuple[str, int] | None = None
    detail: str = ""

    @property
    def behind_nat(self) -> bool | None:
        """What the receiver has to conclude (RFC 7296 section 2.23); None when no hash was sent."""
        if self.fit is NatFit.ABSENT:
            return None
        return self.fit is not NatFit.MATCHES


class NatVerdict(msgspec.Struct, frozen=True):
    """What one message says of both of its ends, as seen where it was captured."""

    source: NatSide
    destination: NatSide


class Endpoint(msgspec.Struct, frozen=True):
    """An address and a UDP port."""

    address: str
    port: int


def nat_verdict(
    source_hashes: Sequence[bytes],
    destination_hashes: Sequence[bytes],
    *,
    spi_i: bytes,
    spi_r: bytes,
    source: Endpoint,
    destination: Endpoint,
    known: Iterable[str] = (),
    networks: Sequence[str] = (),
) -> NatVerdict:
    """Compare the NAT detection hashes of one message with the addresses it was seen with.

    The digest is told by the length of each hash, so IKEv1 needs no knowledge of the negotiation. Several source
    hashes are legal (RFC 7296 section 2.23: a sender that does not know which address it uses); one that fits is
    enough. NAT_DETECTION_DESTINATION_IP and the first NAT-D of IKEv1 are ``destination_hashes``.

    Args:
        source_hashes: hashes over the sender's own address.
        destination_hashes: hashes over the receiver's address.
        spi_i: SPI or cookie of the initiator, as in the header of the message.
        spi_r: SPI or cookie of the responder, as in the header of the message.
        source: where the message came from.
        destination: where it went.
        known: other addresses to try, such as those of the other side of a NAT in the same capture.
        networks: networks to search for the original address, such as ``PRIVATE_NETWORKS``.
    """
    others = tuple(known)
    return NatVerdict(
        _side(source_hashes, source, _explanations(source, spi_i, spi_r, others, networks)),
        _side(destination_hashes, destination, _explanations(destination, spi_i, spi_r, others, networks)),
    )


def nat_verdict_v1(
    hashes: Sequence[bytes],
    *,
    spi_i: bytes,
    spi_r: bytes,
    source: Endpoint,
    destination: Endpoint,
    known: Iterable[str] = (),
    networks: Sequence[str] = (),
) -> NatVerdict:
    """The same for the NAT-D payloads of IKEv1 in their order: the remote end first (RFC 3947 section 3.2)."""
    return nat_verdict(
        hashes[1:],
        hashes[:1],
        spi_i=spi_i,
        spi_r=spi_r,
        source=source,
        destination=destination,
        known=known,
        networks=networks,
    )


def made_up(hashes: Iterable[Sequence[bytes]]) -> bool:
    """Whether the hashes that one end sent in several messages with the same SPIs and addresses cannot be real.

    A real hash repeats itself when its input does; a random one, drawn anew for a retry after COOKIE or
    INVALID_KE_PAYLOAD, does not.
    """
    sets = [frozenset(each) for each in hashes if each]
    return any(not first & second for first, second in pairwise(sets))


def _side(hashes: Sequence[bytes], seen: Endpoint, explanations: Iterable[Explanation]) -> NatSide:
    if not hashes:
        return NatSide(NatFit.ABSENT, seen.address, seen.port)
    wanted = {value: digest for value in hashes if (digest := DIGEST_OF_SIZE.get(len(value)))}
    for fit, address, port, spis, detail in explanations:
        if any(_hash(spis, address, port, digest) == value for value, digest in wanted.items()):
            return NatSide(fit, seen.address, seen.port, (str(ipaddress.ip_address(address)), port), detail)
    if any(len(set(value)) <= 1 for value in hashes):
        return NatSide(NatFit.FORCED, seen.address, seen.port, None, "the hash is one octet repeated")
    if not wanted:
        return NatSide(NatFit.UNEXPLAINED, seen.address, seen.port, None, "no hash has the length of a known digest")
    return NatSide(NatFit.UNEXPLAINED, seen.address, seen.port)


def _packed(address: str) -> bytes:
    try:
        return ipaddress.ip_address(address).packed
    except ValueError:
        return b""


def _explanations(
    end: Endpoint, spi_i: bytes, spi_r: bytes, known: tuple[str, ...], networks: Sequence[str]
) -> Iterator[Explanation]:
    """Inputs that a hash may have been made from, the likely ones first."""
    seen, port, spis = _packed(end.address), end.port, spi_i + spi_r
    swapped = int.from_bytes(port.to_bytes(2, "little"), "big")
    if seen:
        yield NatFit.MATCHES, seen, port, spis, ""
        yield NatFit.FORCED, seen, 0, spis, "the hash is over the right address and port 0"
        for other in USUAL_PORTS:
            yield NatFit.TRANSLATED, seen, other, spis, "only the port was translated"
        yield NatFit.MISCOMPUTED, seen, port, spi_i + NO_SPI, "computed without the responder's SPI"
        yield NatFit.MISCOMPUTED, seen, swapped, spis, "computed with the octets of the port swapped"
    for unspecified in (bytes(4), bytes(16)):
        for other in (0, port, *USUAL_PORTS):
            yield NatFit.FORCED, unspecified, other, spis, "the hash is over the unspecified address"
    for address in known:
        for other in dict.fromkeys((port, *USUAL_PORTS)):
            if packed := _packed(address):
                yield NatFit.TRANSLATED, packed, other, spis, "the hash is over an address known otherwise"
    yield from _searched(spis, networks, port)


def _searched(spis: bytes, networks: Sequence[str], port: int) -> Iterator[Explanation]:
    budget = MAX_SEARCHED
    for network in networks:
        for address in ipaddress.ip_network(network):
            for other in (IKE_PORT, NAT_T_PORT) if port in USUAL_PORTS else (IKE_PORT, NAT_T_PORT, port):
                if budget == 0:
                    return
                budget -= 1
                yield NatFit.TRANSLATED, address.packed, other, spis, "the hash is over an address found by search"
