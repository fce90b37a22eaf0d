"""One row per transform: its sizes, and every name it is known by.

Key importers, ESP geometry, strength rules and the peers read the same row. This module loads no cryptography;
``ciphers.py`` and ``macs.py`` bind a row to a key.

A name may hold ``{bits}``, which stands for each key size. Names are compared without case, without a reference in
square brackets, and with underscores, blanks and slashes read as hyphens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm, IntegrityAlgorithm, PseudorandomFunction
from ipsecscope.dissect.registry.ipsec_doi import AhTransform, AuthenticationAlgorithm, EspTransform

Row = TypeVar("Row")

REFERENCE = re.compile(r"\[[^\]]*\]")
SEPARATORS = re.compile(r"[\s_/-]+")


class AlgorithmError(ValueError):
    """Something cannot be computed with the algorithm and the sizes at hand; the text never holds key octets."""


class KeyLengthError(AlgorithmError):
    """A key of a size that the algorithm does not have."""


class SizeError(AlgorithmError):
    """Octets that are too few, or not whole blocks."""


class UnsupportedAlgorithmError(AlgorithmError):
    """An algorithm whose name is known and which this program does not compute."""


class IntegrityError(AlgorithmError):
    """An ICV that does not match: the octets or the key are not those that were sealed."""

    def __init__(self) -> None:
        super().__init__("the ICV does not match")


class UnknownAlgorithmError(LookupError):
    """A name or a number that stands for no algorithm of this program."""


class EncryptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """An encryption algorithm. Sizes are octets.

    ``key_sizes`` are without salt and ``default_key_size`` is the one when nobody said which. ``iv_size`` is what
    stands in the packet, ``block_size`` what the plaintext must be whole blocks of, ``icv_size`` the ICV of an AEAD.
    ``mode`` names the implementation in ``ciphers.py``, and is empty for an algorithm known by name only.
    ``phase_1`` and ``esp_v1`` are its numbers in IKEv1.
    """

    name: str
    id: EncryptionAlgorithm | None = None
    phase_1: isakmp.EncryptionAlgorithm | None = None
    esp_v1: EspTransform | None = None
    mode: str = ""
    cipher: str = ""
    key_sizes: tuple[int, ...] = ()
    default_key_size: int = 0
    salt_size: int = 0
    iv_size: int = 0
    icv_size: int = 0
    block_size: int = 1
    implicit_iv: bool = False
    names: tuple[str, ...] = ()

    @property
    def is_aead(self) -> bool:
        """Whether encryption and integrity are one algorithm."""
        return self.icv_size > 0

    @property
    def is_supported(self) -> bool:
        """Whether this program can open it."""
        return bool(self.mode)

    @property
    def nonce_iv_size(self) -> int:
        """Octets of the IV that the cipher is given; with an implicit IV (RFC 8750) the packet has none of them."""
        return 8 if self.implicit_iv else self.iv_size

    @property
    def has_variable_key(self) -> bool:
        """Whether a Key Length attribute goes with the transform."""
        return len(self.key_sizes) > 1

    def key_material_size(self, key_bits: int | None = None) -> int:
        """Octets of key and salt that the key derivation yields. Raises KeyLengthError for an impossible size."""
        size = self.default_key_size if key_bits is None else key_bits // 8
        if size not in self.key_sizes or (key_bits or 0) % 8:
            raise KeyLengthError(f"{self.name} has no key of {key_bits} bits, only of {_bits(self.key_sizes)}")
        return size + self.salt_size

    def key_bits_of(self, octets: int) -> int:
        """The Key Length for key material of ``octets`` octets, salt included. Raises KeyLengthError."""
        self.check_key(octets)
        return (octets - self.salt_size) * 8

    def check_key(self, octets: int) -> None:
        """Raise KeyLengthError unless key material of this many octets, salt included, fits."""
        if octets - self.salt_size not in self.key_sizes:
            salt = f" with {self.salt_size} octets of salt behind it" if self.salt_size else ""
            raise KeyLengthError(f"{octets} octets of key for {self.name}, which takes {_octets(self.key_sizes)}{salt}")


class IntegrityRow(msgspec.Struct, frozen=True, kw_only=True):
    """An integrity algorithm. Sizes are octets; ``full_size`` is the MAC before truncation to the ICV.

    ``mac`` names the implementation in ``macs.py``; it is empty for one known by name only, and for the "any, no
    checking" rows of Wireshark, which have a size and nothing to check (``is_checked`` is false). ``esp_v1`` and
    ``ah_v1`` are its numbers in IKEv1: the Authentication Algorithm attribute and the AH transform.
    """

    name: str
    id: IntegrityAlgorithm | None = None
    esp_v1: AuthenticationAlgorithm | None = None
    ah_v1: AhTransform | None = None
    mac: str = ""
    key_size: int = 0
    icv_size: int = 0
    full_size: int = 0
    is_checked: bool = True
    names: tuple[str, ...] = ()

    @property
    def is_supported(self) -> bool:
        """Whether this program can verify it."""
        return bool(self.mac)

    def check_key(self, octets: int) -> None:
        """Raise KeyLengthError unless a key of this many octets fits."""
        if self.is_checked and octets != self.key_size:
            raise KeyLengthError(f"{octets} octets of key for {self.name}, which takes {self.key_size}")


class PrfRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pseudorandom function. ``key_size`` is the preferred key length of RFC 7296 section 2.13, in octets.

    ``hash_name`` is the hash of an HMAC, as hashlib calls it, and ``mac`` the implementation in ``macs.py`` of a prf
    that is none; ``nonce_octets_in_key`` is how much of each nonce goes into the key of SKEYSEED (0: all of it).
    ``hash_v1`` is the hash of IKEv1 whose HMAC it is.
    """

    name: str
    id: PseudorandomFunction | None = None
    hash_v1: isakmp.HashAlgorithm | None = None
    mac: str = ""
    hash_name: str = ""
    key_size: int = 0
    output_size: int = 0
    nonce_octets_in_key: int = 0
    names: tuple[str, ...] = ()

    @property
    def is_supported(self) -> bool:
        """Whether this program can compute it."""
        return bool(self.mac or self.hash_name)


