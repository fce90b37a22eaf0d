"""Key derivation of IKEv2, in the words of the RFCs: prf+, SKEYSEED, SK_*, KEYMAT, and the octets that AUTH covers.

Everything here is a pure function of octets. Who sent them, and in which exchange, is somebody else's business; the
names say the role: ``ni`` is the nonce of the initiator *of the exchange* that makes the keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ipsecscope.decrypt.algorithms import EncryptionRow, IntegrityRow, PrfRow
from ipsecscope.decrypt.macs import Buffer, prf
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import PayloadType

__all__ = [
    "ChildKeys",
    "ChildSuite",
    "IkeKeys",
    "IkeSuite",
    "derive_child_keymat",
    "derive_ike_keys",
    "expand_ike_keys",
    "int_auth",
    "int_auth_chunk",
    "int_auth_step",
    "maced_id",
    "mix_ppk",
    "next_ike_keys",
    "ppk_confirmation",
    "prf",
    "prf_plus",
    "rekey_ike_keys",
    "resume_ike_keys",
    "shared_key_auth",
    "signed_octets",
    "skeyseed",
    "skeyseed_additional",
    "skeyseed_ppk",
    "skeyseed_rekey",
    "skeyseed_resumption",
]

MAX_PRF_PLUS_BLOCKS = 255  # the counter of prf+ is one octet, RFC 7296 section 2.13
KEY_PAD = b"Key Pad for IKEv2"  # RFC 7296 section 2.15
RESUMPTION = b"Resumption"  # RFC 5723 section 5.1
IKE_HEADER_SIZE = 28
NEXT_PAYLOAD_AT = 16  # offset of the Next Payload octet in the IKE header
LENGTH_AT = 24  # offset of the Length in the IKE header


class IkeSuite(msgspec.Struct, frozen=True, kw_only=True):
    """The transforms of an IKE SA. ``key_bits`` is the Key Length attribute, None where the cipher has one size."""

    prf: PrfRow
    encryption: EncryptionRow
    key_bits: int | None = None
    integrity: IntegrityRow | None = None


class ChildSuite(msgspec.Struct, frozen=True, kw_only=True):
    """The transforms of a Child SA; AH has no ``encryption``, an AEAD no ``integrity``."""

    encryption: EncryptionRow | None = None
    key_bits: int | None = None
    integrity: IntegrityRow | None = None

    @property
    def key_sizes(self) -> tuple[int, int]:
        """Octets of the encryption key with its salt, and of the integrity key, of one direction."""
        encryption = self.encryption.key_material_size(self.key_bits) if self.encryption else 0
        return encryption, self.integrity.key_size if self.integrity else 0


class IkeKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The seven keys of an IKE SA, RFC 7296 section 2.14. A salt is the end of its SK_e; an AEAD has empty SK_a."""

    sk_d: Secret
    sk_ai: Secret
    sk_ar: Secret
    sk_ei: Secret
    sk_er: Secret
    sk_pi: Secret
    sk_pr: Secret

    def sk_e(self, *, initiator: bool) -> Secret:
        """The key that encrypts what the original initiator, or the original responder, sends."""
        return self.sk_ei if initiator else self.sk_er

    def sk_a(self, *, initiator: bool) -> Secret:
        """The key that authenticates what the original initiator, or the original responder, sends."""
        return self.sk_ai if initiator else self.sk_ar


class ChildKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The four keys of a Child SA, RFC 7296 section 2.17; ``i`` is the initiator of the exchange that made it.

    The keys with ``i`` protect what that initiator sends, so they belong to the SPI that the responder chose.
    """

    encryption_i: Secret
    integrity_i: Secret
    encryption_r: Secret
    integrity_r: Secret

    def encryption(self, *, initiator: bool) -> Secret:
        """The key (with its salt) that encrypts what the initiator, or the responder, of the exchange sends."""
        return self.encryption_i if initiator else self.encryption_r

    def integrity(self, *, initiator: bool) -> Secret:
        """The key that authenticates what the initiator, or the responder, of the exchange sends."""
        return self.integrity_i if initiator else self.integrity_r


def prf_plus(row: PrfRow, key: Secret | bytes, seed: bytes, size: int) -> bytes:
    """The first ``size`` octets of prf+ (K, S), RFC 7296 section 2.13. Raises ValueError beyond 255 blocks."""
    stream, block = bytearray(), b""
    for number in range(1, -(-size // row.output_size) + 1):
        if number > MAX_PRF_PLUS_BLOCKS:
            raise ValueError(f"prf+ with {row.name} ends before {size} octets")
        block = prf(row, key, block, seed, bytes((number,)))
        stream += block
    return bytes(stream[:size])


# -- SKEYSEED ----------------------------------------------------------------------------------------------------


def skeyseed(row: PrfRow, ni: bytes, nr: bytes, g_ir: Secret | bytes) -> Secret:
    """SKEYSEED = prf(Ni | Nr, g^ir), RFC 7296 section 2.14.

    AES-XCBC-PRF-128 and AES-CMAC-PRF-128 take their key from the first 64 bits of each nonce.
    """
    if row.nonce_octets_in_key:
        ni, nr = ni[: row.nonce_octets_in_key], nr[: row.nonce_octets_in_key]
    return Secret(prf(row, ni + nr, _octets(g_ir)))


def skeyseed_rekey(row: PrfRow, sk_d: Secret, secrets: Sequence[Secret | bytes], ni: bytes, nr: bytes) -> Secret:
    """SKEYSEED of a rekeyed IKE SA: prf(SK_d (old), SK(0) | Ni | Nr | SK(1) | … SK(n)).

    RFC 7296 section 2.18 with one secret, RFC 9370 section 2.2.4 with more. ``row`` is the prf of the *old* IKE SA.
    """
    first, *more = (_octets(secret) for secret in secrets)
    return Secret(prf(row, sk_d, first, ni, nr, *more))


def skeyseed_additional(row: PrfRow, sk_d: Secret, secret: Secret | bytes, ni: bytes, nr: bytes) -> Secret:
    """SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr) behind an IKE_INTERMEDIATE key exchange, RFC 9370 2.2.2."""
    return Secret(prf(row, sk_d, _octets(secret), ni, nr))


def skeyseed_resumption(row: PrfRow, sk_d: Secret, ni: bytes, nr: bytes) -> Secret:
    """SKEYSEED = prf(SK_d (old), "Resumption" | Ni | Nr) of a resumed IKE SA, RFC 5723 section 5.1."""
    return Secret(prf(row, sk_d, RESUMPTION, ni, nr))


def skeyseed_ppk(row: PrfRow, ppk: Secret, sk_d: Secret) -> Secret:
    """SKEYSEED' = prf+ (PPK, SK_d) when a PPK was agreed in IKE_INTERMEDIATE, RFC 9867 section 3.1."""
    return Secret(prf_plus(row, ppk, sk_d.reveal(), row.key_size))


def ppk_confirmation(row: PrfRow, ppk: Secret, *, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes) -> bytes:
    """The PPK Confirmation of a PPK_IDENTITY_KEY notification, 8 octets, RFC 9867 section 3.1."""
    return prf(row, ppk, ni, nr, spi_i, spi_r)[:8]


# -- keys of an IKE SA -------------------------------------------------------------------------------------------


def expand_ike_keys(suite: IkeSuite, seed: Secret, *, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes) -> IkeKeys:
    """{SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+ (SKEYSEED, Ni | Nr | SPIi | SPIr), 7296 2.14."""
    of_prf = suite.prf.key_size
    of_integrity = suite.integrity.key_size if suite.integrity else 0
    of_encryption = suite.encryption.key_material_size(suite.key_bits)
    sizes = (of_prf, of_integrity, of_integrity, of_encryption, of_encryption, of_prf, of_prf)
    stream = Secret(prf_plus(suite.prf, seed, ni + nr + spi_i + spi_r, sum(sizes)))
    sk_d, sk_ai, sk_ar, sk_ei, sk_er, sk_pi, sk_pr = stream.split(*sizes)
    return IkeKeys(sk_d=sk_d, sk_ai=sk_ai, sk_ar=sk_ar, sk_ei=sk_ei, sk_er=sk_er, sk_pi=sk_pi, sk_pr=sk_pr)


