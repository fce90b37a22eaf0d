from __future__ import annotations

import hashlib
import ipaddress
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.dissect import natt
from ipsecscope.dissect.ikev1 import NatDetection
from ipsecscope.dissect.natt import (
    KEEPALIVE,
    NO_SPI,
    NON_ESP_MARKER,
    PRIVATE_NETWORKS,
    Endpoint,
    NatFit,
    NatVerdict,
    UdpContent,
    classify,
    made_up,
    nat_detection_hash,
    nat_verdict,
    nat_verdict_v1,
)
from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType, PayloadType

SPI_I, SPI_R = b"initiatr", b"respondr"
SOURCE, DESTINATION = Endpoint("192.0.2.10", 500), Endpoint("198.51.100.20", 500)


def verdict_of(*hashes: bytes, known: tuple[str, ...] = (), networks: tuple[str, ...] = ()) -> NatVerdict:
    return nat_verdict(
        hashes,
        (),
        spi_i=SPI_I,
        spi_r=SPI_R,
        source=SOURCE,
        destination=DESTINATION,
        known=known,
        networks=networks,
    )


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        (KEEPALIVE, UdpContent.KEEPALIVE),
        (NON_ESP_MARKER + b"ike", UdpContent.IKE),
        (NON_ESP_MARKER, UdpContent.IKE),
        (b"\0\0\0\1esp", UdpContent.ESP),
        (b"\xff\xff\xff\xff", UdpContent.ESP),
        (b"", UdpContent.UNREADABLE),
        (b"\0\0\0", UdpContent.UNREADABLE),
        (b"\xfe", UdpContent.UNREADABLE),
    ],
    ids=["keepalive", "ike", "marker-only", "esp", "esp-ff", "empty", "three", "one"],
)
def test_trap_t08_udp_payload_on_port_4500_is_classified(payload: bytes, content: UdpContent) -> None:
    assert classify(payload) is content


def test_nat_detection_hash_covers_spis_address_and_port() -> None:
    """RFC 7296 section 2.23: SHA-1 over both SPIs, 4 octets of address, 2 of port."""
    octets = b"initiatr" + b"respondr" + bytes([192, 0, 2, 10]) + bytes([1, 0xF4])
    value = nat_detection_hash(SPI_I, SPI_R, "192.0.2.10", 500)
    assert value == hashlib.sha1(octets).digest()
    assert len(nat_detection_hash(SPI_I, SPI_R, "2001:db8::1", 4500, "sha256")) == 32


def test_nat_detection_hash_of_no_address_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="moon"):
        nat_detection_hash(SPI_I, SPI_R, "moon", 500)


REAL = nat_detection_hash(SPI_I, SPI_R, "192.0.2.10", 500)


@pytest.mark.parametrize(
    ("value", "fit"),
    [
        (REAL, NatFit.MATCHES),
        (nat_detection_hash(SPI_I, SPI_R, "192.0.2.10", 4500), NatFit.TRANSLATED),
        (nat_detection_hash(SPI_I, SPI_R, "0.0.0.0", 0), NatFit.FORCED),
        (nat_detection_hash(SPI_I, SPI_R, "0.0.0.0", 500), NatFit.FORCED),
        (nat_detection_hash(SPI_I, SPI_R, "::", 0), NatFit.FORCED),
        (nat_detection_hash(SPI_I, SPI_R, "192.0.2.10", 0), NatFit.FORCED),
        (bytes(20), NatFit.FORCED),
        (nat_detection_hash(SPI_I, NO_SPI, "192.0.2.10", 500), NatFit.MISCOMPUTED),
        (nat_detection_hash(SPI_I, SPI_R, "192.0.2.10", 0xF401), NatFit.MISCOMPUTED),
        (nat_detection_hash(SPI_I, SPI_R, "10.0.0.7", 500), NatFit.UNEXPLAINED),
        (b"random octets, 20 of", NatFit.UNEXPLAINED),
        (b"short", NatFit.UNEXPLAINED),
    ],
    ids=[
        "matches",
        "port-translated",
        "unspecified",
        "unspecified-500",
        "unspecified-v6",
        "own-address-port-0",
        "zeros",
        "no-responder-spi",
        "port-swapped",
        "private",
        "random",
        "not-a-digest",
    ],
)
def test_trap_t18_source_hash_is_judged(value: bytes, fit: NatFit) -> None:
    side = verdict_of(value).source
    assert side.fit is fit
    assert side.behind_nat is (fit is not NatFit.MATCHES)
    assert (side.address, side.port) == ("192.0.2.10", 500)


