"""Captures made from captures: what was opened stands in the clear, what was not is as it was, every frame is said."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import SHARED
from packets import RAW, ipv4, tcp

from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.capture.files import CaptureReader
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.capture.records import Frame
from ipsecscope.capture.writer import PcapWriter
from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.peers.scenarios import generate
from ipsecscope.reports.clear_ike import MARK
from ipsecscope.reports.export import Exported, NoCaptureError, Wanted, export
from ipsecscope.reports.tree import write_trees
from ipsecscope.timeline.analysis import Analysis, analyze

LAB = SHARED / "captures" / "lab"

CLEAR = (
    "ikev2-rsa-cert",  # fragments of RFC 7383
    "ikev2-ipfrag-no-ike-frag",  # IP fragments
    "ikev1-fragmentation",  # vendor fragments
    "ikev1-xauth-modecfg-aggressive",
    "ikev2-eap-mschapv2",
    "ikev2-ipv6-outer",
    "ikev2-nat-t",
    "ikev2-child-rekey-pfs",
)


def frames(path: Path) -> list[Frame]:
    with CaptureReader(str(path)) as reader:
        return [frame for window in reader.windows() for frame in window.frames()]


def inner_chains(analysis: Analysis) -> list[tuple[bytes, int, tuple[int, ...]]]:
    """SPI, message id and payload types of every message whose encrypted payloads are known, in order."""
    found = []
    for sa in analysis.ike_sas:
        for exchange in sa.exchanges:
            for record in (*exchange.records, *exchange.repeats):
                opening = record.opening
                if opening is not None and opening.is_open and (record.fragment is None or opening.data):
                    kinds = tuple(payload.kind for payload in opening.payloads)
                    found.append((record.number, (sa.spi_i, exchange.message_id, kinds)))
    return [value for _, value in sorted(found)]


def plain_chains(analysis: Analysis) -> list[tuple[bytes, int, tuple[int, ...]]]:
    found = []
    for sa in analysis.ike_sas:
        for exchange in sa.exchanges:
            for record in (*exchange.records, *exchange.repeats, *exchange.copies):
                if record.datagram.comment.startswith(MARK):
                    assert not record.encrypted
                    assert not [note for note in record.message.notes if note.kind.startswith(("payload.mal", "chain"))]
                    kinds = tuple(payload.kind for payload in record.message.payloads)
                    found.append((record.number, (sa.spi_i, exchange.message_id, kinds)))
    return [value for _, value in sorted(found)]


def exported(scenario: str, out: Path, *, ike_only: bool = False) -> Exported:
    ring = KeyRing(read_keys(LAB / scenario / "keys.json").records)
    return export([str(LAB / scenario / "capture.pcap")], Wanted(decrypted=out, ike_only=ike_only), ring=ring)


@pytest.mark.shared
@pytest.mark.parametrize("scenario", CLEAR)
def test_opened_messages_stand_in_the_clear_with_the_same_payloads(scenario: str, tmp_path: Path) -> None:
    done = exported(scenario, tmp_path / "clear.pcapng")
    again = analyze([str(tmp_path / "clear.pcapng")])
    assert done.messages >= 4
    assert plain_chains(again) == inner_chains(done.analysis)
    assert not any(record.encrypted for sa in again.ike_sas for each in sa.exchanges for record in each.records)
    assert again.counts.esp == done.analysis.counts.esp
    text = io.StringIO()
    write_trees(str(tmp_path / "clear.pcapng"), text)
    assert "malformed" not in text.getvalue()


@pytest.mark.shared
@pytest.mark.parametrize("scenario", ["ikev2-rsa-cert", "ikev2-ipfrag-no-ike-frag", "ikev1-fragmentation"])
def test_pieces_of_an_opened_message_are_left_out(scenario: str, tmp_path: Path) -> None:
    done = exported(scenario, tmp_path / "clear.pcapng", ike_only=True)
    written = frames(tmp_path / "clear.pcapng")
    marked = [frame for frame in written if frame.comment.startswith(MARK)]
    assert len(marked) == done.messages
    assert any("put together from frames" in frame.comment for frame in marked)
    analysis = analyze([str(tmp_path / "clear.pcapng")])
    assert analysis.counts.esp == analysis.counts.fragments == 0
    assert analysis.counts.ikev1 + analysis.counts.ikev2 == len(written)


@pytest.mark.shared
@pytest.mark.parametrize("scenario", CLEAR)
@pytest.mark.interop
def test_tshark_reads_the_messages_without_complaint(scenario: str, tmp_path: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    exported(scenario, tmp_path / "clear.pcapng")
    command = ["tshark", "-n", "-r", str(tmp_path / "clear.pcapng"), "-Y", "_ws.malformed || udp.checksum.status == 0"]
    shown = subprocess.run([*command, "-o", "udp.check_checksum:TRUE"], capture_output=True, text=True, check=True)
    checked = [line for line in shown.stdout.splitlines() if "ISAKMP" in line]
    assert not checked


def in_tcp(datagrams: list[Datagram], path: Path) -> None:
    """The same conversation in one TCP connection (RFC 9329), each side's stream in segments of 300 octets."""
    sent = {datagrams[0].src: 1000, datagrams[0].dst: 5000}
    ports = {datagrams[0].src: (40000, 4500), datagrams[0].dst: (4500, 40000)}
    first = True
    with PcapWriter(path, link_type=RAW) as out:
        for each in datagrams:
            message = (bytes(4) if each.kind is Kind.IKE else b"") + each.payload
            stream = (b"IKETCP" if first else b"") + (len(message) + 2).to_bytes(2, "big") + message
            first = False
            for at in range(0, len(stream), 300):
                piece = stream[at : at + 300]
                segment = tcp(piece, *ports[each.src], seq=sent[each.src], ack=sent[each.dst])
                sent[each.src] += len(piece)
                out.write(each.time_ns + at, ipv4(segment, 6, each.src, each.dst))


