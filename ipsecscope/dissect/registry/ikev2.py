"""IANA "Internet Key Exchange Version 2 (IKEv2) Parameters": one class per table, names as IANA spells them.

``reference`` is the number of the defining RFC (or the name of another document). ``status`` of an algorithm is what
RFC 8247 demands of IKEv2 implementations, and ``DEPRECATED`` where RFC 9395 withdrew it; what RFC 8221 demands for ESP
and AH is in ``ESP_AH_STATUS``. Both were compared with the notes on deprecation in a copy of IANA's tables and with a
second list of the RFCs' tables. FrodoKEM (38 to 40 in that copy) is left out: nothing else confirms it. Nothing in
these tables is shared with IKEv1: equal names have unequal numbers there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ipsecscope.dissect.codepoints import CodePoint


class ExchangeType(CodePoint):
    """IKEv2 Exchange Types, RFC 7296 section 3.1."""

    IKE_SA_INIT = 34, "7296"
    IKE_AUTH = 35, "7296"
    CREATE_CHILD_SA = 36, "7296"
    INFORMATIONAL = 37, "7296"
    IKE_SESSION_RESUME = 38, "5723"
    GSA_AUTH = 39, "9838"
    GSA_REGISTRATION = 40, "9838"
    GSA_REKEY = 41, "9838"
    GSA_INBAND_REKEY = 42, "9838"
    IKE_INTERMEDIATE = 43, "9242"
    IKE_FOLLOWUP_KE = 44, "9370"


class PayloadType(CodePoint):
    """IKEv2 Payload Types, RFC 7296 section 3.2, by the notation of its section 1.2; ``title`` is the long name."""

    NONE = 0, "7296"
    SA = 33, "7296"
    KE = 34, "7296"
    IDi = 35, "7296"
    IDr = 36, "7296"
    CERT = 37, "7296"
    CERTREQ = 38, "7296"
    AUTH = 39, "7296"
    NONCE = 40, "7296"
    N = 41, "7296"
    D = 42, "7296"
    V = 43, "7296"
    TSi = 44, "7296"
    TSr = 45, "7296"
    SK = 46, "7296"
    CP = 47, "7296"
    EAP = 48, "7296"
    GSPM = 49, "6467"
    IDg = 50, "9838"
    GSA = 51, "9838"
    KD = 52, "9838"
    SKF = 53, "7383"
    PS = 54, "8019"

    @property
    def title(self) -> str:
        """The name in words, such as ``Security Association``; the short name when there is none."""
        return _PAYLOAD_TITLES.get(int(self), self.name)


_PAYLOAD_TITLES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "No Next Payload",
        33: "Security Association",
        34: "Key Exchange",
        35: "Identification - Initiator",
        36: "Identification - Responder",
        37: "Certificate",
        38: "Certificate Request",
        39: "Authentication",
        40: "Nonce",
        41: "Notify",
        42: "Delete",
        43: "Vendor ID",
        44: "Traffic Selector - Initiator",
        45: "Traffic Selector - Responder",
        46: "Encrypted and Authenticated",
        47: "Configuration",
        48: "Extensible Authentication",
        49: "Generic Secure Password Method",
        50: "Group Identification",
        51: "Group Security Association",
        52: "Key Download",
        53: "Encrypted and Authenticated Fragment",
        54: "Puzzle Solution",
    }
)


class TransformType(CodePoint):
    """Transform Type Values, RFC 7296 section 3.3.2; ``title`` is IANA's description."""

    ENCR = 1, "7296"
    PRF = 2, "7296"
    INTEG = 3, "7296"
    KE = 4, "9370"
    SN = 5, "9827"
    ADDKE1 = 6, "9370"
    ADDKE2 = 7, "9370"
    ADDKE3 = 8, "9370"
    ADDKE4 = 9, "9370"
    ADDKE5 = 10, "9370"
    ADDKE6 = 11, "9370"
    ADDKE7 = 12, "9370"
    KWA = 13, "9838"
    GCAUTH = 14, "9838"

    @property
    def title(self) -> str:
        """The description in words, such as ``Encryption Algorithm``; the short name when there is none."""
        return _TRANSFORM_TITLES.get(int(self), self.name)


