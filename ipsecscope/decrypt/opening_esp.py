"""Opening ESP packets, RFC 4303: one ``EspOpener`` per SA, with the cipher and the HMAC state bound once.

A packet is opened when its ICV matches; where the cipher is apart from the ICV, padding and next header must also
be what a sender writes, for the integrity key proves nothing about the encryption key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from ipsecscope.decrypt.algorithms import (
    NO_INTEGRITY,
    AlgorithmError,
    EncryptionRow,
    IntegrityError,
    IntegrityRow,
    truncated,
)
from ipsecscope.decrypt.ciphers import bind
from ipsecscope.decrypt.macs import Icv
from ipsecscope.decrypt.opening import Reason, Refused, refusal_of
from ipsecscope.decrypt.plausibility import DEFAULT_PADDING, TRAILER_SIZE, is_esp_plaintext
from ipsecscope.decrypt.secret import Secret
from ipsecscope.decrypt.sequence_numbers import EsnTracker
from ipsecscope.dissect.esp import inner_size
from ipsecscope.dissect.registry.ip_protocols import IpProtocol

ESP_HEADER_SIZE = 8
SHA2_256_TRUNCATIONS = (16, 12)  # RFC 4868, and the draft before it that old Linux kernels follow

NO_SECRET = Secret(b"")
NO_UPPER_HALF: tuple[int | None, ...] = (None,)


class EspSa(msgspec.Struct, frozen=True, kw_only=True):
    """What opens (or seals) the ESP packets of one direction.

    ``encryption_key`` ends with the salt where the cipher has one. ``esn`` is None where nobody knows. ``esn_high``
    is the upper half of the sequence number to start from, where a key source tells it.
    """

    encryption: EncryptionRow
    encryption_key: Secret = NO_SECRET
    integrity: IntegrityRow = NO_INTEGRITY
    integrity_key: Secret = NO_SECRET
    esn: bool | None = False
    esn_high: int = 0


class EspOpened(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An opened ESP packet.

    Attributes:
        spi: from the header.
        sequence_number: the 32 bits of the header.
        esn_high: the upper half that the ICV confirmed; None without extended sequence numbers.
        payload: the protected packet or transport segment, without padding of any kind.
        next_header: what it is.
        tfc_padding: octets behind it, RFC 4303 section 2.7; part of neither.
        padding: the ESP padding.
        iv: the IV in the packet.
        icv_size: octets of the ICV.
        authenticated: whether the ICV was verified; false where the SA has none or its key is not known.
        is_truncated: whether the ICV was cut in another place than the SA says (SHA2-256 to 96 bits).
    """

    spi: int
    sequence_number: int
    esn_high: int | None
    payload: bytes
    next_header: int
    tfc_padding: bytes
    padding: bytes
    iv: bytes
    icv_size: int
    authenticated: bool
    is_truncated: bool = False

    @property
    def is_dummy(self) -> bool:
        """Whether this is a dummy packet to be thrown away, RFC 4303 section 2.6."""
        return self.next_header == IpProtocol.IPV6_NONXT

    @property
    def has_default_padding(self) -> bool:
        """Whether the padding counts 1, 2, 3 as RFC 4303 section 2.4 has it."""
        return self.padding == DEFAULT_PADDING[: len(self.padding)]


BAD_ICV = Refused(Reason.BAD_ICV, "integrity check failed")
TOO_SHORT = Refused(Reason.TOO_SHORT, "no room for IV, trailer and ICV in the packet")
WRONG_CIPHER_KEY = Refused(
    Reason.BAD_PLAINTEXT, "the ICV is right, but padding or next header are not: check the encryption key"
)
WRONG_KEY_NO_ICV = Refused(
    Reason.BAD_PLAINTEXT, "there is no ICV, and padding or next header are wrong: check the encryption key"
)


