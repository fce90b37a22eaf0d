from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from ipsecscope.dissect.ikev1 import (
    Certificate,
    CertificateRequest,
    Delete,
    Fragment,
    Hash,
    Identification,
    KeyExchange,
    NatDetection,
    NatOriginalAddress,
    Nonce,
    Notification,
    ProofOfPossession,
    SaKek,
    SaTek,
    Signature,
    VendorId,
    payload_class,
)
from ipsecscope.dissect.ikev1.identification import prefix_length
from ipsecscope.dissect.ikev1.notification import DeadPeerDetection, ResponderLifetime
from ipsecscope.dissect.registry import ipsec_doi, isakmp
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import Reader, Struct

ID, NOTIFY, PROTOCOL = ipsec_doi.IdType, isakmp.NotifyType, ipsec_doi.ProtocolId


@pytest.mark.parametrize(
    ("kind", "gdoi", "drafts", "cls"),
    [
        (15, False, True, NatDetection),
        (16, False, True, NatOriginalAddress),
        (15, True, True, SaKek),
        (16, True, False, SaTek),
        (15, False, False, SaKek),
        (16, False, False, SaTek),
        (20, False, False, NatDetection),
        (130, False, False, NatDetection),
        (21, False, False, NatOriginalAddress),
        (131, False, True, NatOriginalAddress),
        (132, False, True, Fragment),
        (128, False, True, None),
        (255, False, True, None),
        (0, False, True, None),
    ],
)
def test_trap_t29_payload_numbers_given_twice_are_read_by_context(
    kind: int, gdoi: bool, drafts: bool, cls: type[Struct] | None
) -> None:
    assert payload_class(kind, gdoi=gdoi, nat_t_drafts=drafts) is cls


@pytest.mark.parametrize(
    ("cls", "summary"),
    [(KeyExchange, "3 octets"), (Nonce, "3 octets"), (Signature, "3 octets"), (ProofOfPossession, "3 octets")],
)
def test_payload_of_octets_says_how_many(cls: type[Struct], summary: str) -> None:
    assert cls.parse(b"abc").summary() == summary


@pytest.mark.parametrize("cls", [Hash, NatDetection])
def test_payload_with_a_hash_shows_it(cls: type[Struct]) -> None:
    assert cls.parse(b"\1\2").summary() == "0102"
    assert cls.parse(bytes(20)).summary() == "00" * 16 + "… (20 octets)"


def test_vendor_id_that_nobody_knows_is_shown_in_hexadecimal() -> None:
    assert VendorId.parse(b"\xfe\xed").summary() == "feed"


def test_vendor_id_of_a_well_known_extension_is_named_when_the_registry_has_it() -> None:
    dpd = bytes.fromhex("afcad71368a1f1c96b8696fc77570100")
    assert VendorId.parse(dpd).summary()


def test_certificate_that_is_none_says_why_and_other_encodings_say_their_name() -> None:
    x509 = Certificate.parse(b"\4not a certificate")
    assert x509.is_x509
    assert x509.summary()
    crl = Certificate.parse(b"\7abc")
    assert not crl.is_x509
    assert crl.summary() == "CERTIFICATE_REVOCATION_LIST 3 octets"


def test_certificate_shows_its_subject() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "moon.example")])
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, day, day)
    der = builder.sign(key, None).public_bytes(Encoding.DER)
    assert Certificate(encoding=isakmp.CertificateEncoding(4), data=der).summary() == "CN=moon.example"


DN = bytes.fromhex("300f310d300b06035504030c046d6f6f6e")  # CN=moon


@pytest.mark.parametrize(
    ("data", "summary"),
    [
        (b"\4", "X_509_CERTIFICATE_SIGNATURE any authority"),
        (b"\4" + DN, "X_509_CERTIFICATE_SIGNATURE CN=moon"),
        (b"\4\xff\xff", "X_509_CERTIFICATE_SIGNATURE ffff"),
    ],
    ids=["any", "name", "not-a-name"],
)
def test_certificate_request_names_the_authority(data: bytes, summary: str) -> None:
    assert CertificateRequest.parse(data).summary() == summary


