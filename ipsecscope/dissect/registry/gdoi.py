"""The Group Domain of Interpretation of IKEv1, RFC 6407 (obsoletes RFC 3547), with RFC 8052 and RFC 8263.

Exchange types are in ``isakmp.GdoiExchangeType``, payload types in ``isakmp.PayloadType``.
"""

from __future__ import annotations

from typing import Final

from ipsecscope.dissect.codepoints import CodePoint


class SaAttributesNextPayload(CodePoint):
    """What follows the GDOI SA payload's own fields, RFC 6407 section 5.2.1."""

    NONE = 0, "6407"
    SAK = 15, "6407"
    SAT = 16, "6407"
    GAP = 22, "6407"


class SakAttribute(CodePoint):
    """KEK attributes of the SAK payload, RFC 6407 section 5.3.1."""

    KEK_MANAGEMENT_ALGORITHM = 1, "6407"
    KEK_ALGORITHM = 2, "6407"
    KEK_KEY_LENGTH = 3, "6407"
    KEK_KEY_LIFETIME = 4, "6407"
    SIG_HASH_ALGORITHM = 5, "6407"
    SIG_ALGORITHM = 6, "6407"
    SIG_KEY_LENGTH = 7, "6407"
    KE_OAKLEY_GROUP = 8, "3547"
    KEK_ACK_REQUESTED = 9, "8263"


class KekManagementAlgorithm(CodePoint):
    """Values of KEK_MANAGEMENT_ALGORITHM, RFC 6407 section 5.3.2."""

    LKH = 1, "6407"


class KekAlgorithm(CodePoint):
    """Values of KEK_ALGORITHM, RFC 6407 section 5.3.3."""

    KEK_ALG_DES = 1, "6407"
    KEK_ALG_3DES = 2, "6407"
    KEK_ALG_AES = 3, "6407"


class SigHashAlgorithm(CodePoint):
    """Values of SIG_HASH_ALGORITHM, RFC 6407 section 5.3.6."""

    SIG_HASH_MD5 = 1, "6407"
    SIG_HASH_SHA1 = 2, "6407"
    SIG_HASH_SHA256 = 3, "6407"
    SIG_HASH_SHA384 = 4, "6407"
    SIG_HASH_SHA512 = 5, "6407"


class SigAlgorithm(CodePoint):
    """Values of SIG_ALGORITHM, RFC 6407 section 5.3.7."""

    SIG_ALG_RSA = 1, "6407"
    SIG_ALG_DSS = 2, "6407"
    SIG_ALG_ECDSS = 3, "6407"


class KekAckRequested(CodePoint):
    """Values of KEK_ACK_REQUESTED, RFC 8263 section 6."""

    REKEY_ACK_KEK_SHA256 = 1, "8263"
    REKEY_ACK_LKH_SHA256 = 2, "8263"
    REKEY_ACK_KEK_SHA512 = 3, "8263"
    REKEY_ACK_LKH_SHA512 = 4, "8263"


SAK_VALUES: Final[dict[int, type[CodePoint]]] = {
    SakAttribute.KEK_MANAGEMENT_ALGORITHM: KekManagementAlgorithm,
    SakAttribute.KEK_ALGORITHM: KekAlgorithm,
    SakAttribute.SIG_HASH_ALGORITHM: SigHashAlgorithm,
    SakAttribute.SIG_ALGORITHM: SigAlgorithm,
    SakAttribute.KEK_ACK_REQUESTED: KekAckRequested,
}
"""Which attributes of a SAK payload have values with names."""


class SatProtocol(CodePoint):
    """Protocol-IDs of the SAT payload, RFC 6407 section 5.5."""

    GDOI_PROTO_IPSEC_ESP = 1, "6407"
    GDOI_PROTO_IPSEC_AH = 2, "6407"
    GDOI_PROTO_IEC_61850 = 3, "8052"


class KeyDownloadType(CodePoint):
    """KD types of the KD payload, RFC 6407 section 5.6."""

    TEK = 1, "6407"
    KEK = 2, "6407"
    LKH = 3, "6407"
    SID = 4, "6407"


class TekDownloadAttribute(CodePoint):
    """Attributes of the TEK download type, RFC 6407 section 5.6.1."""

    TEK_ALGORITHM_KEY = 1, "6407"
    TEK_INTEGRITY_KEY = 2, "6407"
    TEK_SOURCE_AUTH_KEY = 3, "6407"


class KekDownloadAttribute(CodePoint):
    """Attributes of the KEK download type, RFC 6407 section 5.6.2."""

    KEK_ALGORITHM_KEY = 1, "6407"
    SIG_ALGORITHM_KEY = 2, "6407"


class LkhDownloadAttribute(CodePoint):
    """Attributes of the LKH download type, RFC 6407 section 5.6.3."""

    LKH_DOWNLOAD_ARRAY = 1, "6407"
    LKH_UPDATE_ARRAY = 2, "6407"
    SIG_ALGORITHM_KEY = 3, "6407"


class SidDownloadAttribute(CodePoint):
    """Attributes of the SID download type, RFC 6407 section 5.6.4."""

    NUMBER_OF_SID_BITS = 1, "6407"
    SID_VALUE = 2, "6407"


DOWNLOAD_ATTRIBUTES: Final[dict[int, type[CodePoint]]] = {
    KeyDownloadType.TEK: TekDownloadAttribute,
    KeyDownloadType.KEK: KekDownloadAttribute,
    KeyDownloadType.LKH: LkhDownloadAttribute,
    KeyDownloadType.SID: SidDownloadAttribute,
}
"""Which table the attributes of a key packet are in, by its KD type."""


class GapAttribute(CodePoint):
    """Attributes of the GAP payload, RFC 6407 section 5.4."""

    ACTIVATION_TIME_DELAY = 1, "6407"
    DEACTIVATION_TIME_DELAY = 2, "6407"
    SENDER_ID_REQUEST = 3, "6407"
