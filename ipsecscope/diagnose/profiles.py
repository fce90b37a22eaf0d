"""The profiles: what the RFCs, NIST, the NSA, the BSI and the project's seed text ask of IPsec, written once.

How the values were checked (November 2026), clause by clause where it matters:

- ``rfc``: the status words stand in the registry rows (``dissect/registry/ikev2.py``) and are read from there. The
  withdrawals of RFC 8247 and RFC 9395 agree with a copy of IANA's status column; the status words of RFC 8247 2.1 to
  2.4 and RFC 8221 5 and 6 with a second list made from them. Not seen again in the RFCs themselves: RFC 8247 3.1.1 (RSA).
- ``nist-sp800-77r1``: Table 1 and sections 2.2, 3.3.5, 3.11, 4.1.4, 4.5, 7.2.3, 7.2.4.2 and 7.2.6 agree with
  quotations from the guide of June 2020. It is older than ML-KEM (FIPS 203), which is therefore not judged.
  Section 4.1.4 turns HMAC-SHA-1 down that 7.2.3 still calls approved; both only recommend SHA-2.
- ``cnsa2``: the algorithms of NSA's advisory (AES-256, SHA-384 or SHA-512, ML-KEM-1024, ML-DSA-87) are certain. That
  a classical first exchange (P-384) stands beside ML-KEM-1024, and that the cipher is AES-GCM, follows NSA's Internet
  draft for IPsec and RFC 9206 as others report them; the draft's own text was not at hand.
- ``bsi-tr-02102-3``: lifetimes, the end of classical key agreement in 2031 and the list of ciphers and PRFs agree with
  summaries of editions up to 2026-01; section and table numbers are those of the editions 2019 to 2023. The groups
  are those of the editions 2019 to 2025 as remembered: what they do not name (Curve25519, Curve448) is reported as
  not listed, no more.
- ``seed``: sections 5, 9 and 10 of the introductory text that the project began with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from ipsecscope.diagnose.profile import ALLOWED, DISCOURAGED, FORBIDDEN, RECOMMENDED, Clause, Profile, Verdict
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry.ikev2 import (
    ESP_AH_STATUS,
    EncryptionAlgorithm,
    IntegrityAlgorithm,
    KeyExchangeMethod,
    PseudorandomFunction,
)

HOUR: Final = 3600
NO_FORWARD_SECRECY, FORWARD_SECRECY = "no key exchange at renewal", "key exchange at renewal"
NO_PQ, PPK = "neither ML-KEM nor PPK", "PPK"
NO_INTEGRITY = "NONE"

# RFC 8247 section 1.1 and RFC 8221 section 1: what a status asks of whoever configures. MUST- is still mandatory to
# implement and on its way out; an algorithm without a status may be used.
_OF_STATUS: Final[Mapping[str, Verdict]] = MappingProxyType(
    {
        "MUST": RECOMMENDED,
        "SHOULD+": RECOMMENDED,
        "SHOULD": RECOMMENDED,
        "MAY": ALLOWED,
        "": ALLOWED,
        "MUST-": DISCOURAGED,
        "SHOULD NOT": DISCOURAGED,
        "MUST NOT": FORBIDDEN,
        "DEPRECATED": FORBIDDEN,
    }
)
_E, _P, _I, _K = EncryptionAlgorithm, PseudorandomFunction, IntegrityAlgorithm, KeyExchangeMethod


def _by_status(table: type[CodePoint], *, esp: bool = False) -> dict[str, Verdict]:
    """The verdict of every row of a registry, by its status."""
    own = ESP_AH_STATUS.get(table, {}) if esp else {}
    return {name: _OF_STATUS[own.get(int(row), row.status)] for name, row in table.__members__.items()}


def _all(verdict: Verdict, rows: Iterable[CodePoint]) -> dict[str, Verdict]:
    return {row.name: verdict for row in rows}


_AES_AEAD = (_E.ENCR_AES_GCM_16, _E.ENCR_AES_GCM_12, _E.ENCR_AES_CCM_16, _E.ENCR_AES_CCM_12)
_AES_CLASSIC = (_E.ENCR_AES_CBC, _E.ENCR_AES_CTR)
_AES_SHORT_ICV = (_E.ENCR_AES_GCM_8, _E.ENCR_AES_CCM_8)
_PRF_SHA2 = (_P.PRF_HMAC_SHA2_256, _P.PRF_HMAC_SHA2_384, _P.PRF_HMAC_SHA2_512)
_INTEG_SHA2 = (_I.AUTH_HMAC_SHA2_256_128, _I.AUTH_HMAC_SHA2_384_192, _I.AUTH_HMAC_SHA2_512_256)
_INTEG_GMAC = (_I.AUTH_AES_128_GMAC, _I.AUTH_AES_192_GMAC, _I.AUTH_AES_256_GMAC)
_NIST_GROUPS = (
    *(_K.MODP_2048, _K.MODP_3072, _K.MODP_4096, _K.MODP_6144, _K.MODP_8192),
    *(_K.ECP_256, _K.ECP_384, _K.ECP_521),
)
_ML_KEM = (_K.ML_KEM_512, _K.ML_KEM_768, _K.ML_KEM_1024)
_BRAINPOOL = (_K.BRAINPOOL_P256R1, _K.BRAINPOOL_P384R1, _K.BRAINPOOL_P512R1)


_ESP_RFC: Final = _by_status(_E, esp=True)

RFC: Final = Profile(
    name="rfc",
    title="the RFCs",
    about="The IETF's requirements for IKEv2, ESP and AH",
    edition="RFC 8247 and RFC 8221 (2017), RFC 9395 (2023)",
    checked="IANA's status column and a second list; RFC 8247 3.1.1 is from memory",
    clauses=(
        Clause(
            aspect="IKE version",
            section="RFC 9395 3",
            asks="IKEv2; IKEv1 is historic",
            verdicts={"IKEv1": DISCOURAGED},
        ),
        Clause(
            aspect="IKE encryption",
            section="RFC 8247 2.1",
            asks="AES-CBC, AES-GCM-16, AES-CCM-8 or ChaCha20-Poly1305; no DES, nothing that RFC 9395 withdrew",
            verdicts=_by_status(_E) | {_E.ENCR_3DES.name: DISCOURAGED},  # MAY since 2017, on its way out
        ),
        Clause(
            aspect="IKE PRF",
            section="RFC 8247 2.2",
            asks="HMAC-SHA-256 or HMAC-SHA-512; HMAC-SHA-1 is on its way out; no MD5",
            verdicts=_by_status(_P),
        ),
        Clause(
            aspect="IKE integrity",
            section="RFC 8247 2.3",
            asks="HMAC-SHA-256-128 or HMAC-SHA-512-256; HMAC-SHA-1-96 is on its way out; no MD5, no DES-MAC",
            verdicts=_by_status(_I),
        ),
        Clause(
            aspect="IKE key exchange",
            section="RFC 8247 2.4",
            asks="MODP-2048 or ECP-256 or better; not MODP-1536, MODP-1024 or groups 22, 23 and 24; never MODP-768",
            verdicts=_by_status(_K),
        ),
        Clause(
            aspect="authentication",
            section="RFC 8247 3.1",
            asks="RSA, ECDSA or pre-shared keys; not DSS",
            verdicts={"DSS": DISCOURAGED},
        ),
        Clause(
            aspect="RSA key",
            section="RFC 8247 3.1.1",
            asks="2048 bits, better 3072 or 4096",
            least=(2048, DISCOURAGED),
        ),
        Clause(
            aspect="ESP encryption",
            section="RFC 8221 5",
            asks="AES-GCM-16, AES-CBC, AES-CCM-8 or ChaCha20-Poly1305; not 3DES; no DES, no Blowfish",
            verdicts=_ESP_RFC,
        ),
        Clause(
            aspect="ESP integrity",
            section="RFC 8221 6",
            asks="HMAC-SHA-256-128 or HMAC-SHA-512-256, or a cipher with its own; never encryption without integrity",
            verdicts=_by_status(_I, esp=True) | {NO_INTEGRITY: FORBIDDEN},
        ),
        Clause(
            aspect="AH integrity",
            section="RFC 8221 6",
            asks="HMAC-SHA-256-128 or HMAC-SHA-512-256",
            verdicts=_by_status(_I, esp=True),
        ),
        Clause(
            aspect="Child SA key exchange",
            section="RFC 8247 2.4",
            asks="the groups that are good for IKE",
            verdicts=_by_status(_K),
        ),
    ),
)

_NIST_AES: Final = _all(RECOMMENDED, (*_AES_AEAD, *_AES_CLASSIC, *_AES_SHORT_ICV))
_NIST_PRF: Final = _all(RECOMMENDED, _PRF_SHA2) | {
    _P.PRF_HMAC_SHA1.name: DISCOURAGED,
    _P.PRF_HMAC_MD5.name: FORBIDDEN,
}
_NIST_GROUP_VERDICTS: Final = (
    _all(RECOMMENDED, _NIST_GROUPS)
    | _all(ALLOWED, (_K.CURVE25519, _K.CURVE448, *_ML_KEM))
    | _all(FORBIDDEN, (_K.MODP_768, _K.MODP_1024, _K.MODP_1536, _K.MODP_1024_160))
)

NIST: Final = Profile(
    name="nist-sp800-77r1",
    title="NIST SP 800-77r1",
    about="NIST's Guide to IPsec VPNs",
    edition="Revision 1, June 2020",
    checked="against quotations from the guide; it is older than ML-KEM, which is not judged",
    clauses=(
        Clause(
            aspect="IKE version",
            section="SP 800-77r1 Table 1 and 3.11",
            asks="IKEv2; IKEv1 is legacy",
            verdicts={"IKEv1": DISCOURAGED},
        ),
        Clause(
            aspect="IKEv1 mode",
            section="SP 800-77r1 Table 1 and 7.2.6",
            asks="main mode; aggressive mode is legacy and to be avoided",
            verdicts={"aggressive": DISCOURAGED},
        ),
        Clause(
            aspect="IKE encryption",
            section="SP 800-77r1 Table 1",
            asks="AES in GCM, CTR, CBC or CCM with 128, 192 or 256 bits; 3DES is legacy",
            verdicts=_NIST_AES | {_E.ENCR_3DES.name: DISCOURAGED},
            other=FORBIDDEN,
        ),
        Clause(
            aspect="IKE PRF",
            section="SP 800-77r1 Table 1 and 7.2.3",
            asks="HMAC with SHA-256, SHA-384 or SHA-512; SHA-1 is legacy, MD5 was never approved",
            verdicts=_NIST_PRF,
            other=DISCOURAGED,
        ),
        Clause(
            aspect="IKE integrity",
            section="SP 800-77r1 Table 1 and 7.2.3",
            asks="HMAC with SHA-256, SHA-384 or SHA-512; SHA-1 is legacy, MD5 was never approved",
            verdicts=_all(RECOMMENDED, _INTEG_SHA2)
            | {_I.AUTH_HMAC_SHA1_96.name: DISCOURAGED, _I.AUTH_HMAC_MD5_96.name: FORBIDDEN},
            other=DISCOURAGED,
        ),
        Clause(
            aspect="IKE key exchange",
            section="SP 800-77r1 Table 1 and 7.2.4.2",
            asks="groups 14 to 21; groups 1, 2, 5 and 22 are not approved; groups 31 and 32 were expected to be",
            verdicts=_NIST_GROUP_VERDICTS,
            other=DISCOURAGED,
        ),
        Clause(
            aspect="authentication",
            section="SP 800-77r1 3.3.5",
            asks="certificates or pre-shared keys; NULL authentication is not approved",
            verdicts={"NULL": FORBIDDEN},
        ),
        Clause(
            aspect="RSA key",
            section="SP 800-77r1 Table 1",
            asks="128 bits of security: RSA with 3072 bits or more",
            least=(3072, DISCOURAGED),
        ),
        Clause(
            aspect="IKE SA lifetime",
            section="SP 800-77r1 Table 1",
            asks="at most 24 hours",
            most=(24 * HOUR, DISCOURAGED),
        ),
        Clause(
            aspect="Child SA protocol",
            section="SP 800-77r1 4.5",
            asks="ESP; AH should not be deployed",
            verdicts={"AH": DISCOURAGED},
        ),
        Clause(
            aspect="ESP encryption",
            section="SP 800-77r1 Table 1 and 4.1.4",
            asks="AES in GCM, CTR, CBC or CCM; NULL or GMAC where nothing is to be hidden; 3DES is over since 2023",
            verdicts=_NIST_AES | _all(ALLOWED, (_E.ENCR_NULL, _E.ENCR_NULL_AUTH_AES_GMAC)),
            other=FORBIDDEN,
        ),
        Clause(
            aspect="ESP integrity",
            section="SP 800-77r1 Table 1 and 4.1.4",
            asks="HMAC with SHA-256, SHA-384 or SHA-512, or AES-GMAC; no HMAC-SHA-1, no HMAC-MD5",
            verdicts=_all(RECOMMENDED, (*_INTEG_SHA2, *_INTEG_GMAC)) | {_I.AUTH_HMAC_SHA1_96.name: DISCOURAGED},
            other=FORBIDDEN,
        ),
        Clause(
            aspect="Child SA key exchange",
            section="SP 800-77r1 7.2.6",
            asks="groups 14 to 21, no weaker than that of IKE",
            verdicts=_NIST_GROUP_VERDICTS,
            other=DISCOURAGED,
        ),
        Clause(
            aspect="forward secrecy",
            section="SP 800-77r1 2.2 and 7.2.6",
            asks="a key exchange at every renewal, where resources allow",
            verdicts={NO_FORWARD_SECRECY: DISCOURAGED},
        ),
        Clause(
            aspect="Child SA lifetime",
            section="SP 800-77r1 Table 1",
            asks="at most 8 hours",
            most=(8 * HOUR, DISCOURAGED),
        ),
    ),
)

_CNSA_AES: Final = {_E.ENCR_AES_GCM_16.name: RECOMMENDED} | _all(DISCOURAGED, (*_AES_CLASSIC, *_AES_AEAD[1:]))
_CNSA_GROUPS: Final = {_K.ML_KEM_1024.name: RECOMMENDED} | _all(ALLOWED, (_K.ECP_384, _K.MODP_3072, _K.MODP_4096))

CNSA: Final = Profile(
    name="cnsa2",
    title="CNSA 2.0",
    about="NSA's Commercial National Security Algorithm Suite, as far as it is about IPsec",
    edition="PP-22-1338 (2022), RFC 9206 (2022), draft-guthrie-cnsa2-ipsec-profile-04 (2026)",
    checked="the algorithms against the advisory's tables; the draft's text only as others report it",
    clauses=(
        Clause(
            aspect="IKE version",
            section="RFC 9206",
            asks="IKEv2 only",
            verdicts={"IKEv1": FORBIDDEN},
        ),
        Clause(
            aspect="IKE encryption",
            section="CNSA 2.0 Table II, draft-guthrie",
            asks="AES-256, as AES-GCM with a 16-octet ICV",
            verdicts=_CNSA_AES,
            other=FORBIDDEN,
            least=(256, FORBIDDEN),
        ),
        Clause(
            aspect="IKE PRF",
            section="CNSA 2.0 Table II",
            asks="SHA-384 or SHA-512",
            verdicts=_all(RECOMMENDED, _PRF_SHA2[1:]),
            other=FORBIDDEN,
        ),
        Clause(
            aspect="IKE integrity",
            section="CNSA 2.0 Table II",
            asks="SHA-384 or SHA-512 (none beside AES-GCM)",
            verdicts=_all(RECOMMENDED, _INTEG_SHA2[1:]),
            other=FORBIDDEN,
        ),
        Clause(
            aspect="IKE key exchange",
            section="CNSA 2.0 Table III, RFC 9206 5",
            asks="ML-KEM-1024 beside ECP-384 (or MODP-3072 or 4096 while CNSA 1.0 lasts)",
            verdicts=_CNSA_GROUPS,
            other=FORBIDDEN,
        ),
        Clause(
            aspect="post-quantum key exchange",
            section="CNSA 2.0 Table III",
            asks="ML-KEM-1024; a smaller ML-KEM or a PPK is not enough",
            verdicts={
                NO_PQ: FORBIDDEN,
                PPK: DISCOURAGED,
                _K.ML_KEM_1024.name: RECOMMENDED,
                **_all(FORBIDDEN, _ML_KEM[:2]),
            },
        ),
        Clause(
            aspect="authentication",
            section="CNSA 2.0 Table III",
            asks="ML-DSA-87; RSA and ECDSA only until CNSA 2.0 is mandatory (2030 for network equipment)",
            verdicts={
                "RSA": DISCOURAGED,
                "ECDSA": DISCOURAGED,
                "EDDSA": FORBIDDEN,
                "DSS": FORBIDDEN,
                "NULL": FORBIDDEN,
            },
        ),
        Clause(
            aspect="RSA key",
            section="CNSA 1.0 (RFC 9206)",
            asks="3072 bits or more",
            least=(3072, FORBIDDEN),
        ),
        Clause(
            aspect="elliptic curve key",
            section="CNSA 1.0 (RFC 9206)",
            asks="P-384",
            least=(384, FORBIDDEN),
        ),
        Clause(
            aspect="Child SA protocol",
            section="RFC 9206",
            asks="ESP",
            verdicts={"AH": DISCOURAGED},
        ),
        Clause(
            aspect="ESP encryption",
            section="CNSA 2.0 Table II, draft-guthrie",
            asks="AES-256, as AES-GCM with a 16-octet ICV",
            verdicts=_CNSA_AES,
            other=FORBIDDEN,
            least=(256, FORBIDDEN),
        ),
        Clause(
            aspect="ESP integrity",
            section="CNSA 2.0 Table II",
            asks="SHA-384 or SHA-512 (none beside AES-GCM)",
            verdicts=_all(RECOMMENDED, _INTEG_SHA2[1:]),
            other=FORBIDDEN,
        ),
        Clause(
            aspect="Child SA key exchange",
            section="CNSA 2.0 Table III",
            asks="the methods that are good for IKE",
            verdicts=_CNSA_GROUPS,
            other=FORBIDDEN,
        ),
    ),
)

_BSI_CIPHERS: Final = _all(RECOMMENDED, (*_AES_AEAD, *_AES_CLASSIC)) | _all(
    FORBIDDEN, (_E.ENCR_3DES, _E.ENCR_DES, _E.ENCR_BLOWFISH, _E.ENCR_CAST, _E.ENCR_IDEA, _E.ENCR_NULL)
)
_BSI_INTEGRITY: Final = _all(RECOMMENDED, (*_INTEG_SHA2, _I.AUTH_AES_XCBC_96, _I.AUTH_AES_CMAC_96)) | _all(
    FORBIDDEN, (_I.AUTH_HMAC_SHA1_96, _I.AUTH_HMAC_MD5_96)
)
_BSI_GROUPS: Final = (
    _all(RECOMMENDED, (_K.MODP_3072, _K.MODP_4096, _K.ECP_256, _K.ECP_384, _K.ECP_521, *_BRAINPOOL, *_ML_KEM[1:]))
    | _all(ALLOWED, (_K.MODP_6144, _K.MODP_8192))
    | _all(
        FORBIDDEN,
        (
            *(_K.MODP_768, _K.MODP_1024, _K.MODP_1536, _K.MODP_2048),
            *(_K.MODP_1024_160, _K.MODP_2048_224, _K.MODP_2048_256),
            *(_K.ECP_192, _K.ECP_224, _K.BRAINPOOL_P224R1),
        ),
    )
)

BSI: Final = Profile(
    name="bsi-tr-02102-3",
    title="BSI TR-02102-3",
    about="The BSI's technical guideline on the use of IPsec and IKEv2",
    edition="2026-01",
    checked="lifetimes, ciphers and PRFs against summaries; the groups are those of earlier editions",
    clauses=(
        Clause(
            aspect="IKE version",
            section="TR-02102-3 2.1",
            asks="IKEv2",
            verdicts={"IKEv1": DISCOURAGED},
        ),
        Clause(
            aspect="IKE encryption",
            section="TR-02102-3 3.2.1",
            asks="AES in CBC, CTR, GCM-12, GCM-16, CCM-12 or CCM-16",
            verdicts=_BSI_CIPHERS,
            other=DISCOURAGED,
        ),
        Clause(
            aspect="IKE PRF",
            section="TR-02102-3 3.2.2",
            asks="HMAC with SHA-256, SHA-384 or SHA-512, AES-XCBC or AES-CMAC",
            verdicts=_all(RECOMMENDED, (*_PRF_SHA2, _P.PRF_AES128_XCBC, _P.PRF_AES128_CMAC))
            | _all(FORBIDDEN, (_P.PRF_HMAC_SHA1, _P.PRF_HMAC_MD5)),
            other=DISCOURAGED,
        ),
        Clause(
            aspect="IKE integrity",
            section="TR-02102-3 3.2.3",
            asks="HMAC with SHA-256, SHA-384 or SHA-512, AES-XCBC or AES-CMAC",
            verdicts=_BSI_INTEGRITY,
            other=DISCOURAGED,
        ),
        Clause(
            aspect="IKE key exchange",
            section="TR-02102-3 3.2.4",
            asks="MODP of 3000 bits or more, ECP-256, 384 or 521, Brainpool P256, P384 or P512; ML-KEM beside them",
            verdicts=_BSI_GROUPS,
            other=DISCOURAGED,
        ),
        Clause(
            aspect="post-quantum key exchange",
            section="TR-02102-3 (2026-01)",
            asks="a hybrid with ML-KEM-768 or 1024; classical key agreement alone only until the end of 2031",
            verdicts={NO_PQ: DISCOURAGED, _K.ML_KEM_512.name: DISCOURAGED},
        ),
        Clause(
            aspect="RSA key",
            section="TR-02102-3 3.2.5",
            asks="3000 bits or more",
            least=(3000, FORBIDDEN),
        ),
        Clause(
            aspect="elliptic curve key",
            section="TR-02102-3 3.2.5",
            asks="250 bits or more",
            least=(250, FORBIDDEN),
        ),
        Clause(
            aspect="IKE SA lifetime",
            section="TR-02102-3 2.1.2",
            asks="at most 24 hours",
            most=(24 * HOUR, DISCOURAGED),
        ),
        Clause(
            aspect="ESP encryption",
            section="TR-02102-3 3.3.1",
            asks="AES in CBC, CTR, GCM-12, GCM-16, CCM-12 or CCM-16",
            verdicts=_BSI_CIPHERS,
            other=DISCOURAGED,
        ),
        Clause(
            aspect="ESP integrity",
            section="TR-02102-3 3.3.2",
            asks="HMAC with SHA-256, SHA-384 or SHA-512, AES-XCBC or AES-CMAC",
            verdicts=_BSI_INTEGRITY | {NO_INTEGRITY: FORBIDDEN},
            other=DISCOURAGED,
        ),
        Clause(
            aspect="AH integrity",
            section="TR-02102-3 3.3.3",
            asks="HMAC with SHA-256, SHA-384 or SHA-512, AES-XCBC or AES-CMAC",
            verdicts=_BSI_INTEGRITY,
            other=DISCOURAGED,
        ),
        Clause(
            aspect="Child SA key exchange",
            section="TR-02102-3 3.2.4",
            asks="the groups that are good for IKE",
            verdicts=_BSI_GROUPS,
            other=DISCOURAGED,
        ),
        Clause(
            aspect="forward secrecy",
            section="TR-02102-3 2.1.5",
            asks="a key exchange at every renewal",
            verdicts={NO_FORWARD_SECRECY: DISCOURAGED},
        ),
        Clause(
            aspect="Child SA lifetime",
            section="TR-02102-3 2.1.2",
            asks="at most 4 hours",
            most=(4 * HOUR, DISCOURAGED),
        ),
    ),
)

_SEED_BROKEN: Final = _all(FORBIDDEN, (_E.ENCR_DES, _E.ENCR_3DES, _E.ENCR_DES_IV32, _E.ENCR_DES_IV64))

SEED: Final = Profile(
    name="seed",
    title="the seed text",
    about="The strong proposals of the introductory text that this project began with",
    edition="Internet Protocol Security (IPsec) protocol notes",
    checked="against the text itself",
    clauses=(
        Clause(
            aspect="IKE encryption",
            version=2,
            section="protocol notes 10",
            asks="AES-256-GCM",
            verdicts={_E.ENCR_AES_GCM_16.name: RECOMMENDED} | _SEED_BROKEN,
            other=DISCOURAGED,
            least=(256, DISCOURAGED),
        ),
        Clause(
            aspect="IKE PRF",
            version=2,
            section="protocol notes 10",
            asks="SHA-384 (or SHA-512)",
            verdicts=_all(RECOMMENDED, _PRF_SHA2[1:]) | {_P.PRF_HMAC_MD5.name: FORBIDDEN},
            other=DISCOURAGED,
        ),
        Clause(
            aspect="IKE key exchange",
            version=2,
            section="protocol notes 10",
            asks="group 20 (ECP-384) or larger, and nothing against ML-KEM beside it",
            verdicts=_all(RECOMMENDED, (_K.ECP_384, _K.ECP_521, *_ML_KEM)),
            other=DISCOURAGED,
        ),
        Clause(
            aspect="IKE encryption",
            version=1,
            section="protocol notes 10",
            asks="AES-256-CBC",
            verdicts={_E.ENCR_AES_CBC.name: RECOMMENDED} | _SEED_BROKEN,
            other=DISCOURAGED,
            least=(256, DISCOURAGED),
        ),
        Clause(
            aspect="IKE PRF",
            version=1,
            section="protocol notes 10",
            asks="SHA-256 or better; no MD5",
            verdicts=_all(RECOMMENDED, _PRF_SHA2) | {_P.PRF_HMAC_MD5.name: FORBIDDEN},
            other=DISCOURAGED,
        ),
        Clause(
            aspect="IKE key exchange",
            version=1,
            section="protocol notes 5 and 10",
            asks="group 14 or larger, or an elliptic curve",
            verdicts=_all(RECOMMENDED, _NIST_GROUPS),
            other=DISCOURAGED,
        ),
        Clause(
            aspect="IKE SA lifetime",
            section="protocol notes 10",
            asks="at most 28800 seconds",
            version=1,
            most=(8 * HOUR, DISCOURAGED),
        ),
        Clause(
            aspect="ESP encryption",
            section="protocol notes 10",
            asks="AES-256-GCM",
            verdicts={_E.ENCR_AES_GCM_16.name: RECOMMENDED} | _SEED_BROKEN,
            other=DISCOURAGED,
            least=(256, DISCOURAGED),
        ),
        Clause(
            aspect="Child SA key exchange",
            section="protocol notes 10",
            asks="group 20 or larger",
            verdicts=_all(RECOMMENDED, (_K.ECP_384, _K.ECP_521, *_ML_KEM)),
            other=DISCOURAGED,
        ),
        Clause(
            aspect="forward secrecy",
            section="protocol notes 9 and 10",
            asks="a key exchange at every renewal",
            verdicts={NO_FORWARD_SECRECY: DISCOURAGED},
        ),
        Clause(
            aspect="Child SA lifetime",
            section="protocol notes 10",
            asks="at most 3600 seconds",
            most=(HOUR, DISCOURAGED),
        ),
    ),
)

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType({each.name: each for each in (RFC, NIST, CNSA, BSI, SEED)})
"""The profiles by the name that the command line takes, in the order in which they are listed."""