def test_trap_t18_hash_over_a_known_or_searched_address_names_it() -> None:
    hidden = nat_detection_hash(SPI_I, SPI_R, "10.99.0.10", 500)
    assert verdict_of(hidden, known=("nonsense", "10.99.0.10")).source.original == ("10.99.0.10", 500)
    home = nat_detection_hash(SPI_I, SPI_R, "192.168.1.77", 4500)
    side = verdict_of(home, networks=PRIVATE_NETWORKS).source
    assert (side.fit, side.original) == (NatFit.TRANSLATED, ("192.168.1.77", 4500))


def test_search_for_the_original_address_ends_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(natt, "MAX_SEARCHED", 500)
    near = nat_detection_hash(SPI_I, SPI_R, "10.0.0.200", 500)
    far = nat_detection_hash(SPI_I, SPI_R, "10.0.1.200", 500)
    assert verdict_of(near, networks=("10.0.0.0/16",)).source.fit is NatFit.TRANSLATED
    assert verdict_of(far, networks=("10.0.0.0/16",)).source.fit is NatFit.UNEXPLAINED


def test_search_with_an_odd_port_tries_it_as_well() -> None:
    hidden = nat_detection_hash(SPI_I, SPI_R, "192.168.1.9", 1024)
    verdict = nat_verdict(
        (hidden,),
        (),
        spi_i=SPI_I,
        spi_r=SPI_R,
        source=Endpoint("192.0.2.10", 1024),
        destination=DESTINATION,
        networks=("192.168.1.0/24",),
    )
    assert verdict.source.original == ("192.168.1.9", 1024)


def test_several_source_hashes_one_that_fits_is_enough() -> None:
    others = [nat_detection_hash(SPI_I, SPI_R, f"10.0.0.{number}", 500) for number in range(5)]
    assert verdict_of(*others, REAL).source.fit is NatFit.MATCHES


def test_side_without_hashes_says_nothing() -> None:
    verdict = verdict_of(REAL)
    assert verdict.destination.fit is NatFit.ABSENT
    assert verdict.destination.behind_nat is None


def test_address_that_is_none_fits_nothing() -> None:
    verdict = nat_verdict((REAL,), (), spi_i=SPI_I, spi_r=SPI_R, source=Endpoint("", 500), destination=DESTINATION)
    assert verdict.source.fit is NatFit.UNEXPLAINED


@pytest.mark.parametrize("digest", ["md5", "sha1", "sha256", "sha384", "sha512"])
def test_ikev1_remote_end_comes_first_and_the_digest_is_told_by_its_size(digest: str) -> None:
    """RFC 3947 section 3.2."""
    hashes = [
        nat_detection_hash(SPI_I, SPI_R, "198.51.100.20", 500, digest),
        nat_detection_hash(SPI_I, SPI_R, "192.0.2.11", 500, digest),
        nat_detection_hash(SPI_I, SPI_R, "192.0.2.10", 500, digest),
    ]
    verdict = nat_verdict_v1(hashes, spi_i=SPI_I, spi_r=SPI_R, source=SOURCE, destination=DESTINATION)
    assert (verdict.source.fit, verdict.destination.fit) == (NatFit.MATCHES, NatFit.MATCHES)


@pytest.mark.parametrize(
    ("hashes", "expected"),
    [
        ([], False),
        ([[b"a"]], False),
        ([[b"a"], [b"a"]], False),
        ([[b"a"], [], [b"a", b"b"]], False),
        ([[b"a"], [b"b"]], True),
    ],
)
def test_trap_t18_hash_that_changes_with_the_same_input_is_made_up(hashes: list[list[bytes]], expected: bool) -> None:
    assert made_up(hashes) is expected


@given(st.lists(st.binary(max_size=70), max_size=5), st.binary(max_size=12), st.text(max_size=8), st.integers(0, 65535))
def test_verdict_on_any_octets_is_given(hashes: list[bytes], spi: bytes, address: str, port: int) -> None:
    verdict = nat_verdict(
        hashes, hashes[:1], spi_i=spi, spi_r=spi, source=Endpoint(address, port), destination=DESTINATION
    )
    assert (verdict.source.behind_nat is None) is (not hashes)


class Seen(NamedTuple):
    source: Endpoint
    destination: Endpoint
    verdict: NatVerdict
    spi_i: str


def ike_messages(path: Path) -> Iterator[tuple[Endpoint, Endpoint, bytes]]:
    with path.open("rb") as stream:
        reader = dpkt.pcap.Reader(stream)
        for _, frame in reader:
            if reader.datalink() != dpkt.pcap.DLT_EN10MB:
                return
            ip = dpkt.ethernet.Ethernet(frame).data
            udp = getattr(ip, "data", None)
            if not isinstance(udp, dpkt.udp.UDP) or not {udp.sport, udp.dport} & {500, 4500}:
                continue
            data = bytes(udp.data)
            if 4500 in (udp.sport, udp.dport):
                if classify(data) is not UdpContent.IKE:
                    continue
                data = data[4:]
            if len(data) >= 28 and int.from_bytes(data[24:28], "big") == len(data):
                yield (
                    Endpoint(str(ipaddress.ip_address(ip.src)), udp.sport),
                    Endpoint(str(ipaddress.ip_address(ip.dst)), udp.dport),
                    data,
                )


