"""EAP-TLS, both ends: TLS inside EAP in fragments, and the key that it exports (RFC 5216; RFC 9190 for TLS 1.3).

TLS itself is OpenSSL's, between two memory buffers. It draws its own chance, so that two runs of one scenario differ
in the octets inside EAP and in the MSK. Certificates are judged at the peer's own time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.eap import TlsFlags, TlsMethod, TlsMethodWithLength
from ipsecscope.dissect.registry.eap import EapType
from ipsecscope.dissect.wire import Struct
from ipsecscope.peers.config import Credentials, Identity, SettingError, TlsVersion
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.signatures import load_private_key
from ipsecscope.peers.trust import load_certificate, moment, trusted_key

if TYPE_CHECKING:
    from OpenSSL import SSL

    from ipsecscope.dissect.eap import EapData

FRAGMENT_SIZE = 1024  # octets of TLS data in one EAP message; RFC 5216 section 2.1.5
MAX_MESSAGE = 64 * 1024  # octets of TLS data that are collected before they are looked at
MAX_READ = 64 * 1024
KEY_SIZE, MSK_SIZE = 128, 64
COMMITMENT = b"\x00"  # RFC 9190 section 2.5: the server's protected success indication


class TlsTrust(msgspec.Struct, frozen=True):
    """Whom an end of TLS believes: who issued the certificate, to whom it must be made out (any of these), and when."""

    authorities: tuple[bytes, ...]
    identities: tuple[Identity, ...]
    now: Instant


class TlsEnd:
    """One end of EAP-TLS. ``is_done`` says that both ends are authenticated, ``why`` what went wrong."""

    def __init__(self, credentials: Credentials, *, is_server: bool, newest: TlsVersion = TlsVersion.TLS_1_3) -> None:
        self._credentials = credentials
        self._is_server = is_server
        self._newest = newest
        self._connection: SSL.Connection | None = None
        self._collected = bytearray()
        self._fragments: deque[bytes] = deque()
        self._is_shaken = False  # the handshake is complete on our side
        self.is_done = False
        self.why = ""
        self.msk = Secret(b"")

    def start(self) -> bytes:
        """The server's first request: EAP-TLS/Start."""
        return TlsMethod(eap_type=EapType.TLS, flags=TlsFlags.START).build()

    def take(self, content: Struct | None, trust: TlsTrust) -> bytes | None:
        """The EAP data that answers a message; None when it answers nothing: the other side is out of step."""
        if not isinstance(content, TlsMethod | TlsMethodWithLength):
            return None
        if len(self._collected) + len(content.tls_data) > MAX_MESSAGE:
            self.why = "too much TLS data"
            return None
        self._collected += content.tls_data
        if content.flags & TlsFlags.MORE_FRAGMENTS:
            return _packet()
        if not self._fragments and not self.why:
            data = bytes(self._collected)
            self._collected.clear()
            self._advance(data, trust)
        return self._fragments.popleft() if self._fragments else _packet()

    @property
    def is_over(self) -> bool:
        """Whether everything was said, for good or ill."""
        return not self._fragments and (self.is_done or bool(self.why))

    def _advance(self, data: bytes, trust: TlsTrust) -> None:
        """Give TLS what came, and cut what it wants to say into fragments."""
        from OpenSSL import SSL, crypto

        try:
            if self._connection is None:
                self._connection = self._connect(trust)
            if data:
                self._connection.bio_write(data)
            self._shake(self._connection, trust)
        except (SSL.Error, crypto.Error, SettingError, ValueError) as error:
            self.why = f"TLS: {_reason(error)}"
        if self._connection is not None:
            self._cut(_drain(self._connection))

    def _shake(self, connection: SSL.Connection, trust: TlsTrust) -> None:
        from OpenSSL import SSL

        try:
            if not self._is_shaken:
                connection.do_handshake()
                self._is_shaken = True
                self.why = self._reason_against(connection, trust)
                if self._is_server and not self.why and _is_tls_1_3(connection):
                    connection.send(COMMITMENT)
                self.is_done = not self.why and (self._is_server or not _is_tls_1_3(connection))
                self.msk = _exported(connection)
            if not self.is_done and not self.why:
                self.is_done = connection.recv(MAX_READ) == COMMITMENT
        except SSL.WantReadError:
            pass

    def _cut(self, data: bytes) -> None:
        """Queue what TLS wants to say; only a message in several fragments says how long it is."""
        pieces = [data[start : start + FRAGMENT_SIZE] for start in range(0, len(data), FRAGMENT_SIZE)]
        for number, piece in enumerate(pieces, 1):
            more = TlsFlags.MORE_FRAGMENTS if number < len(pieces) else TlsFlags(0)
            if number == 1 and more:
                first = TlsMethodWithLength(
                    eap_type=EapType.TLS,
                    flags=TlsFlags.LENGTH_INCLUDED | more,
                    tls_message_length=len(data),
                    tls_data=piece,
                )
                self._fragments.append(first.build())
            else:
                self._fragments.append(_packet(piece, more))

    # -- TLS ------------------------------------------------------------------------------------------------------

    def _connect(self, trust: TlsTrust) -> SSL.Connection:
        """A connection between two memory buffers. Raises SettingError or SSL.Error for credentials that do not fit."""
        from OpenSSL import SSL, crypto

        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_max_proto_version(SSL.TLS1_3_VERSION if self._newest is TlsVersion.TLS_1_3 else SSL.TLS1_2_VERSION)
        # strongSwan's server does not know RFC 5746; nothing is renegotiated here, so there is nothing to protect.
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_LEGACY_SERVER_CONNECT)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        own = [load_certificate(der) for der in self._credentials.certificates]
        if own and own[0] is not None:
            context.use_certificate(own[0])
            context.use_privatekey(load_private_key(self._credentials.private_key))
            for each in own[1:]:
                if each is not None:
                    context.add_extra_chain_cert(each)
        store = context.get_cert_store()
        assert store is not None
        store.set_time(moment(trust.now))
        for anchor in map(load_certificate, trust.authorities):
            if anchor is not None:
                store.add_cert(crypto.X509.from_cryptography(anchor))
        connection = SSL.Connection(context, None)
        if self._is_server:
            connection.set_accept_state()
        else:
            connection.set_connect_state()
        return connection

    def _reason_against(self, connection: SSL.Connection, trust: TlsTrust) -> str:
        """Why the other side's certificate does not name whom we talk to; OpenSSL has judged who issued it."""
        from cryptography.hazmat.primitives.serialization import Encoding

        found = connection.get_peer_certificate(as_cryptography=True)
        if found is None:
            return "no certificate was sent"
        others = connection.get_peer_cert_chain(as_cryptography=True) or []
        chain = [found.public_bytes(Encoding.DER), *(each.public_bytes(Encoding.DER) for each in others)]
        reasons = [trusted_key(chain, trust.authorities, identity, trust.now)[1] for identity in trust.identities]
        return "" if "" in reasons else (reasons or ["nobody is expected"])[0]