_TRANSFORM_TITLES: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "Encryption Algorithm",
        2: "Pseudorandom Function",
        3: "Integrity Algorithm",
        4: "Key Exchange Method",
        5: "Sequence Numbers",
        **{5 + round_: f"Additional Key Exchange {round_}" for round_ in range(1, 8)},
        13: "Key Wrap Algorithm",
        14: "Group Controller Authentication Method",
    }
)


class EncryptionAlgorithm(CodePoint):
    """Transform Type 1, Encryption Algorithm Transform IDs."""

    ENCR_DES_IV64 = 1, "7296", "DEPRECATED"
    ENCR_DES = 2, "2405", "MUST NOT"
    ENCR_3DES = 3, "2451", "MAY"
    ENCR_RC5 = 4, "2451", "DEPRECATED"
    ENCR_IDEA = 5, "2451", "DEPRECATED"
    ENCR_CAST = 6, "2451", "DEPRECATED"
    ENCR_BLOWFISH = 7, "2451", "DEPRECATED"
    ENCR_3IDEA = 8, "7296", "DEPRECATED"
    ENCR_DES_IV32 = 9, "7296", "DEPRECATED"
    ENCR_NULL = 11, "2410", "MUST NOT"
    ENCR_AES_CBC = 12, "3602", "MUST"
    ENCR_AES_CTR = 13, "3686"
    ENCR_AES_CCM_8 = 14, "4309", "SHOULD"
    ENCR_AES_CCM_12 = 15, "4309"
    ENCR_AES_CCM_16 = 16, "4309"
    ENCR_AES_GCM_8 = 18, "4106"
    ENCR_AES_GCM_12 = 19, "4106"
    ENCR_AES_GCM_16 = 20, "4106", "SHOULD"
    ENCR_NULL_AUTH_AES_GMAC = 21, "4543"
    ENCR_CAMELLIA_CBC = 23, "5529"
    ENCR_CAMELLIA_CTR = 24, "5529"
    ENCR_CAMELLIA_CCM_8 = 25, "5529"
    ENCR_CAMELLIA_CCM_12 = 26, "5529"
    ENCR_CAMELLIA_CCM_16 = 27, "5529"
    ENCR_CHACHA20_POLY1305 = 28, "7634", "SHOULD"
    ENCR_AES_CCM_8_IIV = 29, "8750"
    ENCR_AES_GCM_16_IIV = 30, "8750"
    ENCR_CHACHA20_POLY1305_IIV = 31, "8750"
    ENCR_KUZNYECHIK_MGM_KTREE = 32, "9227"
    ENCR_MAGMA_MGM_KTREE = 33, "9227"
    ENCR_KUZNYECHIK_MGM_MAC_KTREE = 34, "9227"
    ENCR_MAGMA_MGM_MAC_KTREE = 35, "9227"


class PseudorandomFunction(CodePoint):
    """Transform Type 2, Pseudorandom Function Transform IDs."""

    PRF_HMAC_MD5 = 1, "2104", "MUST NOT"
    PRF_HMAC_SHA1 = 2, "2104", "MUST-"
    PRF_HMAC_TIGER = 3, "7296", "DEPRECATED"
    PRF_AES128_XCBC = 4, "4434", "SHOULD"
    PRF_HMAC_SHA2_256 = 5, "4868", "MUST"
    PRF_HMAC_SHA2_384 = 6, "4868"
    PRF_HMAC_SHA2_512 = 7, "4868", "SHOULD+"
    PRF_AES128_CMAC = 8, "4615"
    PRF_HMAC_STREEBOG_512 = 9, "9385"


class IntegrityAlgorithm(CodePoint):
    """Transform Type 3, Integrity Algorithm Transform IDs."""

    NONE = 0, "7296"
    AUTH_HMAC_MD5_96 = 1, "2403", "MUST NOT"
    AUTH_HMAC_SHA1_96 = 2, "2404", "MUST-"
    AUTH_DES_MAC = 3, "7296", "MUST NOT"
    AUTH_KPDK_MD5 = 4, "7296", "MUST NOT"
    AUTH_AES_XCBC_96 = 5, "3566", "SHOULD"
    AUTH_HMAC_MD5_128 = 6, "4595", "DEPRECATED"
    AUTH_HMAC_SHA1_160 = 7, "4595", "DEPRECATED"
    AUTH_AES_CMAC_96 = 8, "4494"
    AUTH_AES_128_GMAC = 9, "4543"
    AUTH_AES_192_GMAC = 10, "4543"
    AUTH_AES_256_GMAC = 11, "4543"
    AUTH_HMAC_SHA2_256_128 = 12, "4868", "MUST"
    AUTH_HMAC_SHA2_384_192 = 13, "4868"
    AUTH_HMAC_SHA2_512_256 = 14, "4868", "SHOULD"


