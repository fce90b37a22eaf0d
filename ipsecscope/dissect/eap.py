"""EAP method data inside IKE (RFC 3748 section 4 and the documents of the methods).

A request or response carries a type octet and data; each type with a layout is one ``EapData`` class. This module
opens no TLS record and checks no password: it names what is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntFlag
from typing import Annotated, Any, ClassVar

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry.eap import EapType
from ipsecscope.dissect.wire import (
    REST,
    U8,
    U16,
    U24,
    U32,
    Array,
    Bytes,
    Codec,
    Computed,
    Reader,
    Sized,
    SizeOf,
    Struct,
    WireError,
)

MAX_RECORDS = 64  # TLS records named in one EAP message


def text_of(data: bytes) -> str:
    """Octets that should be text: UTF-8 where they are, escapes where they are not."""
    return data.decode("utf-8", "backslashreplace")


class EapData(Struct):
    """Root of the method layouts; ``registry`` maps EAP types to classes. Each begins with the type octet."""

    registry: ClassVar[dict[int, Any]] = {}

    @classmethod
    def variant(cls, data: bytes) -> type[EapData]:
        """The class for these octets, for methods whose layout depends on an opcode or a flag."""
        del data
        return cls


def data_class(data: bytes) -> type[EapData] | None:
    """The layout of the data of a request or response, which begins with the EAP type; None when it has none."""
    found = EapData.registry.get(data[0]) if data else None
    return None if found is None else found.variant(data)


class Text(EapData, of=(EapType.IDENTITY, EapType.NOTIFICATION), rfc="3748 5.1"):
    """An identity or a notice, as UTF-8 text."""

    eap_type: Annotated[EapType, U8]
    text: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The text."""
        return text_of(self.text)


class Token(EapData, of=(EapType.OTP, EapType.GTC), rfc="3748 5.5"):
    """A prompt, or in a response the one-time password or token itself, which is why it is never shown."""

    eap_type: Annotated[EapType, U8]
    message: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.message)} octets"


class Nak(EapData, of=EapType.NAK, rfc="3748 5.3.1"):
    """The methods the peer would rather use; 0 means none."""

    eap_type: Annotated[EapType, U8] = EapType.NAK
    data: Annotated[bytes, REST] = b""

    @property
    def methods(self) -> tuple[EapType, ...]:
        """The wanted methods, one octet each."""
        return tuple(EapType(octet) for octet in self.data)

    def summary(self) -> str:
        """The wanted methods."""
        return "wants " + (" ".join(str(method) for method in self.methods if method) or "nothing else")


class Md5Challenge(EapData, of=EapType.MD5_CHALLENGE, rfc="3748 5.4"):
    """A challenge, or the MD5 over identifier, password and challenge."""

    eap_type: Annotated[EapType, U8] = EapType.MD5_CHALLENGE
    value_size: Annotated[int | None, U8, SizeOf("value")] = None
    value: Annotated[bytes, Sized("value_size")]
    name: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The name."""
        return text_of(self.name)


class Expanded(EapData, of=EapType.EXPANDED, rfc="3748 5.7"):
    """A method of a vendor; vendor 0 repeats the IETF's own types."""

    eap_type: Annotated[EapType, U8] = EapType.EXPANDED
    vendor_id: Annotated[int, U24]
    vendor_type: Annotated[int, U32]
    vendor_data: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """Vendor and type."""
        if self.vendor_id == 0:
            return str(EapType(self.vendor_type))
        return f"vendor {self.vendor_id} type {self.vendor_type}"


class TlsFlags(IntFlag):
    """The flags of the TLS-based methods; the low three bits are a version in all but EAP-TLS."""

    LENGTH_INCLUDED = 0x80
    MORE_FRAGMENTS = 0x40
    START = 0x20


