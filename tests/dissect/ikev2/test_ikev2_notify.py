from __future__ import annotations

import pytest

from ipsecscope.dissect import ikev2
from ipsecscope.dissect.ikev2.extensions import MODULES
from ipsecscope.dissect.ikev2.extensions.fortinet import NETWORK_OVERLAY_ID
from ipsecscope.dissect.ikev2.notify import NoData, Notify, NotifyData
from ipsecscope.dissect.ikev2.private_numbers import private_number
from ipsecscope.dissect.registry.ikev2 import NotifyType, SecurityProtocol
from ipsecscope.dissect.registry.private import THREEGPP
from ipsecscope.dissect.wire import Reader

T = NotifyType
ADDRESSES_4 = "0a000001 0a000002 01f4 1194"
ADDRESSES_6 = "20010db8" + "00" * 11 + "01" + "20010db8" + "00" * 11 + "02" + "01f41194"
NOT_DESCRIBED = {T.ERX_SUPPORTED, T.IFOM_CAPABILITY, T.IKE_SA_INIT_FULL_TRANSCRIPT_AUTH}


def mobile(name: str) -> NotifyType:
    return NotifyType(private_number(NotifyType, THREEGPP, name))


# type, data in hex, what the summary says of the data
DATA = [
    (T.UNSUPPORTED_CRITICAL_PAYLOAD, "36", "PS"),
    (T.INVALID_MAJOR_VERSION, "20", "2.0"),
    (T.INVALID_MAJOR_VERSION, "02", "2"),
    (T.INVALID_SYNTAX, b"bad TS".hex(), "bad TS"),
    (T.INVALID_MESSAGE_ID, "00000007", "7"),
    (T.INVALID_SPI, "c1000001", "c1000001"),
    (T.INVALID_KE_PAYLOAD, "0013", "ECP_256"),
    (T.INVALID_SELECTORS, "4500", "2 octets of the packet"),
    (T.SET_WINDOW_SIZE, "00000008", "8"),
    (T.IPCOMP_SUPPORTED, "1234 02", "IPCOMP_DEFLATE cpi 4660"),
    (T.NAT_DETECTION_SOURCE_IP, "aa" * 20, "aaaaaaaaaaaaaaaa…"),
    (T.NAT_DETECTION_DESTINATION_IP, "bb" * 20, "bbbbbbbbbbbbbbbb…"),
    (T.COOKIE, "0102", "0102"),
    (T.COOKIE, "01" * 64, "64 octets"),
    (T.ADDITIONAL_IP4_ADDRESS, "c0000201", "192.0.2.1"),
    (T.ADDITIONAL_IP6_ADDRESS, "20010db8" + "00" * 11 + "01", "2001:db8::1"),
    (T.COOKIE2, "0102030405060708", "0102030405060708"),
    (T.NO_NATS_ALLOWED, ADDRESSES_4, "10.0.0.1:500 -> 10.0.0.2:4500"),
    (T.NO_NATS_ALLOWED, ADDRESSES_6, "[2001:db8::1]:500 -> [2001:db8::2]:4500"),
    (T.AUTH_LIFETIME, "00000e10", "3600 s"),
    (T.REDIRECT, "01 04 c0000201 6e6e", "192.0.2.1"),
    (T.REDIRECT, "03 02 6777", "gw"),
    (T.REDIRECTED_FROM, "02 10 20010db8" + "00" * 11 + "01", "2001:db8::1"),
    (T.TICKET_LT_OPAQUE, "00000e10 7474", "2 octets for 3600 s"),
    (T.TICKET_OPAQUE, "7474", "2 octets"),
    (T.LINK_ID, "0001", "0001"),
    (T.ROHC_SUPPORTED, "8001 000f 0002 0001 ff", "MAX_CID=15 ROHC_PROFILE=ff"),
    (T.QUICK_CRASH_DETECTION, "aa" * 32, "token of 32 octets"),
    (T.IKEV2_MESSAGE_ID_SYNC, "00000000 00000007 00000003", "send 7 receive 3"),
    (T.IPSEC_REPLAY_COUNTER_SYNC, "00000400", "delta 1024"),
    (T.IPSEC_REPLAY_COUNTER_SYNC, "0000000100000000", "delta 4294967296"),
    (T.SECURE_PASSWORD_METHODS, "0001 0003", "PACE SECURE_PSK"),
    (T.GROUP_SENDER, "00000002", "2 Sender-IDs"),
    (T.SIGNATURE_HASH_ALGORITHMS, "0002 0005", "SHA2_256 IDENTITY"),
    (T.PUZZLE, "0005 12", "PRF_HMAC_SHA2_256 difficulty 18"),
    (T.PPK_IDENTITY, "02 70706b", "PPK_ID_FIXED ppk"),
    (T.NO_PPK_AUTH, "aaaa", "2 octets"),
    (T.ADDITIONAL_KEY_EXCHANGE, "0a0b", "0a0b"),
    (T.USE_AGGFRAG, "03", "DO_NOT_FRAGMENT CONGESTION_CONTROL"),
    (T.USE_AGGFRAG, "00", "no flags"),
    (
        T.SUPPORTED_AUTH_METHODS,
        "02 02  03 01 02  0a 0e 00 300506032b6570",
        "SHARED_KEY_MESSAGE_INTEGRITY_CODE, RSA_DIGITAL_SIGNATURE for CA 2, DIGITAL_SIGNATURE id-Ed25519",
    ),
    (T.SA_RESOURCE_INFO, "6370753a37", "cpu:7"),
    (T.PPK_IDENTITY_KEY, "02 70706b 0102030405060708", "PPK_ID_FIXED ppk"),
    (mobile("BACKOFF_TIMER"), "01 a2", "3GPP 120 s"),
    (mobile("N3GPP_BACKOFF_TIMER"), "01 e1", "3GPP deactivated"),
    (mobile("BACKOFF_TIMER"), "02 0101", "3GPP deactivated"),
    (mobile("DEVICE_IDENTITY"), "0009 01 53304900000000f1", "3GPP identity type 1 350394000000001"),
    (mobile("EMERGENCY_CALL_NUMBERS"), "08 03 1f 11f2 03 00 1901", "3GPP emergency 112 9110"),
    (mobile("N1_MODE_CAPABILITY"), "01 05", "3GPP PDU session 5"),
    (mobile("5G_QOS_INFO"), "05 01 02 0109 00", "3GPP PDU session 1 QFI 1 9"),
    (mobile("NAS_IP4_ADDRESS"), "0a3c0001", "3GPP 10.60.0.1"),
    (mobile("UP_IP6_ADDRESS"), "20010db8" + "00" * 11 + "01", "3GPP 2001:db8::1"),
    (mobile("NAS_TCP_PORT"), "4e20", "3GPP port 20000"),
    (NotifyType(NETWORK_OVERLAY_ID), "07", "Fortinet network 7"),
]