def derive_ike_keys(
    suite: IkeSuite, g_ir: Secret | bytes, *, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes
) -> IkeKeys:
    """The keys of an IKE SA made by IKE_SA_INIT, RFC 7296 section 2.14."""
    seed = skeyseed(suite.prf, ni, nr, g_ir)
    return expand_ike_keys(suite, seed, ni=ni, nr=nr, spi_i=spi_i, spi_r=spi_r)


def next_ike_keys(
    suite: IkeSuite, sk_d: Secret, secret: Secret | bytes, *, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes
) -> IkeKeys:
    """The keys behind one more key exchange in IKE_INTERMEDIATE, RFC 9370 section 2.2.2.

    ``sk_d`` is the one before it; nonces and SPIs are those of IKE_SA_INIT.
    """
    seed = skeyseed_additional(suite.prf, sk_d, secret, ni, nr)
    return expand_ike_keys(suite, seed, ni=ni, nr=nr, spi_i=spi_i, spi_r=spi_r)


def rekey_ike_keys(
    suite: IkeSuite,
    old_prf: PrfRow,
    old_sk_d: Secret,
    secrets: Sequence[Secret | bytes],
    *,
    ni: bytes,
    nr: bytes,
    spi_i: bytes,
    spi_r: bytes,
) -> IkeKeys:
    """The keys of an IKE SA made by CREATE_CHILD_SA (and IKE_FOLLOWUP_KE), RFC 7296 2.18 and RFC 9370 2.2.4.

    SKEYSEED comes from the old prf, the expansion from the new one. Nonces and SPIs are those of the new exchange.
    """
    seed = skeyseed_rekey(old_prf, old_sk_d, secrets, ni, nr)
    return expand_ike_keys(suite, seed, ni=ni, nr=nr, spi_i=spi_i, spi_r=spi_r)


def resume_ike_keys(suite: IkeSuite, old_sk_d: Secret, *, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes) -> IkeKeys:
    """The keys of an IKE SA resumed from a ticket, RFC 5723 section 5.1."""
    seed = skeyseed_resumption(suite.prf, old_sk_d, ni, nr)
    return expand_ike_keys(suite, seed, ni=ni, nr=nr, spi_i=spi_i, spi_r=spi_r)


def mix_ppk(row: PrfRow, ppk: Secret, keys: IkeKeys) -> IkeKeys:
    """SK_d, SK_pi and SK_pr = prf+ (PPK, their former values); the other keys stay, RFC 8784 section 3."""

    def mixed(key: Secret) -> Secret:
        return Secret(prf_plus(row, ppk, key.reveal(), row.key_size))

    return msgspec.structs.replace(keys, sk_d=mixed(keys.sk_d), sk_pi=mixed(keys.sk_pi), sk_pr=mixed(keys.sk_pr))


# -- keys of a Child SA ------------------------------------------------------------------------------------------


def derive_child_keymat(
    row: PrfRow, sk_d: Secret, suite: ChildSuite, secrets: Sequence[Secret | bytes] = (), *, ni: bytes, nr: bytes
) -> ChildKeys:
    """KEYMAT = prf+ (SK_d, [SK(0) |] Ni | Nr [| SK(1) | … SK(n)]), RFC 7296 section 2.17 and RFC 9370 2.2.4.

    Initiator to responder comes first, and in each direction encryption (key, then salt) before integrity.
    """
    first = _octets(secrets[0]) if secrets else b""
    seed = first + ni + nr + b"".join(_octets(secret) for secret in secrets[1:])
    sizes = suite.key_sizes * 2
    stream = Secret(prf_plus(row, sk_d, seed, sum(sizes)))
    encryption_i, integrity_i, encryption_r, integrity_r = stream.split(*sizes)
    return ChildKeys(
        encryption_i=encryption_i, integrity_i=integrity_i, encryption_r=encryption_r, integrity_r=integrity_r
    )


