"""IANA "Extensible Authentication Protocol (EAP) Registry": codes and method types."""

from __future__ import annotations

from ipsecscope.dissect.codepoints import CodePoint


class EapCode(CodePoint):
    """EAP Packet Codes, RFC 3748 section 4 and RFC 6696 section 5.3."""

    REQUEST = 1, "3748"
    RESPONSE = 2, "3748"
    SUCCESS = 3, "3748"
    FAILURE = 4, "3748"
    INITIATE = 5, "6696"
    FINISH = 6, "6696"


class EapType(CodePoint):
    """EAP Method Types, RFC 3748 section 5, without the ``EAP-`` that all of them would begin with."""

    IDENTITY = 1, "3748"
    NOTIFICATION = 2, "3748"
    NAK = 3, "3748"
    MD5_CHALLENGE = 4, "3748"
    OTP = 5, "3748"
    GTC = 6, "3748"
    RSA_PUBLIC_KEY = 9
    DSS_UNILATERAL = 10
    KEA = 11
    KEA_VALIDATE = 12
    TLS = 13, "5216"
    DEFENDER_TOKEN = 14
    RSA_SECURID = 15
    ARCOT_SYSTEMS = 16
    CISCO_WIRELESS = 17
    SIM = 18, "4186"
    SRP_SHA1 = 19
    TTLS = 21, "5281"
    REMOTE_ACCESS_SERVICE = 22
    AKA = 23, "4187"
    THREECOM_WIRELESS = 24
    PEAP = 25
    MS_EAP_AUTHENTICATION = 26
    MAKE = 27
    CRYPTOCARD = 28
    MSCHAPV2 = 29, "draft-kamath-pppext-eap-mschapv2"
    DYNAMID = 30
    ROB = 31
    POTP = 32, "4793"
    MS_AUTHENTICATION_TLV = 33
    SENTRINET = 34
    ACTIONTEC_WIRELESS = 35
    COGENT_BIOMETRICS = 36
    AIRFORTRESS = 37
    HTTP_DIGEST = 38
    SECURESUITE = 39
    DEVICECONNECT = 40
    SPEKE = 41
    MOBAC = 42
    FAST = 43, "4851"
    ZLXEAP = 44
    LINK = 45
    PAX = 46, "4746"
    PSK = 47, "4764"
    SAKE = 48, "4763"
    IKEV2 = 49, "5106"
    AKA_PRIME = 50, "9048"
    GPSK = 51, "5433"
    PWD = 52, "5931"
    EKE = 53, "6124"
    PT_EAP = 54, "7171"
    TEAP = 55, "7170"
    NOOB = 56, "9140"
    EXPANDED = 254, "3748"
    EXPERIMENTAL = 255, "3748"
