"""Whole packets out of RFCs: ESP with AES-CBC (RFC 3602), ESP and IKEv2 with ChaCha20-Poly1305 (RFC 7634)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ipsecscope.decrypt.algorithms import encryption_by_name
from ipsecscope.decrypt.ciphers import seal, unseal
from ipsecscope.decrypt.opening import OpenedBody, open_ike_v2
from ipsecscope.decrypt.opening_esp import EspOpened, EspSa, open_esp
from ipsecscope.decrypt.sealing import seal_esp, seal_ike_v2
from ipsecscope.decrypt.secret import Secret


@pytest.fixture
def vectors(shared: Path) -> Any:
    return json.loads((shared / "captures/vectors/rfc_esp_packets.json").read_text())


def seal_again(sa: EspSa, opened: EspOpened) -> bytes:
    return seal_esp(
        sa,
        opened.payload,
        opened.next_header,
        spi=opened.spi,
        sequence_number=opened.sequence_number,
        iv=opened.iv,
    )


def test_rfc_3602_cases_seal_and_open(vectors: Any) -> None:
    row, _ = encryption_by_name("AES-CBC [RFC3602]")
    packets = 0
    for case in vectors["rfc3602"]:
        key = Secret.from_hex(case["key"])
        if "cipher" in case:
            iv, plain, cipher = (bytes.fromhex(case[name]) for name in ("iv", "plain", "cipher"))
            assert seal(row, key, iv, b"", plain) == cipher
            assert unseal(row, key, iv, b"", cipher) == plain
            continue
        sa = EspSa(encryption=row, encryption_key=key)
        packet = bytes.fromhex(case["packet"])[20:]
        opened = open_esp(packet, sa)
        assert isinstance(opened, EspOpened)
        assert (opened.spi, opened.sequence_number) == (int(case["spi"], 16), case["seq"])
        trailer = opened.padding + bytes((len(opened.padding), opened.next_header))
        assert opened.payload + trailer == bytes.fromhex(case["pre"])
        assert not opened.authenticated
        assert seal_again(sa, opened) == packet
        packets += 1
    assert packets == 4


def test_rfc_7634_packets_seal_and_open(vectors: Any) -> None:
    v = {name: bytes.fromhex(text) for name, text in vectors["rfc7634"].items() if name != "capture"}
    row, bits = encryption_by_name("ChaCha20 with Poly1305 [RFC7634]")
    assert bits == 256 or bits is None
    key = Secret(v["key"] + v["salt"])
    opened = open_esp(v["esp"], EspSa(encryption=row, encryption_key=key))
    assert isinstance(opened, EspOpened)
    trailer = opened.padding + bytes((len(opened.padding), opened.next_header))
    assert opened.payload + trailer == v["esp_plain"]
    assert opened.authenticated
    sa = EspSa(encryption=row, encryption_key=key)
    assert seal_again(sa, opened) == v["esp"]

    body = open_ike_v2(v["ike"], 28, row, key)
    assert isinstance(body, OpenedBody)
    assert body.plaintext + body.padding == v["ike_plain"]
    assert seal_ike_v2(v["ike"][:32], body.plaintext, body.iv, row, key) == v["ike"]