class TlsContentType(CodePoint):
    """TLS record types, RFC 8446 section 5.1."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23
    HEARTBEAT = 24


class TlsHandshakeType(CodePoint):
    """TLS handshake types, RFC 8446 section 4 and RFC 5246 section 7.4."""

    HELLO_REQUEST = 0
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    NEW_SESSION_TICKET = 4
    END_OF_EARLY_DATA = 5
    ENCRYPTED_EXTENSIONS = 8
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    CLIENT_KEY_EXCHANGE = 16
    FINISHED = 20
    CERTIFICATE_STATUS = 22
    KEY_UPDATE = 24


def tls_records(data: bytes) -> Iterator[str]:
    """The names of the TLS records that begin in ``data``; handshake records by their first message."""
    at = 0
    for _ in range(MAX_RECORDS):
        if at + 5 > len(data) or not TlsContentType(data[at]).is_known or data[at + 1] != 3:
            return
        kind, size = TlsContentType(data[at]), int.from_bytes(data[at + 3 : at + 5], "big")
        first = data[at + 5 : at + 6]
        known = kind == TlsContentType.HANDSHAKE and first and TlsHandshakeType(first[0]).is_known
        yield str(TlsHandshakeType(first[0])) if known else str(kind)
        at += 5 + size


class TlsMethod(EapData, of=(EapType.TLS, EapType.TTLS, EapType.PEAP, EapType.FAST, EapType.TEAP), rfc="5216 3.1"):
    """A message of a TLS-based method, or the acknowledgement of a fragment when there is no data."""

    eap_type: Annotated[EapType, U8]
    flags: Annotated[int, U8] = 0
    tls_data: Annotated[bytes, REST] = b""

    @classmethod
    def variant(cls, data: bytes) -> type[EapData]:
        """The layout with a length when its flag is set."""
        return TlsMethodWithLength if len(data) > 1 and data[1] & TlsFlags.LENGTH_INCLUDED else cls

    @property
    def records(self) -> tuple[str, ...]:
        """The TLS records by name, where this message is no later fragment."""
        return tuple(tls_records(self.tls_data))

    def summary(self) -> str:
        """The flags and the records."""
        return _tls_summary(self.flags, self.tls_data)


class TlsMethodWithLength(EapData, rfc="5216 3.1"):
    """The first or only fragment of a TLS message, with the octets of the whole message."""

    eap_type: Annotated[EapType, U8]
    flags: Annotated[int, U8] = TlsFlags.LENGTH_INCLUDED
    tls_message_length: Annotated[int, U32]
    tls_data: Annotated[bytes, REST] = b""

    @property
    def records(self) -> tuple[str, ...]:
        """The TLS records by name."""
        return tuple(tls_records(self.tls_data))

    def summary(self) -> str:
        """The flags and the records."""
        return _tls_summary(self.flags, self.tls_data)


def _tls_summary(flags: int, data: bytes) -> str:
    names = [str(flag.name) for flag in (TlsFlags.START, TlsFlags.MORE_FRAGMENTS) if flags & flag]
    return " ".join([*names, *tls_records(data)]) or f"{len(data)} octets"


class MsChapV2OpCode(CodePoint):
    """EAP-MSCHAPv2 operations, draft-kamath-pppext-eap-mschapv2 section 2."""

    CHALLENGE = 1
    RESPONSE = 2
    SUCCESS = 3
    FAILURE = 4
    CHANGE_PASSWORD = 7


class MsChapV2Challenge(EapData, rfc="draft-kamath-pppext-eap-mschapv2 2.1"):
    """The authenticator's challenge and name."""

    eap_type: Annotated[EapType, U8] = EapType.MS_EAP_AUTHENTICATION
    op_code: Annotated[MsChapV2OpCode, U8] = MsChapV2OpCode.CHALLENGE
    ms_chapv2_id: Annotated[int, U8]
    ms_length: Annotated[int, U16]
    value_size: Annotated[int | None, U8, SizeOf("challenge")] = None
    challenge: Annotated[bytes, Sized("value_size")]
    name: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The operation and the name."""
        return f"{self.op_code} {text_of(self.name)}".rstrip()


class MsChapV2Response(EapData, rfc="draft-kamath-pppext-eap-mschapv2 2.2"):
    """The peer's answer and name."""

    eap_type: Annotated[EapType, U8] = EapType.MS_EAP_AUTHENTICATION
    op_code: Annotated[MsChapV2OpCode, U8] = MsChapV2OpCode.RESPONSE
    ms_chapv2_id: Annotated[int, U8]
    ms_length: Annotated[int, U16]
    value_size: Annotated[int, U8] = 49
    peer_challenge: Annotated[bytes, Bytes(16)]
    reserved: Annotated[bytes, Bytes(8)] = bytes(8)
    nt_response: Annotated[bytes, Bytes(24)]
    flags: Annotated[int, U8] = 0
    name: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The operation and the name."""
        return f"{self.op_code} {text_of(self.name)}".rstrip()


class MsChapV2Verdict(EapData, rfc="draft-kamath-pppext-eap-mschapv2 2.3"):
    """Success (``S=… M=…``) or failure (``E=691 R=1 C=… V=3 M=…``), with its message."""

    eap_type: Annotated[EapType, U8] = EapType.MS_EAP_AUTHENTICATION
    op_code: Annotated[MsChapV2OpCode, U8]
    ms_chapv2_id: Annotated[int, U8]
    ms_length: Annotated[int, U16]
    message: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The operation and the message."""
        return f"{self.op_code} {text_of(self.message)}".rstrip()


class MsChapV2(EapData, of=EapType.MS_EAP_AUTHENTICATION, rfc="draft-kamath-pppext-eap-mschapv2 2"):
    """An operation without layout of its own: an acknowledgement, or a change of password."""

    eap_type: Annotated[EapType, U8] = EapType.MS_EAP_AUTHENTICATION
    op_code: Annotated[MsChapV2OpCode, U8]
    rest: Annotated[bytes, REST] = b""

    @classmethod
    def variant(cls, data: bytes) -> type[EapData]:
        """The layout of the operation; a lone operation code is an acknowledgement."""
        return _MSCHAPV2.get(data[1], cls) if len(data) > 2 else cls

    def summary(self) -> str:
        """The operation."""
        return str(self.op_code)


