"""Private numbers mean what the vendor at hand means by them."""

from __future__ import annotations

import re

import pytest

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry import ikev2, isakmp
from ipsecscope.dissect.registry.private import PRIVATE, THREEGPP, private_name, private_names
from ipsecscope.dissect.registry.vendor_ids import VENDOR_IDS


@pytest.mark.parametrize(
    ("registry", "number", "vendors", "name"),
    [
        (ikev2.NotifyType, 40961, ["strongSwan"], "USE_BEET_MODE"),
        (ikev2.NotifyType, 40961, ["3GPP"], "REACTIVATION_REQUESTED_CAUSE"),
        (ikev2.NotifyType, 40961, ["Cisco", "strongSwan"], "USE_BEET_MODE"),
        (ikev2.NotifyType, 40961, [], None),
        (ikev2.NotifyType, 40960, ["Libreswan"], "NULL_AUTH"),
        (ikev2.NotifyType, 41041, [], "BACKOFF_TIMER"),
        (ikev2.NotifyType, 40969, [], "RADIUS_ATTRIBUTE"),
        (ikev2.NotifyType, 61520, ["Fortinet"], "NETWORK_OVERLAY_ID"),
        (ikev2.NotifyType, 50000, ["strongSwan"], None),
        (ikev2.ConfigurationAttributeType, 23456, [], "INTERNAL_IP4_SERVER"),
        (ikev2.ConfigurationAttributeType, 28672, ["Cisco"], "UNITY_BANNER"),
        (ikev2.EncryptionAlgorithm, 65289, [], "ENCR_TWOFISH_CBC_SSH"),
        (isakmp.AuthenticationMethod, 65001, ["Microsoft"], "GSS_API"),
        (isakmp.AuthenticationMethod, 65001, ["Cisco"], None),
        (isakmp.AuthenticationMethod, 65001, [], None),
        (isakmp.NotifyType, 40005, ["Microsoft"], "EXCHANGE_INFO"),
    ],
)
def test_private_name_depends_on_the_vendors_present(
    registry: type[CodePoint], number: int, vendors: list[str], name: str | None
) -> None:
    """Traps T30 and T31. 65001 has a public reading (XAUTH), which stands unless Microsoft is there."""
    assert private_name(registry, number, vendors) == name


def test_private_names_tell_everybody_who_uses_a_number() -> None:
    assert private_names(ikev2.NotifyType, 40961) == {
        "strongSwan": "USE_BEET_MODE",
        "3GPP": "REACTIVATION_REQUESTED_CAUSE",
    }
    assert private_names(ikev2.NotifyType, 47000) == {}


def test_private_notify_table_of_3gpp_holds_what_ts_24_302_and_24_502_list() -> None:
    table = PRIVATE[THREEGPP][ikev2.NotifyType]
    assert len(table) >= 43
    assert table[55507] == "N3GPP_BACKOFF_TIMER"


def test_private_rows_are_in_private_ranges_and_have_clean_names() -> None:
    ranges = {
        ikev2.NotifyType: (range(8192, 16384), range(40960, 65536)),
        ikev2.ExchangeType: (range(240, 256),),
        ikev2.EncryptionAlgorithm: (range(1024, 65536),),
        ikev2.IntegrityAlgorithm: (range(1024, 65536),),
        ikev2.KeyExchangeMethod: (range(1024, 65536),),
        ikev2.ConfigurationAttributeType: (range(16384, 32768),),
    }
    for tables in PRIVATE.values():
        for registry, rows in tables.items():
            for number, name in rows.items():
                assert re.fullmatch(r"[A-Za-z0-9_]+", name)
                assert registry not in ranges or any(number in each for each in ranges[registry])


def test_private_vendors_are_named_as_the_vendor_ids_name_them() -> None:
    assert set(PRIVATE) - {row.vendor for row in VENDOR_IDS} == {THREEGPP}