@pytest.mark.parametrize(("notify_type", "data", "text"), DATA, ids=[f"{row[0]}-{i}" for i, row in enumerate(DATA)])
def test_notification_data_is_read_rebuilt_and_summed_up(notify_type: NotifyType, data: str, text: str) -> None:
    octets = bytes.fromhex(data)
    notify = Notify(notify_type=notify_type, data=octets)
    content = notify.content()
    assert content is not None
    assert content.build() == octets
    assert notify.summary() == f"{notify_type} {text}"
    assert Notify.parse(notify.build()) == notify


def test_at_least_thirty_types_of_data_are_decoded() -> None:
    described = {kind for kind, cls in NotifyData.registry.items() if not issubclass(cls, NoData)}
    assert len(described) >= 30
    shown = {NotifyData.registry[row[0]] for row in DATA}
    assert {NotifyData.registry[kind] for kind in described} <= shown


@pytest.mark.parametrize("notify_type", list(NotifyType), ids=str)
def test_every_type_is_described_or_known_not_to_be(notify_type: NotifyType) -> None:
    assert (notify_type in NotifyData.registry) is (notify_type not in NOT_DESCRIBED)


def test_a_notification_by_the_figure_is_built_and_read() -> None:
    notify = Notify(protocol_id=SecurityProtocol.ESP, notify_type=T.REKEY_SA, spi=b"\xc1\0\0\1")
    assert notify.build().hex() == "03044009c1000001"
    assert Notify.parse(notify.build()) == notify
    assert notify.summary() == "REKEY_SA ESP c1000001"
    assert not notify.is_error


def test_a_notification_without_data_has_no_content() -> None:
    assert Notify(notify_type=T.INVALID_KE_PAYLOAD).content() is None


def test_data_that_does_not_fit_its_type_is_shown_as_octets() -> None:
    notify = Notify(notify_type=T.INVALID_KE_PAYLOAD, data=b"\x00")
    assert notify.content() is None
    assert notify.summary() == "INVALID_KE_PAYLOAD 00"


def test_data_where_none_belongs_is_no_content() -> None:
    assert Notify(notify_type=T.NO_PROPOSAL_CHOSEN, data=b"why").content() is None


def test_long_data_of_an_unknown_type_is_shortened() -> None:
    notify = Notify(notify_type=NotifyType(40999), data=b"a" * 33)
    assert notify.summary() == "UNKNOWN_40999 " + "a" * 32 + "…"
    assert not notify.is_error


def test_trap_t31_a_private_type_keeps_its_number_for_the_vendor_to_name() -> None:
    notify = Notify.parse(bytes.fromhex("0000a001"))
    assert notify.notify_type == 40961
    assert notify.summary() == str(NotifyType(40961))


def test_data_is_traced_within_the_notification() -> None:
    field = Notify.trace(Reader(Notify(notify_type=T.PUZZLE, data=b"\x00\x05\x12").build()))
    assert [(child.name, child.start, child.stop) for child in field.children[-1].children] == [
        ("prf", 4, 6),
        ("difficulty", 6, 7),
    ]


def test_the_extension_files_are_found_by_being_there() -> None:
    assert {"rfc4555", "rfc9370", "rfc9838"} <= set(MODULES)
    assert ikev2.extensions.MODULES == MODULES


def test_a_private_number_nobody_has_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        private_number(NotifyType, THREEGPP, "NOTHING")
