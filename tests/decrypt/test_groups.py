from __future__ import annotations

import pytest

from ipsecscope.decrypt import mlkem, modp, weierstrass
from ipsecscope.decrypt.algorithms import UnknownAlgorithmError, UnsupportedAlgorithmError
from ipsecscope.decrypt.groups import (
    GROUPS,
    KeyPair,
    PublicValueError,
    generate,
    group,
    group_by_name,
    respond,
    shared_secret,
)
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod

COMPUTED = [row for row in GROUPS if row.family != "gost"]
EVERY = pytest.mark.parametrize("row", COMPUTED, ids=lambda row: row.name)
FAST = [row for row in COMPUTED if row.family != "modp" or row.secret_size <= 256]


def test_every_iana_method_has_a_row() -> None:
    assert {row.id for row in GROUPS} == set(KeyExchangeMethod) - {KeyExchangeMethod.NONE}


@pytest.mark.parametrize("row", FAST, ids=lambda row: row.name)
def test_both_sides_agree_and_their_values_have_the_sizes_of_the_table(row: object) -> None:
    assert isinstance(row, type(GROUPS[0]))
    ours = generate(row.id, bytes(range(7, 7 + row.entropy_size)))
    public, secret = respond(row.id, ours.public, bytes(range(9, 9 + row.entropy_size)))
    assert shared_secret(ours, public) == secret
    assert len(ours.public) == row.public_size(initiator=True)
    assert len(public) == row.public_size(initiator=False)
    assert len(secret) == row.secret_size
    assert "private=<secret" in repr(ours)


@pytest.mark.parametrize("row", FAST, ids=lambda row: row.name)
def test_same_entropy_makes_the_same_key_pair_and_other_entropy_another(row: object) -> None:
    assert isinstance(row, type(GROUPS[0]))
    entropy = bytes(range(7, 7 + row.entropy_size))
    assert generate(row.id, entropy) == generate(row.id, entropy)
    assert generate(row.id, entropy).public != generate(row.id, entropy[::-1]).public


@EVERY
def test_public_values_of_another_size_are_refused(row: object) -> None:
    assert isinstance(row, type(GROUPS[0]))
    pair = KeyPair(row.id, b"", Secret(bytes(range(1, row.entropy_size + 1))))
    for size in (0, row.responder_size - 1, row.responder_size + 1):
        with pytest.raises(PublicValueError, match=f"{size} octets where"):
            shared_secret(pair, bytes(size))


@pytest.mark.parametrize("method", [14, 24])
@pytest.mark.parametrize("value", [0, 1, -1, -2])
def test_modp_values_that_rfc_6989_forbids_are_refused(method: int, value: int) -> None:
    prime = modp.oakley_group(2048).prime if method == 14 else modp.SUBGROUPS[2048, 256].prime
    public = (value if value >= 0 else prime + 1 + value).to_bytes(256, "big")
    with pytest.raises(PublicValueError, match="between 2 and p - 2"):
        shared_secret(generate(method, b"\x05" * 32), public)


def test_modp_value_outside_the_subgroup_is_refused() -> None:
    with pytest.raises(PublicValueError, match="not in the subgroup"):
        shared_secret(generate(24, b"\x05" * 32), (3).to_bytes(256, "big"))


@pytest.mark.parametrize("method", [19, 21, 27, 28])
def test_points_that_are_not_on_the_curve_are_refused(method: int) -> None:
    size = group(method).responder_size
    pair = generate(method, b"\x05" * 32)
    with pytest.raises(PublicValueError, match="not a point"):
        shared_secret(pair, bytes(size - 1) + b"\1")
    with pytest.raises(PublicValueError, match="not a point"):
        shared_secret(pair, b"\xff" * size)


@pytest.mark.parametrize("method", [31, 32])
def test_points_of_small_order_are_refused(method: int) -> None:
    pair = generate(method, bytes(range(group(method).entropy_size)))
    with pytest.raises(PublicValueError, match="small order"):
        shared_secret(pair, bytes(group(method).responder_size))


@pytest.mark.parametrize("method", [35, 36, 37])
def test_encapsulation_keys_with_coefficients_out_of_range_are_refused(method: int) -> None:
    row = group(method)
    with pytest.raises(PublicValueError, match="not an encapsulation key"):
        respond(method, b"\xff" * row.initiator_size, bytes(32))
    with pytest.raises(PublicValueError, match="not an encapsulation key"):
        respond(method, bytes(row.initiator_size - 1), bytes(32))


@pytest.mark.parametrize("method", [35, 36, 37])
def test_ciphertexts_that_were_tampered_with_yield_another_secret_and_no_error(method: int) -> None:
    pair = generate(method, bytes(range(64)))
    ciphertext, secret = respond(method, pair.public, bytes(range(32)))
    tampered = bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]
    assert shared_secret(pair, tampered) != secret
    assert shared_secret(pair, tampered) == shared_secret(pair, tampered)


