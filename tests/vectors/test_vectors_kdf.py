"""Published key derivations: NIST SP 800-135, AOSP, free5GC, Openswan, ike-scan."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from ipsecscope.decrypt import keymat, keymat_ikev1
from ipsecscope.decrypt.algorithms import encryption_by_name, integrity_by_name, prf_by_name
from ipsecscope.decrypt.groups import generate, shared_secret
from ipsecscope.decrypt.keymat import ChildSuite, IkeSuite
from ipsecscope.decrypt.opening import OpenedBody, open_ike_v2
from ipsecscope.decrypt.secret import Secret

SA_RECORD = "SaRecordTest.java"


@pytest.fixture
def load(shared: Path) -> Any:
    return lambda name: json.loads((shared / "captures/vectors" / name).read_text())


def octets(vector: dict[str, Any]) -> Any:
    return {key: bytes.fromhex(value) for key, value in vector.items() if isinstance(value, str) and _is_hex(value)}


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(digit in "0123456789abcdefABCDEF" for digit in text)


def test_ikev2_derivations_of_nist_match(load: Any) -> None:
    vectors = load("nist_sp800-135_ikev2.json")["vectors"]
    for vector in vectors:
        row = prf_by_name(vector["group"]["hash"])
        v = octets(vector)
        seed = keymat.skeyseed(row, v["Ni"], v["Nr"], v["g^ir"])
        assert seed.reveal() == v["SKEYSEED"]
        nonces = v["Ni"] + v["Nr"]
        assert keymat.prf_plus(row, seed, nonces + v["SPIi"] + v["SPIr"], len(v["DKM"])) == v["DKM"]
        sk_d = Secret(v["DKM"][: row.key_size])
        assert keymat.prf_plus(row, sk_d, nonces, len(v["DKM(Child SA)"])) == v["DKM(Child SA)"]
        assert (
            keymat.prf_plus(row, sk_d, v["g^ir (new)"] + nonces, len(v["DKM(Child SA D-H)"])) == v["DKM(Child SA D-H)"]
        )
        again = keymat.skeyseed_rekey(row, sk_d, [v["g^ir (new)"]], v["Ni"], v["Nr"])
        assert again.reveal() == v["SKEYSEED(Rekey)"]
        # the same through the functions that cut the key material into keys
        suite = IkeSuite(prf=row, encryption=encryption_by_name("AES_CBC")[0], key_bits=128, integrity=None)
        keys = keymat.derive_ike_keys(suite, v["g^ir"], ni=v["Ni"], nr=v["Nr"], spi_i=v["SPIi"], spi_r=v["SPIr"])
        cut = b"".join(key.reveal() for key in (keys.sk_d, keys.sk_ei, keys.sk_er, keys.sk_pi, keys.sk_pr))
        common = min(len(cut), len(v["DKM"]))
        assert cut[:common] == v["DKM"][:common]
        child_suite = ChildSuite(encryption=encryption_by_name("AES_CBC")[0], integrity=integrity_by_name("SHA1"))
        child = keymat.derive_child_keymat(row, sk_d, child_suite, [v["g^ir (new)"]], ni=v["Ni"], nr=v["Nr"])
        parts = (child.encryption_i, child.integrity_i, child.encryption_r, child.integrity_r)
        cut = b"".join(part.reveal() for part in parts)
        common = min(len(cut), len(v["DKM(Child SA D-H)"]))
        assert cut[:common] == v["DKM(Child SA D-H)"][:common]
    assert len(vectors) == 18


@pytest.mark.parametrize("kind", ["psk", "dsa"])
def test_ikev1_derivations_of_nist_match(load: Any, kind: str) -> None:
    vectors = load(f"nist_sp800-135_ikev1_{kind}.json")["vectors"]
    for vector in vectors:
        row = prf_by_name(vector["group"]["hash"])
        v = octets(vector)
        if kind == "psk":
            skeyid = keymat_ikev1.skeyid_psk(row, Secret(v["pre-shared-key"]), v["Ni"], v["Nr"])
        else:
            skeyid = keymat_ikev1.skeyid_signature(row, v["Ni"], v["Nr"], Secret(v["g^xy"]))
        assert skeyid.reveal() == v["SKEYID"]
        keys = keymat_ikev1.derive_skeyids(row, skeyid, Secret(v["g^xy"]), v["CKY_I"], v["CKY_R"])
        assert keys.skeyid_d.reveal() == v["SKEYID_d"]
        assert keys.skeyid_a.reveal() == v["SKEYID_a"]
        assert keys.skeyid_e.reveal() == v["SKEYID_e"]
    assert len(vectors) >= 34


def test_aosp_exchange_derives_opens_and_authenticates(load: Any) -> None:
    tests = {
        name: octets(entry["constants"]) for name, entry in load("aosp_ikev2_worked_example.json")["tests"].items()
    }
    v = tests[SA_RECORD]
    row = prf_by_name("PRF_HMAC_SHA1")
    encryption, integrity = encryption_by_name("AES_CBC_128")[0], integrity_by_name("HMAC_SHA1_96")
    suite = IkeSuite(prf=row, encryption=encryption, key_bits=128, integrity=integrity)
    ni, nr = v["IKE_NONCE_INIT_HEX_STRING"], v["IKE_NONCE_RESP_HEX_STRING"]
    secret = Secret(v["IKE_SHARED_DH_KEY_HEX_STRING"])
    assert keymat.skeyseed(row, ni, nr, secret).reveal() == v["IKE_SKEYSEED_HEX_STRING"]
    keys = keymat.derive_ike_keys(suite, secret, ni=ni, nr=nr, spi_i=v["IKE_INIT_SPI"], spi_r=v["IKE_RESP_SPI"])
    for name, field in {
        "SK_D": "sk_d",
        "SK_AUTH_INIT": "sk_ai",
        "SK_AUTH_RESP": "sk_ar",
        "SK_ENCR_INIT": "sk_ei",
        "SK_ENCR_RESP": "sk_er",
        "SK_PRF_INIT": "sk_pi",
        "SK_PRF_RESP": "sk_pr",
    }.items():
        assert getattr(keys, field).reveal() == v[f"IKE_{name}_HEX_STRING"], field
    child = keymat.derive_child_keymat(
        row, keys.sk_d, ChildSuite(encryption=encryption, key_bits=128, integrity=integrity), ni=ni, nr=nr
    )
    assert child.encryption(initiator=True).reveal() == v["FIRST_CHILD_ENCR_INIT_HEX_STRING"]
    assert child.encryption(initiator=False).reveal() == v["FIRST_CHILD_ENCR_RESP_HEX_STRING"]
    assert child.integrity(initiator=True).reveal() == v["FIRST_CHILD_AUTH_INIT_HEX_STRING"]
    assert child.integrity(initiator=False).reveal() == v["FIRST_CHILD_AUTH_RESP_HEX_STRING"]

    sealed = tests["IkeSkPayloadTest.java"]
    message = sealed["IKE_AUTH_INIT_REQUEST_HEX_STRING"]
    opened = open_ike_v2(
        message, 28, encryption, keys.sk_e(initiator=True), integrity=integrity, sk_a=keys.sk_a(initiator=True)
    )
    assert isinstance(opened, OpenedBody)
    assert opened.plaintext == sealed["IKE_AUTH_INIT_REQUEST_DECRYPTED_BODY_HEX_STRING"]
    assert opened.authenticated

    auth = tests["IkeAuthPskPayloadTest.java"]
    signed = keymat.signed_octets(
        row, auth["PSK_IKE_INIT_REQUEST_HEX_STRING"], nr, keys.sk_pi, auth["PSK_ID_INITIATOR_PAYLOAD_HEX_STRING"]
    )
    computed = keymat.shared_key_auth(row, Secret(auth["PSK_HEX_STRING"]), signed)
    assert computed == auth["PSK_AUTH_PAYLOAD_SIGNATURE_HEX_STRING"]


def test_free5gc_derivations_match(load: Any) -> None:
    ike, child = load("free5gc_ikev2_kdf.json")["vectors"]
    row, integrity = prf_by_name(ike["prf"]), integrity_by_name(ike["integ"])
    encryption, bits = encryption_by_name(ike["encr"])
    assert bits == 256
    v = octets(ike)
    suite = IkeSuite(prf=row, encryption=encryption, key_bits=bits, integrity=integrity)
    keys = keymat.derive_ike_keys(
        suite, v["g_ir"], ni=v["ni_nr"][:2], nr=v["ni_nr"][2:], spi_i=v["spi_i"], spi_r=v["spi_r"]
    )
    for field in ("sk_d", "sk_ai", "sk_ar", "sk_ei", "sk_er", "sk_pi", "sk_pr"):
        assert getattr(keys, field).reveal() == v[field], field
    c = octets(child)
    made = keymat.derive_child_keymat(
        row,
        Secret(c["child_of"]),
        ChildSuite(encryption=encryption, key_bits=bits, integrity=integrity),
        ni=b"",
        nr=b"",
    )
    assert made.encryption_i.reveal() == c["ei"]
    assert made.integrity_i.reveal() == c["ai"]
    assert made.encryption_r.reveal() == c["er"]
    assert made.integrity_r.reveal() == c["ar"]


def test_openswan_private_exponents_lead_to_the_keys(load: Any) -> None:
    vectors = load("openswan_ikev2_dh_to_sk.json")["vectors"]
    for vector in vectors:
        v = octets(vector)
        pair = generate(int(vector["group"]), v["dh_private_initiator"])
        assert pair.public == v["gi"]
        secret = shared_secret(pair, v["gr"])
        assert secret.reveal() == v["g_ir"]
        row = prf_by_name(vector["prf"])
        suite = IkeSuite(prf=row, encryption=encryption_by_name("3DES")[0], integrity=integrity_by_name("HMAC_MD5_96"))
        keys = keymat.derive_ike_keys(suite, secret, ni=v["ni"], nr=v["nr"], spi_i=v["spi_i"], spi_r=v["spi_r"])
        for field in ("sk_d", "sk_ai", "sk_ar", "sk_ei", "sk_er", "sk_pi", "sk_pr"):
            assert getattr(keys, field).reveal() == v[field], field
    assert len(vectors) == 3


def _nortel(password: str, user: str) -> bytes:
    """The pre-shared key that Nortel clients make of a password: an HMAC under its hash (ike-scan's documentation)."""
    return hmac.digest(hashlib.sha1(password.encode()).digest(), user.encode(), "sha1")


def test_aggressive_mode_hash_r_of_ike_scan_tells_the_psk(load: Any) -> None:
    verdicts = []
    for vector in load("ikev1_aggressive_psk_ike-scan.json")["vectors"]:
        row, v = prf_by_name(vector["hash"]), octets(vector["fields"])
        psk = vector["psk"]
        if psk is not None and psk.startswith("nortel"):
            octets_of_psk = _nortel("abc123", "test")
        else:
            octets_of_psk = (psk or "abc123").encode()
        skeyid = keymat_ikev1.skeyid_psk(row, Secret(octets_of_psk), v["ni_b"], v["nr_b"])
        computed = keymat_ikev1.hash_r(
            row,
            skeyid,
            g_xi=v["g_xi"],
            g_xr=v["g_xr"],
            cky_i=v["cky_i"],
            cky_r=v["cky_r"],
            sa_i=v["sai_b"],
            id_r=v["idir_b"],
        )
        assert (computed == v["hash_r"]) is (psk is not None), vector["file"]
        verdicts.append(computed == v["hash_r"])
    assert verdicts.count(True) == 6