class KeyExchangeMethod(CodePoint):
    """Transform Type 4, Key Exchange Method Transform IDs, in the short form of the IETF's own implementations."""

    NONE = 0, "7296"
    MODP_768 = 1, "7296", "MUST NOT"
    MODP_1024 = 2, "7296", "SHOULD NOT"
    MODP_1536 = 5, "3526", "SHOULD NOT"
    MODP_2048 = 14, "3526", "MUST"
    MODP_3072 = 15, "3526"
    MODP_4096 = 16, "3526"
    MODP_6144 = 17, "3526"
    MODP_8192 = 18, "3526"
    ECP_256 = 19, "5903", "SHOULD"
    ECP_384 = 20, "5903"
    ECP_521 = 21, "5903"
    MODP_1024_160 = 22, "5114", "MUST NOT"
    MODP_2048_224 = 23, "5114", "SHOULD NOT"
    MODP_2048_256 = 24, "5114", "SHOULD NOT"
    ECP_192 = 25, "5114"
    ECP_224 = 26, "5114"
    BRAINPOOL_P224R1 = 27, "6954"
    BRAINPOOL_P256R1 = 28, "6954"
    BRAINPOOL_P384R1 = 29, "6954"
    BRAINPOOL_P512R1 = 30, "6954"
    CURVE25519 = 31, "8031"
    CURVE448 = 32, "8031"
    GOST3410_2012_256 = 33, "9385"
    GOST3410_2012_512 = 34, "9385"
    ML_KEM_512 = 35, "draft-ietf-ipsecme-ikev2-mlkem"
    ML_KEM_768 = 36, "draft-ietf-ipsecme-ikev2-mlkem"
    ML_KEM_1024 = 37, "draft-ietf-ipsecme-ikev2-mlkem"


class SequenceNumbers(CodePoint):
    """Transform Type 5, Sequence Numbers Transform IDs (RFC 9827; Extended Sequence Numbers until then)."""

    NO_ESN = 0, "7296"
    ESN = 1, "7296"
    UNSPECIFIED_32_BIT = 2, "9827"
    SEQUENTIAL_32_BIT = NO_ESN  # the names that RFC 9827 gave to 0 and 1
    PARTIALLY_TRANSMITTED_64_BIT = ESN


class KeyWrapAlgorithm(CodePoint):
    """Transform Type 13, Key Wrap Algorithm Transform IDs."""

    KW_5649_128 = 1, "9838"
    KW_5649_192 = 2, "9838"
    KW_5649_256 = 3, "9838"
    KW_ARX = 4, "9838"


class GroupControllerAuthentication(CodePoint):
    """Transform Type 14, Group Controller Authentication Method Transform IDs."""

    IMPLICIT = 1, "9838"
    DIGITAL_SIGNATURE = 2, "9838"


class TransformAttributeType(CodePoint):
    """IKEv2 Transform Attribute Types, RFC 7296 section 3.3.5."""

    KEY_LENGTH = 14, "7296"
    SIGNATURE_ALGORITHM_IDENTIFIER = 18, "9838"


class IdType(CodePoint):
    """IKEv2 Identification Payload ID Types, RFC 7296 section 3.5."""

    ID_IPV4_ADDR = 1, "7296"
    ID_FQDN = 2, "7296"
    ID_RFC822_ADDR = 3, "7296"
    ID_IPV6_ADDR = 5, "7296"
    ID_DER_ASN1_DN = 9, "7296"
    ID_DER_ASN1_GN = 10, "7296"
    ID_KEY_ID = 11, "7296"
    ID_FC_NAME = 12, "4595"
    ID_NULL = 13, "7619"


