"""Every IKEv2 message of the reference captures that is in the clear, as real peers sent it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dpkt
import pytest

from ipsecscope.dissect.body import Malformed, Opaque
from ipsecscope.dissect.chain import parse_body
from ipsecscope.dissect.families import IKEV2
from ipsecscope.dissect.ikev2 import (
    Authentication,
    CertificateRequest,
    KeyExchange,
    Nonce,
    SecurityAssociation,
    TrafficSelectorsInitiator,
)
from ipsecscope.dissect.ikev2.checks import check_payload
from ipsecscope.dissect.ikev2.exchanges import check
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod, PayloadType
from ipsecscope.dissect.wire import Field, Reader

ETHERNET = 1


@cache
def messages(folder: Path) -> list[tuple[str, Message]]:
    """The IKEv2 messages of the lab captures, each with the name of its scenario."""
    return [
        (capture.parent.name, parse_message(octets))
        for capture in sorted(folder.glob("*/capture.pcap"))
        for octets in ike_octets(capture)
        if len(octets) >= 28 and octets[17] >> 4 == 2
    ]


def ike_octets(capture: Path) -> Iterator[bytes]:
    with capture.open("rb") as handle:
        reader = dpkt.pcap.UniversalReader(handle)
        for _, frame in reader if reader.datalink() == ETHERNET else ():
            packet = dpkt.ethernet.Ethernet(frame).data
            datagram = getattr(packet, "data", None)
            fragment = isinstance(packet, dpkt.ip.IP) and (packet.mf or packet.offset)
            if not isinstance(datagram, dpkt.udp.UDP) or fragment:
                continue
            data = bytes(datagram.data)
            if 500 in (datagram.sport, datagram.dport):
                yield data
            elif 4500 in (datagram.sport, datagram.dport) and data[:4] == bytes(4):
                yield data[4:]


def tiles(field: Field) -> bool:
    position = field.start
    for child in field.children:
        if child.start != position or not tiles(child):
            return False
        position = child.stop
    return not field.children or position == field.stop


def test_every_real_message_is_read_rebuilt_and_traced(shared: Path) -> None:
    found = messages(shared / "captures/lab")
    assert len(found) > 400
    for scenario, message in found:
        assert message.payloads, scenario
        for payload in message.payloads:
            body = payload.body
            assert not isinstance(body, Malformed | Opaque), scenario
            octets = body.build()
            assert type(body).parse(octets) == body
            assert tiles(type(body).trace(Reader(octets)))
            assert isinstance(body.summary(), str)


def test_healthy_peers_give_no_cause_for_notes(shared: Path) -> None:
    for scenario, message in messages(shared / "captures/lab"):
        assert message.header is not None
        for payload in message.payloads:
            assert list(check_payload(payload, is_response=message.header.is_response)) == [], scenario


def test_real_messages_fit_the_grammar(shared: Path) -> None:
    for scenario, message in messages(shared / "captures/lab"):
        assert message.header is not None
        fit = check(message.header.exchange_type, message.payload_names, is_response=message.header.is_response)
        assert fit.fits, (scenario, message.payload_names, fit)


def test_trap_t50_real_ml_kem_payloads_have_the_size_of_their_role(shared: Path) -> None:
    sizes = {
        (message.header.is_response, len(payload.body.data))
        for scenario, message in messages(shared / "captures/lab")
        for payload in message.payloads
        if scenario == "ss6-mlkem768-only" and message.header is not None
        if isinstance(payload.body, KeyExchange) and payload.body.method == KeyExchangeMethod.ML_KEM_768
    }
    assert sizes <= {(False, 1184), (True, 1088)}


def test_truncation_of_any_real_body_raises_nothing(shared: Path) -> None:
    bodies = {
        (payload.kind, payload.body.build())
        for _, message in messages(shared / "captures/lab")
        for payload in message.payloads
        if payload.kind not in (PayloadType.SK, PayloadType.SKF)
    }
    longest = {kind: max((octets for other, octets in bodies if other == kind), key=len) for kind, _ in bodies}
    assert set(longest) >= {PayloadType.SA, PayloadType.KE, PayloadType.NONCE, PayloadType.N}
    for kind, octets in longest.items():
        for size in range(len(octets)):
            assert parse_body(octets[:size], kind, IKEV2).build() == octets[:size]


AOSP = "captures/vectors/aosp_ikev2_worked_example.json"


def test_a_published_ike_sa_init_is_read_field_by_field(shared: Path) -> None:
    tests = json.loads((shared / AOSP).read_text())["tests"]
    octets = bytes.fromhex(tests["IkeSocketTest.java"]["constants"]["IKE_REQ_MESSAGE_HEX_STRING"])
    message = parse_message(octets)
    assert message.payload_names[:3] == ("SA", "KE", "Ni")
    proposals = message[SecurityAssociation]
    assert isinstance(proposals, SecurityAssociation)
    assert proposals.proposals[0].summary() == "1 IKE ENCR_AES_CBC-128 AUTH_HMAC_SHA1_96 MODP_1024 PRF_HMAC_SHA1"
    exchange, nonce = message[KeyExchange], message[Nonce]
    assert isinstance(exchange, KeyExchange)
    assert isinstance(nonce, Nonce)
    assert (exchange.method, len(exchange.data), len(nonce.data)) == (KeyExchangeMethod.MODP_1024, 128, 32)


@pytest.mark.parametrize(
    "cls", [Authentication, CertificateRequest, TrafficSelectorsInitiator], ids=lambda c: c.__name__
)
def test_a_body_that_a_message_lacks_is_a_key_error(shared: Path, cls: type) -> None:
    message = messages(shared / "captures/lab")[0][1]
    with pytest.raises(KeyError):
        message[cls]
