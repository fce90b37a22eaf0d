"""What holds for every registry: clean names, sources, statuses, and tables that are not shared where they differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

import pytest

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry import eap, gdoi, ikev2, ip_protocols, ipsec_doi, isakmp
from ipsecscope.dissect.registry.equivalents import IKEV2_NAME, ikev2_equivalent

MODULES = (eap, gdoi, ikev2, ip_protocols, ipsec_doi, isakmp)
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
STATUSES = {"", "MUST", "MUST-", "SHOULD+", "SHOULD", "MAY", "SHOULD NOT", "MUST NOT", "DEPRECATED", "OBSOLETE"}


def registries(module: ModuleType) -> Iterator[type[CodePoint]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, CodePoint) and value.__module__ == module.__name__:
            yield value


ALL = [registry for module in MODULES for registry in registries(module)]
IDS = [f"{registry.__module__.rsplit('.', 1)[1]}.{registry.__name__}" for registry in ALL]


@pytest.mark.parametrize("registry", ALL, ids=IDS)
def test_registry_rows_have_clean_identifiers(registry: type[CodePoint]) -> None:
    """Trap T35: a name is a word, without blanks, tabs or hyphens."""
    assert list(registry)
    assert [row.name for row in registry if not IDENTIFIER.fullmatch(row.name)] == []


@pytest.mark.parametrize(
    "registry", [each for each in ALL if each.__module__ != ip_protocols.__name__ and each is not eap.EapType]
)
def test_registry_rows_name_their_source(registry: type[CodePoint]) -> None:
    assert [row.name for row in registry if not row.reference] == []


@pytest.mark.parametrize("registry", ALL, ids=IDS)
def test_registry_statuses_are_words_of_rfc_2119(registry: type[CodePoint]) -> None:
    assert {row.status for row in registry} <= STATUSES


@pytest.mark.parametrize("registry", ALL, ids=IDS)
def test_registry_number_without_row_is_a_value_that_says_so(registry: type[CodePoint]) -> None:
    stranger = registry(999_999)
    assert (str(stranger), int(stranger), stranger.is_known) == ("UNKNOWN_999999", 999_999, False)


def test_ikev1_and_ikev2_transforms_21_to_23_are_different_ciphers() -> None:
    """Trap T28."""
    old = [str(ipsec_doi.EspTransform(number)) for number in (21, 22, 23)]
    new = [str(ikev2.EncryptionAlgorithm(number)) for number in (21, 22, 23)]
    assert old == ["ESP_SEED_CBC", "ESP_CAMELLIA", "ESP_NULL_AUTH_AES_GMAC"]
    assert new == ["ENCR_NULL_AUTH_AES_GMAC", "UNKNOWN_22", "ENCR_CAMELLIA_CBC"]


def test_gdoi_exchanges_32_and_33_are_not_those_of_ike() -> None:
    """Trap T28."""
    assert [str(isakmp.ExchangeType(number)) for number in (32, 33)] == ["QUICK_MODE", "NEW_GROUP_MODE"]
    assert [str(isakmp.GdoiExchangeType(number)) for number in (32, 33)] == ["GROUPKEY_PULL", "GROUPKEY_PUSH"]


def test_payloads_15_and_16_have_a_name_in_the_gdoi_and_in_the_nat_t_drafts() -> None:
    """Trap T29."""
    assert [str(isakmp.PayloadType(number)) for number in (15, 16)] == ["SAK", "SAT"]
    assert [str(isakmp.NatTDraftPayloadType(number)) for number in (15, 16)] == ["NAT_D", "NAT_OA"]
    assert [str(isakmp.PayloadType(number)) for number in (20, 130)] == ["NAT_D", "NAT_D_DRAFT"]


def test_transform_ids_of_additional_key_exchanges_are_key_exchange_methods() -> None:
    kinds = [kind for kind in ikev2.TransformType if ikev2.TRANSFORM_IDS[kind] is ikev2.KeyExchangeMethod]
    assert [str(kind) for kind in kinds] == ["KE", *(f"ADDKE{round_}" for round_ in range(1, 8))]
    assert set(ikev2.TRANSFORM_IDS) == set(ikev2.TransformType)


@pytest.mark.rfc("8247", "2")
@pytest.mark.parametrize(
    ("row", "status"),
    [
        (ikev2.EncryptionAlgorithm.ENCR_AES_CBC, "MUST"),
        (ikev2.EncryptionAlgorithm.ENCR_DES, "MUST NOT"),
        (ikev2.EncryptionAlgorithm.ENCR_BLOWFISH, "DEPRECATED"),
        (ikev2.PseudorandomFunction.PRF_HMAC_SHA2_512, "SHOULD+"),
        (ikev2.IntegrityAlgorithm.AUTH_HMAC_SHA1_96, "MUST-"),
        (ikev2.KeyExchangeMethod.MODP_1024_160, "MUST NOT"),
        (ikev2.KeyExchangeMethod.MODP_1024, "SHOULD NOT"),
        (ikev2.AuthenticationMethod.DSS_DIGITAL_SIGNATURE, "SHOULD NOT"),
        (ikev2.HashAlgorithm.SHA1, "MUST NOT"),
    ],
    ids=str,
)
def test_algorithm_status_is_what_rfc_8247_demands(row: CodePoint, status: str) -> None:
    assert row.status == status


@pytest.mark.rfc("8221", "5")
def test_algorithm_status_differs_between_ike_and_esp_where_the_rfcs_differ() -> None:
    ciphers = ikev2.ESP_AH_STATUS[ikev2.EncryptionAlgorithm]
    assert (ikev2.EncryptionAlgorithm.ENCR_NULL.status, ciphers[ikev2.EncryptionAlgorithm.ENCR_NULL]) == (
        "MUST NOT",
        "MUST",
    )
    assert ciphers[ikev2.EncryptionAlgorithm.ENCR_AES_GCM_16] == "MUST"
    assert ciphers[ikev2.EncryptionAlgorithm.ENCR_3DES] == "SHOULD NOT"
    assert {status for table in ikev2.ESP_AH_STATUS.values() for status in table.values()} <= STATUSES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (isakmp.EncryptionAlgorithm.AES_CBC, ikev2.EncryptionAlgorithm.ENCR_AES_CBC),
        (isakmp.EncryptionAlgorithm.TRIPLE_DES_CBC, ikev2.EncryptionAlgorithm.ENCR_3DES),
        (isakmp.HashAlgorithm.SHA2_256, ikev2.PseudorandomFunction.PRF_HMAC_SHA2_256),
        (isakmp.Group.MODP_2048, ikev2.KeyExchangeMethod.MODP_2048),
        (isakmp.AuthenticationMethod.PRE_SHARED_KEY, ikev2.AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE),
        (ipsec_doi.EspTransform.ESP_AES_GCM_16, ikev2.EncryptionAlgorithm.ENCR_AES_GCM_16),
        (ipsec_doi.EspTransform.ESP_CAMELLIA, ikev2.EncryptionAlgorithm.ENCR_CAMELLIA_CBC),
        (ipsec_doi.EspTransform.ESP_NULL_AUTH_AES_GMAC, ikev2.EncryptionAlgorithm.ENCR_NULL_AUTH_AES_GMAC),
        (ipsec_doi.AuthenticationAlgorithm.HMAC_SHA, ikev2.IntegrityAlgorithm.AUTH_HMAC_SHA1_96),
        (ipsec_doi.AhTransform.AH_SHA2_512, ikev2.IntegrityAlgorithm.AUTH_HMAC_SHA2_512_256),
        (ipsec_doi.IdType.ID_USER_FQDN, ikev2.IdType.ID_RFC822_ADDR),
    ],
    ids=str,
)
def test_ikev1_code_point_has_the_ikev2_name_of_the_same_thing(old: CodePoint, new: CodePoint) -> None:
    found = ikev2_equivalent(old)
    assert found is not None
    assert (type(found), found) == (type(new), new)


def test_ikev1_code_point_that_ikev2_dropped_has_no_ikev2_name() -> None:
    assert ikev2_equivalent(ipsec_doi.EspTransform.ESP_SEED_CBC) is None
    assert ikev2_equivalent(isakmp.Group.EC2N_155) is None
    assert ikev2_equivalent(isakmp.EncryptionAlgorithm(4711)) is None
    assert ikev2_equivalent(ikev2.IdType.ID_FQDN) is None


def test_ikev2_names_are_given_for_rows_of_the_table_they_stand_under() -> None:
    for old, table in IKEV2_NAME.items():
        assert all(isinstance(row, old) for row in table)


@pytest.mark.parametrize("registry", [ikev2.PayloadType, ikev2.TransformType, isakmp.PayloadType, isakmp.ExchangeType])
def test_titles_are_words_and_fall_back_to_the_name(registry: type[CodePoint]) -> None:
    assert all(row.title.strip() for row in registry)
    assert registry(251).title == "UNKNOWN_251"


def test_notify_types_know_errors_from_statuses() -> None:
    assert ikev2.NotifyType.TS_UNACCEPTABLE.is_error
    assert ikev2.NotifyType(8192).is_error
    assert not ikev2.NotifyType.COOKIE.is_error
    assert isakmp.NotifyType.PAYLOAD_MALFORMED.is_error
    assert not isakmp.NotifyType.R_U_THERE.is_error


def test_encapsulation_modes_know_tunnel_from_transport() -> None:
    tunnels = [int(mode) for mode in ipsec_doi.EncapsulationMode if mode.is_tunnel]
    assert tunnels == [1, 3, 61440, 61443]
