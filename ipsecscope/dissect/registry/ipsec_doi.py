"""The IPsec Domain of Interpretation, RFC 2407: what phase 2 of IKEv1 negotiates.

The transform identifiers look like those of IKEv2 and are not: 21 to 23 mean other ciphers there.
"""

from __future__ import annotations

from typing import Final

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry.isakmp import Group


class SituationBit(CodePoint):
    """Bits of the situation, RFC 2407 section 4.2."""

    SIT_IDENTITY_ONLY = 1, "2407"
    SIT_SECRECY = 2, "2407"
    SIT_INTEGRITY = 4, "2407"


class ProtocolId(CodePoint):
    """Security protocol identifiers, RFC 2407 section 4.4.1."""

    NONE = 0, "2407"
    PROTO_ISAKMP = 1, "2407"
    PROTO_IPSEC_AH = 2, "2407"
    PROTO_IPSEC_ESP = 3, "2407"
    PROTO_IPCOMP = 4, "2407"
    PROTO_GIGABEAM_RADIO = 5, "4705"


class AhTransform(CodePoint):
    """IPSEC AH transform identifiers, RFC 2407 section 4.4.3."""

    AH_MD5 = 2, "2407"
    AH_SHA = 3, "2407"
    AH_DES = 4, "2407"
    AH_SHA2_256 = 5, "4868"
    AH_SHA2_384 = 6, "4868"
    AH_SHA2_512 = 7, "4868"
    AH_RIPEMD = 8, "2857"
    AH_AES_XCBC_MAC = 9, "3566"
    AH_RSA = 10, "4359"
    AH_AES_128_GMAC = 11, "4543"
    AH_AES_192_GMAC = 12, "4543"
    AH_AES_256_GMAC = 13, "4543"


class EspTransform(CodePoint):
    """IPSEC ESP transform identifiers, RFC 2407 section 4.4.4."""

    ESP_DES_IV64 = 1, "2407"
    ESP_DES = 2, "2407"
    ESP_3DES = 3, "2407"
    ESP_RC5 = 4, "2407"
    ESP_IDEA = 5, "2407"
    ESP_CAST = 6, "2407"
    ESP_BLOWFISH = 7, "2407"
    ESP_3IDEA = 8, "2407"
    ESP_DES_IV32 = 9, "2407"
    ESP_RC4 = 10, "2407"
    ESP_NULL = 11, "2407"
    ESP_AES_CBC = 12, "3602"
    ESP_AES_CTR = 13, "3686"
    ESP_AES_CCM_8 = 14, "4309"
    ESP_AES_CCM_12 = 15, "4309"
    ESP_AES_CCM_16 = 16, "4309"
    ESP_AES_GCM_8 = 18, "4106"
    ESP_AES_GCM_12 = 19, "4106"
    ESP_AES_GCM_16 = 20, "4106"
    ESP_SEED_CBC = 21, "4196"
    ESP_CAMELLIA = 22, "4312"
    ESP_NULL_AUTH_AES_GMAC = 23, "4543"


class IpcompTransform(CodePoint):
    """IPSEC IPCOMP transform identifiers, RFC 2407 section 4.4.5."""

    IPCOMP_OUI = 1, "2407"
    IPCOMP_DEFLATE = 2, "2394"
    IPCOMP_LZS = 3, "2395"
    IPCOMP_LZJH = 4, "3051"


class PhaseTwoAttribute(CodePoint):
    """IPSEC security association attributes, RFC 2407 section 4.5."""

    SA_LIFE_TYPE = 1, "2407"
    SA_LIFE_DURATION = 2, "2407"
    GROUP_DESCRIPTION = 3, "2407"
    ENCAPSULATION_MODE = 4, "2407"
    AUTHENTICATION_ALGORITHM = 5, "2407"
    KEY_LENGTH = 6, "2407"
    KEY_ROUNDS = 7, "2407"
    COMPRESS_DICTIONARY_SIZE = 8, "2407"
    COMPRESS_PRIVATE_ALGORITHM = 9, "2407"
    ECN_TUNNEL = 10, "3168"
    EXTENDED_SEQUENCE_NUMBER = 11, "4304"
    AUTHENTICATION_KEY_LENGTH = 12, "4359"
    SIGNATURE_ENCODING_ALGORITHM = 13, "4359"
    ADDRESS_PRESERVATION = 14, "6407"
    SA_DIRECTION = 15, "6407"


class LifeType(CodePoint):
    """Values of SA_LIFE_TYPE, RFC 2407 section 4.5."""

    SECONDS = 1, "2407"
    KILOBYTES = 2, "2407"