def is_empty(data: EapData | bytes) -> bool:
    """Whether a message only acknowledges another."""
    return (data if isinstance(data, bytes) else data.build()) == _packet()


def _packet(data: bytes = b"", flags: int = 0) -> bytes:
    """A fragment, or without data the acknowledgement of one."""
    return TlsMethod(eap_type=EapType.TLS, flags=flags, tls_data=data).build()


def _is_tls_1_3(connection: SSL.Connection) -> bool:
    return connection.get_protocol_version_name() == "TLSv1.3"


def _exported(connection: SSL.Connection) -> Secret:
    """The MSK: the first half of Key_Material (RFC 5216 section 2.3, RFC 9190 section 2.3)."""
    if _is_tls_1_3(connection):
        context = bytes((int(EapType.TLS),))
        return Secret(connection.export_keying_material(b"EXPORTER_EAP_TLS_Key_Material", KEY_SIZE, context)[:MSK_SIZE])
    return Secret(connection.export_keying_material(b"client EAP encryption", KEY_SIZE)[:MSK_SIZE])


def _drain(connection: SSL.Connection) -> bytes:
    """What TLS wants to send."""
    from OpenSSL import SSL

    found = bytearray()
    try:
        while len(found) < MAX_MESSAGE:
            found += connection.bio_read(MAX_READ)
    except SSL.WantReadError:
        pass
    return bytes(found)


def _reason(error: Exception) -> str:
    """OpenSSL's reason in its own words."""
    entries = error.args[0] if error.args else ()
    if isinstance(entries, list) and entries:
        return str(entries[-1][-1])
    return str(error) or type(error).__name__
