"""ISAKMP and IKEv1: IANA "Magic Numbers for ISAKMP Protocol" and "Internet Key Exchange (IKE) Attributes".

RFC 2408, RFC 2409 and what vendors made of their private ranges where everybody reads it alike (XAUTH, Mode-Config,
Unity, DPD). Numbers that mean different things to different vendors are in ``private``; what belongs to the IPsec DOI
is in ``ipsec_doi``, to the GDOI in ``gdoi``. Nothing in these tables is shared with IKEv2.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ipsecscope.dissect.codepoints import CodePoint

_MODE_CFG: Final = "draft-ietf-ipsec-isakmp-mode-cfg"
_XAUTH: Final = "draft-beaulieu-ike-xauth"
_HYBRID: Final = "draft-ietf-ipsec-isakmp-hybrid-auth"
_NAT_T: Final = "draft-ietf-ipsec-nat-t-ike"
_GSS: Final = "draft-ietf-ipsec-isakmp-gss-auth"
_EC2N: Final = "draft-ietf-ipsec-ike-ecc-groups"
_CHINA: Final = "GM/T 0022"
_CISCO: Final = "Cisco"
_UNITY: Final = "Cisco Unity"
_CHECK_POINT: Final = "Check Point"


class ExchangeType(CodePoint):
    """ISAKMP exchange types, RFC 2408 section 3.1, and those of IKE, RFC 2409 appendix A. Not valid in the GDOI."""

    NONE = 0, "2408"
    BASE = 1, "2408"
    IDENTITY_PROTECTION = 2, "2408"
    AUTHENTICATION_ONLY = 3, "2408"
    AGGRESSIVE = 4, "2408"
    INFORMATIONAL = 5, "2408"
    TRANSACTION = 6, _MODE_CFG
    QUICK_MODE = 32, "2409"
    NEW_GROUP_MODE = 33, "2409"

    @property
    def title(self) -> str:
        """The name that IKE gives to the exchange, such as ``Main Mode`` for ``IDENTITY_PROTECTION``."""
        return _EXCHANGE_TITLES.get(int(self), self.name)


_EXCHANGE_TITLES: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "Base",
        2: "Main Mode",
        3: "Authentication Only",
        4: "Aggressive Mode",
        5: "Informational",
        6: "Transaction",
        32: "Quick Mode",
        33: "New Group Mode",
    }
)


class GdoiExchangeType(CodePoint):
    """Exchange types of the Group Domain of Interpretation, which reuse the numbers of IKE (RFC 6407, RFC 8263)."""

    GROUPKEY_PULL = 32, "6407"
    GROUPKEY_PUSH = 33, "6407"
    GROUPKEY_PUSH_ACK = 35, "8263"


class PayloadType(CodePoint):
    """ISAKMP payload types, RFC 2408 section 3.1, by the notation of its section 4; ``title`` is the long name.

    15 and 16 are read as the GDOI has them; ``NatTDraftPayloadType`` holds the other reading.
    """

    NONE = 0, "2408"
    SA = 1, "2408"
    P = 2, "2408"
    T = 3, "2408"
    KE = 4, "2408"
    ID = 5, "2408"
    CERT = 6, "2408"
    CR = 7, "2408"
    HASH = 8, "2408"
    SIG = 9, "2408"
    NONCE = 10, "2408"
    N = 11, "2408"
    D = 12, "2408"
    VID = 13, "2408"
    ATTR = 14, _MODE_CFG
    SAK = 15, "6407"
    SAT = 16, "6407"
    KD = 17, "6407"
    SEQ = 18, "6407"
    POP = 19, "3547"
    NAT_D = 20, "3947"
    NAT_OA = 21, "3947"
    GAP = 22, "6407"
    SK = 128, _CHINA
    NAT_D_DRAFT = 130, _NAT_T + "-03"
    NAT_OA_DRAFT = 131, _NAT_T + "-03"
    FRAGMENT = 132, _CISCO

    @property
    def title(self) -> str:
        """The name in words, such as ``Security Association``; the short name when there is none."""
        return _PAYLOAD_TITLES.get(int(self), self.name)


class NatTDraftPayloadType(CodePoint):
    """The numbers that drafts 04 to 08 of NAT traversal gave to payloads; the GDOI has SAK and SAT there."""

    NAT_D = 15, _NAT_T + "-08"
    NAT_OA = 16, _NAT_T + "-08"


_PAYLOAD_TITLES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "None",
        1: "Security Association",
        2: "Proposal",
        3: "Transform",
        4: "Key Exchange",
        5: "Identification",
        6: "Certificate",
        7: "Certificate Request",
        8: "Hash",
        9: "Signature",
        10: "Nonce",
        11: "Notification",
        12: "Delete",
        13: "Vendor ID",
        14: "Attributes",
        15: "SA KEK",
        16: "SA TEK",
        17: "Key Download",
        18: "Sequence Number",
        19: "Proof of Possession",
        20: "NAT Discovery",
        21: "NAT Original Address",
        22: "Group Associated Policy",
        128: "Symmetric Key",
        130: "NAT Discovery (draft)",
        131: "NAT Original Address (draft)",
        132: "IKE Fragment",
    }
)


class Doi(CodePoint):
    """Domains of Interpretation, RFC 2408 section 3.4."""

    ISAKMP = 0, "2408"
    IPSEC = 1, "2407"
    GDOI = 2, "6407"


class NotifyType(CodePoint):
    """Notify message types: RFC 2408 section 3.14.1, RFC 2407 section 4.6.3, RFC 3706, and Cisco's and Juniper's."""

    INVALID_PAYLOAD_TYPE = 1, "2408"
    DOI_NOT_SUPPORTED = 2, "2408"
    SITUATION_NOT_SUPPORTED = 3, "2408"
    INVALID_COOKIE = 4, "2408"
    INVALID_MAJOR_VERSION = 5, "2408"
    INVALID_MINOR_VERSION = 6, "2408"
    INVALID_EXCHANGE_TYPE = 7, "2408"
    INVALID_FLAGS = 8, "2408"
    INVALID_MESSAGE_ID = 9, "2408"
    INVALID_PROTOCOL_ID = 10, "2408"
    INVALID_SPI = 11, "2408"
    INVALID_TRANSFORM_ID = 12, "2408"
    ATTRIBUTES_NOT_SUPPORTED = 13, "2408"
    NO_PROPOSAL_CHOSEN = 14, "2408"
    BAD_PROPOSAL_SYNTAX = 15, "2408"
    PAYLOAD_MALFORMED = 16, "2408"
    INVALID_KEY_INFORMATION = 17, "2408"
    INVALID_ID_INFORMATION = 18, "2408"
    INVALID_CERT_ENCODING = 19, "2408"
    INVALID_CERTIFICATE = 20, "2408"
    CERT_TYPE_UNSUPPORTED = 21, "2408"
    INVALID_CERT_AUTHORITY = 22, "2408"
    INVALID_HASH_INFORMATION = 23, "2408"
    AUTHENTICATION_FAILED = 24, "2408"
    INVALID_SIGNATURE = 25, "2408"
    ADDRESS_NOTIFICATION = 26, "2408"
    NOTIFY_SA_LIFETIME = 27, "2408"
    CERTIFICATE_UNAVAILABLE = 28, "2408"
    UNSUPPORTED_EXCHANGE_TYPE = 29, "2408"
    UNEQUAL_PAYLOAD_LENGTHS = 30, "2408"
    CONNECTED = 16384, "2408"
    RESPONDER_LIFETIME = 24576, "2407"
    REPLAY_STATUS = 24577, "2407"
    INITIAL_CONTACT = 24578, "2407"
    CISCO_HELLO = 30000, _CISCO
    CISCO_WWTEBR = 30001, _CISCO
    CISCO_SHUT_UP = 30002, _CISCO
    KEEP_ALIVE_REQUEST = 32768, _CISCO
    KEEP_ALIVE_ACK = 32769, _CISCO
    R_U_THERE = 36136, "3706"
    R_U_THERE_ACK = 36137, "3706"
    NETSCREEN_NHTB_INFORM = 40001, "Juniper"
    UNITY_LOAD_BALANCE = 40501, _UNITY
    UNITY_UNKNOWN = 40502, _UNITY
    UNITY_GROUP_HASH = 40503, _UNITY

    @property
    def is_error(self) -> bool:
        """Whether the number is in the range of errors (RFC 2408 section 3.14.1), private use included."""
        return int(self) < FIRST_STATUS_TYPE


FIRST_STATUS_TYPE: Final = 16384


class CertificateEncoding(CodePoint):
    """Certificate types, RFC 2408 section 3.9."""

    NONE = 0, "2408"
    PKCS7_WRAPPED_X_509_CERTIFICATE = 1, "2408"
    PGP_CERTIFICATE = 2, "2408"
    DNS_SIGNED_KEY = 3, "2408"
    X_509_CERTIFICATE_SIGNATURE = 4, "2408"
    X_509_CERTIFICATE_KEY_EXCHANGE = 5, "2408"
    KERBEROS_TOKENS = 6, "2408"
    CERTIFICATE_REVOCATION_LIST = 7, "2408"
    AUTHORITY_REVOCATION_LIST = 8, "2408"
    SPKI_CERTIFICATE = 9, "2408"
    X_509_CERTIFICATE_ATTRIBUTE = 10, "2408"


class PhaseOneAttribute(CodePoint):
    """Attribute classes of an ISAKMP transform, RFC 2409 appendix A."""

    ENCRYPTION_ALGORITHM = 1, "2409"
    HASH_ALGORITHM = 2, "2409"
    AUTHENTICATION_METHOD = 3, "2409"
    GROUP_DESCRIPTION = 4, "2409"
    GROUP_TYPE = 5, "2409"
    GROUP_PRIME = 6, "2409"
    GROUP_GENERATOR_ONE = 7, "2409"
    GROUP_GENERATOR_TWO = 8, "2409"
    GROUP_CURVE_A = 9, "2409"
    GROUP_CURVE_B = 10, "2409"
    LIFE_TYPE = 11, "2409"
    LIFE_DURATION = 12, "2409"
    PRF = 13, "2409"
    KEY_LENGTH = 14, "2409"
    FIELD_SIZE = 15, "2409"
    GROUP_ORDER = 16, "2409"
    BLOCK_SIZE = 17, "IANA ipsec-registry"
    ASYMMETRIC_ALGORITHM = 20, _CHINA
    GSS_IDENTITY_NAME = 16384, _GSS


class EncryptionAlgorithm(CodePoint):
    """Values of ENCRYPTION_ALGORITHM, RFC 2409 appendix A."""

    DES_CBC = 1, "2405"
    IDEA_CBC = 2, "2409"
    BLOWFISH_CBC = 3, "2409"
    RC5_R16_B64_CBC = 4, "2409"
    TRIPLE_DES_CBC = 5, "2409"
    CAST_CBC = 6, "2409"
    AES_CBC = 7, "3602"
    CAMELLIA_CBC = 8, "4312"
    SM4_CBC_OLD = 127, _CHINA
    SM1_CBC = 128, _CHINA
    SM4_CBC = 129, _CHINA


class HashAlgorithm(CodePoint):
    """Values of HASH_ALGORITHM, RFC 2409 appendix A."""

    MD5 = 1, "1321"
    SHA1 = 2, "2409"
    TIGER = 3, "2409"
    SHA2_256 = 4, "4868"
    SHA2_384 = 5, "4868"
    SHA2_512 = 6, "4868"
    SM3 = 20, _CHINA


class AuthenticationMethod(CodePoint):
    """Values of AUTHENTICATION_METHOD: RFC 2409 appendix A, RFC 4754, hybrid authentication, XAUTH.

    65001 is also Microsoft's GSS-API method; ``private.private_name`` tells them apart by vendor.
    """

    PRE_SHARED_KEY = 1, "2409"
    DSS_SIGNATURES = 2, "2409"
    RSA_SIGNATURES = 3, "2409"
    RSA_ENCRYPTION = 4, "2409"
    REVISED_RSA_ENCRYPTION = 5, "2409"
    ELGAMAL_ENCRYPTION = 6, "2409"
    REVISED_ELGAMAL_ENCRYPTION = 7, "2409"
    ECDSA_SIGNATURES = 8, "2409"
    ECDSA_WITH_SHA_256_ON_P_256 = 9, "4754"
    ECDSA_WITH_SHA_384_ON_P_384 = 10, "4754"
    ECDSA_WITH_SHA_512_ON_P_521 = 11, "4754"
    HYBRID_INIT_RSA = 64221, _HYBRID
    HYBRID_RESP_RSA = 64222, _HYBRID
    HYBRID_INIT_DSS = 64223, _HYBRID
    HYBRID_RESP_DSS = 64224, _HYBRID
    XAUTH_INIT_PRE_SHARED = 65001, _XAUTH
    XAUTH_RESP_PRE_SHARED = 65002, _XAUTH
    XAUTH_INIT_DSS = 65003, _XAUTH
    XAUTH_RESP_DSS = 65004, _XAUTH
    XAUTH_INIT_RSA = 65005, _XAUTH
    XAUTH_RESP_RSA = 65006, _XAUTH
    XAUTH_INIT_RSA_ENCRYPTION = 65007, _XAUTH
    XAUTH_RESP_RSA_ENCRYPTION = 65008, _XAUTH
    XAUTH_INIT_RSA_REVISED_ENCRYPTION = 65009, _XAUTH
    XAUTH_RESP_RSA_REVISED_ENCRYPTION = 65010, _XAUTH


class Group(CodePoint):
    """Values of GROUP_DESCRIPTION in both phases: RFC 2409 section 6 and later groups, named as IKEv2 names them."""

    MODP_768 = 1, "2409"
    MODP_1024 = 2, "2409"
    EC2N_155 = 3, "2409"
    EC2N_185 = 4, "2409"
    MODP_1536 = 5, "3526"
    EC2N_163_RANDOM = 6, _EC2N
    EC2N_163_KOBLITZ = 7, _EC2N
    EC2N_283_RANDOM = 8, _EC2N
    EC2N_283_KOBLITZ = 9, _EC2N
    EC2N_409_RANDOM = 10, _EC2N
    EC2N_409_KOBLITZ = 11, _EC2N
    EC2N_571_RANDOM = 12, _EC2N
    EC2N_571_KOBLITZ = 13, _EC2N
    MODP_2048 = 14, "3526"
    MODP_3072 = 15, "3526"
    MODP_4096 = 16, "3526"
    MODP_6144 = 17, "3526"
    MODP_8192 = 18, "3526"
    ECP_256 = 19, "5903"
    ECP_384 = 20, "5903"
    ECP_521 = 21, "5903"
    MODP_1024_160 = 22, "5114"
    MODP_2048_224 = 23, "5114"
    MODP_2048_256 = 24, "5114"
    ECP_192 = 25, "5114"
    ECP_224 = 26, "5114"
    BRAINPOOL_P224R1 = 27, "6932"
    BRAINPOOL_P256R1 = 28, "6932"
    BRAINPOOL_P384R1 = 29, "6932"
    BRAINPOOL_P512R1 = 30, "6932"
    CURVE25519 = 31, "8031"  # registered for IKEv2 only; some implementations use it here too
    CURVE448 = 32, "8031"


class GroupType(CodePoint):
    """Values of GROUP_TYPE, RFC 2409 appendix A."""

    MODP = 1, "2409"
    ECP = 2, "2409"
    EC2N = 3, "2409"


class LifeType(CodePoint):
    """Values of LIFE_TYPE, RFC 2409 appendix A."""

    SECONDS = 1, "2409"
    KILOBYTES = 2, "2409"


class AsymmetricAlgorithm(CodePoint):
    """Values of ASYMMETRIC_ALGORITHM, GM/T 0022."""

    RSA = 1, _CHINA
    SM2 = 2, _CHINA


PHASE_ONE_VALUES: Final[dict[int, type[CodePoint]]] = {
    PhaseOneAttribute.ENCRYPTION_ALGORITHM: EncryptionAlgorithm,
    PhaseOneAttribute.HASH_ALGORITHM: HashAlgorithm,
    PhaseOneAttribute.AUTHENTICATION_METHOD: AuthenticationMethod,
    PhaseOneAttribute.GROUP_DESCRIPTION: Group,
    PhaseOneAttribute.GROUP_TYPE: GroupType,
    PhaseOneAttribute.LIFE_TYPE: LifeType,
    PhaseOneAttribute.ASYMMETRIC_ALGORITHM: AsymmetricAlgorithm,
}
"""Which attributes of an ISAKMP transform have values with names."""


class IsakmpTransform(CodePoint):
    """Transform identifiers of PROTO_ISAKMP, RFC 2407 section 4.4.2."""

    KEY_IKE = 1, "2407"


class ConfigType(CodePoint):
    """Message types of the Attributes payload, draft-ietf-ipsec-isakmp-mode-cfg section 3.2."""

    REQUEST = 1, _MODE_CFG
    REPLY = 2, _MODE_CFG
    SET = 3, _MODE_CFG
    ACK = 4, _MODE_CFG


class ConfigAttributeType(CodePoint):
    """Attributes of Mode-Config, XAUTH, Cisco Unity and Check Point."""

    INTERNAL_IP4_ADDRESS = 1, _MODE_CFG
    INTERNAL_IP4_NETMASK = 2, _MODE_CFG
    INTERNAL_IP4_DNS = 3, _MODE_CFG
    INTERNAL_IP4_NBNS = 4, _MODE_CFG
    INTERNAL_ADDRESS_EXPIRY = 5, _MODE_CFG
    INTERNAL_IP4_DHCP = 6, _MODE_CFG
    APPLICATION_VERSION = 7, _MODE_CFG
    INTERNAL_IP6_ADDRESS = 8, _MODE_CFG
    INTERNAL_IP6_NETMASK = 9, _MODE_CFG
    INTERNAL_IP6_DNS = 10, _MODE_CFG
    INTERNAL_IP6_NBNS = 11, _MODE_CFG
    INTERNAL_IP6_DHCP = 12, _MODE_CFG
    INTERNAL_IP4_SUBNET = 13, _MODE_CFG
    SUPPORTED_ATTRIBUTES = 14, _MODE_CFG
    INTERNAL_IP6_SUBNET = 15, _MODE_CFG
    CHKPT_DEF_DOMAIN = 16387, _CHECK_POINT
    CHKPT_MAC_ADDRESS = 16388, _CHECK_POINT
    CHKPT_MARCIPAN_REASON_CODE = 16389, _CHECK_POINT
    CHKPT_UNKNOWN1 = 16400, _CHECK_POINT
    CHKPT_UNKNOWN2 = 16401, _CHECK_POINT
    CHKPT_UNKNOWN3 = 16402, _CHECK_POINT
    XAUTH_TYPE = 16520, _XAUTH
    XAUTH_USER_NAME = 16521, _XAUTH
    XAUTH_USER_PASSWORD = 16522, _XAUTH
    XAUTH_PASSCODE = 16523, _XAUTH
    XAUTH_MESSAGE = 16524, _XAUTH
    XAUTH_CHALLENGE = 16525, _XAUTH
    XAUTH_DOMAIN = 16526, _XAUTH
    XAUTH_STATUS = 16527, _XAUTH
    XAUTH_NEXT_PIN = 16528, _XAUTH
    XAUTH_ANSWER = 16529, _XAUTH
    UNITY_BANNER = 28672, _UNITY
    UNITY_SAVE_PASSWORD = 28673, _UNITY
    UNITY_DEF_DOMAIN = 28674, _UNITY
    UNITY_SPLIT_DNS_NAME = 28675, _UNITY
    UNITY_SPLIT_INCLUDE = 28676, _UNITY
    UNITY_NATT_PORT = 28677, _UNITY
    UNITY_LOCAL_LAN = 28678, _UNITY
    UNITY_PFS = 28679, _UNITY
    UNITY_FW_TYPE = 28680, _UNITY
    UNITY_BACKUP_SERVERS = 28681, _UNITY
    UNITY_DDNS_HOSTNAME = 28682, _UNITY
    APPLE_UNKNOWN_28683 = 28683, "seen from iPhones"


class XauthType(CodePoint):
    """Values of XAUTH_TYPE, draft-beaulieu-ike-xauth section 6.3."""

    GENERIC = 0, _XAUTH
    RADIUS_CHAP = 1, _XAUTH
    OTP = 2, _XAUTH
    S_KEY = 3, _XAUTH


class XauthStatus(CodePoint):
    """Values of XAUTH_STATUS, draft-beaulieu-ike-xauth section 6.3."""

    FAIL = 0, _XAUTH
    OK = 1, _XAUTH


CONFIG_VALUES: Final[dict[int, type[CodePoint]]] = {
    ConfigAttributeType.XAUTH_TYPE: XauthType,
    ConfigAttributeType.XAUTH_STATUS: XauthStatus,
}
"""Which attributes of an Attributes payload have values with names."""