class EncapsulationMode(CodePoint):
    """Values of ENCAPSULATION_MODE: RFC 2407 section 4.5, RFC 3947 section 5.1 and what came before it."""

    TUNNEL = 1, "2407"
    TRANSPORT = 2, "2407"
    UDP_ENCAPSULATED_TUNNEL = 3, "3947"
    UDP_ENCAPSULATED_TRANSPORT = 4, "3947"
    CHKPT_UDP_ENCAPSULATED_TUNNEL = 61440, "Check Point"
    UDP_ENCAPSULATED_TUNNEL_DRAFT = 61443, "draft-ietf-ipsec-nat-t-ike-03"
    UDP_ENCAPSULATED_TRANSPORT_DRAFT = 61444, "draft-ietf-ipsec-nat-t-ike-03"

    @property
    def is_tunnel(self) -> bool:
        """Whether the mode is tunnel mode, with or without UDP around it."""
        return self in (
            EncapsulationMode.TUNNEL,
            EncapsulationMode.UDP_ENCAPSULATED_TUNNEL,
            EncapsulationMode.CHKPT_UDP_ENCAPSULATED_TUNNEL,
            EncapsulationMode.UDP_ENCAPSULATED_TUNNEL_DRAFT,
        )


class AuthenticationAlgorithm(CodePoint):
    """Values of AUTHENTICATION_ALGORITHM, RFC 2407 section 4.5."""

    HMAC_MD5 = 1, "2407"
    HMAC_SHA = 2, "2407"
    DES_MAC = 3, "2407"
    KPDK = 4, "2407"
    HMAC_SHA2_256 = 5, "4868"
    HMAC_SHA2_384 = 6, "4868"
    HMAC_SHA2_512 = 7, "4868"
    HMAC_RIPEMD = 8, "2857"
    AES_XCBC_MAC = 9, "3566"
    SIG_RSA = 10, "4359"
    AES_128_GMAC = 11, "4543"
    AES_192_GMAC = 12, "4543"
    AES_256_GMAC = 13, "4543"


class EcnTunnel(CodePoint):
    """Values of ECN_TUNNEL, RFC 3168 section 9.2.1.1."""

    ALLOWED = 1, "3168"
    FORBIDDEN = 2, "3168"


class ExtendedSequenceNumber(CodePoint):
    """Values of EXTENDED_SEQUENCE_NUMBER, RFC 4304 section 2."""

    SEQUENCE_64_BIT = 1, "4304"


class SignatureEncodingAlgorithm(CodePoint):
    """Values of SIGNATURE_ENCODING_ALGORITHM, RFC 4359 section 6."""

    RSASSA_PKCS1_V1_5 = 1, "4359"
    RSASSA_PSS = 2, "4359"


class AddressPreservation(CodePoint):
    """Values of ADDRESS_PRESERVATION, RFC 6407 section 5.5.1.1."""

    NONE = 1, "6407"
    SOURCE_ONLY = 2, "6407"
    DESTINATION_ONLY = 3, "6407"
    SOURCE_AND_DESTINATION = 4, "6407"


class SaDirection(CodePoint):
    """Values of SA_DIRECTION, RFC 6407 section 5.5.1.1."""

    SENDER_ONLY = 1, "6407"
    RECEIVER_ONLY = 2, "6407"
    SYMMETRIC = 3, "6407"


class IdType(CodePoint):
    """Identification types, RFC 2407 section 4.6.2.1."""

    ID_IPV4_ADDR = 1, "2407"
    ID_FQDN = 2, "2407"
    ID_USER_FQDN = 3, "2407"
    ID_IPV4_ADDR_SUBNET = 4, "2407"
    ID_IPV6_ADDR = 5, "2407"
    ID_IPV6_ADDR_SUBNET = 6, "2407"
    ID_IPV4_ADDR_RANGE = 7, "2407"
    ID_IPV6_ADDR_RANGE = 8, "2407"
    ID_DER_ASN1_DN = 9, "2407"
    ID_DER_ASN1_GN = 10, "2407"
    ID_KEY_ID = 11, "2407"
    ID_LIST = 12, "3554"


PHASE_TWO_VALUES: Final[dict[int, type[CodePoint]]] = {
    PhaseTwoAttribute.SA_LIFE_TYPE: LifeType,
    PhaseTwoAttribute.GROUP_DESCRIPTION: Group,
    PhaseTwoAttribute.ENCAPSULATION_MODE: EncapsulationMode,
    PhaseTwoAttribute.AUTHENTICATION_ALGORITHM: AuthenticationAlgorithm,
    PhaseTwoAttribute.ECN_TUNNEL: EcnTunnel,
    PhaseTwoAttribute.EXTENDED_SEQUENCE_NUMBER: ExtendedSequenceNumber,
    PhaseTwoAttribute.SIGNATURE_ENCODING_ALGORITHM: SignatureEncodingAlgorithm,
    PhaseTwoAttribute.ADDRESS_PRESERVATION: AddressPreservation,
    PhaseTwoAttribute.SA_DIRECTION: SaDirection,
}
"""Which attributes of an AH, ESP or IPComp transform have values with names."""

TRANSFORM_IDS: Final[dict[int, type[CodePoint]]] = {
    ProtocolId.PROTO_IPSEC_AH: AhTransform,
    ProtocolId.PROTO_IPSEC_ESP: EspTransform,
    ProtocolId.PROTO_IPCOMP: IpcompTransform,
}
"""Which table the transform identifiers of a protocol are in."""
