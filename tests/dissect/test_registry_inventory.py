"""Every number that exists has a name: the registries against the inventories of the standards.

The numbers are written down here a second time on purpose, as the standards list them, so that a row lost or mistyped
in a registry is seen. The table that is printed says how many there are and how many are named.
"""

from __future__ import annotations

import pytest

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry import eap, gdoi, ikev2, ipsec_doi, isakmp


def numbers(text: str) -> frozenset[int]:
    """``"1-3 7"`` is 1, 2, 3, 7."""
    found: set[int] = set()
    for part in text.split():
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


INVENTORY: tuple[tuple[type[CodePoint], str, int], ...] = (
    # IKEv2, IANA ikev2-parameters
    (ikev2.ExchangeType, "34-44", 11),
    (ikev2.PayloadType, "33-54", 22),
    (ikev2.TransformType, "1-14", 14),
    (ikev2.EncryptionAlgorithm, "1-9 11-16 18-21 23-35", 32),
    (ikev2.PseudorandomFunction, "1-9", 9),
    (ikev2.IntegrityAlgorithm, "0-14", 15),
    (ikev2.KeyExchangeMethod, "0-2 5 14-37", 28),
    (ikev2.SequenceNumbers, "0-2", 3),
    (ikev2.KeyWrapAlgorithm, "1-4", 4),
    (ikev2.GroupControllerAuthentication, "1-2", 2),
    (ikev2.TransformAttributeType, "14 18", 2),
    (ikev2.IdType, "1-3 5 9-13", 9),
    (ikev2.CertificateEncoding, "1-4 6-15", 14),
    (ikev2.AuthenticationMethod, "1-3 9-14", 9),
    (ikev2.NotifyType, "1 4 5 7 9 11 14 17 24 34-49 16384-16447", 89),
    (ikev2.TrafficSelectorType, "7-10", 4),
    (ikev2.SecurityProtocol, "1-6", 6),
    (ikev2.ConfigurationType, "1-4", 4),
    (ikev2.ConfigurationAttributeType, "1-4 6-8 10 12-29", 26),
    (ikev2.HashAlgorithm, "1-7", 7),
    (ikev2.IpcompTransform, "1-4", 4),
    (ikev2.RedirectGatewayType, "1-3", 3),
    (ikev2.RohcAttributeType, "1-5", 5),
    (ikev2.SecurePasswordMethod, "1-3", 3),
    (ikev2.PpkIdType, "1-2", 2),
    (ikev2.GsaAttributeType, "1-3", 3),
    (ikev2.GroupWidePolicyAttributeType, "1-3", 3),
    (ikev2.GroupKeyBagAttributeType, "1", 1),
    (ikev2.MemberKeyBagAttributeType, "1-3", 3),
    (eap.EapCode, "1-6", 6),
    (eap.EapType, "1-6 9-19 21-56 254 255", 55),
    # IKEv1, RFC 2407-2409 and what came after
    (isakmp.ExchangeType, "1-6 32 33", 8),
    (isakmp.GdoiExchangeType, "32 33 35", 3),
    (isakmp.PayloadType, "1-22 128 130-132", 26),
    (isakmp.NatTDraftPayloadType, "15 16", 2),
    (isakmp.Doi, "0-2", 3),
    (isakmp.PhaseOneAttribute, "1-17 20", 18),
    (isakmp.EncryptionAlgorithm, "1-8 127-129", 11),
    (isakmp.HashAlgorithm, "1-6 20", 7),
    (isakmp.AuthenticationMethod, "1-8 64221-64224 65001-65010", 22),
    (isakmp.Group, "1-32", 32),
    (isakmp.GroupType, "1-3", 3),
    (isakmp.LifeType, "1-2", 2),
    (isakmp.NotifyType, "1-30 16384 24576-24578 30000-30002 32768 32769 36136 36137 40001 40501-40503", 45),
    (isakmp.CertificateEncoding, "0-10", 11),
    (isakmp.ConfigType, "1-4", 4),
    (isakmp.ConfigAttributeType, "1-15 16387-16389 16400-16402 16520-16529 28672-28683", 43),
    (ipsec_doi.SituationBit, "1 2 4", 3),
    (ipsec_doi.ProtocolId, "1-5", 5),
    (ipsec_doi.AhTransform, "2-13", 12),
    (ipsec_doi.EspTransform, "1-16 18-23", 22),
    (ipsec_doi.IpcompTransform, "1-4", 4),
    (ipsec_doi.PhaseTwoAttribute, "1-15", 15),
    (ipsec_doi.AuthenticationAlgorithm, "1-13", 13),
    (ipsec_doi.EncapsulationMode, "1-4 61440 61443 61444", 7),
    (ipsec_doi.IdType, "1-12", 12),
    (gdoi.SakAttribute, "1-7 9", 8),
    (gdoi.SatProtocol, "1-3", 3),
    (gdoi.KeyDownloadType, "1-4", 4),
    (gdoi.GapAttribute, "1-3", 3),
)


def label(registry: type[CodePoint]) -> str:
    return f"{registry.__module__.rsplit('.', 1)[1]}.{registry.__name__}"