class CertificateEncoding(CodePoint):
    """IKEv2 Certificate Encodings, RFC 7296 section 3.6."""

    PKCS7_WRAPPED_X_509_CERTIFICATE = 1, "7296"
    PGP_CERTIFICATE = 2, "7296"
    DNS_SIGNED_KEY = 3, "7296"
    X_509_CERTIFICATE_SIGNATURE = 4, "7296"
    KERBEROS_TOKEN = 6, "7296"
    CERTIFICATE_REVOCATION_LIST = 7, "7296"
    AUTHORITY_REVOCATION_LIST = 8, "7296"
    SPKI_CERTIFICATE = 9, "7296"
    X_509_CERTIFICATE_ATTRIBUTE = 10, "7296"
    RAW_RSA_KEY = 11, "7670", "DEPRECATED"
    HASH_AND_URL_OF_X_509_CERTIFICATE = 12, "7296"
    HASH_AND_URL_OF_X_509_BUNDLE = 13, "7296"
    OCSP_CONTENT = 14, "4806"
    RAW_PUBLIC_KEY = 15, "7670"


class AuthenticationMethod(CodePoint):
    """IKEv2 Authentication Method, RFC 7296 section 3.8."""

    RSA_DIGITAL_SIGNATURE = 1, "7296", "MUST"
    SHARED_KEY_MESSAGE_INTEGRITY_CODE = 2, "7296", "MUST"
    DSS_DIGITAL_SIGNATURE = 3, "7296", "SHOULD NOT"
    ECDSA_WITH_SHA_256_ON_P_256 = 9, "4754", "SHOULD"
    ECDSA_WITH_SHA_384_ON_P_384 = 10, "4754", "SHOULD"
    ECDSA_WITH_SHA_512_ON_P_521 = 11, "4754", "SHOULD"
    GENERIC_SECURE_PASSWORD = 12, "6467"
    NULL_AUTHENTICATION = 13, "7619"
    DIGITAL_SIGNATURE = 14, "7427", "SHOULD"


