from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from ikev1_pair import Pair, Sent

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.ikev1 import KeyExchange, Nonce, SecurityAssociation, VendorId
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod
from ipsecscope.dissect.registry.ipsec_doi import ProtocolId
from ipsecscope.peers.config import SettingError
from ipsecscope.peers.ikev1.config import Method, PhaseOneOffer, PhaseTwoOffer
from ipsecscope.peers.ikev1.vendors import Extension, announced, octets_of, understood
from ipsecscope.peers.peer import Path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AES_CBC-128",
        "AES_CBC-128 SHA1",
        "AES_CBC-100 SHA1 MODP_1024",
        "NO_SUCH SHA1 MODP_1024",
        "AES_GCM_16-128 SHA1 MODP_1024",
        "AES_CBC-128 AES128_XCBC MODP_1024",
        "AES_CBC-128 SHA1 ML_KEM_768",
    ],
)
def test_phase_1_offer_that_is_none_says_so(text: str) -> None:
    with pytest.raises(SettingError, match='"'):
        PhaseOneOffer.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AES_CBC-128",
        "AES_GCM_16-128 HMAC_SHA1_96",
        "AES_CBC-128 HMAC_SHA1_96 ML_KEM_768",
        "AH NO_SUCH",
        "AH HMAC_MD5_128",
        "CHACHA20_POLY1305",
        "AES_CBC-128 HMAC_SHA1_96 +",
        "AES_CBC-128 HMAC_SHA1_96 more words",
    ],
)
def test_phase_2_offer_that_is_none_says_so(text: str) -> None:
    with pytest.raises(SettingError, match='"'):
        PhaseTwoOffer.parse(text)


def test_phase_2_offer_reads_protocols_and_group() -> None:
    offer = PhaseTwoOffer.parse("AES_CBC-128 HMAC_SHA1_96 + AH HMAC_SHA2_256_128 MODP_2048", lifetime_s=100)
    assert [each.protocol for each in offer.protocols] == [ProtocolId.PROTO_IPSEC_ESP, ProtocolId.PROTO_IPSEC_AH]
    assert offer.group is not None
    assert (offer.group.id, offer.lifetime_s) == (KeyExchangeMethod.MODP_2048, 100)


def test_long_lifetimes_take_the_long_form() -> None:
    """RFC 2408 section 3.3: a number of more than 16 bits has a length."""
    one = PhaseOneOffer.parse("AES_CBC-128 SHA1 MODP_1024", lifetime_s=100_000)
    two = PhaseTwoOffer.parse("AES_CBC-128 HMAC_SHA1_96", lifetime_s=200_000)
    pair = Pair(both={"phase_1": (one,), "phase_2": (two,)}).connect()
    body = next(each.body for each in parse_message(pair.tap[0].data).payloads)
    assert isinstance(body, SecurityAssociation)
    assert body.proposals[0].transforms[0].lifetimes[0].duration == 100_000
    assert len(pair.named("child_sa:created")) == 1


def test_announced_extensions_are_understood() -> None:
    config = Pair(both={"xauth": True, "request_config": True}).initiator.config
    extensions, versions = understood(announced(config))
    assert extensions == set(Extension)
    assert versions == set(config.nat_traversal)
    assert understood([octets_of(Extension.DPD)[:-1] + b"\7"])[0] == {Extension.DPD}


def test_peer_without_a_private_key_for_signatures_is_its_owners_mistake() -> None:
    with pytest.raises(SettingError, match="private key"):
        Pair(both={"method": Method.RSA, "private_key": Secret(b"no key")})
    with pytest.raises(SettingError, match="authority"):
        Pair(initiator={"method": Method.HYBRID, "authorities": (b"no certificate",)})


# -- answers that make no SA ------------------------------------------------------------------------------------------

Change = Callable[[Payload], Payload]


def other_transform(payload: Payload) -> Payload:
    """The choice of something that was never offered."""
    offer = PhaseOneOffer.parse("DES MD5 MODP_768")
    pair = Pair(both={"phase_1": (offer,)}).connect()
    return parse_message(pair.tap[1].data).payloads[0] if isinstance(payload.body, SecurityAssociation) else payload


def degenerate_value(payload: Payload) -> Payload:
    """The public value 1 (RFC 6989 section 2.1)."""
    if not isinstance(payload.body, KeyExchange):
        return payload
    return Payload(body=KeyExchange(data=bytes(len(payload.body.data) - 1) + b"\1"))


def short_nonce(payload: Payload) -> Payload:
    """A nonce of fewer octets than RFC 2409 section 5 allows."""
    return Payload(body=Nonce(data=b"x")) if isinstance(payload.body, Nonce) else payload


@pytest.mark.parametrize(
    ("number", "change", "side"),
    [
        (2, other_transform, "initiator"),
        (3, degenerate_value, "responder"),
        (3, short_nonce, "responder"),
        (4, degenerate_value, "initiator"),
        (4, short_nonce, "initiator"),
    ],
    ids=["choice", "KEi", "Ni", "KEr", "Nr"],
)
def test_answer_that_makes_no_sa_ends_the_attempt(number: int, change: Change, side: str) -> None:
    pair = Pair()

    def spoil(count: int, sent: Sent) -> bool:
        if count != number:
            return False
        message = parse_message(sent.data)
        assert message.header is not None
        changed = Message(header=message.header, payloads=tuple(change(each) for each in message.payloads)).build()
        getattr(pair, side).receive_datagram(changed, Path(sent.destination, sent.source), pair.now)
        return True

    pair.loses = spoil
    pair.connect(seconds=1)
    assert getattr(pair, side).mailbox.counts["phase 1 messages that make no SA"] == 1
    assert not pair.named("ike_sa:established")


def test_vendor_id_in_front_of_nothing_is_no_first_message() -> None:
    pair = Pair().connect()
    first = parse_message(pair.tap[0].data)
    only_vendors = tuple(each for each in first.payloads if isinstance(each.body, VendorId))
    assert first.header is not None
    header = msgspec.structs.replace(first.header, spi_i=b"\7" * 8)
    pair.responder.receive_datagram(Message(header=header, payloads=only_vendors).build(), pair.sa_r.path, pair.now)
    pair.run()
    assert pair.transcript[-1] == "<-- INFORMATIONAL: HDR, N(PAYLOAD_MALFORMED)"