_MSCHAPV2: dict[int, type[EapData]] = {
    MsChapV2OpCode.CHALLENGE: MsChapV2Challenge,
    MsChapV2OpCode.RESPONSE: MsChapV2Response,
    MsChapV2OpCode.SUCCESS: MsChapV2Verdict,
    MsChapV2OpCode.FAILURE: MsChapV2Verdict,
}


class AkaSubtype(CodePoint):
    """EAP-SIM, EAP-AKA and EAP-AKA' message subtypes."""

    AKA_CHALLENGE = 1, "4187"
    AKA_AUTHENTICATION_REJECT = 2, "4187"
    AKA_SYNCHRONIZATION_FAILURE = 4, "4187"
    AKA_IDENTITY = 5, "4187"
    SIM_START = 10, "4186"
    SIM_CHALLENGE = 11, "4186"
    NOTIFICATION = 12, "4187"
    REAUTHENTICATION = 13, "4187"
    CLIENT_ERROR = 14, "4187"


class AkaAttributeType(CodePoint):
    """EAP-SIM and EAP-AKA attributes."""

    AT_RAND = 1, "4187"
    AT_AUTN = 2, "4187"
    AT_RES = 3, "4187"
    AT_AUTS = 4, "4187"
    AT_PADDING = 6, "4187"
    AT_NONCE_MT = 7, "4186"
    AT_PERMANENT_ID_REQ = 10, "4187"
    AT_MAC = 11, "4187"
    AT_NOTIFICATION = 12, "4187"
    AT_ANY_ID_REQ = 13, "4187"
    AT_IDENTITY = 14, "4187"
    AT_VERSION_LIST = 15, "4186"
    AT_SELECTED_VERSION = 16, "4186"
    AT_FULLAUTH_ID_REQ = 17, "4187"
    AT_COUNTER = 19, "4187"
    AT_COUNTER_TOO_SMALL = 20, "4187"
    AT_NONCE_S = 21, "4187"
    AT_CLIENT_ERROR_CODE = 22, "4187"
    AT_KDF_INPUT = 23, "9048"
    AT_KDF = 24, "9048"
    AT_IV = 129, "4187"
    AT_ENCR_DATA = 130, "4187"
    AT_NEXT_PSEUDONYM = 132, "4187"
    AT_NEXT_REAUTH_ID = 133, "4187"
    AT_CHECKCODE = 134, "4187"
    AT_RESULT_IND = 135, "4187"
    AT_BIDDING = 136, "9048"
    AT_IPMS_IND = 137
    AT_IPMS_RES = 138
    AT_TRUST_IND = 139
    AT_SHORT_NAME_FOR_NETWORK = 140
    AT_FULL_NAME_FOR_NETWORK = 141
    AT_RQSI_IND = 142
    AT_RQSI_RES = 143
    AT_TWAN_CONN_MODE = 144
    AT_VIRTUAL_NETWORK_ID = 145
    AT_VIRTUAL_NETWORK_REQ = 146
    AT_CONNECTIVITY_TYPE = 147
    AT_HANDOVER_INDICATION = 148
    AT_HANDOVER_SESSION_ID = 149
    AT_MN_SERIAL_ID = 150
    AT_DEVICE_IDENTITY = 151
    AT_PUB_ECDHE = 152, "9678"
    AT_KDF_FS = 153, "9678"


_WITH_TEXT = (AkaAttributeType.AT_IDENTITY, AkaAttributeType.AT_KDF_INPUT)


class _Words(Codec):
    """A value whose size the earlier field gives in units of four octets, type and length octet included."""

    by = "length"

    def get(self, reader: Reader, by: int = 0) -> bytes:
        if by == 0:
            raise WireError("an attribute of length 0", reader.pos - 1, reader.pos)
        return reader.take(by * 4 - 2)

    def put(self, out: bytearray, value: Any) -> None:
        out += value


class AkaAttribute(Struct, rfc="4187 8.1"):
    """One attribute; ``value`` is four times its length octet less two octets."""

    attribute_type: Annotated[AkaAttributeType, U8]
    length: Annotated[int | None, U8, SizeOf("value", 2)] = None
    value: Annotated[bytes, _Words()]

    def _computed(self, rule: Computed, *, last: bool) -> int:
        return -(-super()._computed(rule, last=last) // 4)

    def summary(self) -> str:
        """The name, and the text of an attribute that holds text."""
        if self.attribute_type not in _WITH_TEXT:
            return str(self.attribute_type)
        size = int.from_bytes(self.value[:2], "big")
        return f"{self.attribute_type}={text_of(self.value[2 : 2 + size])}"


class Aka(EapData, of=(EapType.SIM, EapType.AKA, EapType.AKA_PRIME), rfc="4187 8.1"):
    """A message of EAP-SIM, EAP-AKA or EAP-AKA'."""

    eap_type: Annotated[EapType, U8]
    subtype: Annotated[AkaSubtype, U8]
    reserved: Annotated[int, U16] = 0
    attributes: Annotated[tuple[AkaAttribute, ...], Array(AkaAttribute)] = ()

    def summary(self) -> str:
        """The subtype and the attributes."""
        return " ".join([str(self.subtype), *(attribute.summary() for attribute in self.attributes)])