class NotifyType(CodePoint):
    """IKEv2 Notify Message Error Types (below 16384) and Status Types, RFC 7296 section 3.10.1."""

    UNSUPPORTED_CRITICAL_PAYLOAD = 1, "7296"
    INVALID_IKE_SPI = 4, "7296"
    INVALID_MAJOR_VERSION = 5, "7296"
    INVALID_SYNTAX = 7, "7296"
    INVALID_MESSAGE_ID = 9, "7296"
    INVALID_SPI = 11, "7296"
    NO_PROPOSAL_CHOSEN = 14, "7296"
    INVALID_KE_PAYLOAD = 17, "7296"
    AUTHENTICATION_FAILED = 24, "7296"
    SINGLE_PAIR_REQUIRED = 34, "7296"
    NO_ADDITIONAL_SAS = 35, "7296"
    INTERNAL_ADDRESS_FAILURE = 36, "7296"
    FAILED_CP_REQUIRED = 37, "7296"
    TS_UNACCEPTABLE = 38, "7296"
    INVALID_SELECTORS = 39, "7296"
    UNACCEPTABLE_ADDRESSES = 40, "4555"
    UNEXPECTED_NAT_DETECTED = 41, "4555"
    USE_ASSIGNED_HoA = 42, "5026"
    TEMPORARY_FAILURE = 43, "7296"
    CHILD_SA_NOT_FOUND = 44, "7296"
    INVALID_GROUP_ID = 45, "9838"
    AUTHORIZATION_FAILED = 46, "9838"
    STATE_NOT_FOUND = 47, "9370"
    TS_MAX_QUEUE = 48, "9611"
    REGISTRATION_FAILED = 49, "9838"
    INITIAL_CONTACT = 16384, "7296"
    SET_WINDOW_SIZE = 16385, "7296"
    ADDITIONAL_TS_POSSIBLE = 16386, "7296"
    IPCOMP_SUPPORTED = 16387, "7296"
    NAT_DETECTION_SOURCE_IP = 16388, "7296"
    NAT_DETECTION_DESTINATION_IP = 16389, "7296"
    COOKIE = 16390, "7296"
    USE_TRANSPORT_MODE = 16391, "7296"
    HTTP_CERT_LOOKUP_SUPPORTED = 16392, "7296"
    REKEY_SA = 16393, "7296"
    ESP_TFC_PADDING_NOT_SUPPORTED = 16394, "7296"
    NON_FIRST_FRAGMENTS_ALSO = 16395, "7296"
    MOBIKE_SUPPORTED = 16396, "4555"
    ADDITIONAL_IP4_ADDRESS = 16397, "4555"
    ADDITIONAL_IP6_ADDRESS = 16398, "4555"
    NO_ADDITIONAL_ADDRESSES = 16399, "4555"
    UPDATE_SA_ADDRESSES = 16400, "4555"
    COOKIE2 = 16401, "4555"
    NO_NATS_ALLOWED = 16402, "4555"
    AUTH_LIFETIME = 16403, "4478"
    MULTIPLE_AUTH_SUPPORTED = 16404, "4739"
    ANOTHER_AUTH_FOLLOWS = 16405, "4739"
    REDIRECT_SUPPORTED = 16406, "5685"
    REDIRECT = 16407, "5685"
    REDIRECTED_FROM = 16408, "5685"
    TICKET_LT_OPAQUE = 16409, "5723"
    TICKET_REQUEST = 16410, "5723"
    TICKET_ACK = 16411, "5723"
    TICKET_NACK = 16412, "5723"
    TICKET_OPAQUE = 16413, "5723"
    LINK_ID = 16414, "5739"
    USE_WESP_MODE = 16415, "5840"
    ROHC_SUPPORTED = 16416, "5857"
    EAP_ONLY_AUTHENTICATION = 16417, "5998"
    CHILDLESS_IKEV2_SUPPORTED = 16418, "6023"
    QUICK_CRASH_DETECTION = 16419, "6290"
    IKEV2_MESSAGE_ID_SYNC_SUPPORTED = 16420, "6311"
    IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED = 16421, "6311"
    IKEV2_MESSAGE_ID_SYNC = 16422, "6311"
    IPSEC_REPLAY_COUNTER_SYNC = 16423, "6311"
    SECURE_PASSWORD_METHODS = 16424, "6467"
    PSK_PERSIST = 16425, "6631"
    PSK_CONFIRM = 16426, "6631"
    ERX_SUPPORTED = 16427, "6867"
    IFOM_CAPABILITY = 16428, "3GPP TS 24.303"
    GROUP_SENDER = 16429, "9838"
    IKEV2_FRAGMENTATION_SUPPORTED = 16430, "7383"
    SIGNATURE_HASH_ALGORITHMS = 16431, "7427"
    CLONE_IKE_SA_SUPPORTED = 16432, "7791"
    CLONE_IKE_SA = 16433, "7791"
    PUZZLE = 16434, "8019"
    USE_PPK = 16435, "8784"
    PPK_IDENTITY = 16436, "8784"
    NO_PPK_AUTH = 16437, "8784"
    INTERMEDIATE_EXCHANGE_SUPPORTED = 16438, "9242"
    IP4_ALLOWED = 16439, "8983"
    IP6_ALLOWED = 16440, "8983"
    ADDITIONAL_KEY_EXCHANGE = 16441, "9370"
    USE_AGGFRAG = 16442, "9347"
    SUPPORTED_AUTH_METHODS = 16443, "9593"
    SA_RESOURCE_INFO = 16444, "9611"
    USE_PPK_INT = 16445, "9867"
    PPK_IDENTITY_KEY = 16446, "9867"
    IKE_SA_INIT_FULL_TRANSCRIPT_AUTH = 16447, "draft-ietf-ipsecme-ikev2-downgrade-prevention"

    @property
    def is_error(self) -> bool:
        """Whether the number is in the range of errors (RFC 7296 section 3.10.1), private use included."""
        return int(self) < FIRST_STATUS_TYPE


FIRST_STATUS_TYPE: Final = 16384


class IpcompTransform(CodePoint):
    """IKEv2 Notification IPCOMP Transform IDs (the data of notification 16387)."""

    IPCOMP_OUI = 1, "7296"
    IPCOMP_DEFLATE = 2, "2394"
    IPCOMP_LZS = 3, "2395"
    IPCOMP_LZJH = 4, "3051"


class SecurityProtocol(CodePoint):
    """IKEv2 Security Protocol Identifiers; 0 says that no SA is concerned (RFC 7296 section 3.10)."""

    NONE = 0, "7296"
    IKE = 1, "7296"
    AH = 2, "7296"
    ESP = 3, "7296"
    FC_ESP_HEADER = 4, "4595"
    FC_CT_AUTHENTICATION = 5, "4595"
    GIKE_UPDATE = 6, "9838"


