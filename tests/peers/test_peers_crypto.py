"""Published vectors for what the peers compute themselves, and signatures made and verified."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.ikev2.extensions.rfc7427 import DigitalSignature
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, HashAlgorithm
from ipsecscope.peers import mschapv2
from ipsecscope.peers.authority import Authority, KeyKind, make_key
from ipsecscope.peers.config import DEFAULT_HASHES, AuthMethod, Identity, SettingError
from ipsecscope.peers.entropy import EPOCH, Entropy
from ipsecscope.peers.signatures import Proof, load_private_key, rsa_raw, sign, verify
from ipsecscope.peers.trust import trusted_key

# https://www.rfc-editor.org/rfc/rfc1320 appendix A.5
MD4 = [
    (b"", "31d6cfe0d16ae931b73c59d7e0c089c0"),
    (b"a", "bde52cb31de33e46245e05fbdbd6fb24"),
    (b"abc", "a448017aaf21d8525fc10ae87aa6729d"),
    (b"message digest", "d9130a8164549fe818874806e1c7014b"),
    (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
]
# https://www.rfc-editor.org/rfc/rfc2759 section 9.2 and https://www.rfc-editor.org/rfc/rfc3079 section 3.5.3
USER, PASSWORD = b"User", Secret(b"clientPass")
CHALLENGE = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
PEER_CHALLENGE = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")

KINDS = [
    pytest.param(KeyKind.RSA, AuthMethod.RSA, id="rsa"),
    pytest.param(KeyKind.RSA, AuthMethod.SIGNATURE, id="rfc7427-rsa"),
    pytest.param(KeyKind.RSA, AuthMethod.SIGNATURE_PSS, id="rfc7427-pss"),
    pytest.param(KeyKind.ECDSA_P256, AuthMethod.ECDSA, id="p256"),
    pytest.param(KeyKind.ECDSA_P521, AuthMethod.ECDSA, id="p521"),
    pytest.param(KeyKind.ECDSA_P384, AuthMethod.SIGNATURE, id="rfc7427-ecdsa"),
    pytest.param(KeyKind.ED25519, AuthMethod.SIGNATURE, id="ed25519"),
]


@pytest.mark.parametrize(("data", "digest"), MD4)
def test_md4_vectors(data: bytes, digest: str) -> None:
    assert mschapv2.md4(data).hex() == digest


def test_mschapv2_vectors() -> None:
    hashed = mschapv2.challenge_hash(PEER_CHALLENGE, CHALLENGE, USER)
    assert hashed.hex().upper() == "D02E4386BCE91226"
    assert mschapv2.password_hash(PASSWORD).reveal().hex().upper() == "44EBBA8D5312B8D611474411F56989AE"
    assert mschapv2.nt_response(PASSWORD, PEER_CHALLENGE, CHALLENGE, USER) == RESPONSE
    proof = mschapv2.authenticator_response(PASSWORD, RESPONSE, hashed)
    assert proof == b"S=407A5589115FD0D6209F510FE9C04566932CDA56"


def test_mppe_vectors() -> None:
    master = mschapv2.master_key(PASSWORD, RESPONSE)
    assert master.hex().upper() == "FDECE3717A8C838CB388E527AE3CDD31"
    # the vector is the server's send key, which is what the client receives with
    assert mschapv2.start_key(master, client_sends=False).hex().upper() == "8B7CDC149B993A1BA118CB153F56DCCB"
    assert len(mschapv2.session_key(PASSWORD, RESPONSE)) == 64


@pytest.mark.parametrize(("kind", "method"), KINDS)
def test_signature_verifies_over_its_octets_only_and_repeats_itself(kind: KeyKind, method: AuthMethod) -> None:
    key = make_key(kind, Entropy.seeded("key"), bits=1024)
    proofs = [sign(key, method, b"octets", DEFAULT_HASHES, Entropy.seeded("salt")) for _ in range(2)]
    assert proofs[0] == proofs[1]
    assert verify(key.public_key(), proofs[0], b"octets")
    assert not verify(key.public_key(), proofs[0], b"other octets")
    assert not verify(make_key(kind, Entropy.seeded("other"), bits=1024).public_key(), proofs[0], b"octets")


@pytest.mark.parametrize(("kind", "method"), KINDS)
def test_signature_that_is_changed_anywhere_is_no_signature(kind: KeyKind, method: AuthMethod) -> None:
    key = make_key(kind, Entropy.seeded("key"), bits=1024)
    proof = sign(key, method, b"octets", DEFAULT_HASHES, Entropy.seeded("salt"))
    for at in range(0, len(proof.data), 7):
        data = proof.data[:at] + bytes((proof.data[at] ^ 1,)) + proof.data[at + 1 :]
        assert not verify(key.public_key(), Proof(proof.method, data), b"octets")
    assert not verify(key.public_key(), Proof(proof.method, b""), b"octets")


def test_pss_signature_satisfies_the_library() -> None:
    """Our own padding against somebody else's verification, with the parameters that the identifier announces."""
    key = make_key(KeyKind.RSA, Entropy.seeded("key"), bits=1024)
    proof = sign(key, AuthMethod.SIGNATURE_PSS, b"octets", (HashAlgorithm.SHA2_256,), Entropy.seeded("salt"))
    assert DigitalSignature.parse(proof.data).algorithm == "RSASSA-PSS SHA256"
    assert verify(key.public_key(), proof, b"octets")


