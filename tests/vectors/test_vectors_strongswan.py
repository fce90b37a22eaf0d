"""The published vectors that strongSwan checks its own algorithms with: RFC and NIST data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ipsecscope.decrypt import mlkem
from ipsecscope.decrypt.algorithms import encryption_by_name, integrity_by_name, prf_by_name
from ipsecscope.decrypt.ciphers import seal, unseal
from ipsecscope.decrypt.groups import generate, group, group_by_name, respond, shared_secret
from ipsecscope.decrypt.keymat import prf, prf_plus
from ipsecscope.decrypt.macs import Icv

NOT_OURS = {"ENCR_AES_ECB", "ENCR_AES_CFB", "ENCR_DES_ECB"}  # modes that no IPsec protocol uses
SPELLINGS = {
    "ENCR_AES_CCM_ICV8": "AES_CCM_8",
    "ENCR_AES_CCM_ICV12": "AES_CCM_12",
    "ENCR_AES_CCM_ICV16": "AES_CCM_16",
    "ENCR_AES_GCM_ICV8": "AES_GCM_8",
    "ENCR_AES_GCM_ICV12": "AES_GCM_12",
    "ENCR_AES_GCM_ICV16": "AES_GCM_16",
}


@pytest.fixture(scope="module")
def vectors(shared: Path) -> list[dict[str, str]]:
    path = shared / "captures/vectors/strongswan_test_vectors.json"
    loaded: list[dict[str, str]] = json.loads(path.read_text())["vectors"]
    return loaded


def of_kind(vectors: list[dict[str, str]], kind: str) -> Iterator[tuple[dict[str, str], Any]]:
    for vector in vectors:
        if vector["kind"] == kind and vector.get("alg") not in NOT_OURS:
            yield vector, {key: _octets(value) for key, value in vector.items()}


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def test_crypters_of_every_vector_seal_and_unseal_as_published(vectors: list[dict[str, str]]) -> None:
    counts: Counter[str] = Counter()
    for vector, octets in of_kind(vectors, "crypter_test_vector_t"):
        row, _ = encryption_by_name(vector["alg"])
        key, iv = octets["key"], octets.get("iv", b"")
        if row.salt_size and len(iv) == 12:  # nonce and IV were published in one piece
            key, iv = key + iv[:4], iv[4:]
        assert seal(row, key, iv, b"", octets["plain"]) == octets["cipher"], vector["name"]
        assert unseal(row, key, iv, b"", octets["cipher"]) == octets["plain"], vector["name"]
        counts[row.name] += 1
    assert counts.keys() >= {"ENCR_AES_CTR", "ENCR_CAMELLIA_CTR", "ENCR_CAMELLIA_CBC", "ENCR_BLOWFISH", "ENCR_CAST"}


def test_aeads_of_every_vector_seal_and_unseal_as_published(vectors: list[dict[str, str]]) -> None:
    counts: Counter[str] = Counter()
    for vector, octets in of_kind(vectors, "aead_test_vector_t"):
        row, _ = encryption_by_name(SPELLINGS.get(vector["alg"], vector["alg"]))
        key = octets["key"][: int(vector["key_size"]) + row.salt_size]
        sealed = seal(row, key, octets["iv"], octets.get("adata", b""), octets.get("plain", b""))
        assert sealed == octets["cipher"], vector["name"]
        plain = unseal(row, key, octets["iv"], octets.get("adata", b""), octets["cipher"])
        assert plain == octets.get("plain", b""), vector["name"]
        counts[row.name] += 1
    assert sum(counts.values()) == 41


def test_signers_of_every_vector_compute_and_verify_as_published(vectors: list[dict[str, str]]) -> None:
    count = 0
    for vector, octets in of_kind(vectors, "signer_test_vector_t"):
        icv = Icv(integrity_by_name(vector["alg"]), octets["key"])
        published = octets["mac"][: icv.size]  # some were written down with more octets than the ICV has
        assert icv.compute(octets["data"]) == published, vector["name"]
        assert icv.verify(published, octets["data"][:3], octets["data"][3:]), vector["name"]
        assert not icv.verify(published, octets["data"] + b"\0")
        count += 1
    assert count == 29


def test_prfs_of_every_vector_compute_as_published(vectors: list[dict[str, str]]) -> None:
    count = 0
    for vector, octets in of_kind(vectors, "prf_test_vector_t"):
        assert prf(prf_by_name(vector["alg"]), octets["key"], octets["seed"]) == octets["out"], vector["name"]
        count += 1
    for vector, octets in of_kind(vectors, "kdf_test_vector_t"):
        row, salt = prf_by_name(vector["arg.prf"]), octets["salt"]
        if vector["alg"] == "KDF_PRF":
            got = prf(row, salt, octets["key"])  # as in SKEYSEED: the nonces are the key, the shared secret the data
        else:
            got = prf_plus(row, octets["key"], salt, len(octets["out"]))
        assert got == octets["out"], vector["name"]
        count += 1
    assert count == 57


def test_key_exchanges_of_every_vector_agree_as_published(vectors: list[dict[str, str]]) -> None:
    count = 0
    for vector, octets in of_kind(vectors, "ke_test_vector_t"):
        row = group_by_name(vector["method"])
        if row.is_kem:
            continue
        half = len(octets["seed"]) // 2
        ours, theirs = generate(row.id, octets["seed"][:half]), generate(row.id, octets["seed"][half:])
        assert (ours.public, theirs.public) == (octets["pub_i"], octets["pub_r"]), vector["name"]
        assert len(ours.public) == row.initiator_size == row.responder_size
        assert shared_secret(ours, theirs.public).reveal() == octets["shared"], vector["name"]
        assert shared_secret(theirs, ours.public).reveal() == octets["shared"], vector["name"]
        assert len(octets["shared"]) == row.secret_size
        count += 1
    assert count == 23


def _drbg(seed: bytes) -> Iterator[bytes]:
    """AES-256 CTR_DRBG without derivation function, as the known answer tests draw their random octets."""
    key, counter = bytes(32), 0

    def blocks(count: int) -> bytes:
        nonlocal counter
        text = b"".join(((counter + 1 + index) % (1 << 128)).to_bytes(16, "big") for index in range(count))
        counter = (counter + count) % (1 << 128)
        return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(text)

    def update(data: bytes) -> None:
        nonlocal key, counter
        mixed = bytes(left ^ right for left, right in zip(blocks(3), data, strict=True))
        key, counter = mixed[:32], int.from_bytes(mixed[32:], "big")

    update(seed)
    for count in (4, 2):  # d | z, then m
        yield blocks(count)
        update(bytes(48))


def test_ml_kem_of_every_vector_agrees_as_published(vectors: list[dict[str, str]]) -> None:
    count = 0
    for vector, octets in of_kind(vectors, "ke_test_vector_t"):
        row = group_by_name(vector["method"])
        if not row.is_kem:
            continue
        random = _drbg(octets["seed"])
        pair = generate(row.id, next(random))
        public, secret = respond(row.id, pair.public, next(random))
        assert pair.public == octets["pub_i"], vector["name"]
        assert public == octets["pub_r"], vector["name"]
        assert secret.reveal() == octets["shared"], vector["name"]
        assert shared_secret(pair, public) == secret, vector["name"]
        assert (len(pair.public), len(public)) == (row.initiator_size, row.responder_size)
        count += 1
    assert count == 12
    assert group(36).parameter == mlkem.ML_KEM_768
