"""Captures that others published with their keys, against what Wireshark prints with the same keys.

Wireshark's text is parsed here for what it says of each frame: the payload types inside, AUTH and HASH data, and what
ESP contained. The keys go in as the rows that Wireshark's own tables have.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

import msgspec
import pytest
from conftest import SHARED

from ipsecscope.capture.datagrams import Datagram
from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.opening_esp import EspOpened
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.timeline.analysis import Analysis, analyze
from ipsecscope.timeline.inner import Opened, Restored
from ipsecscope.timeline.sas import MessageRecord

PUBLIC = SHARED / "captures" / "public"

pytestmark = pytest.mark.shared


def rows() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    path = PUBLIC / "keys.json"
    for row in json.loads(path.read_text()) if path.is_file() else []:
        found[row["capture"]].append(row)
    return dict(found)


ROWS = rows()

# Where we differ from Wireshark on purpose, and what is special about a capture.
WRONG_ICV = "captures/tcpdump__ikev2pI2.pcap"
SPECIAL = {
    WRONG_ICV: "the ICV on the wire is wrong: Wireshark and tcpdump show the plaintext, we refuse the message",
    "captures/zeek__ikev1-certs.pcap": "frame 8 repeats frame 7: Wireshark goes on with the CBC chain and calls it malformed",
    "captures/wireshark__ikev2-decrypt-aes128ccm12-2.pcap": "Wireshark's row names CTR without a check; the suite is CCM",
    "captures/openswan__lp101-v1rwnatQR1failed__v1rwnatM3.pcap": "a test double with a fixed IV, which only our log holds",
    "captures/openswan__lp177-parentN3__parentM3.pcap": "a test double with a fixed IV, which only our log holds",
    "derived/rfc3602__cases5-8_esp.pcap": "no authentication: padding and inner lengths vouch for the key",
}
# Captures of one IKE_AUTH message: there is no IKE_SA_INIT, so the suite comes from the row.
ALONE = re.compile(r"openswan__(ct|lp)")


def line_of(row: dict[str, Any]) -> str:
    """A row of the list as a line of a key file."""
    if row["type"] == "esp":
        names = ("ip", "src", "dst", "spi", "encr", "encr_key", "auth", "auth_key")
        return ",".join(f'"{row[name]}"' for name in names)
    if row["type"] == "ikev2":
        keys = (row["spi_i"], row["spi_r"], row["sk_ei"], row["sk_er"], f'"{row["encr"]}"')
        return ",".join((*keys, row["sk_ai"], row["sk_ar"], f'"{row["integ"]}"'))
    if "iv" in row:
        cipher = "3DES" if row["encr"].startswith("3des") else "AES_CBC"
        fields = {
            "t": "ike1",
            "cookie_i": row["cookie_i"],
            "ka": row["encryption_key"],
            "iv": row["iv"],
            "encr": cipher,
        }
        return json.dumps(fields)
    return f"{row['cookie_i']},{row['encryption_key']}"


class Seen(msgspec.Struct):
    """What came out of one frame. ``payloads`` are the types inside an IKE message, ``content`` what ESP held."""

    payloads: list[int] = []
    auth: str = ""
    hash: str = ""
    content: bytes = b""
    next_header: int = -1
    authenticated: bool | None = None


def ours(capture: str, lines: list[str]) -> tuple[Analysis, dict[int, Seen]]:
    found: dict[int, Seen] = {}

    def sink(datagram: Datagram, opened: Opened, restored: Restored) -> None:
        assert isinstance(opened, EspOpened)
        assert restored.packets
        found[datagram.frame] = Seen(
            content=opened.payload, next_header=opened.next_header, authenticated=opened.authenticated
        )

    file = read_keys("\n".join(lines).encode())
    assert not file.problems
    analysis = analyze([str(PUBLIC / capture)], ring=KeyRing(file.records), sink=sink)
    for record in opened_messages(analysis):
        assert record.opening is not None
        seen = Seen(payloads=[payload.kind for payload in record.opening.payloads])
        for payload in record.opening.payloads:
            if isinstance(payload.body, ikev2.Authentication):
                seen.auth = payload.body.data.hex()
            elif isinstance(payload.body, ikev1.Hash):
                seen.hash = payload.body.data.hex()
        found[record.frame] = seen
    return analysis, found


def messages(analysis: Analysis) -> list[MessageRecord]:
    return [
        record
        for sa in analysis.ike_sas
        for exchange in sa.exchanges
        for record in (*exchange.request, *exchange.response, *exchange.repeats)
    ]


def opened_messages(analysis: Analysis) -> list[MessageRecord]:
    return [record for record in messages(analysis) if record.opening is not None and record.opening.is_open]


FRAME = re.compile(r"^Frame (\d+):")
INSIDE = re.compile(r"^ +(?:Encrypted Data \(|Decrypted Data \(|Contained Data \()")
PAYLOAD = re.compile(r"^( +)Payload: .*?\((\d+)\)(?: #| -|:| :|$)")
FIELD = re.compile(r"^ +(Authentication Data|Hash DATA|ESP Contained Data): ([0-9a-f]+)(…?)(?: \((\d+) bytes\))?")
NEXT_HEADER = re.compile(r"^ +Next header: .*\(0x([0-9a-f]+)\)")


class Printed(msgspec.Struct):
    """What Wireshark prints of one frame; hexadecimal digits may be cut."""

    payloads: list[int] = []
    auth: str = ""
    hash: str = ""
    content: str = ""
    content_size: int = 0
    next_header: int = -1
    malformed: bool = False
    inside: bool = False
    indent: int = 0


def wireshark(capture: str) -> dict[int, Printed]:
    path = PUBLIC / "decrypted" / f"{capture.rpartition('/')[2]}.tshark-decrypted.txt"
    frames: dict[int, Printed] = {}
    now = Printed()
    for line in path.read_text().splitlines():
        if frame := FRAME.match(line):
            now = frames[int(frame[1])] = Printed()
        elif INSIDE.match(line):
            now.inside, now.indent = True, 0
        elif line.startswith("[Malformed"):
            now.malformed = True
        elif (payload := PAYLOAD.match(line)) and now.inside:
            now.indent = now.indent or len(payload[1])
            if len(payload[1]) == now.indent:
                now.payloads.append(int(payload[2]))
        elif field := FIELD.match(line):
            if field[1].startswith("Auth"):
                now.auth = field[2]
            elif field[1].startswith("Hash"):
                now.hash = field[2]
            else:
                now.content, now.content_size = field[2], int(field[4])
        elif header := NEXT_HEADER.match(line):
            now.next_header = int(header[1], 16)
    return {frame: printed for frame, printed in frames.items() if printed.inside or printed.content}


PRINTED = [
    capture
    for capture in ROWS
    if (PUBLIC / "decrypted" / f"{capture.rpartition('/')[2]}.tshark-decrypted.txt").is_file() and capture != WRONG_ICV
]


@pytest.mark.parametrize("capture", PRINTED)
def test_public_capture_opens_as_wireshark_prints_it(capture: str) -> None:
    _, found = ours(capture, [line_of(row) for row in ROWS[capture]])
    expected = wireshark(capture)
    assert expected
    assert found.keys() == expected.keys()
    for frame, printed in expected.items():
        if printed.malformed:
            assert capture.endswith("zeek__ikev1-certs.pcap")
            continue
        seen = found[frame]
        assert seen.payloads == printed.payloads, frame
        assert seen.auth.startswith(printed.auth)
        assert bool(seen.auth) == bool(printed.auth)
        assert seen.hash.startswith(printed.hash)
        assert bool(seen.hash) == bool(printed.hash)
        assert seen.content.hex().startswith(printed.content)
        assert len(seen.content) == printed.content_size
        assert seen.next_header == printed.next_header


def test_every_public_capture_with_keys_opens_completely() -> None:
    """Prints the table; whoever is not complete is named above with the reason."""
    table = []
    for capture, keys in ROWS.items():
        analysis, _ = ours(capture, [line_of(row) for row in keys])
        encrypted = sum(record.encrypted for record in messages(analysis))
        opened = len(opened_messages(analysis))
        packets = sum(result.opened for result in analysis.traffic.values())
        table.append((capture, opened, encrypted, packets, analysis.counts.esp))
        assert (opened, packets) == ((0, 0) if capture == WRONG_ICV else (encrypted, analysis.counts.esp)), capture
    for capture, opened, encrypted, packets, esp in table:
        special = SPECIAL.get(capture, "one message: suite from the key row" if ALONE.search(capture) else "")
        print(f"{capture}: IKE {opened}/{encrypted}, ESP {packets}/{esp}{'  ' + special if special else ''}")
    assert len(table) >= 29
    assert sum(packets for *_, packets, _ in table) >= 378


def test_frame_that_wireshark_calls_malformed_is_a_repeat_and_opens() -> None:
    analysis, found = ours("captures/zeek__ikev1-certs.pcap", [line_of(ROWS["captures/zeek__ikev1-certs.pcap"][0])])
    assert found[8] == found[7]
    assert found[8].payloads == [8, 1, 10, 4, 5, 5]
    repeats = [record.frame for sa in analysis.ike_sas for exchange in sa.exchanges for record in exchange.repeats]
    assert repeats == [8]
    certificates = [
        payload.body.data
        for record in opened_messages(analysis)
        for payload in record.payloads
        if isinstance(payload.body, ikev1.Certificate)
    ]
    assert any(b"OpenSwan" in data for data in certificates)


def test_message_with_a_wrong_icv_is_refused_and_nothing_of_it_is_shown() -> None:
    analysis, found = ours(WRONG_ICV, [line_of(row) for row in ROWS[WRONG_ICV]])
    encrypted = [record for record in messages(analysis) if record.encrypted]
    assert not found
    assert [record.opening.reason for record in encrypted if record.opening] == ["integrity check failed"]
    assert all(record.opening.data is None and not record.opening.payloads for record in encrypted if record.opening)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("wireshark__ikev1-bug-12610.pcapng.gz", "hash", "b52521f774967402c9f6cee95fd17e5b"),
        ("wireshark__ikev2-decrypt-3des-sha1_160.pcap", "auth", "02f7a0d5f1fdc8ea"),
        ("wireshark__ikev2-decrypt-aes128ccm12.pcap", "auth", "c2104394299e1ffe"),
        ("wireshark__ikev2-decrypt-aes128ccm12-2.pcap", "auth", "aaa281c87b4a1904"),
        ("wireshark__ikev2-decrypt-aes256cbc.pcapng", "auth", "e1a8d550064201a7"),
        ("wireshark__ikev2-decrypt-aes256gcm16.pcap", "auth", "9ab71f14ab553cad"),
    ],
    ids=lambda value: value if value.startswith("wireshark") else "",
)
def test_published_plaintext_comes_out(name: str, field: str, value: str) -> None:
    capture = f"captures/{name}"
    _, found = ours(capture, [line_of(row) for row in ROWS[capture]])
    assert any(getattr(seen, field).startswith(value) for seen in found.values())


def test_key_in_the_form_of_ctr_opens_ccm() -> None:
    """Wireshark users write a CCM key as one for CTR, its flags octet in the nonce; the ICV is checked all the same."""
    capture = "captures/wireshark__ikev2-decrypt-aes128ccm12-2.pcap"
    row = next(row for row in ROWS[capture] if "CTR" in row["encr"])
    analysis, found = ours(capture, [line_of(row)])
    assert len(found) == 4
    assert all(record.opening.is_open for record in opened_messages(analysis) if record.opening)


def test_esp_data_of_the_bug_report_comes_out() -> None:
    capture = "captures/wireshark__esp-bug-12671.pcapng.gz"
    _, found = ours(capture, [line_of(row) for row in ROWS[capture]])
    assert all("08090a0b0c0d0e0f1011121314151617" in seen.content.hex() for seen in found.values())
    assert all(seen.authenticated for seen in found.values())