@pytest.mark.parametrize("method", [36, 37])
def test_ml_kem_agrees_with_the_library(method: int) -> None:
    from cryptography.hazmat.primitives.asymmetric import mlkem as library

    private = {36: library.MLKEM768PrivateKey, 37: library.MLKEM1024PrivateKey}[method].from_seed_bytes(
        bytes(range(64))
    )
    pair = generate(method, bytes(range(64)))
    assert private.public_key().public_bytes_raw() == pair.public
    secret, ciphertext = private.public_key().encapsulate()
    assert shared_secret(pair, ciphertext).reveal() == secret
    ciphertext, ours = respond(method, pair.public, bytes(range(32)))
    assert private.decapsulate(ciphertext) == ours.reveal()


def test_ml_kem_rejection_sampling_reads_on_when_candidates_run_out() -> None:
    assert mlkem._sample_uniform(b"seed", 30) == mlkem._sample_uniform(b"seed")


@pytest.mark.parametrize("method", [14, 31, 36])
def test_entropy_that_makes_no_private_value_is_the_callers_mistake(method: int) -> None:
    with pytest.raises(ValueError, match="octets of entropy"):
        generate(method, b"\0")


@pytest.mark.parametrize("method", [19, 27])
def test_entropy_that_makes_the_private_value_zero_is_the_callers_mistake(method: int) -> None:
    with pytest.raises(ValueError, match="private value 0"):
        generate(method, bytes(40))


def test_methods_known_by_name_only_are_said_to_be_unsupported() -> None:
    assert group(KeyExchangeMethod.GOST3410_2012_256).initiator_size == 64
    with pytest.raises(UnsupportedAlgorithmError, match="GOST3410_2012_256"):
        generate(KeyExchangeMethod.GOST3410_2012_256, bytes(32))


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("MODP_2048", 14),
        ("MODP2048", 14),
        ("dh14", 14),
        ("MODP_2048_256", 24),
        ("ECP_256", 19),
        ("ECP_521_BIT", 21),
        ("ECP_384_BP", 29),
        ("CURVE_25519", 31),
        ("x448", 32),
        ("ML_KEM_768", 36),
        ("KE1_ML_KEM_768", 36),
        ("KE7_CURVE_25519", 31),
    ],
)
def test_group_by_name_finds_the_row(name: str, method: int) -> None:
    assert group_by_name(name).id == method


def test_unknown_methods_are_named() -> None:
    with pytest.raises(UnknownAlgorithmError, match='"rot13"'):
        group_by_name("rot13")
    with pytest.raises(UnknownAlgorithmError, match="UNKNOWN_999"):
        group(999)


# RFC 3526 section 3 and RFC 2409 section 6.2 print these; the formula makes them.
@pytest.mark.parametrize(
    ("bits", "start", "end"),
    [
        (1024, "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1", "f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff"),
        (2048, "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1", "3995497cea956ae515d2261898fa051015728e5a8aacaa68ffffffffffffffff"),
    ],
)  # fmt: skip
def test_modp_primes_come_out_of_the_digits_of_pi(bits: int, start: str, end: str) -> None:
    digits = f"{modp.oakley_group(bits).prime:x}"
    assert len(digits) == bits // 4
    assert digits.startswith(start)
    assert digits.endswith(end)


@pytest.mark.parametrize("bits", [768, 1024, 1536, 2048, 3072])
def test_modp_primes_are_safe_primes_to_base_two(bits: int) -> None:
    prime = modp.oakley_group(bits).prime
    assert pow(2, prime - 1, prime) == 1
    assert pow(2, (prime - 1) // 2, prime) == 1  # 2 generates the subgroup of prime order (p - 1) / 2
    assert pow(3, (prime - 1) // 2 - 1, (prime - 1) // 2) == 1


@pytest.mark.parametrize("row", modp.SUBGROUPS.values(), ids=str)
def test_rfc_5114_generators_have_the_order_of_the_table(row: modp.ModpGroup) -> None:
    assert pow(row.generator, row.order, row.prime) == 1
    assert (row.prime - 1) % row.order == 0


def test_brainpool_base_point_is_on_its_curve_and_has_its_order() -> None:
    curve = weierstrass.BRAINPOOL_P224
    assert curve.contains(*curve.base)
    inverse = curve.multiply(curve.n - 1, curve.base)
    assert inverse == (curve.base[0], curve.p - curve.base[1])
    assert curve.add(curve.base, inverse) is None
    assert curve.add(None, curve.base) == curve.base
    with pytest.raises(ValueError, match="point at infinity"):
        curve.multiply(curve.n, curve.base)


# RFC 7748 section 6.1, and RFC 5903 section 8.1
@pytest.mark.parametrize(
    ("method", "private", "public", "peer", "secret"),
    [
        (
            31,
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        ),
        (
            19,
            "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
            "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c37725811805271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
            "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf6356fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
            "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
        ),
    ],
    ids=["RFC 7748", "RFC 5903"],
)  # fmt: skip
def test_published_agreements_match(method: int, private: str, public: str, peer: str, secret: str) -> None:
    pair = generate(method, bytes.fromhex(private))
    assert pair.public.hex() == public
    assert shared_secret(pair, bytes.fromhex(peer)).reveal().hex() == secret
