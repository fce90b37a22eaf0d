"""Numbers of the private ranges, by who uses them for what.

A private number means nothing by itself: notification 40961 is strongSwan's BEET mode or a cause from 3GPP TS 24.302,
authentication method 65001 is XAUTH or Microsoft's GSS-API. The Vendor IDs of an SA decide. Vendors are named as
``vendor_ids`` names them; 3GPP sends none, its numbers are found when nobody else claims them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry import ikev2, ipsec_doi, isakmp

THREEGPP: Final = "3GPP"
USE_BEET_MODE: Final = ikev2.NotifyType(40961)  # strongSwan's, named behind its Vendor ID

_SWAN_CIPHERS: Final = {65004: "ENCR_SERPENT_CBC", 65005: "ENCR_TWOFISH_CBC", 65289: "ENCR_TWOFISH_CBC_SSH"}
_SWAN_V1_CIPHERS: Final = {
    65001: "MARS_CBC",
    65002: "RC6_CBC",
    65004: "SERPENT_CBC",
    65005: "TWOFISH_CBC",
    65289: "TWOFISH_CBC_SSH",
}
_SWAN_ESP_CIPHERS: Final = {249: "ESP_MARS", 250: "ESP_RC6", 252: "ESP_SERPENT", 253: "ESP_TWOFISH"}
_LIBRESWAN: Final[dict[type[CodePoint], dict[int, str]]] = {
    ikev2.NotifyType: {40960: "NULL_AUTH"},
    ikev2.EncryptionAlgorithm: _SWAN_CIPHERS,
    isakmp.EncryptionAlgorithm: _SWAN_V1_CIPHERS,
    ipsec_doi.EspTransform: _SWAN_ESP_CIPHERS,
    ipsec_doi.PhaseTwoAttribute: {32001: "SECURITY_CONTEXT"},
}
_OPENSWAN: Final[dict[type[CodePoint], dict[int, str]]] = {
    ikev2.EncryptionAlgorithm: _SWAN_CIPHERS,
    isakmp.EncryptionAlgorithm: _SWAN_V1_CIPHERS,
    ipsec_doi.EspTransform: _SWAN_ESP_CIPHERS,
}

_STRONGSWAN: Final[dict[type[CodePoint], dict[int, str]]] = {
    ikev2.ExchangeType: {240: "ME_CONNECT"},
    ikev2.NotifyType: {
        8192: "ME_CONNECT_FAILED",
        int(USE_BEET_MODE): "USE_BEET_MODE",
        40962: "ME_MEDIATION",
        40963: "ME_ENDPOINT",
        40964: "ME_CALLBACK",
        40965: "ME_CONNECTID",
        40966: "ME_CONNECTKEY",
        40967: "ME_CONNECTAUTH",
        40968: "ME_RESPONSE",
        40969: "RADIUS_ATTRIBUTE",
    },
    ikev2.EncryptionAlgorithm: {1026: "ENCR_SERPENT_CBC", 1027: "ENCR_TWOFISH_CBC", **_SWAN_CIPHERS},
    ikev2.IntegrityAlgorithm: {
        1025: "AUTH_HMAC_SHA1_128",
        1026: "AUTH_HMAC_SHA2_256_96",
        1027: "AUTH_HMAC_SHA2_256_256",
        1028: "AUTH_HMAC_SHA2_384_384",
        1029: "AUTH_HMAC_SHA2_512_512",
        1030: "AUTH_CAMELLIA_XCBC_96",
    },
    ikev2.KeyExchangeMethod: {
        1024: "MODP_NULL",
        1025: "MODP_CUSTOM",
        1030: "NTRU_112",
        1031: "NTRU_128",
        1032: "NTRU_192",
        1033: "NTRU_256",
        1040: "NEWHOPE_128",
    },
    isakmp.EncryptionAlgorithm: {65004: "SERPENT_CBC", 65005: "TWOFISH_CBC"},
    ipsec_doi.EspTransform: {252: "ESP_SERPENT", 253: "ESP_TWOFISH"},
}

_CISCO: Final[dict[type[CodePoint], dict[int, str]]] = {
    ikev2.ConfigurationAttributeType: {
        int(row): row.name for row in isakmp.ConfigAttributeType if row.name.startswith("UNITY_")
    },
}

_MICROSOFT: Final[dict[type[CodePoint], dict[int, str]]] = {
    isakmp.ExchangeType: {
        243: "AUTHIP_MAIN_MODE",
        244: "AUTHIP_QUICK_MODE",
        245: "AUTHIP_EXTENDED_MODE",
        246: "AUTHIP_NOTIFY",
    },
    isakmp.PayloadType: {129: "GSS_API", 133: "CRYPTO", 134: "GSS_ID", 135: "AUTH"},
    isakmp.NotifyType: {40003: "NOTIFY_STATUS", 40004: "NOTIFY_DOS_COOKIE", 40005: "EXCHANGE_INFO"},
    isakmp.AuthenticationMethod: {65001: "GSS_API"},
    ikev2.ConfigurationAttributeType: {23456: "INTERNAL_IP4_SERVER", 23457: "INTERNAL_IP6_SERVER"},
}

_FORTINET: Final[dict[type[CodePoint], dict[int, str]]] = {
    ikev2.NotifyType: {61472: "AUTO_DISCOVERY_SENDER", 61473: "AUTO_DISCOVERY_RECEIVER", 61520: "NETWORK_OVERLAY_ID"},
    isakmp.NotifyType: {61472: "AUTO_DISCOVERY_SENDER", 61473: "AUTO_DISCOVERY_RECEIVER", 61520: "NETWORK_OVERLAY_ID"},
}

_THREEGPP: Final[dict[type[CodePoint], dict[int, str]]] = {
    # 3GPP TS 24.302 clauses 8.1.2.2 and 8.1.2.3; from 15500 and 55501 TS 24.502 clause 9.2.4
    ikev2.NotifyType: {
        8192: "PDN_CONNECTION_REJECTION",
        8193: "MAX_CONNECTION_REACHED",
        8241: "SEMANTIC_ERROR_IN_THE_TFT_OPERATION",
        8242: "SYNTACTICAL_ERROR_IN_THE_TFT_OPERATION",
        8244: "SEMANTIC_ERRORS_IN_PACKET_FILTERS",
        8245: "SYNTACTICAL_ERRORS_IN_PACKET_FILTERS",
        9000: "NON_3GPP_ACCESS_TO_EPC_NOT_ALLOWED",
        9001: "USER_UNKNOWN",
        9002: "NO_APN_SUBSCRIPTION",
        9003: "AUTHORIZATION_REJECTED",
        9006: "ILLEGAL_ME",
        10500: "NETWORK_FAILURE",
        11001: "RAT_TYPE_NOT_ALLOWED",
        11005: "IMEI_NOT_ACCEPTED",
        11011: "PLMN_NOT_ALLOWED",
        11055: "UNAUTHENTICATED_EMERGENCY_NOT_SUPPORTED",
        15500: "CONGESTION",
        15501: "NO_RESOURCES_OVER_N3GPP",
        40961: "REACTIVATION_REQUESTED_CAUSE",
        41041: "BACKOFF_TIMER",
        41050: "PDN_TYPE_IPv4_ONLY_ALLOWED",
        41051: "PDN_TYPE_IPv6_ONLY_ALLOWED",
        41101: "DEVICE_IDENTITY",
        41112: "EMERGENCY_SUPPORT",
        41134: "EMERGENCY_CALL_NUMBERS",
        41288: "NBIFOM_GENERIC_CONTAINER",
        41304: "P_CSCF_RESELECTION_SUPPORT",
        41501: "PTI",
        42011: "IKEV2_MULTIPLE_BEARER_PDN_CONNECTIVITY",
        42014: "EPS_QOS",
        42015: "EXTENDED_EPS_QOS",
        42017: "TFT",
        42020: "MODIFIED_BEARER",
        42094: "APN_AMBR",
        42095: "EXTENDED_APN_AMBR",
        51015: "N1_MODE_CAPABILITY",
        51115: "N1_MODE_INFORMATION",
        52216: "N1_MODE_S_NSSAI_PLMN_ID",
        55501: "5G_QOS_INFO",
        55502: "NAS_IP4_ADDRESS",
        55503: "NAS_IP6_ADDRESS",
        55504: "UP_IP4_ADDRESS",
        55505: "UP_IP6_ADDRESS",
        55506: "NAS_TCP_PORT",
        55507: "N3GPP_BACKOFF_TIMER",
    },
}

PRIVATE: Final[Mapping[str, Mapping[type[CodePoint], Mapping[int, str]]]] = MappingProxyType(
    {
        "strongSwan": _STRONGSWAN,
        "Libreswan": _LIBRESWAN,
        "Openswan": _OPENSWAN,
        "FreeS/WAN": _OPENSWAN,
        "FreeS/WAN family": _LIBRESWAN,
        "Cisco": _CISCO,
        "Microsoft": _MICROSOFT,
        "Fortinet": _FORTINET,
        THREEGPP: _THREEGPP,
    }
)
"""The private numbers of each vendor, by registry."""


def private_names(registry_class: type[CodePoint], number: int) -> Mapping[str, str]:
    """Everybody who is known to use a private number, and their name for it."""
    return {
        vendor: tables[registry_class][number]
        for vendor, tables in PRIVATE.items()
        if number in tables.get(registry_class, {})
    }


def private_name(registry_class: type[CodePoint], number: int, vendors: Iterable[str]) -> str | None:
    """The name of a private number among vendors that are present; None when it cannot be told.

    Args:
        registry_class: the table the number belongs to, such as ``ikev2.NotifyType``.
        number: the private number.
        vendors: the vendors that the Vendor IDs of both ends named, in any order. When none of them is known to use
            the number, its name is given only if the table has no row of its own and all who use it agree.
    """
    names = private_names(registry_class, number)
    present = {names[vendor] for vendor in vendors if vendor in names}
    if not present and registry_class(number).is_known:
        return None
    candidates = present or set(names.values())
    return candidates.pop() if len(candidates) == 1 else None