class EspOpener:
    """Opens the packets of one SA. Raises KeyLengthError or UnsupportedAlgorithmError when it is made."""

    def __init__(self, sa: EspSa) -> None:
        row = sa.encryption
        self.sa = sa
        self._unseal = bind(row, sa.encryption_key).unseal
        self._is_aead = row.is_aead
        self._iv_stop = ESP_HEADER_SIZE + row.iv_size
        self._block = row.block_size
        self._implicit_iv = row.implicit_iv
        self._icvs: tuple[Icv, ...] = () if row.is_aead else _icvs(sa.integrity, sa.integrity_key)
        self._bare_icv_size = row.icv_size if row.is_aead else sa.integrity.icv_size
        self._esn = EsnTracker(esn=sa.esn, start=sa.esn_high)

    @property
    def esn(self) -> bool | None:
        """Whether the sequence numbers are extended, as the SA says or as a packet showed; None while nobody knows."""
        return self._esn.esn

    @property
    def integrity(self) -> IntegrityRow:
        """The integrity algorithm, with the truncation that a packet showed."""
        return self._icvs[0].row if len(self._icvs) == 1 else self.sa.integrity

    def open(self, packet: bytes | memoryview, esn_high: int | None = None) -> EspOpened | Refused:
        """Open one packet, from its SPI to its ICV. ``esn_high`` is the upper half of its number, where it is known."""
        packet = bytes(packet)
        if len(packet) < self._iv_stop + TRAILER_SIZE + self._bare_icv_size and not self._icvs:
            return TOO_SHORT
        low = int.from_bytes(packet[4:8], "big")
        highs: Iterable[int | None] = NO_UPPER_HALF
        if esn_high is not None:
            highs = (esn_high,)
        elif self._esn.esn is not False:
            highs = self._esn.candidates(low)
        if self._is_aead:
            return self._open_aead(packet, low, highs)
        if self._icvs:
            return self._open_checked(packet, low, tuple(highs))
        return self._decrypt(packet, len(packet) - self._bare_icv_size, None, authenticated=False)

    def _open_aead(self, packet: bytes, low: int, highs: Iterable[int | None]) -> EspOpened | Refused:
        iv, sealed = packet[ESP_HEADER_SIZE : self._iv_stop], packet[self._iv_stop :]
        for high in highs:
            aad = packet[:8] if high is None else packet[:4] + high.to_bytes(4, "big") + packet[4:8]
            nonce = (high or 0).to_bytes(4, "big") + packet[4:8] if self._implicit_iv else iv
            try:
                plaintext = self._unseal(nonce, aad, sealed)
            except IntegrityError:
                continue
            if highs is not NO_UPPER_HALF:
                self._esn.matched(low, high)
            return self._opened(packet, plaintext, low, high, iv, self._bare_icv_size)
        return BAD_ICV

    def _open_checked(self, packet: bytes, low: int, highs: Collection[int | None]) -> EspOpened | Refused:
        too_short = True
        for icv in self._icvs:
            stop = len(packet) - icv.size
            if stop < self._iv_stop + TRAILER_SIZE:
                continue
            too_short = False
            covered, sent = packet[:stop], packet[stop:]
            for high in highs:
                upper_half = () if high is None else (high.to_bytes(4, "big"),)
                if not icv.verify(sent, covered, *upper_half):
                    continue
                if highs is not NO_UPPER_HALF:
                    self._esn.matched(low, high)
                self._icvs = (icv,)  # the others were guesses
                opened = self._decrypt(packet, stop, high, authenticated=True)
                if icv.row is not self.sa.integrity and isinstance(opened, EspOpened):
                    return msgspec.structs.replace(opened, is_truncated=True)
                return opened
        return TOO_SHORT if too_short else BAD_ICV

    def _decrypt(self, packet: bytes, stop: int, high: int | None, *, authenticated: bool) -> EspOpened | Refused:
        if (stop - self._iv_stop) % self._block:
            return Refused(Reason.NOT_WHOLE_BLOCKS, f"not whole blocks of {self._block} octets: check the algorithms")
        iv = packet[ESP_HEADER_SIZE : self._iv_stop]
        plaintext = self._unseal(iv, b"", packet[self._iv_stop : stop])
        if not is_esp_plaintext(plaintext):
            return WRONG_CIPHER_KEY if authenticated else WRONG_KEY_NO_ICV
        low = int.from_bytes(packet[4:8], "big")
        return self._opened(packet, plaintext, low, high, iv, len(packet) - stop, authenticated=authenticated)

    def _opened(
        self,
        packet: bytes,
        plaintext: bytes,
        low: int,
        high: int | None,
        iv: bytes,
        icv_size: int,
        *,
        authenticated: bool = True,
    ) -> EspOpened | Refused:
        next_header = plaintext[-1]
        stop = len(plaintext) - TRAILER_SIZE - plaintext[-2]
        if stop < 0:  # an AEAD vouches for the key, so this is how it was sent
            return Refused(Reason.MALFORMED, "the ICV is right, but the Pad Length is more than the packet has")
        payload, tfc_padding = plaintext[:stop], b""
        claimed = inner_size(payload, next_header) or 0
        if 8 <= claimed < stop:
            payload, tfc_padding = payload[:claimed], payload[claimed:]
        return EspOpened(
            spi=int.from_bytes(packet[:4], "big"),
            sequence_number=low,
            esn_high=high,
            payload=payload,
            next_header=next_header,
            tfc_padding=tfc_padding,
            padding=plaintext[stop:-2],
            iv=iv,
            icv_size=icv_size,
            authenticated=authenticated,
        )


def open_esp(packet: bytes, sa: EspSa, esn_high: int | None = None) -> EspOpened | Refused:
    """Open one ESP packet, from its SPI to its ICV. For many packets of one SA, keep an ``EspOpener``."""
    try:
        opener = EspOpener(sa)
    except AlgorithmError as error:
        return refusal_of(error)
    return opener.open(packet, esn_high)


def _icvs(row: IntegrityRow, key: Secret) -> tuple[Icv, ...]:
    """The ICVs to try: that of the row and, for SHA2-256, the other of its two truncations."""
    if not row.icv_size or not row.is_checked:
        return ()
    rows = [row]
    if row.mac == "hmac-sha2-256" and row.icv_size in SHA2_256_TRUNCATIONS:
        rows += [truncated(row, size) for size in SHA2_256_TRUNCATIONS if size != row.icv_size]
    return tuple(Icv(each, key) for each in rows)