@pytest.mark.parametrize(
    ("data", "address", "summary"),
    [
        ("01000000 0a000001", "10.0.0.1", "10.0.0.1"),
        ("05000000 20010db8000000000000000000000001", "2001:db8::1", "2001:db8::1"),
        ("01000000 0a", None, "ID_IPV4_ADDR 0a"),
    ],
)
def test_nat_original_address_is_an_address_where_it_can_be(data: str, address: str | None, summary: str) -> None:
    payload = NatOriginalAddress.parse(bytes.fromhex(data))
    assert payload.address == address
    assert payload.summary() == summary


def test_trap_t15_fragment_has_id_number_and_last_flag() -> None:
    fragment = Fragment.parse(bytes.fromhex("0001 03 01") + b"piece")
    assert (fragment.fragment_id, fragment.number, fragment.is_last, fragment.data) == (1, 3, True, b"piece")
    assert fragment.summary() == "fragment 3 (last), 5 octets"
    assert Fragment.parse(bytes(4)).summary() == "fragment 0, 0 octets"


# --- Identification ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id_type", "data", "value"),
    [
        (ID.ID_IPV4_ADDR, bytes([192, 0, 2, 1]), "192.0.2.1"),
        (ID.ID_FQDN, b"moon.example", "moon.example"),
        (ID.ID_USER_FQDN, b"carol@example", "carol@example"),
        (ID.ID_FQDN, b"\xff\n", "\\xff\n"),
        (ID.ID_IPV4_ADDR_SUBNET, bytes([10, 1, 0, 0, 255, 255, 0, 0]), "10.1.0.0/16"),
        (ID.ID_IPV4_ADDR_SUBNET, bytes([10, 1, 0, 0, 255, 0, 255, 0]), "10.1.0.0/255.0.255.0"),
        (ID.ID_IPV6_ADDR, bytes(15) + b"\1", "::1"),
        (ID.ID_IPV6_ADDR_SUBNET, bytes.fromhex("20010db8") + bytes(12) + b"\xff" * 4 + bytes(12), "2001:db8::/32"),
        (ID.ID_IPV4_ADDR_RANGE, bytes([10, 0, 0, 1, 10, 0, 0, 9]), "10.0.0.1-10.0.0.9"),
        (ID.ID_IPV6_ADDR_RANGE, bytes(15) + b"\1" + bytes(15) + b"\2", "::1-::2"),
        (ID.ID_DER_ASN1_DN, DN, "CN=moon"),
        (ID.ID_DER_ASN1_DN, b"\xff", "ff"),
        (ID.ID_DER_ASN1_GN, b"\x82\4moon", "DNS:moon"),
        (ID.ID_DER_ASN1_GN, b"\xff", "ff"),
        (ID.ID_KEY_ID, b"group-1", "group-1"),
        (ID.ID_KEY_ID, b"\0\1", "0001"),
        (ID.ID_KEY_ID, b"", ""),
        (ID.ID_IPV4_ADDR, b"\1\2\3", "010203"),
        (ID(99), b"what", "what"),
    ],
)
def test_identification_of_every_type_has_a_text(id_type: ipsec_doi.IdType, data: bytes, value: str) -> None:
    payload = Identification(id_type=id_type, data=data)
    assert payload.value == value
    assert Identification.parse(payload.build()) == payload


def test_identification_list_is_read_to_its_entries() -> None:
    entry = bytes.fromhex("05 00 000c 01 00 0000 0a000001")
    last = bytes.fromhex("00 00 000c 02 00 0000") + b"moon"
    payload = Identification(id_type=ID.ID_LIST, data=entry + last)
    assert payload.value == "ID_IPV4_ADDR 10.0.0.1, ID_FQDN moon"
    many = Identification(id_type=ID.ID_LIST, data=entry * 9 + last)
    assert many.value.endswith("and 2 more")
    assert Identification(id_type=ID.ID_LIST, data=b"junk").value == b"junk".hex()


@pytest.mark.parametrize(
    ("protocol", "port", "usual", "summary"),
    [
        (0, 0, True, "ID_IPV4_ADDR 192.0.2.1"),
        (17, 500, True, "ID_IPV4_ADDR 192.0.2.1 UDP/500"),
        (17, 4500, True, "ID_IPV4_ADDR 192.0.2.1 UDP/4500"),
        (17, 0, True, "ID_IPV4_ADDR 192.0.2.1 UDP/0"),
        (17, 1701, False, "ID_IPV4_ADDR 192.0.2.1 UDP/1701"),
        (6, 500, False, "ID_IPV4_ADDR 192.0.2.1 TCP/500"),
        (0, 500, False, "ID_IPV4_ADDR 192.0.2.1 any/500"),
    ],
)
def test_trap_t33_identification_protocol_and_port_are_shown(
    protocol: int, port: int, usual: bool, summary: str
) -> None:
    payload = Identification(
        id_type=ID.ID_IPV4_ADDR, protocol_id=IpProtocol(protocol), port=port, data=bytes([192, 0, 2, 1])
    )
    assert payload.is_usual_in_phase_1 is usual
    assert payload.summary() == summary


