"""IKEv1's names in IKEv2's words, so that a reader of a report compares like with like.

The numbers of the two protocols are unrelated: only these tables say which of them mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry import ikev2, ipsec_doi, isakmp

_ENCR, _INTEG, _PRF = ikev2.EncryptionAlgorithm, ikev2.IntegrityAlgorithm, ikev2.PseudorandomFunction
_AUTH, _OLD_AUTH = ikev2.AuthenticationMethod, isakmp.AuthenticationMethod

_ENCRYPTION: Final[dict[int, CodePoint]] = {
    isakmp.EncryptionAlgorithm.DES_CBC: _ENCR.ENCR_DES,
    isakmp.EncryptionAlgorithm.IDEA_CBC: _ENCR.ENCR_IDEA,
    isakmp.EncryptionAlgorithm.BLOWFISH_CBC: _ENCR.ENCR_BLOWFISH,
    isakmp.EncryptionAlgorithm.RC5_R16_B64_CBC: _ENCR.ENCR_RC5,
    isakmp.EncryptionAlgorithm.TRIPLE_DES_CBC: _ENCR.ENCR_3DES,
    isakmp.EncryptionAlgorithm.CAST_CBC: _ENCR.ENCR_CAST,
    isakmp.EncryptionAlgorithm.AES_CBC: _ENCR.ENCR_AES_CBC,
    isakmp.EncryptionAlgorithm.CAMELLIA_CBC: _ENCR.ENCR_CAMELLIA_CBC,
}
_HASH: Final[dict[int, CodePoint]] = {
    isakmp.HashAlgorithm.MD5: _PRF.PRF_HMAC_MD5,
    isakmp.HashAlgorithm.SHA1: _PRF.PRF_HMAC_SHA1,
    isakmp.HashAlgorithm.TIGER: _PRF.PRF_HMAC_TIGER,
    isakmp.HashAlgorithm.SHA2_256: _PRF.PRF_HMAC_SHA2_256,
    isakmp.HashAlgorithm.SHA2_384: _PRF.PRF_HMAC_SHA2_384,
    isakmp.HashAlgorithm.SHA2_512: _PRF.PRF_HMAC_SHA2_512,
}
_AUTHENTICATION: Final[dict[int, CodePoint]] = {
    _OLD_AUTH.PRE_SHARED_KEY: _AUTH.SHARED_KEY_MESSAGE_INTEGRITY_CODE,
    _OLD_AUTH.DSS_SIGNATURES: _AUTH.DSS_DIGITAL_SIGNATURE,
    _OLD_AUTH.RSA_SIGNATURES: _AUTH.RSA_DIGITAL_SIGNATURE,
    _OLD_AUTH.ECDSA_WITH_SHA_256_ON_P_256: _AUTH.ECDSA_WITH_SHA_256_ON_P_256,
    _OLD_AUTH.ECDSA_WITH_SHA_384_ON_P_384: _AUTH.ECDSA_WITH_SHA_384_ON_P_384,
    _OLD_AUTH.ECDSA_WITH_SHA_512_ON_P_521: _AUTH.ECDSA_WITH_SHA_512_ON_P_521,
}
_OTHER_ESP_NAMES: Final[dict[int, CodePoint]] = {ipsec_doi.EspTransform.ESP_CAMELLIA: _ENCR.ENCR_CAMELLIA_CBC}
_ESP: Final[dict[int, CodePoint]] = {
    **{
        row: _ENCR["ENCR_" + row.name.removeprefix("ESP_")]
        for row in ipsec_doi.EspTransform
        if "ENCR_" + row.name.removeprefix("ESP_") in _ENCR.__members__
    },
    **_OTHER_ESP_NAMES,
}
_AH: Final[dict[int, CodePoint]] = {
    ipsec_doi.AhTransform.AH_MD5: _INTEG.AUTH_HMAC_MD5_96,
    ipsec_doi.AhTransform.AH_SHA: _INTEG.AUTH_HMAC_SHA1_96,
    ipsec_doi.AhTransform.AH_DES: _INTEG.AUTH_DES_MAC,
    ipsec_doi.AhTransform.AH_SHA2_256: _INTEG.AUTH_HMAC_SHA2_256_128,
    ipsec_doi.AhTransform.AH_SHA2_384: _INTEG.AUTH_HMAC_SHA2_384_192,
    ipsec_doi.AhTransform.AH_SHA2_512: _INTEG.AUTH_HMAC_SHA2_512_256,
    ipsec_doi.AhTransform.AH_AES_XCBC_MAC: _INTEG.AUTH_AES_XCBC_96,
    ipsec_doi.AhTransform.AH_AES_128_GMAC: _INTEG.AUTH_AES_128_GMAC,
    ipsec_doi.AhTransform.AH_AES_192_GMAC: _INTEG.AUTH_AES_192_GMAC,
    ipsec_doi.AhTransform.AH_AES_256_GMAC: _INTEG.AUTH_AES_256_GMAC,
}
_INTEGRITY: Final[dict[int, CodePoint]] = {
    ipsec_doi.AuthenticationAlgorithm.HMAC_MD5: _INTEG.AUTH_HMAC_MD5_96,
    ipsec_doi.AuthenticationAlgorithm.HMAC_SHA: _INTEG.AUTH_HMAC_SHA1_96,
    ipsec_doi.AuthenticationAlgorithm.DES_MAC: _INTEG.AUTH_DES_MAC,
    ipsec_doi.AuthenticationAlgorithm.KPDK: _INTEG.AUTH_KPDK_MD5,
    ipsec_doi.AuthenticationAlgorithm.HMAC_SHA2_256: _INTEG.AUTH_HMAC_SHA2_256_128,
    ipsec_doi.AuthenticationAlgorithm.HMAC_SHA2_384: _INTEG.AUTH_HMAC_SHA2_384_192,
    ipsec_doi.AuthenticationAlgorithm.HMAC_SHA2_512: _INTEG.AUTH_HMAC_SHA2_512_256,
    ipsec_doi.AuthenticationAlgorithm.AES_XCBC_MAC: _INTEG.AUTH_AES_XCBC_96,
    ipsec_doi.AuthenticationAlgorithm.AES_128_GMAC: _INTEG.AUTH_AES_128_GMAC,
    ipsec_doi.AuthenticationAlgorithm.AES_192_GMAC: _INTEG.AUTH_AES_192_GMAC,
    ipsec_doi.AuthenticationAlgorithm.AES_256_GMAC: _INTEG.AUTH_AES_256_GMAC,
}


def _by_name(old: type[CodePoint], new: type[CodePoint]) -> dict[int, CodePoint]:
    return {row: new[row.name] for row in old if row.name in new.__members__}


IKEV2_NAME: Final[Mapping[type[CodePoint], Mapping[int, CodePoint]]] = MappingProxyType(
    {
        isakmp.EncryptionAlgorithm: MappingProxyType(_ENCRYPTION),
        isakmp.HashAlgorithm: MappingProxyType(_HASH),
        isakmp.AuthenticationMethod: MappingProxyType(_AUTHENTICATION),
        isakmp.Group: MappingProxyType(_by_name(isakmp.Group, ikev2.KeyExchangeMethod)),
        isakmp.CertificateEncoding: MappingProxyType(_by_name(isakmp.CertificateEncoding, ikev2.CertificateEncoding)),
        ipsec_doi.EspTransform: MappingProxyType(_ESP),
        ipsec_doi.AhTransform: MappingProxyType(_AH),
        ipsec_doi.AuthenticationAlgorithm: MappingProxyType(_INTEGRITY),
        ipsec_doi.IpcompTransform: MappingProxyType(_by_name(ipsec_doi.IpcompTransform, ikev2.IpcompTransform)),
        ipsec_doi.IdType: MappingProxyType(
            {
                **_by_name(ipsec_doi.IdType, ikev2.IdType),
                ipsec_doi.IdType.ID_USER_FQDN: ikev2.IdType.ID_RFC822_ADDR,
            }
        ),
    }
)
"""For each class of IKEv1 code points: the code point of IKEv2 that says the same, for those that have one."""


def ikev2_equivalent(value: CodePoint) -> CodePoint | None:
    """The code point of IKEv2 that means what this one of IKEv1 means; None when IKEv2 has none.

    The hash of phase 1 becomes the PRF that is built on it.
    """
    return IKEV2_NAME.get(type(value), {}).get(int(value))