def test_signature_hash_is_one_that_the_other_side_announced() -> None:
    key = make_key(KeyKind.RSA, Entropy.seeded("key"), bits=1024)
    proof = sign(key, AuthMethod.SIGNATURE, b"x", (HashAlgorithm.SHA2_512,), Entropy.seeded("salt"))
    assert DigitalSignature.parse(proof.data).algorithm == "sha512WithRSAEncryption"
    with pytest.raises(SettingError, match="no hash algorithm"):
        sign(key, AuthMethod.SIGNATURE, b"x", (), Entropy.seeded("salt"))
    edwards = make_key(KeyKind.ED25519, Entropy.seeded("key"))
    with pytest.raises(SettingError, match="Identity"):
        sign(edwards, AuthMethod.SIGNATURE, b"x", (HashAlgorithm.SHA2_256,), Entropy.seeded("salt"))


def test_method_that_does_not_fit_the_key_is_the_owners_mistake() -> None:
    with pytest.raises(SettingError, match="does not fit"):
        sign(make_key(KeyKind.ED25519, Entropy.seeded("k")), AuthMethod.RSA, b"x", DEFAULT_HASHES, Entropy.seeded("s"))
    with pytest.raises(SettingError, match="PKCS #8"):
        load_private_key(Secret(b"no key"))


def test_proof_with_a_method_of_another_key_is_not_accepted() -> None:
    key = make_key(KeyKind.ECDSA_P256, Entropy.seeded("key"))
    proof = sign(key, AuthMethod.ECDSA, b"x", DEFAULT_HASHES, Entropy.seeded("salt"))
    renamed = Proof(AuthenticationMethod.ECDSA_WITH_SHA_384_ON_P_384, proof.data)
    assert not verify(key.public_key(), renamed, b"x")
    assert not verify("no key", proof, b"x")


def test_authority_repeats_itself_to_the_octet() -> None:
    identity = Identity.parse("moon.example")
    made = [Authority("CA", Entropy.seeded("ca")).issue(identity, KeyKind.ECDSA_P256) for _ in range(2)]
    assert made[0] == made[1]


def test_chain_is_trusted_for_its_identity_and_its_time_only() -> None:
    authority, moon = Authority("CA", Entropy.seeded("ca")), Identity.parse("moon.example")
    chain = authority.issue(moon, KeyKind.ED25519).certificates
    assert trusted_key(chain, [authority.certificate], moon, EPOCH)[1] == ""
    reasons = [
        trusted_key(chain, [authority.certificate], Identity.parse("sun.example"), EPOCH)[1],
        trusted_key(chain, [], moon, EPOCH)[1],
        trusted_key([], [authority.certificate], moon, EPOCH)[1],
        trusted_key([b"\x30\x00"], [authority.certificate], moon, EPOCH)[1],
        trusted_key(chain, [authority.certificate], moon, 0)[1],
    ]
    assert reasons == [
        "the certificate is not made out to the identity",
        "no trust anchor issued the certificate",
        "no certificate was sent",
        "the certificate cannot be read",
        "a certificate is not valid yet",
    ]


@pytest.mark.parametrize(("text",), [("moon.example",), ("alice@moon.example",), ("192.0.2.7",), ("2001:db8::7",)])
def test_certificate_names_the_identity_in_its_own_form(text: str) -> None:
    authority, identity = Authority("CA", Entropy.seeded("ca")), Identity.parse(text)
    chain = authority.issue(identity, KeyKind.ED25519).certificates
    assert trusted_key(chain, [authority.certificate], identity, EPOCH)[0] is not None


def test_rsa_by_the_chinese_remainder_theorem_is_the_long_power() -> None:
    key = make_key(KeyKind.RSA, Entropy.seeded("crt"), bits=1024)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    for number in (0, 1, 2, numbers.p, numbers.q, numbers.public_numbers.n - 1, 3**600):
        block = number.to_bytes(128, "big")
        assert rsa_raw(numbers, block) == pow(number, numbers.d, numbers.public_numbers.n).to_bytes(128, "big")