class TrafficSelectorType(CodePoint):
    """IKEv2 Traffic Selector Types, RFC 7296 section 3.13.1."""

    TS_IPV4_ADDR_RANGE = 7, "7296"
    TS_IPV6_ADDR_RANGE = 8, "7296"
    TS_FC_ADDR_RANGE = 9, "4595"
    TS_SECLABEL = 10, "9478"


class ConfigurationType(CodePoint):
    """IKEv2 Configuration Payload CFG Types, RFC 7296 section 3.15."""

    CFG_REQUEST = 1, "7296"
    CFG_REPLY = 2, "7296"
    CFG_SET = 3, "7296"
    CFG_ACK = 4, "7296"


class ConfigurationAttributeType(CodePoint):
    """IKEv2 Configuration Payload Attribute Types, RFC 7296 section 3.15.1; two rows of RFC 4306 are still met."""

    INTERNAL_IP4_ADDRESS = 1, "7296"
    INTERNAL_IP4_NETMASK = 2, "7296"
    INTERNAL_IP4_DNS = 3, "7296"
    INTERNAL_IP4_NBNS = 4, "7296"
    INTERNAL_ADDRESS_EXPIRY = 5, "4306", "OBSOLETE"
    INTERNAL_IP4_DHCP = 6, "7296"
    APPLICATION_VERSION = 7, "7296"
    INTERNAL_IP6_ADDRESS = 8, "7296"
    INTERNAL_IP6_DNS = 10, "7296"
    INTERNAL_IP6_NBNS = 11, "4306", "OBSOLETE"
    INTERNAL_IP6_DHCP = 12, "7296"
    INTERNAL_IP4_SUBNET = 13, "7296"
    SUPPORTED_ATTRIBUTES = 14, "7296"
    INTERNAL_IP6_SUBNET = 15, "7296"
    MIP6_HOME_PREFIX = 16, "5026"
    INTERNAL_IP6_LINK = 17, "5739"
    INTERNAL_IP6_PREFIX = 18, "5739"
    HOME_AGENT_ADDRESS = 19, "3GPP TS 24.302"
    P_CSCF_IP4_ADDRESS = 20, "7651"
    P_CSCF_IP6_ADDRESS = 21, "7651"
    FTT_KAT = 22, "3GPP TS 24.302"
    EXTERNAL_SOURCE_IP4_NAT_INFO = 23, "3GPP TS 29.139"
    TIMEOUT_PERIOD_FOR_LIVENESS_CHECK = 24, "3GPP TS 24.302"
    INTERNAL_DNS_DOMAIN = 25, "8598"
    INTERNAL_DNSSEC_TA = 26, "8598"
    ENCDNS_IP4 = 27, "9464"
    ENCDNS_IP6 = 28, "9464"
    ENCDNS_DIGEST_INFO = 29, "9464"


class RedirectGatewayType(CodePoint):
    """IKEv2 Gateway Identity Types, RFC 5685 section 7.2."""

    IPV4_ADDRESS = 1, "5685"
    IPV6_ADDRESS = 2, "5685"
    FQDN = 3, "5685"


class RohcAttributeType(CodePoint):
    """ROHC Attribute Types, RFC 5857 section 2.1.2."""

    MAX_CID = 1, "5857"
    ROHC_PROFILE = 2, "5857"
    ROHC_INTEG = 3, "5857"
    ROHC_ICV_LEN = 4, "5857"
    MRRU = 5, "5857"


class SecurePasswordMethod(CodePoint):
    """IKEv2 Secure Password Methods, RFC 6467 section 5."""

    PACE = 1, "6631"
    AUGPAKE = 2, "6628"
    SECURE_PSK = 3, "6617"


class HashAlgorithm(CodePoint):
    """IKEv2 Hash Algorithms, RFC 7427 section 7 (the data of notification 16431)."""

    SHA1 = 1, "7427", "MUST NOT"
    SHA2_256 = 2, "7427", "MUST"
    SHA2_384 = 3, "7427", "MAY"
    SHA2_512 = 4, "7427", "SHOULD"
    IDENTITY = 5, "8420"
    STREEBOG_256 = 6, "9385"
    STREEBOG_512 = 7, "9385"