@pytest.mark.parametrize(
    ("id_type", "data", "selector"),
    [
        (ID.ID_IPV4_ADDR, bytes([10, 0, 0, 1]), "10.0.0.1/TCP/80"),
        (ID.ID_IPV4_ADDR_SUBNET, bytes([10, 1, 2, 3, 255, 255, 0, 0]), "10.1.0.0-10.1.255.255/TCP/80"),
        (ID.ID_IPV4_ADDR_RANGE, bytes([10, 0, 0, 1, 10, 0, 0, 9]), "10.0.0.1-10.0.0.9/TCP/80"),
        (ID.ID_FQDN, b"moon", "None"),
    ],
)
def test_identification_of_phase_2_is_a_selector(id_type: ipsec_doi.IdType, data: bytes, selector: str) -> None:
    payload = Identification(id_type=id_type, protocol_id=IpProtocol.TCP, port=80, data=data)
    assert str(payload.selector) == selector


def test_selector_without_protocol_and_port_is_the_addresses() -> None:
    payload = Identification(id_type=ID.ID_IPV4_ADDR, data=bytes([10, 0, 0, 1]))
    assert str(payload.selector) == "10.0.0.1"
    tcp = Identification(id_type=ID.ID_IPV4_ADDR, protocol_id=IpProtocol.TCP, data=bytes([10, 0, 0, 1]))
    assert str(tcp.selector) == "10.0.0.1/TCP/any"


@pytest.mark.parametrize(
    ("mask", "length"), [("00000000", 0), ("ffffffff", 32), ("fffffe00", 23), ("00ff0000", None), ("ff00ff00", None)]
)
def test_prefix_length_needs_its_ones_in_front(mask: str, length: int | None) -> None:
    assert prefix_length(bytes.fromhex(mask)) == length


# --- Notification and Delete ------------------------------------------------------------------------------------


def test_trap_t12_notify_type_stands_behind_the_doi() -> None:
    """A reader that skips the DOI takes its second half for the type."""
    octets = bytes.fromhex("00000001 03 04 6000 c35a2d1e 80010001 00020004 00000e10")
    notification = Notification.parse(octets)
    assert notification.notify_type == NOTIFY.RESPONDER_LIFETIME
    assert notification.spi.hex() == "c35a2d1e"
    content = notification.content()
    assert isinstance(content, ResponderLifetime)
    assert [str(item) for item in content.lifetimes] == ["3600 SECONDS"]
    assert notification.summary() == "RESPONDER_LIFETIME PROTO_IPSEC_ESP c35a2d1e 3600 SECONDS"
    assert notification.build() == octets


def test_trap_t12_delete_protocol_stands_behind_the_doi() -> None:
    octets = bytes.fromhex("00000001 03 04 0002 11111111 22222222")
    delete = Delete.parse(octets)
    assert delete.protocol_id == PROTOCOL.PROTO_IPSEC_ESP
    assert [spi.hex() for spi in delete.spis] == ["11111111", "22222222"]
    assert (delete.count, delete.trailing) == (None, b"")
    assert delete.build() == octets
    assert delete.summary() == "PROTO_IPSEC_ESP 11111111 22222222"


def test_trap_t13_data_begins_behind_the_spi_and_not_behind_a_second_header() -> None:
    octets = bytes.fromhex("00000001 01 10 8d28") + bytes(range(16)) + bytes.fromhex("00000007")
    notification = Notification.parse(octets)
    assert notification.notify_type == NOTIFY.R_U_THERE
    assert notification.content() == DeadPeerDetection(sequence=7)
    assert notification.cookies == (bytes(range(8)), bytes(range(8, 16)))
    spans = {child.name: (child.start, child.stop) for child in Notification.trace(Reader(octets)).children}
    assert (spans["spi"], spans["data"]) == ((8, 24), (24, 28))
    assert notification.summary() == "R_U_THERE sequence 7"