@pytest.mark.parametrize("ike_only", [True, False])
def test_message_in_a_tcp_stream_comes_out_as_udp(tmp_path: Path, ike_only: bool) -> None:
    made = generate("ikev2")
    (tmp_path / "udp.pcapng").write_bytes(made.pcapng)
    pipeline = Pipeline()
    datagrams = [each for frame in frames(tmp_path / "udp.pcapng") for each in pipeline.feed(frame)]
    in_tcp([each for each in datagrams if each.kind in (Kind.IKE, Kind.ESP)], tmp_path / "tcp.pcap")
    wanted = Wanted(tmp_path / "inner.pcapng", tmp_path / "clear.pcapng", ike_only=ike_only)
    done = export([str(tmp_path / "tcp.pcap")], wanted, ring=KeyRing(made.keys))
    marked = [frame for frame in frames(tmp_path / "clear.pcapng") if frame.comment.startswith(MARK)]
    assert len(marked) == done.messages >= 4
    assert all("in a TCP stream" in frame.comment for frame in marked)
    again = analyze([str(tmp_path / "clear.pcapng")])
    assert plain_chains(again) == inner_chains(done.analysis)
    export([str(tmp_path / "udp.pcapng")], Wanted(tmp_path / "same.pcapng"), ring=KeyRing(made.keys))
    same = [frame.data for frame in frames(tmp_path / "same.pcapng")]
    assert [frame.data for frame in frames(tmp_path / "inner.pcapng")] == same != []


def test_wrong_keys_leave_every_frame_as_it_was(tmp_path: Path) -> None:
    made = generate("ikev2")
    source = tmp_path / "psk.pcapng"
    source.write_bytes(made.pcapng)
    other = KeyRing(generate("ikev2", seed=2).keys)
    wanted = Wanted(inner=tmp_path / "inner.pcapng", decrypted=tmp_path / "clear.pcapng")
    done = export([str(source)], wanted, ring=other)
    assert done.inner == done.messages == 0
    assert not frames(tmp_path / "inner.pcapng")
    assert [frame.data for frame in frames(tmp_path / "clear.pcapng")] == [frame.data for frame in frames(source)]
    assert done.closed
    assert not done.is_complete


def test_every_ipsec_packet_has_a_comment_and_nothing_else_changes(tmp_path: Path) -> None:
    made = generate("ikev2")
    source = tmp_path / "psk.pcapng"
    source.write_bytes(made.pcapng)
    export([str(source)], Wanted(annotated=tmp_path / "notes.pcapng"), ring=KeyRing(made.keys))
    before, after = frames(source), frames(tmp_path / "notes.pcapng")
    assert [(frame.data, frame.time_ns) for frame in after] == [(frame.data, frame.time_ns) for frame in before]
    comments = [frame.comment for frame in after]
    assert all(comments)
    assert "IKE_SA_INIT request 0: HDR, SA, KE, Ni" in comments[0]
    assert any("IKE_AUTH request 1: HDR, SK {IDi" in comment for comment in comments)
    assert any("tunnel {ICMP" in comment for comment in comments if "ESP SPI" in comment)


def test_packets_without_keys_are_named_all_the_same(tmp_path: Path) -> None:
    source = tmp_path / "psk.pcapng"
    source.write_bytes(generate("ikev2").pcapng)
    export([str(source)], Wanted(annotated=tmp_path / "notes.pcapng"))
    comments = [frame.comment for frame in frames(tmp_path / "notes.pcapng")]
    assert all(comments)
    assert any("IKE_AUTH request 1: HDR, SK (" in comment for comment in comments)


@pytest.mark.parametrize("name", ["inner", "decrypted", "annotated"])
def test_output_that_exists_or_is_an_input_is_not_touched(name: str, tmp_path: Path) -> None:
    source = tmp_path / "psk.pcapng"
    source.write_bytes(generate("ikev2").pcapng)
    there = tmp_path / "there.pcapng"
    there.write_bytes(b"precious")
    with pytest.raises(OSError, match="exists"):
        export([str(source)], Wanted(**{name: there}))
    assert there.read_bytes() == b"precious"
    with pytest.raises(OSError, match="one of the inputs"):
        export([str(source)], Wanted(**{name: source}), force=True)
    export([str(source)], Wanted(**{name: there}), force=True)
    assert there.read_bytes()[:4] == b"\n\r\r\n"


def test_nothing_is_written_when_no_capture_can_be_used(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pcap"
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(NoCaptureError) as raised:
        export([str(broken)], Wanted(inner=tmp_path / "inner.pcapng"))
    assert [failure.name for failure in raised.value.failures] == [str(broken)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.pcap"]