# -- AUTH --------------------------------------------------------------------------------------------------------


def maced_id(row: PrfRow, sk_p: Secret, id_body: bytes) -> bytes:
    """MACedIDForI or MACedIDForR = prf(SK_pi or SK_pr, RestOfIDPayload), RFC 7296 section 2.15."""
    return prf(row, sk_p, id_body)


def signed_octets(
    row: PrfRow, message: bytes, peer_nonce: bytes, sk_p: Secret, id_body: bytes, *, intermediate: bytes = b""
) -> bytes:
    """InitiatorSignedOctets or ResponderSignedOctets, RFC 7296 section 2.15.

    Args:
        row: the negotiated prf.
        message: the signer's IKE_SA_INIT message as it was sent, without non-ESP marker; with a cookie, the last one.
        peer_nonce: the nonce data of the other side.
        sk_p: SK_pi for the initiator, SK_pr for the responder.
        id_body: the signer's ID payload behind the generic header.
        intermediate: the value of ``int_auth`` when there were IKE_INTERMEDIATE exchanges, RFC 9242 section 3.3.1.
    """
    return message + peer_nonce + maced_id(row, sk_p, id_body) + intermediate


def shared_key_auth(row: PrfRow, shared_secret: Secret, octets: bytes) -> bytes:
    """AUTH = prf(prf(Shared Secret, "Key Pad for IKEv2"), signed octets), RFC 7296 section 2.15.

    The shared secret is the PSK; behind EAP the MSK, or SK_pi / SK_pr where the method has none (section 2.16); for
    the NULL method SK_pi / SK_pr (RFC 7619 section 2.1).
    """
    return prf(row, prf(row, shared_secret, KEY_PAD), octets)


def int_auth_chunk(message: bytes, sk_offset: int, first_payload: int, inner: bytes) -> bytes:
    """IntAuth_*A | IntAuth_*P of one IKE_INTERMEDIATE message, RFC 9242 section 3.3.2.

    It is the message up to the generic header of the Encrypted payload, both lengths adjusted to a body without IV,
    padding and ICV, and then the decrypted payloads.

    Args:
        message: the message; of a fragmented one the first fragment.
        sk_offset: where its SK (or SKF) payload starts.
        first_payload: the type of the first inner payload.
        inner: the inner payloads, of all fragments one behind the other.
    """
    chunk = bytearray(message[: sk_offset + 4])
    named_at, start = NEXT_PAYLOAD_AT, IKE_HEADER_SIZE
    while start < sk_offset:  # payloads in the clear before it
        named_at, start = start, start + max(4, int.from_bytes(chunk[start + 2 : start + 4], "big"))
    chunk[named_at] = PayloadType.SK  # as if it had not been fragmented
    chunk[sk_offset] = first_payload
    chunk[sk_offset + 2 :] = (4 + len(inner)).to_bytes(2, "big")
    chunk[LENGTH_AT:IKE_HEADER_SIZE] = (sk_offset + 4 + len(inner)).to_bytes(4, "big")
    return bytes(chunk) + inner


def int_auth_step(row: PrfRow, sk_p: Secret, previous: bytes, chunk: bytes) -> bytes:
    """IntAuth_i(n) or IntAuth_r(n) = prf(SK_p(n), IntAuth(n-1) | A | P), RFC 9242 section 3.3.1.

    ``sk_p`` is SK_pi or SK_pr as it was when the message was protected; ``previous`` is empty for the first one.
    """
    return prf(row, sk_p, previous, chunk)


def int_auth(initiator: bytes, responder: bytes, message_id: int) -> bytes:
    """IntAuth = IntAuth_iN | IntAuth_rN | IKE_AUTH_MID, RFC 9242 section 3.3.1; ``message_id`` of the first IKE_AUTH."""
    return initiator + responder + message_id.to_bytes(4, "big")


def _octets(secret: Secret | Buffer) -> bytes:
    return secret.reveal() if isinstance(secret, Secret) else bytes(secret)
