"""The key files of the lab: every one is read without a problem and says what ``keys.json`` says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keys import (
    IkeV1Keys,
    IkeV2Keys,
    KeyFile,
    KeyRecord,
    Msk,
    Ppk,
    PreSharedKey,
    SaKeys,
    SharedSecret,
)
from ipsecscope.decrypt.secret import Secret

SK = ("SKEYSEED", "SK_d", "SK_ai", "SK_ar", "SK_ei", "SK_er", "SK_pi", "SK_pr")
SKEYID = ("SKEYID", "SKEYID_d", "SKEYID_a", "SKEYID_e")
# The daemon of this side never had these keys: it got no message, or its peer has another pre-shared key.
ONE_SIDED = {
    ("fail-4500-blocked-nat", "responder.log"),
    ("fail-half-open", "responder.log"),
    ("fail-expired-cert-responder", "initiator.log"),
    ("fail-untrusted-ca-responder", "initiator.log"),
    ("fail-wrong-psk-v1-main", "initiator.log"),
    ("fail-wrong-psk-v1-main", "responder.log"),
    ("probe-ike-scan-aggressive", "initiator.log"),
}
FORMATS = {
    "*.pluto.log": "libreswan",
    "initiator.log": "strongswan",
    "responder.log": "strongswan",
    "esp_sa": "wireshark",
    "ikev2_decryption_table": "wireshark",
    "ikev1_decryption_table": "wireshark",
    "save-keys-*": "wireshark",
    "xfrm-state*.txt": "xfrm",
    "keys.json": "json",
}


@cache
def read(path: Path) -> KeyFile:
    return read_keys(path)


def hexed(secret: Secret | None) -> str:
    return secret.reveal().hex() if secret is not None else ""


def truth_of(folder: Path) -> dict[str, Any]:
    truth: dict[str, Any] = json.loads((folder / "keys.json").read_text())
    return truth


def of_kind(records: tuple[KeyRecord, ...], kind: type[Any]) -> list[Any]:
    return [record for record in records if isinstance(record, kind)]


def ike2_facts(record: IkeV2Keys) -> tuple[str, ...]:
    spis = ((record.spi_i or b"").hex(), (record.spi_r or b"").hex())
    return (*spis, *(hexed(getattr(record, name.lower())) for name in SK))


def ike1_facts(record: IkeV1Keys) -> tuple[str, ...]:
    cookies = ((record.cookie_i or b"").hex(), (record.cookie_r or b"").hex())
    return (
        *cookies,
        *(hexed(getattr(record, name.lower())) for name in SKEYID),
        hexed(record.ka),
        (record.iv or b"").hex(),
    )


def sa_facts(record: SaKeys) -> tuple[Any, ...]:
    return (str(record.protocol), f"{record.spi:08x}", hexed(record.encryption_key), hexed(record.integrity_key))


def wanted_ike(item: dict[str, Any]) -> tuple[str, ...]:
    if item["version"] == 2:
        return (item["spi_i"], item["spi_r"], *(item.get(name, "") for name in SK))
    return (item["spi_i"], item["spi_r"], *(item[name] for name in SKEYID), item["enc_key"], item["iv"])


def wanted_sa(item: dict[str, Any]) -> tuple[Any, ...]:
    return (item["proto"], item["spi"], item["enc_key"], item["integ_key"])


def wanted(folder: Path) -> Counter[tuple[str, tuple[Any, ...]]]:
    truth = truth_of(folder)
    facts = [(f"ikev{item['version']}", wanted_ike(item)) for item in truth["ike"]]
    return Counter(facts + [("sa", wanted_sa(item)) for item in truth["esp"]])


def found(records: tuple[KeyRecord, ...]) -> set[tuple[str, tuple[Any, ...]]]:
    facts: set[tuple[str, tuple[Any, ...]]] = {("ikev2", ike2_facts(r)) for r in of_kind(records, IkeV2Keys)}
    facts |= {("ikev1", ike1_facts(r)) for r in of_kind(records, IkeV1Keys)}
    return facts | {("sa", sa_facts(r)) for r in of_kind(records, SaKeys)}


@pytest.fixture(scope="module")
def lab(shared: Path) -> list[Path]:
    return sorted(path.parent for path in (shared / "captures" / "lab").glob("*/keys.json"))


def files(lab: list[Path], pattern: str) -> Iterator[Path]:
    for folder in lab:
        yield from sorted(folder.glob(pattern))


@pytest.mark.parametrize("pattern", sorted(FORMATS))
def test_lab_key_file_is_recognised_and_read_without_problems(lab: list[Path], pattern: str) -> None:
    count = 0
    for path in files(lab, pattern):
        key_file = read(path)
        count += 1
        assert key_file.problems == (), path
        assert FORMATS[pattern] in key_file.formats or not key_file.records, path
        assert all(record.origin.file == str(path) and record.origin.line > 0 for record in key_file.records)
    assert count > 0


@pytest.mark.parametrize("name", ["initiator.log", "responder.log"])
def test_charon_log_has_every_key_of_its_daemon(lab: list[Path], name: str) -> None:
    side = name.partition(".")[0]
    total: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for path in files(lab, name):
        there = found(read(path).records)
        truth = truth_of(path.parent)
        ours = [item for item in (*truth["ike"], *truth["esp"]) if item.get("from") in ("initiator", "responder")]
        for item in ours:
            if (path.parent.name, name) in ONE_SIDED and item["from"] != side:
                continue
            kind = f"ikev{item['version']}" if "version" in item else "sa"
            total[kind] += 1
            hits[kind] += (kind, wanted_ike(item) if kind != "sa" else wanted_sa(item)) in there
    for kind in sorted(total):
        print(f"{name}: {kind}: {hits[kind]} of {total[kind]}")
    assert hits == total
    assert min(total["ikev1"], total["ikev2"], total["sa"]) > 20


@pytest.mark.parametrize("name", ["initiator.log", "responder.log"])
def test_charon_log_tells_algorithms_addresses_and_secrets(lab: list[Path], name: str) -> None:
    side = name.partition(".")[0]
    checked: Counter[str] = Counter()
    for path in files(lab, name):
        records = read(path).records
        by_facts = {ike2_facts(record): record for record in of_kind(records, IkeV2Keys)}
        secrets = {(secret.spi_i, secret.spi_r, hexed(secret.value)) for secret in of_kind(records, SharedSecret)}
        for item in truth_of(path.parent)["ike"]:
            record = by_facts.get(wanted_ike(item)) if item["version"] == 2 else None
            if record is None:
                continue
            checked["ike"] += 1
            assert record.encryption.name.startswith(item["alg"]["enc"])
            assert record.encryption.key_bits == (item["alg"]["keysize"] or record.encryption.key_bits)
            assert record.prf.name == item["alg"]["prf"]
            assert (record.integrity.name if record.integrity else None) == item["alg"].get("integ")
            assert record.exchange == item["exchange"], path
            assert (record.spi_i, record.spi_r, item["dh_secret"]) in secrets
            assert any(group.name == item["alg"]["dh"] for group in record.groups)
        for item in truth_of(path.parent)["esp"]:
            for record in of_kind(records, SaKeys):
                if sa_facts(record) != wanted_sa(item) or item.get("from") != side:
                    continue
                checked["sa"] += 1
                assert (record.src, record.dst) == (item["src"], item["dst"])
                assert record.esn == item["esn"]
                assert str(record.direction) == item["direction"]
                assert record.role is not None
    print(f"{name}: {dict(checked)}")
    assert checked["ike"] > 90


def test_charon_log_with_ppk_has_the_keys_after_it(lab: list[Path]) -> None:
    folder = next(path for path in lab if path.name == "ss6-mlkem-ppk")
    update = next(item["ppk_update"] for item in truth_of(folder)["ike"] if "ppk_update" in item)
    for name in ("initiator.log", "responder.log", "keys.json"):
        records = read(folder / name).records
        after = [record for record in of_kind(records, IkeV2Keys) if record.uses_ppk]
        assert [(hexed(r.sk_d), hexed(r.sk_pi), hexed(r.sk_pr)) for r in after] == [
            (update["SK_d"], update["SK_pi"], update["SK_pr"])
        ]
        assert all(r.sk_ei and r.spi_i and r.encryption for r in after)
        assert [hexed(ppk.value) for ppk in of_kind(records, Ppk)] == [update["PPK"]]
        sets = of_kind(records, IkeV2Keys)
        assert [r.sequence for r in sets] == [0, 1, 2], name
    assert [ppk.ppk_id for ppk in of_kind(read(folder / "responder.log").records, Ppk)] == ["ppk-1"]


def test_charon_log_tells_psk_and_msk_apart(lab: list[Path]) -> None:
    def kinds(scenario: str) -> list[tuple[str, int]]:
        folder = next(path for path in lab if path.name == scenario)
        records = read(folder / "initiator.log").records
        return [(type(r).__name__, len(r.value)) for r in records if isinstance(r, PreSharedKey | Msk)]

    assert kinds("ikev2-psk-aesxcbc") == [("PreSharedKey", 12)]
    assert set(kinds("ikev2-eap-mschapv2")) == {("Msk", 64)}
    assert kinds("ikev2-eap-md5") == []  # SK_pi and SK_pr stand in


def test_charon_log_gives_shared_secrets_to_the_child_they_made(lab: list[Path]) -> None:
    folder = next(path for path in lab if path.name == "ss6-mlkem-child-rekey")
    spis = {int(item["spi"], 16) for item in truth_of(folder)["esp"][2:]}
    for name in ("initiator.log", "responder.log"):
        secrets = [s for s in of_kind(read(folder / name).records, SharedSecret) if s.child_spis]
        assert [(str(s.kind), s.order, set(s.child_spis)) for s in secrets] == [("dh", 0, spis), ("kem", 1, spis)]


def test_json_document_has_everything_it_says(lab: list[Path]) -> None:
    total = hits = 0
    for folder in lab:
        there = found(read(folder / "keys.json").records)
        needed = wanted(folder)
        total += len(needed)
        hits += sum(fact in there for fact in needed)
    print(f"keys.json: {hits} of {total}")
    assert hits == total > 300


@pytest.mark.parametrize("pattern", ["esp_sa", "xfrm-state-*.txt", "*.pluto.log", "save-keys-*-esp_sa"])
def test_sa_keys_of_other_sources_agree_with_the_json_document(lab: list[Path], pattern: str) -> None:
    total = hits = 0
    for path in files(lab, pattern):
        known = {wanted_sa(item) for item in truth_of(path.parent)["esp"]}
        known |= {("ESP" if i["enc_key"] else "AH", i["spi"], i["enc_key"], i["integ_key"])
                  for i in truth_of(path.parent).get("pluto_log_keys", ())}  # fmt: skip
        for record in of_kind(read(path).records, SaKeys):
            if (path.parent.name, record.spi) == ("xfrm-manual-esp-unknown-spi-receiver", 0xDEAD):
                continue  # the receiver was given an SA that nobody sends to
            total += 1
            hits += sa_facts(record) in known
    print(f"{pattern}: {hits} of {total}")
    assert total > 20
    assert hits == total


@pytest.mark.parametrize("pattern", ["ikev2_decryption_table", "save-keys-*-ikev2_decryption_table", "*.pluto.log"])
def test_ikev2_keys_of_other_sources_agree_with_the_json_document(lab: list[Path], pattern: str) -> None:
    total = hits = 0
    for path in files(lab, pattern):
        known = {
            (item["spi_i"], item["spi_r"], item["SK_ei"], item["SK_er"], item.get("SK_ai", ""), item.get("SK_ar", ""))
            for item in truth_of(path.parent)["ike"]
            if item["version"] == 2
        }
        for record in of_kind(read(path).records, IkeV2Keys):
            if record.sk_ei is None or not known:
                continue
            total += 1
            keys = (hexed(record.sk_ei), hexed(record.sk_er), hexed(record.sk_ai), hexed(record.sk_ar))
            hits += ((record.spi_i or b"").hex(), (record.spi_r or b"").hex(), *keys) in known
    print(f"{pattern}: {hits} of {total}")
    assert hits == total > 0


def test_ikev1_table_agrees_with_the_json_document(lab: list[Path]) -> None:
    total = hits = 0
    for path in (*files(lab, "ikev1_decryption_table"), *files(lab, "save-keys-*-ikev1_decryption_table")):
        known = {(item["spi_i"], item["enc_key"]) for item in truth_of(path.parent)["ike"] if item["version"] == 1}
        for record in of_kind(read(path).records, IkeV1Keys):
            total += 1
            hits += ((record.cookie_i or b"").hex(), hexed(record.ka)) in known
    print(f"ikev1 tables: {hits} of {total}")
    assert hits == total > 30


def test_rekeyed_sets_of_one_spi_pair_are_counted(lab: list[Path]) -> None:
    folder = next(path for path in lab if path.name == "ss6-mlkem768-x25519")
    for name in ("initiator.log", "responder.log", "keys.json", "ikev2_decryption_table"):
        assert [r.sequence for r in of_kind(read(folder / name).records, IkeV2Keys)] == [0, 1], name


def test_public_key_list_is_read(shared: Path) -> None:
    path = shared / "captures" / "public" / "keys.json"
    key_file = read(path)
    items = json.loads(path.read_text())
    assert key_file.problems == ()
    esp = {(int(i["spi"], 16), i["encr_key"].removeprefix("0x")) for i in items if i["type"] == "esp"}
    ours = {(r.spi, hexed(r.encryption_key)) for r in of_kind(key_file.records, SaKeys)}
    assert ours == esp
    ike2 = {(i["spi_i"], i["sk_ei"]) for i in items if i["type"] == "ikev2"}
    assert {((r.spi_i or b"").hex(), hexed(r.sk_ei)) for r in of_kind(key_file.records, IkeV2Keys)} == ike2
    assert len(of_kind(key_file.records, IkeV1Keys)) == sum(i["type"] == "ikev1" for i in items)