def normal_name(name: str) -> str:
    """A name brought to the form in which names are compared."""
    return SEPARATORS.sub("-", REFERENCE.sub("", name).strip().lower()).strip("-")


def lookup_table(rows: Iterable[tuple[Row, Iterable[str]]]) -> dict[str, Row]:
    """Rows by normal name. Raises ValueError when two rows claim one name: a mistake in a table."""
    table: dict[str, Row] = {}
    for row, names in rows:
        for name in names:
            if table.setdefault(normal_name(name), row) != row:
                raise ValueError(f"two rows are called {name}")
    return table


def _bits(sizes: tuple[int, ...]) -> str:
    return ", ".join(str(size * 8) for size in sizes)


def _octets(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(sizes) == 1 else ", ".join(map(str, sizes[:-1])) + f" or {sizes[-1]}"


# -- encryption --------------------------------------------------------------------------------------------------

_E = EncryptionAlgorithm
_1 = isakmp.EncryptionAlgorithm
_T = EspTransform
IKEV1_ENCRYPTION: dict[str, tuple[isakmp.EncryptionAlgorithm | None, EspTransform | None]] = {
    "ENCR_NULL": (None, _T.ESP_NULL),
    "ENCR_DES": (_1.DES_CBC, _T.ESP_DES),
    "ENCR_3DES": (_1.TRIPLE_DES_CBC, _T.ESP_3DES),
    "ENCR_CAST": (_1.CAST_CBC, _T.ESP_CAST),
    "ENCR_BLOWFISH": (_1.BLOWFISH_CBC, _T.ESP_BLOWFISH),
    "ENCR_IDEA": (_1.IDEA_CBC, _T.ESP_IDEA),
    "ENCR_RC5": (_1.RC5_R16_B64_CBC, _T.ESP_RC5),
    "ENCR_3IDEA": (None, _T.ESP_3IDEA),
    "ENCR_DES_IV64": (None, _T.ESP_DES_IV64),
    "ENCR_DES_IV32": (None, _T.ESP_DES_IV32),
    "ENCR_AES_CBC": (_1.AES_CBC, _T.ESP_AES_CBC),
    "ENCR_AES_CTR": (None, _T.ESP_AES_CTR),
    "ENCR_AES_CCM_8": (None, _T.ESP_AES_CCM_8),
    "ENCR_AES_CCM_12": (None, _T.ESP_AES_CCM_12),
    "ENCR_AES_CCM_16": (None, _T.ESP_AES_CCM_16),
    "ENCR_AES_GCM_8": (None, _T.ESP_AES_GCM_8),
    "ENCR_AES_GCM_12": (None, _T.ESP_AES_GCM_12),
    "ENCR_AES_GCM_16": (None, _T.ESP_AES_GCM_16),
    "ENCR_NULL_AUTH_AES_GMAC": (None, _T.ESP_NULL_AUTH_AES_GMAC),
    "ENCR_CAMELLIA_CBC": (_1.CAMELLIA_CBC, _T.ESP_CAMELLIA),
    "SEED_CBC": (None, _T.ESP_SEED_CBC),
    "SM4_CBC": (_1.SM4_CBC, None),
}  # 21 to 23 mean other ciphers in IKEv1 than in IKEv2
AES_KEYS = (16, 24, 32)
BLOWFISH_KEYS = tuple(range(5, 57))  # RFC 2451 section 2.2: 40 to 448 bits
CAST_KEYS = tuple(range(5, 17))  # RFC 2144: 40 to 128 bits


def _cbc(
    number: EncryptionAlgorithm | None,
    name: str,
    cipher: str,
    keys: tuple[int, ...],
    *names: str,
    default: int = 16,
    block: int = 16,
) -> EncryptionRow:
    return EncryptionRow(
        name=name,
        id=number,
        mode="cbc" if cipher else "",
        cipher=cipher,
        key_sizes=keys,
        default_key_size=default,
        iv_size=block,
        block_size=block,
        names=names,
    )


def _counted(
    number: EncryptionAlgorithm, mode: str, *names: str, icv: int = 0, salt: int = 4, implicit_iv: bool = False
) -> EncryptionRow:
    """A counter-like mode with an IV of eight octets: CTR, GCM, CCM, GMAC, ChaCha20-Poly1305."""
    chacha = mode == "chacha20-poly1305"
    return EncryptionRow(
        name=str(number),
        id=number,
        mode=mode,
        cipher=mode.partition("-")[0],
        key_sizes=(32,) if chacha else AES_KEYS,
        default_key_size=32 if chacha else 16,
        salt_size=salt,
        iv_size=0 if implicit_iv else 8,
        icv_size=icv,
        implicit_iv=implicit_iv,
        names=names,
    )


def _gcm_names(icv: int, letter: str) -> tuple[str, ...]:
    return (
        f"AES_GCM_{icv}",
        f"AES_GCM_{icv}_{{bits}}",
        f"AES_GCM_{letter}",
        f"AES_GCM_{letter}_{{bits}}",
        f"AES-GCM with {icv} octet ICV",
        f"AES-GCM-{{bits}} with {icv} octet ICV",
        f"aes{{bits}}gcm{icv}",
        f"aes{{bits}}gcm{icv * 8}",
    )


def _ccm_names(icv: int, letter: str) -> tuple[str, ...]:
    return tuple(name.replace("GCM", "CCM").replace("gcm", "ccm") for name in _gcm_names(icv, letter))


def _camellia_ccm(number: EncryptionAlgorithm, icv: int) -> EncryptionRow:
    names = (
        f"CAMELLIA_CCM_{icv}",
        f"CAMELLIA_CCM_{icv}_{{bits}}",
        f"camellia{{bits}}ccm{icv}",
        f"camellia{{bits}}ccm{icv * 8}",
    )
    return _counted(number, "camellia-ccm", *names, icv=icv, salt=3)


def _named_only(
    number: EncryptionAlgorithm, *names: str, key: int, iv: int = 8, block: int = 1, salt: int = 0, icv: int = 0
) -> EncryptionRow:
    """An algorithm whose sizes are known, and that this program cannot open."""
    return EncryptionRow(
        name=str(number),
        id=number,
        key_sizes=(key,),
        default_key_size=key,
        salt_size=salt,
        iv_size=iv,
        icv_size=icv,
        block_size=block,
        names=names,
    )


_ENCRYPTION_ROWS = (
    EncryptionRow(
        name="ENCR_NULL",
        id=_E.ENCR_NULL,
        mode="null",
        key_sizes=(0,),
        names=("NULL", "none", "ecb(cipher_null)", "cipher_null", "digest_null", "simple", "esp-null"),
    ),
    _cbc(
        _E.ENCR_DES, "ENCR_DES", "des", (8,),
        "DES", "DES_CBC", "DES_CBC_64", "DES-CBC", "cbc(des)", "esp-des", "des64", default=8, block=8,
    ),
    _cbc(
        _E.ENCR_3DES, "ENCR_3DES", "3des", (24,),
        "3DES", "3DES_CBC", "3DES_CBC_192", "TripleDES", "TripleDES-CBC", "des3", "des3_ede", "des3-cbc", "des-ede3",
        "des-ede3-cbc", "cbc(des3_ede)", "esp-3des", "3des168", "3des192", default=24, block=8,
    ),
    _cbc(
        _E.ENCR_CAST, "ENCR_CAST", "cast", CAST_KEYS,
        "CAST", "CAST_CBC", "CAST_CBC_{bits}", "CAST5", "CAST5-CBC", "CAST5-{bits}", "CAST128", "CAST128-CBC",
        "cbc(cast5)", block=8,
    ),
    _cbc(
        _E.ENCR_BLOWFISH, "ENCR_BLOWFISH", "blowfish", BLOWFISH_KEYS,
        "BLOWFISH", "BLOWFISH_CBC", "BLOWFISH_CBC_{bits}", "blowfish{bits}", "bf", "bf-cbc", "cbc(blowfish)",
        "blowfish-{bits}", block=8,
    ),
    _cbc(_E.ENCR_IDEA, "ENCR_IDEA", "idea", (16,), "IDEA", "IDEA_CBC", "cbc(idea)", block=8),
    _cbc(
        _E.ENCR_AES_CBC, "ENCR_AES_CBC", "aes", AES_KEYS,
        "AES", "AES{bits}", "AES-{bits}", "AES_CBC", "AES_CBC_{bits}", "AES{bits}-CBC", "AES-{bits}-CBC", "cbc(aes)",
        "rijndael", "rijndael-cbc", "rijndael{bits}", "rijndael{bits}-cbc", "rijndael-cbc-{bits}", "esp-aes",
        "esp-aes-{bits}", "esp-{bits}-aes",
    ),
    _counted(
        _E.ENCR_AES_CTR, "aes-ctr",
        "AES_CTR", "AES_CTR_{bits}", "aes{bits}ctr", "aes{bits}-ctr", "aes-{bits}-ctr", "aesctr", "rfc3686(ctr(aes))",
        "ctr(aes)",
    ),
    _counted(_E.ENCR_AES_CCM_8, "aes-ccm", *_ccm_names(8, "A"), icv=8, salt=3),
    _counted(_E.ENCR_AES_CCM_12, "aes-ccm", *_ccm_names(12, "B"), icv=12, salt=3),
    _counted(
        _E.ENCR_AES_CCM_16, "aes-ccm", *_ccm_names(16, "C"),
        "AES_CCM", "AES_CCM_{bits}", "aes{bits}ccm", "aes{bits}-ccm", "aes-{bits}-ccm", "aesccm", "rfc4309(ccm(aes))",
        "ccm(aes)", icv=16, salt=3,
    ),
    _counted(_E.ENCR_AES_GCM_8, "aes-gcm", *_gcm_names(8, "A"), icv=8),
    _counted(_E.ENCR_AES_GCM_12, "aes-gcm", *_gcm_names(12, "B"), icv=12),
    _counted(
        _E.ENCR_AES_GCM_16, "aes-gcm", *_gcm_names(16, "C"),
        "AES_GCM", "AES_GCM_{bits}", "AES_GCM{bits}", "aes{bits}gcm", "aes{bits}-gcm", "aes-{bits}-gcm", "aesgcm",
        "aesgcm{bits}", "gcmaes{bits}", "id-aes{bits}-gcm", "rfc4106(gcm(aes))", "seqiv(rfc4106(gcm(aes)))",
        "gcm(aes)", "esp-gcm", "esp-gcm-{bits}", icv=16,
    ),
    _counted(
        _E.ENCR_NULL_AUTH_AES_GMAC, "aes-gmac",
        "NULL_AUTH_AES_GMAC", "NULL_AUTH_AES_GMAC_{bits}", "NULL_AES_GMAC", "NULL_AES_GMAC_{bits}", "AES-NULL-GMAC",
        "AES_GMAC", "AES_GMAC_{bits}", "aes{bits}gmac", "aes{bits}-gmac", "aes-{bits}-gmac", "aesgmac",
        "rfc4543(gcm(aes))", "esp-gmac", "esp-gmac-{bits}", "gmacaes{bits}", icv=16,
    ),
    _cbc(
        _E.ENCR_CAMELLIA_CBC, "ENCR_CAMELLIA_CBC", "camellia", AES_KEYS,
        "CAMELLIA", "CAMELLIA{bits}", "CAMELLIA-{bits}", "CAMELLIA_CBC", "CAMELLIA_CBC_{bits}", "camellia{bits}-cbc",
        "camellia-{bits}-cbc", "cbc(camellia)",
    ),
    _counted(
        _E.ENCR_CAMELLIA_CTR, "camellia-ctr",
        "CAMELLIA_CTR", "CAMELLIA_CTR_{bits}", "camellia{bits}ctr", "rfc3686(ctr(camellia))",
    ),
    _camellia_ccm(_E.ENCR_CAMELLIA_CCM_8, 8),
    _camellia_ccm(_E.ENCR_CAMELLIA_CCM_12, 12),
    _camellia_ccm(_E.ENCR_CAMELLIA_CCM_16, 16),
    _counted(
        _E.ENCR_CHACHA20_POLY1305, "chacha20-poly1305",
        "CHACHA20_POLY1305", "CHACHA20_POLY1305_{bits}", "chacha20poly1305", "ChaCha20 with Poly1305",
        "rfc7539esp(chacha20,poly1305)", "chacha20", icv=16,
    ),
    _counted(
        _E.ENCR_AES_CCM_8_IIV, "aes-ccm", "AES_CCM_8_IIV", "AES_CCM_8_IIV_{bits}",
        "AES-CCM with IIV and 8 octet ICV", icv=8, salt=3, implicit_iv=True,
    ),
    _counted(
        _E.ENCR_AES_GCM_16_IIV, "aes-gcm", "AES_GCM_16_IIV", "AES_GCM_16_IIV_{bits}",
        "AES-GCM with IIV and 16 octet ICV", icv=16, implicit_iv=True,
    ),
    _counted(
        _E.ENCR_CHACHA20_POLY1305_IIV, "chacha20-poly1305", "CHACHA20_POLY1305_IIV",
        "ChaCha20 with Poly1305 and IIV", icv=16, implicit_iv=True,
    ),
    _cbc(None, "SEED_CBC", "seed", (16,), "SEED", "cbc(seed)"),
    _cbc(None, "SM4_CBC", "sm4", (16,), "SM4", "cbc(sm4)"),
    _cbc(
        None, "TWOFISH_CBC", "", AES_KEYS,
        "TWOFISH", "TWOFISH{bits}", "TWOFISH_CBC_{bits}", "cbc(twofish)",
    ),
    _cbc(
        None, "SERPENT_CBC", "", AES_KEYS,
        "SERPENT", "SERPENT{bits}", "SERPENT_CBC_{bits}", "cbc(serpent)",
    ),
    _named_only(_E.ENCR_DES_IV64, key=8, block=8),
    _named_only(_E.ENCR_DES_IV32, key=8, iv=4, block=8),
    _named_only(_E.ENCR_RC5, "RC5", "RC5_CBC", key=16, block=8),
    _named_only(_E.ENCR_3IDEA, "3IDEA", key=48, block=8),
    _named_only(_E.ENCR_KUZNYECHIK_MGM_KTREE, key=32, salt=12, icv=12),
    _named_only(_E.ENCR_MAGMA_MGM_KTREE, key=32, salt=4, icv=8),
    _named_only(_E.ENCR_KUZNYECHIK_MGM_MAC_KTREE, key=32, salt=12, icv=12),
    _named_only(_E.ENCR_MAGMA_MGM_MAC_KTREE, key=32, salt=4, icv=8),
)  # fmt: skip


def _with_ikev1_numbers(row: EncryptionRow) -> EncryptionRow:
    phase_1, esp_v1 = IKEV1_ENCRYPTION.get(row.name, (None, None))
    return msgspec.structs.replace(row, phase_1=phase_1, esp_v1=esp_v1)


ENCRYPTION: tuple[EncryptionRow, ...] = tuple(map(_with_ikev1_numbers, _ENCRYPTION_ROWS))


def _encryption_names() -> Iterable[tuple[tuple[EncryptionRow, int | None], Iterable[str]]]:
    for row in ENCRYPTION:
        names = {row.name, str(row.id or row.name), *row.names}
        yield (row, None), [name for name in names if "{bits}" not in name]
        for size in row.key_sizes:
            yield (row, size * 8), [name.format(bits=size * 8) for name in names if "{bits}" in name]


_ENCRYPTION_BY_ID = {row.id: row for row in ENCRYPTION if row.id is not None}
_ENCRYPTION_OF_PHASE_1 = {row.phase_1: row for row in ENCRYPTION if row.phase_1 is not None}
_ENCRYPTION_OF_ESP_V1 = {row.esp_v1: row for row in ENCRYPTION if row.esp_v1 is not None}
_ENCRYPTION_BY_NAME = lookup_table(_encryption_names())


def encryption(number: int) -> EncryptionRow:
    """The row of an IKEv2 ENCR transform. Raises UnknownAlgorithmError."""
    row = _ENCRYPTION_BY_ID.get(EncryptionAlgorithm(number))
    if row is None:
        raise UnknownAlgorithmError(f"encryption algorithm {EncryptionAlgorithm(number)} is unknown to this program")
    return row


def encryption_of_phase_1(number: int) -> EncryptionRow:
    """The row of an IKEv1 phase 1 Encryption Algorithm attribute. Raises UnknownAlgorithmError."""
    row = _ENCRYPTION_OF_PHASE_1.get(_1.SM4_CBC if number == _1.SM4_CBC_OLD else _1(number))
    if row is None:
        raise UnknownAlgorithmError(f"phase 1 encryption algorithm {_1(number)} is unknown to this program")
    return row


def encryption_of_esp_v1(number: int) -> EncryptionRow:
    """The row of an ESP transform of an IKEv1 quick mode. Raises UnknownAlgorithmError."""
    row = _ENCRYPTION_OF_ESP_V1.get(EspTransform(number))
    if row is None:
        raise UnknownAlgorithmError(f"ESP transform {EspTransform(number)} is unknown to this program")
    return row


def encryption_by_name(name: str, icv_bits: int | None = None) -> tuple[EncryptionRow, int | None]:
    """The row that a program or a standard calls ``name``, and the key bits where the name says them.

    ``icv_bits`` is for names that leave the ICV open, such as ``rfc4106(gcm(aes))`` with 128, 96 or 64 behind the key.
    Raises UnknownAlgorithmError, whose text is for the user.
    """
    found = _ENCRYPTION_BY_NAME.get(normal_name(name))
    if found is None:
        raise UnknownAlgorithmError(f'no encryption algorithm is called "{name}"')
    row, key_bits = found
    if icv_bits is None or not row.is_aead or icv_bits == row.icv_size * 8:
        return row, key_bits
    for other in ENCRYPTION:
        if (other.mode, other.implicit_iv, other.icv_size * 8) == (row.mode, row.implicit_iv, icv_bits):
            return other, key_bits
    raise UnknownAlgorithmError(f'"{name}" has no form with an ICV of {icv_bits} bits')


# -- integrity ---------------------------------------------------------------------------------------------------

_I = IntegrityAlgorithm


def _mac(
    number: IntegrityAlgorithm | None, name: str, mac: str, sizes: tuple[int, int, int], *names: str
) -> IntegrityRow:
    key, full, icv = sizes
    return IntegrityRow(name=name, id=number, mac=mac, key_size=key, full_size=full, icv_size=icv, names=names)


def _hmac_sha2(number: IntegrityAlgorithm, bits: int, *names: str) -> IntegrityRow:
    size, half = bits // 8, bits // 2
    common = (
        f"HMAC_SHA2_{bits}_{half}", f"HMAC_SHA2_{bits}", f"HMAC-SHA-{bits}-{half}", f"HMAC-SHA-{bits}",
        f"HMAC-SHA{bits}", f"HMAC-SHA{bits}-{half}", f"hmac(sha{bits})", f"SHA{bits}", f"SHA2_{bits}",
        f"SHA2_{bits}_{half}", f"SHA{bits}_{half}", f"SHA-{bits}", f"esp-sha{bits}-hmac", f"ah-sha{bits}-hmac",
    )  # fmt: skip
    return _mac(number, str(number), f"hmac-sha2-{bits}", (size, size, size // 2), *common, *names)


def _gmac(number: IntegrityAlgorithm, bits: int) -> IntegrityRow:
    """AES-GMAC of AH: key and salt, and an Authentication Data field of IV and ICV, RFC 4543 section 4."""
    names = (f"AES_{bits}_GMAC", f"AES_GMAC_{bits}", f"gmac-aes-{bits}")
    return _mac(number, str(number), "aes-gmac", (bits // 8 + 4, 24, 24), *names)


def _unchecked(bits: int) -> IntegrityRow:
    names = (f"ANY {bits} bit authentication", f"ANY {bits}-bits of Authentication")
    return IntegrityRow(name=f"ANY_{bits}", icv_size=bits // 8, is_checked=False, names=names)


_A = AuthenticationAlgorithm
_H = AhTransform
IKEV1_INTEGRITY: dict[str, tuple[AuthenticationAlgorithm, AhTransform | None]] = {
    "AUTH_HMAC_MD5_96": (_A.HMAC_MD5, _H.AH_MD5),
    "AUTH_HMAC_SHA1_96": (_A.HMAC_SHA, _H.AH_SHA),
    "AUTH_DES_MAC": (_A.DES_MAC, _H.AH_DES),
    "AUTH_KPDK_MD5": (_A.KPDK, None),
    "AUTH_HMAC_SHA2_256_128": (_A.HMAC_SHA2_256, _H.AH_SHA2_256),
    "AUTH_HMAC_SHA2_384_192": (_A.HMAC_SHA2_384, _H.AH_SHA2_384),
    "AUTH_HMAC_SHA2_512_256": (_A.HMAC_SHA2_512, _H.AH_SHA2_512),
    "AUTH_HMAC_RIPEMD_160_96": (_A.HMAC_RIPEMD, _H.AH_RIPEMD),
    "AUTH_AES_XCBC_96": (_A.AES_XCBC_MAC, _H.AH_AES_XCBC_MAC),
    "AUTH_AES_128_GMAC": (_A.AES_128_GMAC, _H.AH_AES_128_GMAC),
    "AUTH_AES_192_GMAC": (_A.AES_192_GMAC, _H.AH_AES_192_GMAC),
    "AUTH_AES_256_GMAC": (_A.AES_256_GMAC, _H.AH_AES_256_GMAC),
}
_INTEGRITY_ROWS = (
    IntegrityRow(name="NONE", id=_I.NONE, names=("NULL", "digest_null", "non-auth", "AUTH_NONE", "AUTH_NULL")),
    _mac(
        _I.AUTH_HMAC_MD5_96, "AUTH_HMAC_MD5_96", "hmac-md5", (16, 16, 12),
        "HMAC_MD5_96", "HMAC_MD5", "MD5", "MD5_96", "hmac(md5)", "esp-md5-hmac", "ah-md5-hmac",
    ),
    _mac(
        _I.AUTH_HMAC_MD5_128, "AUTH_HMAC_MD5_128", "hmac-md5", (16, 16, 16), "HMAC_MD5_128", "MD5_128",
    ),
    _mac(
        _I.AUTH_HMAC_SHA1_96, "AUTH_HMAC_SHA1_96", "hmac-sha1", (20, 20, 12),
        "HMAC_SHA1_96", "HMAC_SHA1", "HMAC-SHA-1-96", "HMAC-SHA-1", "HMAC-SHA-96", "HMAC-SHA", "SHA1", "SHA-1", "SHA",
        "SHA1_96", "hmac(sha1)", "esp-sha-hmac", "esp-sha1-hmac", "ah-sha-hmac", "ah-sha1-hmac",
    ),
    _mac(None, "AUTH_HMAC_SHA1_128", "hmac-sha1", (20, 20, 16), "HMAC_SHA1_128", "SHA1_128"),
    _mac(
        _I.AUTH_HMAC_SHA1_160, "AUTH_HMAC_SHA1_160", "hmac-sha1", (20, 20, 20), "HMAC_SHA1_160", "SHA1_160",
    ),
    _hmac_sha2(_I.AUTH_HMAC_SHA2_256_128, 256, "SHA2"),
    _mac(
        None, "AUTH_HMAC_SHA2_256_96", "hmac-sha2-256", (32, 32, 12),
        "HMAC_SHA2_256_96", "HMAC-SHA-256-96", "HMAC-SHA256-96", "SHA256_96", "SHA2_256_96", "HMAC_SHA2_256_TRUNCBUG",
        "HMAC_SHA2_256_128_TRUNCBUG", "SHA2_TRUNCBUG",
    ),
    _hmac_sha2(_I.AUTH_HMAC_SHA2_384_192, 384),
    _hmac_sha2(_I.AUTH_HMAC_SHA2_512_256, 512),
    _mac(
        None, "AUTH_HMAC_RIPEMD_160_96", "hmac-ripemd160", (20, 20, 12),
        "HMAC_RIPEMD_160_96", "HMAC-RIPEMD-160", "HMAC_RIPEMD160_96", "HMAC-RIPEMD160", "MAC-RIPEMD-160-96",
        "RIPEMD160", "RIPEMD", "rmd160", "hmac(rmd160)", "hmac(ripemd160)",
    ),
    _mac(
        _I.AUTH_AES_XCBC_96, "AUTH_AES_XCBC_96", "aes-xcbc", (16, 16, 12),
        "AES_XCBC_96", "AES_XCBC", "AES-XCBC-MAC", "AES-XCBC-MAC-96", "aesxcbc", "xcbc(aes)",
    ),
    _mac(
        _I.AUTH_AES_CMAC_96, "AUTH_AES_CMAC_96", "aes-cmac", (16, 16, 12),
        "AES_CMAC_96", "AES_CMAC", "aescmac", "cmac(aes)",
    ),
    _mac(
        None, "AUTH_CAMELLIA_XCBC_96", "camellia-xcbc", (16, 16, 12), "CAMELLIA_XCBC_96", "CAMELLIA_XCBC",
    ),
    _mac(None, "AUTH_HMAC_SM3_96", "hmac-sm3", (32, 32, 12), "HMAC_SM3", "hmac(sm3)"),
    _gmac(_I.AUTH_AES_128_GMAC, 128),
    _gmac(_I.AUTH_AES_192_GMAC, 192),
    _gmac(_I.AUTH_AES_256_GMAC, 256),
    _mac(_I.AUTH_DES_MAC, "AUTH_DES_MAC", "", (8, 8, 8), "DES_MAC"),
    _mac(_I.AUTH_KPDK_MD5, "AUTH_KPDK_MD5", "", (16, 16, 16), "KPDK_MD5", "KPDK"),
    *(_unchecked(bits) for bits in (64, 96, 128, 160, 192, 256)),
)  # fmt: skip
INTEGRITY: tuple[IntegrityRow, ...] = tuple(
    msgspec.structs.replace(row, esp_v1=IKEV1_INTEGRITY[row.name][0], ah_v1=IKEV1_INTEGRITY[row.name][1])
    if row.name in IKEV1_INTEGRITY
    else row
    for row in _INTEGRITY_ROWS
)
NO_INTEGRITY = INTEGRITY[0]

_INTEGRITY_BY_ID = {row.id: row for row in INTEGRITY if row.id is not None}
_INTEGRITY_OF_ESP_V1 = {row.esp_v1: row for row in INTEGRITY if row.esp_v1 is not None}
_INTEGRITY_OF_AH_V1 = {row.ah_v1: row for row in INTEGRITY if row.ah_v1 is not None}
_INTEGRITY_BY_NAME = lookup_table((row, {row.name, str(row.id or row.name), *row.names}) for row in INTEGRITY)


def integrity(number: int) -> IntegrityRow:
    """The row of an IKEv2 INTEG transform. Raises UnknownAlgorithmError."""
    row = _INTEGRITY_BY_ID.get(IntegrityAlgorithm(number))
    if row is None:
        raise UnknownAlgorithmError(f"integrity algorithm {IntegrityAlgorithm(number)} is unknown to this program")
    return row


def integrity_of_esp_v1(number: int) -> IntegrityRow:
    """The row of an Authentication Algorithm attribute of an IKEv1 quick mode. Raises UnknownAlgorithmError."""
    row = _INTEGRITY_OF_ESP_V1.get(AuthenticationAlgorithm(number))
    if row is None:
        raise UnknownAlgorithmError(f"authentication algorithm {_A(number)} is unknown to this program")
    return row


def integrity_of_ah_v1(number: int) -> IntegrityRow:
    """The row of an AH transform of an IKEv1 quick mode. Raises UnknownAlgorithmError."""
    row = _INTEGRITY_OF_AH_V1.get(AhTransform(number))
    if row is None:
        raise UnknownAlgorithmError(f"AH transform {AhTransform(number)} is unknown to this program")
    return row


def integrity_by_name(name: str, icv_bits: int | None = None) -> IntegrityRow:
    """The row that a program or a standard calls ``name``; ``icv_bits`` for names that leave the truncation open.

    A truncation that no standard has, as ``ip xfrm state`` may show, makes a row of its own.
    Raises UnknownAlgorithmError, whose text is for the user.
    """
    row = _INTEGRITY_BY_NAME.get(normal_name(name))
    if row is None:
        raise UnknownAlgorithmError(f'no integrity algorithm is called "{name}"')
    return row if icv_bits is None or not row.mac or row.mac == "aes-gmac" else truncated(row, icv_bits // 8)


def truncated(row: IntegrityRow, icv_size: int) -> IntegrityRow:
    """The row with the same MAC and an ICV of ``icv_size`` octets. Raises UnknownAlgorithmError if it has fewer."""
    if row.icv_size == icv_size:
        return row
    if not 0 < icv_size <= row.full_size:
        raise UnknownAlgorithmError(f"{row.name} has {row.full_size} octets, no ICV of {icv_size}")
    for other in INTEGRITY:
        if (other.mac, other.icv_size) == (row.mac, icv_size):
            return other
    return msgspec.structs.replace(
        row, name=f"{row.mac.upper()} of {icv_size * 8} bits", id=None, icv_size=icv_size, names=()
    )


# -- pseudorandom functions --------------------------------------------------------------------------------------

_P = PseudorandomFunction


def _hmac_prf(number: PseudorandomFunction | None, name: str, hash_name: str, size: int, *names: str) -> PrfRow:
    """The HMAC form of a hash, as hashlib calls it; without one, a prf that is known by name only."""
    return PrfRow(name=name, id=number, hash_name=hash_name, key_size=size, output_size=size, names=names)


def _block_prf(number: PseudorandomFunction | None, name: str, mac: str, *names: str) -> PrfRow:
    return PrfRow(name=name, id=number, mac=mac, key_size=16, output_size=16, nonce_octets_in_key=8, names=names)


IKEV1_HASHES: dict[str, isakmp.HashAlgorithm] = {
    "PRF_HMAC_MD5": isakmp.HashAlgorithm.MD5,
    "PRF_HMAC_SHA1": isakmp.HashAlgorithm.SHA1,
    "PRF_HMAC_TIGER": isakmp.HashAlgorithm.TIGER,
    "PRF_HMAC_SHA2_256": isakmp.HashAlgorithm.SHA2_256,
    "PRF_HMAC_SHA2_384": isakmp.HashAlgorithm.SHA2_384,
    "PRF_HMAC_SHA2_512": isakmp.HashAlgorithm.SHA2_512,
    "PRF_HMAC_SM3": isakmp.HashAlgorithm.SM3,
}
_PRF_ROWS = (
    _hmac_prf(
        _P.PRF_HMAC_MD5, "PRF_HMAC_MD5", "md5", 16,
        "HMAC_MD5", "MD5", "hmac(md5)", "HMAC_MD5_96", "HMAC_MD5_128",
    ),
    _hmac_prf(
        _P.PRF_HMAC_SHA1, "PRF_HMAC_SHA1", "sha1", 20,
        "HMAC_SHA1", "HMAC-SHA-1", "HMAC-SHA", "SHA1", "SHA-1", "SHA", "hmac(sha1)", "HMAC_SHA1_96", "HMAC_SHA1_160",
    ),
    *(
        _hmac_prf(
            number, str(number), f"sha{bits}", bits // 8,
            f"HMAC_SHA2_{bits}", f"HMAC-SHA{bits}", f"HMAC-SHA-{bits}", f"SHA{bits}", f"SHA2_{bits}", f"SHA-{bits}",
            f"hmac(sha{bits})", f"HMAC_SHA2_{bits}_{bits // 2}", f"PRFSHA{bits}",
        )
        for number, bits in (
            (_P.PRF_HMAC_SHA2_256, 256),
            (_P.PRF_HMAC_SHA2_384, 384),
            (_P.PRF_HMAC_SHA2_512, 512),
        )
    ),
    _block_prf(_P.PRF_AES128_XCBC, "PRF_AES128_XCBC", "aes-xcbc", "AES128_XCBC", "AES_XCBC", "aesxcbc", "AES128_CBC"),
    _block_prf(_P.PRF_AES128_CMAC, "PRF_AES128_CMAC", "aes-cmac", "AES128_CMAC", "AES_CMAC", "aescmac", "AES128_CMAC6"),
    _block_prf(None, "PRF_CAMELLIA128_XCBC", "camellia-xcbc", "CAMELLIA128_XCBC"),
    _hmac_prf(None, "PRF_HMAC_SM3", "", 32, "HMAC_SM3", "SM3"),
    _hmac_prf(_P.PRF_HMAC_TIGER, "PRF_HMAC_TIGER", "", 24, "HMAC_TIGER", "TIGER"),
    _hmac_prf(_P.PRF_HMAC_STREEBOG_512, "PRF_HMAC_STREEBOG_512", "", 64, "HMAC_STREEBOG_512"),
)  # fmt: skip

PRFS: tuple[PrfRow, ...] = tuple(msgspec.structs.replace(row, hash_v1=IKEV1_HASHES.get(row.name)) for row in _PRF_ROWS)
_PRF_OF_HASH_V1 = {row.hash_v1: row for row in PRFS if row.hash_v1 is not None}
_PRF_BY_ID = {row.id: row for row in PRFS if row.id is not None}
_PRF_BY_NAME = lookup_table((row, {row.name, str(row.id or row.name), *row.names}) for row in PRFS)


def pseudorandom(number: int) -> PrfRow:
    """The row of an IKEv2 PRF transform. Raises UnknownAlgorithmError."""
    row = _PRF_BY_ID.get(PseudorandomFunction(number))
    if row is None:
        raise UnknownAlgorithmError(f"PRF {PseudorandomFunction(number)} is unknown to this program")
    return row


def prf_of_hash_v1(number: int) -> PrfRow:
    """The HMAC form of an IKEv1 Hash Algorithm attribute, RFC 2409 section 4. Raises UnknownAlgorithmError."""
    row = _PRF_OF_HASH_V1.get(isakmp.HashAlgorithm(number))
    if row is None:
        raise UnknownAlgorithmError(f"hash algorithm {isakmp.HashAlgorithm(number)} is unknown to this program")
    return row


def prf_by_name(name: str) -> PrfRow:
    """The row of a prf, or of the prf that the HMAC form of a hash is. Raises UnknownAlgorithmError."""
    row = _PRF_BY_NAME.get(normal_name(name))
    if row is None:
        raise UnknownAlgorithmError(f'no pseudorandom function is called "{name}"')
    return row