class PpkIdType(CodePoint):
    """IKEv2 Post-quantum Preshared Key ID Types, RFC 8784 section 5.1."""

    PPK_ID_OPAQUE = 1, "8784"
    PPK_ID_FIXED = 2, "8784"


class GsaAttributeType(CodePoint):
    """GSA Attributes, RFC 9838 section 4.4.2."""

    GSA_KEY_LIFETIME = 1, "9838"
    GSA_INITIAL_MESSAGE_ID = 2, "9838"
    GSA_NEXT_SPI = 3, "9838"


class GroupWidePolicyAttributeType(CodePoint):
    """Group-wide Policy Attributes, RFC 9838 section 4.4.3."""

    GWP_ATD = 1, "9838"
    GWP_DTD = 2, "9838"
    GWP_SENDER_ID_BITS = 3, "9838"


class GroupKeyBagAttributeType(CodePoint):
    """Group Key Bag Attributes, RFC 9838 section 4.5.2."""

    SA_KEY = 1, "9838"


class MemberKeyBagAttributeType(CodePoint):
    """Member Key Bag Attributes, RFC 9838 section 4.5.3."""

    WRAP_KEY = 1, "9838"
    AUTH_KEY = 2, "9838"
    GM_SENDER_ID = 3, "9838"


class AggfragSubtype(CodePoint):
    """AGGFRAG_PAYLOAD Sub-Types, RFC 9347 section 6.1."""

    NON_CONGESTION_CONTROL = 0, "9347"
    CONGESTION_CONTROL = 1, "9347"


TRANSFORM_IDS: Final[Mapping[TransformType, type[CodePoint]]] = MappingProxyType(
    {
        TransformType.ENCR: EncryptionAlgorithm,
        TransformType.PRF: PseudorandomFunction,
        TransformType.INTEG: IntegrityAlgorithm,
        TransformType.KE: KeyExchangeMethod,
        TransformType.SN: SequenceNumbers,
        **{TransformType(number): KeyExchangeMethod for number in range(TransformType.ADDKE1, TransformType.KWA)},
        TransformType.KWA: KeyWrapAlgorithm,
        TransformType.GCAUTH: GroupControllerAuthentication,
    }
)

_E, _I, _C = EncryptionAlgorithm, IntegrityAlgorithm, IpcompTransform

ESP_AH_STATUS: Final[Mapping[type[CodePoint], Mapping[int, str]]] = MappingProxyType(
    {
        EncryptionAlgorithm: MappingProxyType(
            {
                _E.ENCR_DES_IV64: "MUST NOT",
                _E.ENCR_DES: "MUST NOT",
                _E.ENCR_3DES: "SHOULD NOT",
                _E.ENCR_BLOWFISH: "MUST NOT",
                _E.ENCR_3IDEA: "MUST NOT",
                _E.ENCR_DES_IV32: "MUST NOT",
                _E.ENCR_NULL: "MUST",
                _E.ENCR_AES_CBC: "MUST",
                _E.ENCR_AES_CCM_8: "SHOULD",
                _E.ENCR_AES_GCM_16: "MUST",
                _E.ENCR_CHACHA20_POLY1305: "SHOULD",
            }
        ),
        IntegrityAlgorithm: MappingProxyType(
            {
                _I.NONE: "MUST",  # with combined mode ciphers only; MUST NOT otherwise
                _I.AUTH_HMAC_MD5_96: "MUST NOT",
                _I.AUTH_HMAC_SHA1_96: "MUST-",
                _I.AUTH_DES_MAC: "MUST NOT",
                _I.AUTH_KPDK_MD5: "MUST NOT",
                _I.AUTH_AES_XCBC_96: "SHOULD",
                _I.AUTH_AES_128_GMAC: "MAY",
                _I.AUTH_AES_256_GMAC: "MAY",
                _I.AUTH_HMAC_SHA2_256_128: "MUST",
                _I.AUTH_HMAC_SHA2_512_256: "SHOULD",
            }
        ),
        IpcompTransform: MappingProxyType(
            {
                _C.IPCOMP_DEFLATE: "MAY",
                _C.IPCOMP_LZS: "MAY",
                _C.IPCOMP_LZJH: "MAY",
            }
        ),
    }
)
"""What RFC 8221 demands of ESP (section 5), of authentication in ESP and AH (6) and of compression (7)."""
