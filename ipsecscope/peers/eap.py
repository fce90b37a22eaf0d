"""EAP inside IKEv2, both ends: Identity, then MD5, GTC, MSCHAPv2 or TLS (RFC 3748, RFC 7296 section 2.16).

Only MSCHAPv2 and TLS yield a key; behind the others AUTH is keyed with SK_pi and SK_pr, which is why they need a gateway that
proves itself with a certificate.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect import eap
from ipsecscope.dissect.ikev2 import Eap
from ipsecscope.dissect.registry.eap import EapCode, EapType
from ipsecscope.dissect.wire import Struct
from ipsecscope.peers import mschapv2
from ipsecscope.peers.config import Credentials, EapMethod, TlsVersion
from ipsecscope.peers.eap_tls import TlsEnd, TlsTrust, is_empty
from ipsecscope.peers.entropy import Entropy

MAX_ROUNDS = 64  # EAP messages that one side sends: EAP-TLS needs one for each fragment
TYPES: dict[EapMethod, EapType] = {
    EapMethod.MD5: EapType.MD5_CHALLENGE,
    EapMethod.GTC: EapType.GTC,
    EapMethod.MSCHAPV2: EapType.MS_EAP_AUTHENTICATION,
    EapMethod.TLS: EapType.TLS,
}
_MSCHAP_HEADER = 4  # op code, identifier and length: what MS-Length counts besides the rest
_VALUE_SIZE = 49


class EapClient:
    """The end that is asked. ``failed`` and ``succeeded`` say how it went, ``msk`` is the key of the method."""

    def __init__(self, credentials: Credentials, entropy: Entropy, newest_tls: TlsVersion = TlsVersion.TLS_1_3) -> None:
        self._credentials = credentials
        self._tls = TlsEnd(credentials, is_server=False, newest=newest_tls)
        self._entropy = entropy
        self._expected = b""  # what the authenticator must prove itself with
        self.msk = Secret(b"")
        self.succeeded = False
        self.failed = False
        self._rounds = 0

    @property
    def why(self) -> str:
        """What EAP-TLS did not like, empty for nothing."""
        return self._tls.why

    def take(self, asked: Eap, trust: TlsTrust) -> Eap | None:
        """The response to a request; None behind a success or a failure. ``trust`` is for EAP-TLS."""
        self._rounds += 1
        if asked.code == EapCode.SUCCESS:
            is_tls = self._credentials.eap_method == EapMethod.TLS
            self.succeeded = self._tls.is_done if is_tls else not self._expected
            self.failed = not self.succeeded
            return None
        if asked.code != EapCode.REQUEST or self._rounds > MAX_ROUNDS:
            self.failed = True
            return None
        kind, content = asked.eap_type, asked.content()
        if kind == EapType.TLS and self._credentials.eap_method == EapMethod.TLS:
            answer = self._tls.take(content, trust)
            self.msk = self._tls.msk
        else:
            answer = self._answer(asked, kind, content)
        if answer is None:
            self.failed = True
            return None
        return Eap(code=EapCode.RESPONSE, identifier=asked.identifier, data=answer)

    def _answer(self, asked: Eap, kind: EapType | None, content: Struct | None) -> bytes:
        user, wanted = self._credentials.user.encode(), TYPES[self._credentials.eap_method]
        if kind == EapType.IDENTITY:
            return eap.Text(eap_type=EapType.IDENTITY, text=user).build()
        if kind == EapType.NOTIFICATION:
            return eap.Text(eap_type=EapType.NOTIFICATION).build()
        if kind != wanted or content is None:
            return eap.Nak(data=bytes((int(wanted),))).build()  # RFC 3748 section 5.3.1
        if isinstance(content, eap.Md5Challenge):
            value = md5_value(asked.identifier, self._credentials.password, content.value)
            return eap.Md5Challenge(value=value, name=user).build()
        if isinstance(content, eap.Token):
            return eap.Token(eap_type=EapType.GTC, message=self._credentials.password.reveal()).build()
        return self._mschapv2(content, user)

    def _mschapv2(self, content: Struct, user: bytes) -> bytes:
        password = self._credentials.password
        if isinstance(content, eap.MsChapV2Challenge):
            own = self._entropy.octets(mschapv2.CHALLENGE_SIZE, "EAP challenge")
            response = mschapv2.nt_response(password, own, content.challenge, user)
            hashed = mschapv2.challenge_hash(own, content.challenge, user)
            self._expected = mschapv2.authenticator_response(password, response, hashed)
            self.msk = mschapv2.session_key(password, response)
            return eap.MsChapV2Response(
                op_code=eap.MsChapV2OpCode.RESPONSE,
                ms_chapv2_id=content.ms_chapv2_id,
                ms_length=_MSCHAP_HEADER + 1 + _VALUE_SIZE + len(user),
                peer_challenge=own,
                nt_response=response,
                name=user,
            ).build()
        is_success = isinstance(content, eap.MsChapV2Verdict) and content.op_code == eap.MsChapV2OpCode.SUCCESS
        if is_success and isinstance(content, eap.MsChapV2Verdict):
            proven = hmac.compare_digest(content.message[: len(self._expected)], self._expected)
            if proven and self._expected:
                self._expected = b""
                return eap.MsChapV2(op_code=eap.MsChapV2OpCode.SUCCESS).build()
        self.failed = True
        return eap.MsChapV2(op_code=eap.MsChapV2OpCode.FAILURE).build()


def md5_value(identifier: int, password: Secret, challenge: bytes) -> bytes:
    """The value of an MD5-Challenge response, RFC 1994 section 4.1."""
    return hashlib.md5(bytes((identifier,)) + password.reveal() + challenge, usedforsecurity=False).digest()


class EapServer:
    """The end that asks."""

    def __init__(
        self,
        methods: tuple[EapMethod, ...],
        users: Mapping[str, Secret],
        entropy: Entropy,
        tls: TlsEnd | None = None,
    ) -> None:
        self._methods = tuple(method for method in methods if method != EapMethod.TLS or tls is not None)
        self._tls = tls
        self._trust: TlsTrust | None = None
        self._users = users
        self._entropy = entropy
        self._identifier = 0
        self._challenge = b""
        self._method: EapMethod | None = None
        self._step: Callable[[Eap, Struct | None], Eap] = self._identity
        self.user = ""
        self.msk = Secret(b"")
        self.succeeded = False
        self.failed = False
        self._rounds = 0

    def begin(self) -> Eap:
        """The first request."""
        return self._request(eap.Text(eap_type=EapType.IDENTITY))

    def take(self, answered: Eap, trust: TlsTrust) -> Eap:
        """The next request, or a success or a failure, which ends the conversation. ``trust`` is for EAP-TLS."""
        self._trust = trust
        self._rounds += 1
        wrong = answered.code != EapCode.RESPONSE or answered.identifier != self._identifier
        if wrong or self._rounds > MAX_ROUNDS:
            return self._fail()
        return self._step(answered, answered.content())

    def _request(self, data: Struct) -> Eap:
        return self._request_octets(data.build())

    def _request_octets(self, data: bytes) -> Eap:
        self._identifier = (self._identifier + 1) & 0xFF
        return Eap(code=EapCode.REQUEST, identifier=self._identifier, data=data)

    def _fail(self) -> Eap:
        self.failed = True
        return Eap(code=EapCode.FAILURE, identifier=self._identifier)

    def _succeed(self) -> Eap:
        self.succeeded = True
        return Eap(code=EapCode.SUCCESS, identifier=self._identifier)

    @property
    def _password(self) -> Secret:
        return self._users.get(self.user, Secret(b""))

    def _identity(self, answered: Eap, content: Struct | None) -> Eap:
        if answered.eap_type != EapType.IDENTITY or not isinstance(content, eap.Text) or not self._methods:
            return self._fail()
        self.user = content.text.decode("utf-8", "replace")
        return self._ask(self._methods[0])

    def _ask(self, method: EapMethod) -> Eap:
        """The request that begins a method."""
        self._method, self._step = method, self._response
        self._challenge = self._entropy.octets(mschapv2.CHALLENGE_SIZE, "EAP challenge")
        if method == EapMethod.TLS and self._tls is not None:
            return self._request_octets(self._tls.start())
        if method == EapMethod.MD5:
            return self._request(eap.Md5Challenge(value=self._challenge))
        if method == EapMethod.GTC:
            return self._request(eap.Token(eap_type=EapType.GTC, message=b"Password: "))
        name = b"ipsecscope"
        size = _MSCHAP_HEADER + 1 + len(self._challenge) + len(name)
        number = (self._identifier + 1) & 0xFF
        return self._request(
            eap.MsChapV2Challenge(ms_chapv2_id=number, ms_length=size, challenge=self._challenge, name=name)
        )

    def _response(self, answered: Eap, content: Struct | None) -> Eap:
        if isinstance(content, eap.Nak):
            return self._negotiate(content)
        if self._method == EapMethod.TLS:
            return self._shake(content)
        password = self._password
        if not password:
            return self._fail()
        if isinstance(content, eap.Md5Challenge) and self._method == EapMethod.MD5:
            right = hmac.compare_digest(content.value, md5_value(answered.identifier, password, self._challenge))
            return self._succeed() if right else self._fail()
        if isinstance(content, eap.Token) and self._method == EapMethod.GTC:
            right = hmac.compare_digest(content.message, password.reveal())
            return self._succeed() if right else self._fail()
        if isinstance(content, eap.MsChapV2Response) and self._method == EapMethod.MSCHAPV2:
            return self._judge(content, password)
        return self._fail()

    def _shake(self, content: Struct | None) -> Eap:
        """The next fragment of TLS; what ends it is acknowledged by the client with an empty message."""
        tls, trust = self._tls, self._trust
        if tls is None or trust is None or not isinstance(content, eap.EapData):
            return self._fail()
        if is_empty(content) and tls.is_over:
            self.msk = tls.msk
            return self._succeed() if tls.is_done else self._fail()
        following = tls.take(content, trust)
        if following is None or (tls.why and is_empty(following)):
            return self._fail()
        return self._request_octets(following)

    def _negotiate(self, content: eap.Nak) -> Eap:
        """Another method, when the client wants one that we have and did not ask for yet."""
        left = self._methods[self._methods.index(self._method) + 1 :] if self._method in self._methods else ()
        wanted = next((method for method in left if TYPES[method] in content.methods), None)
        return self._fail() if wanted is None else self._ask(wanted)

    def _judge(self, content: eap.MsChapV2Response, password: Secret) -> Eap:
        expected = mschapv2.nt_response(password, content.peer_challenge, self._challenge, content.name)
        number = content.ms_chapv2_id
        self._step = self._acknowledged
        if content.name.decode("utf-8", "replace") == self.user and hmac.compare_digest(expected, content.nt_response):
            hashed = mschapv2.challenge_hash(content.peer_challenge, self._challenge, content.name)
            message = mschapv2.authenticator_response(password, expected, hashed) + b" M=Welcome"
            self.msk = mschapv2.session_key(password, expected)
            code = eap.MsChapV2OpCode.SUCCESS
        else:
            challenge = self._challenge.hex().upper().encode()
            message = b"E=691 R=0 C=" + challenge + b" V=3 M=Authentication failed"
            code = eap.MsChapV2OpCode.FAILURE
        size = _MSCHAP_HEADER + len(message)
        return self._request(eap.MsChapV2Verdict(op_code=code, ms_chapv2_id=number, ms_length=size, message=message))

    def _acknowledged(self, answered: Eap, content: Struct | None) -> Eap:
        del answered
        agreed = isinstance(content, eap.MsChapV2) and content.op_code == eap.MsChapV2OpCode.SUCCESS
        return self._succeed() if agreed and self.msk else self._fail()