@pytest.mark.parametrize(
    ("registry", "listed", "exist"), INVENTORY, ids=[label(registry) for registry, _, _ in INVENTORY]
)
def test_registry_names_every_number_that_exists(registry: type[CodePoint], listed: str, exist: int) -> None:
    required = numbers(listed)
    assert len(required) == exist
    assert {number for number in required if not registry(number).is_known} == set()


def test_inventory_table_reaches_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        (label(registry), sum(registry(number).is_known for number in numbers(listed)), exist)
        for registry, listed, exist in INVENTORY
    ]
    with capsys.disabled():
        print(f"\n{'registry':44} named / exist")
        for name, named, exist in rows:
            print(f"{name:44} {named:5} / {exist}")
        print(f"{'all':44} {sum(row[1] for row in rows):5} / {sum(row[2] for row in rows)}")
    assert all(named == exist for _, named, exist in rows)


# Names as IANA has them; the ones that other tools get wrong come first.
NAMES: tuple[tuple[type[CodePoint], str], ...] = (
    (
        ikev2.NotifyType,
        (
            "46 AUTHORIZATION_FAILED 48 TS_MAX_QUEUE 49 REGISTRATION_FAILED 16440 IP6_ALLOWED 16429 GROUP_SENDER "
            "16443 SUPPORTED_AUTH_METHODS 16444 SA_RESOURCE_INFO 16445 USE_PPK_INT 16446 PPK_IDENTITY_KEY "
            "16447 IKE_SA_INIT_FULL_TRANSCRIPT_AUTH 14 NO_PROPOSAL_CHOSEN 42 USE_ASSIGNED_HoA 44 CHILD_SA_NOT_FOUND "
            "47 STATE_NOT_FOUND 16388 NAT_DETECTION_SOURCE_IP 16391 USE_TRANSPORT_MODE 16403 AUTH_LIFETIME "
            "16414 LINK_ID 16423 IPSEC_REPLAY_COUNTER_SYNC 16432 CLONE_IKE_SA_SUPPORTED 16439 IP4_ALLOWED "
            "16441 ADDITIONAL_KEY_EXCHANGE 16442 USE_AGGFRAG"
        ),
    ),
    (
        ikev2.EncryptionAlgorithm,
        (
            "12 ENCR_AES_CBC 20 ENCR_AES_GCM_16 21 ENCR_NULL_AUTH_AES_GMAC 28 ENCR_CHACHA20_POLY1305 "
            "29 ENCR_AES_CCM_8_IIV 30 ENCR_AES_GCM_16_IIV 31 ENCR_CHACHA20_POLY1305_IIV 32 ENCR_KUZNYECHIK_MGM_KTREE "
            "33 ENCR_MAGMA_MGM_KTREE 34 ENCR_KUZNYECHIK_MGM_MAC_KTREE 35 ENCR_MAGMA_MGM_MAC_KTREE"
        ),
    ),
    (ikev2.PseudorandomFunction, "4 PRF_AES128_XCBC 5 PRF_HMAC_SHA2_256 8 PRF_AES128_CMAC 9 PRF_HMAC_STREEBOG_512"),
    (ikev2.IntegrityAlgorithm, "0 NONE 2 AUTH_HMAC_SHA1_96 12 AUTH_HMAC_SHA2_256_128 14 AUTH_HMAC_SHA2_512_256"),
    (
        ikev2.KeyExchangeMethod,
        "14 MODP_2048 19 ECP_256 28 BRAINPOOL_P256R1 31 CURVE25519 33 GOST3410_2012_256 36 ML_KEM_768 24 MODP_2048_256",
    ),
    (ikev2.IdType, "12 ID_FC_NAME 13 ID_NULL 10 ID_DER_ASN1_GN"),
    (ikev2.ExchangeType, "41 GSA_REKEY 42 GSA_INBAND_REKEY 43 IKE_INTERMEDIATE 44 IKE_FOLLOWUP_KE"),
    (ikev2.PayloadType, "33 SA 35 IDi 40 NONCE 44 TSi 46 SK 53 SKF 54 PS"),
    (ikev2.TransformType, "1 ENCR 4 KE 5 SN 6 ADDKE1 12 ADDKE7 13 KWA 14 GCAUTH"),
    (ipsec_doi.EspTransform, "13 ESP_AES_CTR 20 ESP_AES_GCM_16 21 ESP_SEED_CBC 22 ESP_CAMELLIA"),
    (ipsec_doi.AhTransform, "8 AH_RIPEMD 9 AH_AES_XCBC_MAC 11 AH_AES_128_GMAC"),
    (isakmp.NotifyType, "14 NO_PROPOSAL_CHOSEN 24578 INITIAL_CONTACT 36136 R_U_THERE 40501 UNITY_LOAD_BALANCE"),
    (isakmp.ExchangeType, "2 IDENTITY_PROTECTION 4 AGGRESSIVE 6 TRANSACTION 32 QUICK_MODE"),
    (isakmp.ConfigAttributeType, "16387 CHKPT_DEF_DOMAIN 16521 XAUTH_USER_NAME 28672 UNITY_BANNER"),
)


@pytest.mark.parametrize(("registry", "text"), NAMES, ids=[label(registry) for registry, _ in NAMES])
def test_registry_names_are_the_identifiers_of_iana(registry: type[CodePoint], text: str) -> None:
    words = text.split()
    expected = dict(zip(map(int, words[::2]), words[1::2], strict=True))
    assert {number: str(registry(number)) for number in expected} == expected