@pytest.mark.parametrize(
    ("notify_type", "data", "summary"),
    [
        (NOTIFY.R_U_THERE_ACK, "00000007", "R_U_THERE_ACK sequence 7"),
        (NOTIFY.REPLAY_STATUS, "00000001", "REPLAY_STATUS anti-replay enabled"),
        (NOTIFY.REPLAY_STATUS, "00000000", "REPLAY_STATUS anti-replay disabled"),
        (NOTIFY.REPLAY_STATUS, "00000009", "REPLAY_STATUS 9"),
        (NOTIFY.INITIAL_CONTACT, "", "INITIAL_CONTACT"),
        (NOTIFY.CONNECTED, "", "CONNECTED"),
        (NOTIFY.UNITY_LOAD_BALANCE, "c0000201", "UNITY_LOAD_BALANCE 192.0.2.1"),
        (NOTIFY.INVALID_PAYLOAD_TYPE, "15", "INVALID_PAYLOAD_TYPE 21"),
        (NOTIFY.INVALID_EXCHANGE_TYPE, "06", "INVALID_EXCHANGE_TYPE 6"),
        (NOTIFY.INVALID_MESSAGE_ID, "deadbeef", "INVALID_MESSAGE_ID 0xdeadbeef"),
        (NOTIFY.NO_PROPOSAL_CHOSEN, "00010203", "NO_PROPOSAL_CHOSEN 00010203"),
        (NOTIFY.NO_PROPOSAL_CHOSEN, b"no way".hex(), "NO_PROPOSAL_CHOSEN 'no way'"),
        (NOTIFY.R_U_THERE, "0102", "R_U_THERE 0102"),
        (isakmp.NotifyType(9999), "01", "UNKNOWN_9999 01"),
    ],
)
def test_notification_data_is_decoded_by_type(notify_type: isakmp.NotifyType, data: str, summary: str) -> None:
    notification = Notification(protocol_id=PROTOCOL.PROTO_ISAKMP, notify_type=notify_type, data=bytes.fromhex(data))
    assert notification.summary() == summary
    assert Notification.parse(notification.build()) == notification


def test_notification_without_cookies_has_none() -> None:
    error = Notification(protocol_id=PROTOCOL.PROTO_ISAKMP, notify_type=NOTIFY.PAYLOAD_MALFORMED)
    assert error.cookies is None
    assert error.is_error
    assert not Notification(protocol_id=PROTOCOL.PROTO_ISAKMP, notify_type=NOTIFY.CONNECTED).is_error


@pytest.mark.parametrize(
    ("octets", "spis", "count", "trailing"),
    [
        ("00000001 03 00 0005", [], 5, ""),
        ("00000001 03 00 0005 01020304", [], 5, "01020304"),
        ("00000001 03 04 ffff 01020304", ["01020304"], 65535, ""),
        ("00000001 03 04 0000 01020304", ["01020304"], 0, ""),
        ("00000001 03 04 0001 01020304 0506", ["01020304"], None, "0506"),
        ("00000001 03 ff 0001 01020304", [], 1, "01020304"),
        ("00000001 01 10 0001 000102030405060708090a0b0c0d0e0f", ["000102030405060708090a0b0c0d0e0f"], None, ""),
    ],
    ids=["size-0", "size-0-data", "count-65535", "count-0", "half-spi", "size-255", "cookies"],
)
def test_delete_with_sizes_and_counts_that_lie_is_read(
    octets: str, spis: list[str], count: int | None, trailing: str
) -> None:
    delete = Delete.parse(bytes.fromhex(octets))
    assert [spi.hex() for spi in delete.spis] == spis
    assert delete.count == count
    assert delete.trailing.hex() == trailing
    assert delete.build() == bytes.fromhex(octets)


def test_delete_of_many_spis_shows_a_few_and_traces_each() -> None:
    octets = bytes.fromhex("00000001 03 04 0006") + bytes(range(24))
    assert Delete.parse(octets).summary().endswith("0c0d0e0f and 2 more")
    spis = Delete.trace(Reader(octets)).children[4]
    assert [(child.name, child.start) for child in spis.children[:2]] == [("spis[0]", 8), ("spis[1]", 12)]
