"""Key exchange methods: sizes of their public values, key pairs and shared secrets.

The table answers "how long must this KE payload be" without any cryptography; the library is loaded when somebody
asks for a secret. Chance is an argument: the same entropy makes the same key pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ipsecscope.decrypt import mlkem
from ipsecscope.decrypt.algorithms import UnknownAlgorithmError, UnsupportedAlgorithmError, lookup_table, normal_name
from ipsecscope.decrypt.modp import SUBGROUPS, ModpGroup, oakley_group
from ipsecscope.decrypt.secret import Secret
from ipsecscope.decrypt.weierstrass import BRAINPOOL_P224
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

MODP_EXPONENT_SIZE = 64  # octets of a fresh exponent: twice the strength of the largest group, RFC 3526 section 8


class PublicValueError(ValueError):
    """A peer's public value that the method forbids: of the wrong size, in a small subgroup, not on the curve."""


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """One key exchange method.

    ``initiator_size`` and ``responder_size`` are the octets of the Key Exchange Data of each role (they differ for a
    KEM), ``secret_size`` those of the shared secret, ``entropy_size`` those that ``generate`` wants. A size of 0 is
    unknown to this program.
    """

    id: KeyExchangeMethod
    family: str
    initiator_size: int = 0
    responder_size: int = 0
    secret_size: int = 0
    entropy_size: int = 0
    parameter: Any = None
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that IANA gives it."""
        return str(self.id)

    @property
    def is_kem(self) -> bool:
        """Whether the responder's value depends on the initiator's (a key encapsulation mechanism)."""
        return self.family == "mlkem"

    def public_size(self, *, initiator: bool) -> int:
        """Octets of the public value that the initiator or the responder sends."""
        return self.initiator_size if initiator else self.responder_size


class KeyPair(msgspec.Struct, frozen=True):
    """What one side keeps until the other side's public value arrives."""

    method: KeyExchangeMethod
    public: bytes
    private: Secret


def _modp(method: KeyExchangeMethod, bits: int, *names: str, subgroup: int = 0) -> GroupRow:
    size = bits // 8
    return GroupRow(
        id=method,
        family="modp",
        initiator_size=size,
        responder_size=size,
        secret_size=size,
        entropy_size=MODP_EXPONENT_SIZE,
        parameter=(bits, subgroup),
        names=names,
    )


def _ecp(method: KeyExchangeMethod, bits: int, curve: str, *names: str) -> GroupRow:
    size = (bits + 7) // 8
    return GroupRow(
        id=method,
        family="ecp",
        initiator_size=2 * size,
        responder_size=2 * size,
        secret_size=size,
        entropy_size=size + 8,  # eight more than the order has, against the bias of the reduction
        parameter=curve,
        names=names,
    )


def _montgomery(method: KeyExchangeMethod, family: str, size: int, *names: str) -> GroupRow:
    return GroupRow(
        id=method,
        family=family,
        initiator_size=size,
        responder_size=size,
        secret_size=size,
        entropy_size=size,
        names=names,
    )


def _mlkem(method: KeyExchangeMethod, parameters: mlkem.ParameterSet, *names: str) -> GroupRow:
    return GroupRow(
        id=method,
        family="mlkem",
        initiator_size=parameters.public_key_size,
        responder_size=parameters.ciphertext_size,
        secret_size=mlkem.SECRET_SIZE,
        entropy_size=mlkem.SEED_SIZE,
        parameter=parameters,
        names=names,
    )