def chain(data: bytes) -> Iterator[tuple[int, bytes]]:
    kind, position = data[16], 28
    while kind and position + 4 <= len(data):
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if length < 4:
            return
        yield kind, data[position + 4 : position + length]
        kind, position = data[position], position + length


def nat_facts(path: Path) -> Iterator[Seen]:
    """The verdict on every message of a capture that carries NAT detection hashes."""
    for source, destination, data in ike_messages(path):
        spi_i, spi_r = data[:8], data[8:16]
        if data[17] >> 4 == 1 and not data[19] & 1:
            kinds = (isakmp.PayloadType.NAT_D, isakmp.PayloadType.NAT_D_DRAFT)
            hashes = [NatDetection.parse(body).data for kind, body in chain(data) if kind in kinds]
            if hashes:
                verdict = nat_verdict_v1(hashes, spi_i=spi_i, spi_r=spi_r, source=source, destination=destination)
                yield Seen(source, destination, verdict, spi_i.hex())
        elif data[17] >> 4 == 2 and data[18] == ExchangeType.IKE_SA_INIT:
            found: dict[int, list[bytes]] = defaultdict(list)
            for kind, body in chain(data):
                if kind == PayloadType.N:
                    found[int.from_bytes(body[2:4], "big")].append(body[4:])
            sources = found[NotifyType.NAT_DETECTION_SOURCE_IP]
            destinations = found[NotifyType.NAT_DETECTION_DESTINATION_IP]
            if sources or destinations:
                verdict = nat_verdict(
                    sources, destinations, spi_i=spi_i, spi_r=spi_r, source=source, destination=destination
                )
                yield Seen(source, destination, verdict, spi_i.hex())


def daemons(truth: dict[str, object]) -> Iterator[dict[str, str]]:
    for snapshot in truth.get("sas", []):  # type: ignore[attr-defined]
        for role in ("initiator", "responder"):
            for entry in snapshot.get(role) or []:
                yield from (sa for sa in entry.values() if isinstance(sa, dict) and "initiator-spi" in sa)


def test_trap_t18_verdicts_agree_with_what_the_daemons_of_the_lab_concluded(shared: Path) -> None:
    """RFC 7296 section 2.23, RFC 3947: the receiver's ``nat-remote`` and ``nat-local`` from the raw bytes."""
    compared, wrong, translated = 0, [], 0
    for path in sorted((shared / "captures/lab").glob("*/truth.json")):
        seen = [fact for name in sorted(path.parent.glob("capture*.pcap")) for fact in nat_facts(name)]
        for daemon in daemons(json.loads(path.read_text())):
            received = [
                fact
                for fact in seen
                if fact.spi_i == daemon["initiator-spi"] and fact.destination.address == daemon["local-host"]
            ]
            if not received:
                continue
            fact = received[-1]
            for key, side in (("nat-remote", fact.verdict.source), ("nat-local", fact.verdict.destination)):
                if side.behind_nat is None:
                    continue
                compared += 1
                translated += side.behind_nat
                if side.behind_nat != (daemon.get(key) == "yes"):
                    wrong.append((path.parent.name, daemon["local-host"], key, side))
    assert not wrong
    assert compared >= 200
    assert translated >= 100


def test_nat_in_the_lab_is_seen_on_both_sides_of_it(shared: Path) -> None:
    """Outside the NAT the initiator's hash fits its inside address, which the inside capture knows."""
    folder = shared / "captures/lab/xfrm-ikev2-nat-t"
    captures = sorted(folder.glob("capture*.pcap"))
    addresses = tuple({fact.source.address for name in captures for fact in nat_facts(name)})
    outcomes = set()
    for name in captures:
        for source, destination, data in ike_messages(name):
            hashes = [
                body[4:]
                for kind, body in chain(data)
                if kind == PayloadType.N and body[2:4] == NotifyType.NAT_DETECTION_SOURCE_IP.to_bytes(2, "big")
            ]
            if data[18] == ExchangeType.IKE_SA_INIT and hashes:
                verdict = nat_verdict(
                    hashes,
                    (),
                    spi_i=data[:8],
                    spi_r=data[8:16],
                    source=source,
                    destination=destination,
                    known=addresses,
                )
                outcomes.add(verdict.source.fit)
    assert outcomes == {NatFit.MATCHES, NatFit.TRANSLATED}