_K = KeyExchangeMethod
GROUPS: tuple[GroupRow, ...] = (
    _modp(_K.MODP_768, 768, "MODP_768", "MODP768", "dh1", "group1"),
    _modp(_K.MODP_1024, 1024, "MODP_1024", "MODP1024", "dh2", "group2"),
    _modp(_K.MODP_1536, 1536, "MODP_1536", "MODP1536", "dh5", "group5"),
    _modp(_K.MODP_2048, 2048, "MODP_2048", "MODP2048", "dh14", "group14"),
    _modp(_K.MODP_3072, 3072, "MODP_3072", "MODP3072", "dh15", "group15"),
    _modp(_K.MODP_4096, 4096, "MODP_4096", "MODP4096", "dh16", "group16"),
    _modp(_K.MODP_6144, 6144, "MODP_6144", "MODP6144", "dh17", "group17"),
    _modp(_K.MODP_8192, 8192, "MODP_8192", "MODP8192", "dh18", "group18"),
    _ecp(_K.ECP_256, 256, "SECP256R1", "ECP_256", "ECP256", "secp256r1", "P-256", "dh19", "group19"),
    _ecp(_K.ECP_384, 384, "SECP384R1", "ECP_384", "ECP384", "secp384r1", "P-384", "dh20", "group20"),
    _ecp(_K.ECP_521, 521, "SECP521R1", "ECP_521", "ECP521", "secp521r1", "P-521", "dh21", "group21"),
    _modp(_K.MODP_1024_160, 1024, "MODP_1024_160", "MODP1024S160", "dh22", "group22", subgroup=160),
    _modp(_K.MODP_2048_224, 2048, "MODP_2048_224", "MODP2048S224", "dh23", "group23", subgroup=224),
    _modp(_K.MODP_2048_256, 2048, "MODP_2048_256", "MODP2048S256", "dh24", "group24", subgroup=256),
    _ecp(_K.ECP_192, 192, "SECP192R1", "ECP_192", "ECP192", "secp192r1", "P-192", "dh25", "group25"),
    _ecp(_K.ECP_224, 224, "SECP224R1", "ECP_224", "ECP224", "secp224r1", "P-224", "dh26", "group26"),
    _ecp(_K.BRAINPOOL_P224R1, 224, "", "ECP_224_BP", "ECP224BP", "brainpoolP224r1", "dh27", "group27"),
    _ecp(_K.BRAINPOOL_P256R1, 256, "BrainpoolP256R1", "ECP_256_BP", "ECP256BP", "brainpoolP256r1", "dh28", "group28"),
    _ecp(_K.BRAINPOOL_P384R1, 384, "BrainpoolP384R1", "ECP_384_BP", "ECP384BP", "brainpoolP384r1", "dh29", "group29"),
    _ecp(_K.BRAINPOOL_P512R1, 512, "BrainpoolP512R1", "ECP_512_BP", "ECP512BP", "brainpoolP512r1", "dh30", "group30"),
    _montgomery(_K.CURVE25519, "x25519", 32, "CURVE_25519", "CURVE25519", "x25519", "dh31", "group31"),
    _montgomery(_K.CURVE448, "x448", 56, "CURVE_448", "CURVE448", "x448", "dh32", "group32"),
    GroupRow(id=_K.GOST3410_2012_256, family="gost", initiator_size=64, responder_size=64, secret_size=64),
    GroupRow(id=_K.GOST3410_2012_512, family="gost", initiator_size=128, responder_size=128, secret_size=128),
    _mlkem(_K.ML_KEM_512, mlkem.ML_KEM_512, "ML_KEM_512", "mlkem512", "group35"),
    _mlkem(_K.ML_KEM_768, mlkem.ML_KEM_768, "ML_KEM_768", "mlkem768", "group36"),
    _mlkem(_K.ML_KEM_1024, mlkem.ML_KEM_1024, "ML_KEM_1024", "mlkem1024", "group37"),
)
_BY_ID = {row.id: row for row in GROUPS}
_BY_NAME = lookup_table((row, (row.name, *row.names)) for row in GROUPS)


def group(method: int) -> GroupRow:
    """The row of a key exchange method. Raises UnknownAlgorithmError."""
    row = _BY_ID.get(KeyExchangeMethod(method))
    if row is None:
        raise UnknownAlgorithmError(f"key exchange method {KeyExchangeMethod(method)} is unknown to this program")
    return row


def group_by_name(name: str) -> GroupRow:
    """The row of a key exchange method by any of its names, ``KE1_`` … ``KE7_`` in front included."""
    key = normal_name(name).removesuffix("-bit")
    if key[:2] == "ke" and key[2:3].isdigit():
        key = key[4:]
    row = _BY_NAME.get(key)
    if row is None:
        raise UnknownAlgorithmError(f'no key exchange method is called "{name}"')
    return row


def generate(method: int, entropy: bytes) -> KeyPair:
    """A key pair made of ``entropy``, of which ``entropy_size`` octets are wanted.

    Shorter entropy is taken as the private value itself, which is how published test vectors are given.
    Raises ValueError when it makes no private value, UnsupportedAlgorithmError.
    """
    row = group(method)
    if row.family == "modp":
        modulus = _modp_group(row)
        exponent = int.from_bytes(entropy, "big")
        if not 1 < exponent < modulus.prime - 1:
            raise ValueError(f"{len(entropy)} octets of entropy make no exponent")
        public = pow(modulus.generator, exponent, modulus.prime).to_bytes(modulus.size, "big")
        return KeyPair(row.id, public, Secret(entropy))
    if row.family == "ecp":
        return KeyPair(row.id, *_ecp_generate(row, entropy))
    if row.family in ("x25519", "x448"):
        if len(entropy) != row.entropy_size:
            raise ValueError(f"{row.name} takes {row.entropy_size} octets of entropy, not {len(entropy)}")
        private, _ = _montgomery_keys(row)
        return KeyPair(row.id, private.from_private_bytes(entropy).public_key().public_bytes_raw(), Secret(entropy))
    if row.family == "mlkem":
        if len(entropy) != row.entropy_size:
            raise ValueError(f"{row.name} takes {row.entropy_size} octets of entropy, not {len(entropy)}")
        return KeyPair(row.id, mlkem.public_key(row.parameter, entropy), Secret(entropy))
    raise UnsupportedAlgorithmError(f"{row.name} is known by name only: this program does not compute it")


def respond(method: int, peer_public: bytes, entropy: bytes) -> tuple[bytes, Secret]:
    """The responder's public value and the shared secret, for the initiator's public value.

    For a KEM this is the encapsulation (of which 32 octets of entropy are used), for Diffie-Hellman a fresh key pair.
    Raises PublicValueError, UnsupportedAlgorithmError.
    """
    row = group(method)
    if row.is_kem:
        if not mlkem.is_public_key(row.parameter, peer_public):
            raise PublicValueError(f"not an encapsulation key of {row.name}")
        ciphertext, secret = mlkem.encapsulate(row.parameter, peer_public, entropy[: mlkem.MESSAGE_SIZE])
        return ciphertext, Secret(secret)
    pair = generate(method, entropy)
    return pair.public, shared_secret(pair, peer_public)


def shared_secret(pair: KeyPair, peer_public: bytes) -> Secret:
    """The shared secret g^ir of our key pair and the other side's public value, RFC 7296 section 3.4 and RFC 6989.

    Raises PublicValueError when the public value is one that the method forbids.
    """
    row = group(pair.method)
    size = row.responder_size  # for a KEM only the initiator waits; elsewhere both roles have one size
    if len(peer_public) != size:
        raise PublicValueError(f"{len(peer_public)} octets where {row.name} has {size}")
    if row.family == "modp":
        return _modp_secret(row, pair, peer_public)
    if row.family == "ecp":
        return _ecp_secret(row, pair, peer_public)
    if row.family == "mlkem":
        return Secret(mlkem.decapsulate(row.parameter, pair.private.reveal(), peer_public))
    return _montgomery_secret(row, pair, peer_public)


def _modp_group(row: GroupRow) -> ModpGroup:
    bits, subgroup = row.parameter
    return SUBGROUPS[bits, subgroup] if subgroup else oakley_group(bits)


def _modp_secret(row: GroupRow, pair: KeyPair, peer_public: bytes) -> Secret:
    modulus = _modp_group(row)
    public = int.from_bytes(peer_public, "big")
    if not 1 < public < modulus.prime - 1:
        raise PublicValueError(f"a public value of {row.name} lies between 2 and p - 2")  # RFC 6989 section 2.1
    if modulus.order and pow(public, modulus.order, modulus.prime) != 1:
        raise PublicValueError(f"the public value is not in the subgroup of {row.name}")  # RFC 6989 section 2.2
    exponent = int.from_bytes(pair.private.reveal(), "big")
    return Secret(pow(public, exponent, modulus.prime).to_bytes(modulus.size, "big"))


def _curve(row: GroupRow) -> ec.EllipticCurve:
    from cryptography.hazmat.primitives.asymmetric import ec as curves

    curve: ec.EllipticCurve = getattr(curves, row.parameter)()
    return curve


def _ecp_generate(row: GroupRow, entropy: bytes) -> tuple[bytes, Secret]:
    size = row.secret_size
    number = int.from_bytes(entropy, "big")
    order = BRAINPOOL_P224.n if not row.parameter else _curve(row).group_order
    scalar = number % order
    if not scalar:
        raise ValueError("this entropy makes the private value 0")
    private = Secret(scalar.to_bytes(size, "big"))
    if not row.parameter:
        x, y = BRAINPOOL_P224.multiply(scalar, BRAINPOOL_P224.base)
    else:
        numbers = _ecp_private(row, private).public_key().public_numbers()
        x, y = numbers.x, numbers.y
    return x.to_bytes(size, "big") + y.to_bytes(size, "big"), private


def _ecp_private(row: GroupRow, private: Secret) -> ec.EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec as curves

    return curves.derive_private_key(int.from_bytes(private.reveal(), "big"), _curve(row))


def _ecp_secret(row: GroupRow, pair: KeyPair, peer_public: bytes) -> Secret:
    """The x coordinate of the common point, RFC 5903 section 9 and RFC 6954 section 2.3."""
    size = row.secret_size
    x, y = int.from_bytes(peer_public[:size], "big"), int.from_bytes(peer_public[size:], "big")
    refused = PublicValueError(f"the public value is not a point of {row.name}")
    if not row.parameter:
        if not BRAINPOOL_P224.contains(x, y):
            raise refused
        common = BRAINPOOL_P224.multiply(int.from_bytes(pair.private.reveal(), "big"), (x, y))
        return Secret(common[0].to_bytes(size, "big"))
    from cryptography.hazmat.primitives.asymmetric import ec as curves

    try:
        public = curves.EllipticCurvePublicNumbers(x, y, _curve(row)).public_key()
    except ValueError:
        raise refused from None
    return Secret(_ecp_private(row, pair.private).exchange(curves.ECDH(), public))


def _montgomery_keys(row: GroupRow) -> tuple[Any, Any]:
    """The library's private and public key classes."""
    from cryptography.hazmat.primitives.asymmetric import x448, x25519

    if row.family == "x25519":
        return x25519.X25519PrivateKey, x25519.X25519PublicKey
    return x448.X448PrivateKey, x448.X448PublicKey


def _montgomery_secret(row: GroupRow, pair: KeyPair, peer_public: bytes) -> Secret:
    private, public = _montgomery_keys(row)
    ours = private.from_private_bytes(pair.private.reveal())
    try:
        return Secret(ours.exchange(public.from_public_bytes(peer_public)))
    except ValueError:  # RFC 8031 section 2.3: the all-zero secret of a point of small order
        raise PublicValueError(f"the public value is a point of small order of {row.name}") from None
