"""The peer that waits, and that anybody may talk to: cookies, half-open IKE SAs, refusals that cost no memory."""

from __future__ import annotations

import hashlib

from ipsecscope.dissect.body import Body
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev2 import Nonce, Notify
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.natt import NON_ESP_MARKER, Endpoint
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.peers import events
from ipsecscope.peers.config import PeerConfig
from ipsecscope.peers.entropy import SECOND, Entropy, Instant
from ipsecscope.peers.ikev2 import sa_init
from ipsecscope.peers.ikev2.driver import HALF_OPEN_STATES, REQUESTS, Ikev2Peer
from ipsecscope.peers.ikev2.messages import NO_SPI, Received, arrange, header_of, in_clear, notation
from ipsecscope.peers.ikev2.sa import IkeSa, refusal_of
from ipsecscope.peers.peer import Path

COOKIE_SECRET_LIFETIME = 120 * SECOND  # a cookie of the secret before is still taken
COOKIE_SIZE = 20
_WHY = {
    "COOKIE": "wants to see that the initiator receives at its address",
    "REDIRECT": "sends the initiator to another gateway",
}


class Responder(Ikev2Peer):
    """A peer that waits, and that anybody may talk to: what it keeps for strangers is bounded."""

    def __init__(self, config: PeerConfig, entropy: Entropy) -> None:
        super().__init__(config, entropy)
        self._half_open: dict[tuple[Endpoint, bytes], IkeSa] = {}
        self._cookie_secrets: list[tuple[Instant, bytes]] = []

    def forget(self, sa: IkeSa) -> None:
        """Do not find it any more."""
        super().forget(sa)
        for key in [key for key, each in self._half_open.items() if each is sa]:
            del self._half_open[key]

    def _may_begin(self, header: Header) -> bool:
        """Whether a message is the IKE_SA_INIT request of an IKE SA that is not there yet."""
        asks = header.original_initiator and not header.is_response and not header.message_id
        begins = header.exchange_type == ExchangeType.IKE_SA_INIT and header.spi_r == NO_SPI and header.spi_i != NO_SPI
        return asks and begins

    def _unknown(self, message: Message, data: bytes, path: Path, now: Instant) -> None:
        header = message.header
        assert header is not None
        if not self._may_begin(header):
            super()._unknown(message, data, path, now)
            return
        known = self._half_open.get((path.remote, header.spi_i))
        if known is not None:
            if known.handshake.request == data:
                known.repeat_answer(0, path, now)
                self.mailbox.counts["requests that came again"] += 1
            else:
                self.mailbox.counts["another IKE_SA_INIT with the same SPI"] += 1
            return
        self._begin(in_clear(message, data, path), header, path, now)

    def _begin(self, received: Received, header: Header, path: Path, now: Instant) -> None:
        """Refuse without keeping anything, or make an IKE SA."""
        waiting = [key for key, sa in self._half_open.items() if sa.state in HALF_OPEN_STATES]
        same = sum(1 for end, _ in waiting if end.address == path.remote.address)
        limits = self.config.limits
        full = len(waiting) >= limits.half_open or same >= limits.half_open_per_source
        if full or len(self.sas) >= limits.ike_sas:
            self.mailbox.counts["IKE SAs beyond the limit"] += 1
            return
        wants_cookie = len(waiting) >= limits.cookies_from or same >= limits.cookies_per_source
        cookie = self._cookie(received, path, now) if wants_cookie else None
        if self.config.faults.endless_cookies:
            cookie = self.entropy.octets(COOKIE_SIZE, "cookie")
        refusal = sa_init.screen(received, self.config, cookie=cookie)
        if refusal is not None:
            self._refuse(header, refusal, path, now)
            return
        sa = self.new_sa("responder", header.spi_i, self.entropy.ike_spi(), path)
        self.register(sa)
        sa.came.lowest = 1
        self._half_open[(path.remote, header.spi_i)] = sa
        self._drop_settled()
        sa.take(REQUESTS[int(ExchangeType.IKE_SA_INIT)], received, now)

    def _drop_settled(self) -> None:
        """Forget the origins of IKE SAs that went further: their IKE_SA_INIT need not be recognised any more."""
        for key in [key for key, sa in self._half_open.items() if sa.state not in HALF_OPEN_STATES]:
            del self._half_open[key]

    def _refuse(self, header: Header, refusal: Notify, path: Path, now: Instant) -> None:
        answered = header_of(
            ExchangeType.IKE_SA_INIT,
            header.message_id,
            spi_i=header.spi_i,
            original_initiator=False,
            is_response=True,
        )
        bodies: list[Body] = [refusal]
        payloads = arrange(answered, bodies)
        name = refusal_of(ExchangeType.IKE_SA_INIT, [refusal])
        why = _WHY.get(name, "refuses")
        story = f"{notation(answered, payloads, protected=False)}. Responder: {why}, and keeps no state"
        data = Message(header=answered, payloads=payloads).build()
        marker = NON_ESP_MARKER if path.local.port == self.config.nat_port else b""
        self.mailbox.post(marker + data, path, story)
        facts = {"exchange": "IKE_SA_INIT", "message_id": header.message_id}
        group_id = f"{header.spi_i.hex()}_{NO_SPI.hex()}"
        common = {"time_ns": now, "group_id": group_id, "vantage": "responder"}
        self.mailbox.emit(events.MessageSent(**common, **facts, sender="responder"))  # type: ignore[arg-type]
        self.mailbox.emit(
            events.Refused(**common, **facts, initiated_by="initiator", notify=name, why=why)  # type: ignore[arg-type]
        )
        self.mailbox.counts[f"refused: {name}"] += 1

    def _cookie(self, received: Received, path: Path, now: Instant) -> bytes:
        """The cookie that this request must carry (RFC 7296 section 2.6): a hash over who sends it from where."""
        if not self._cookie_secrets or now - self._cookie_secrets[-1][0] > COOKIE_SECRET_LIFETIME:
            self._cookie_secrets = [*self._cookie_secrets[-1:], (now, self.entropy.octets(32, "cookie secret"))]
        found = received.notify(NotifyType.COOKIE)
        cookies = [self._cookie_with(secret, received, path) for _, secret in self._cookie_secrets]
        return found.data if found is not None and found.data in cookies else cookies[-1]

    @staticmethod
    def _cookie_with(secret: bytes, received: Received, path: Path) -> bytes:
        nonce = received.first(Nonce)
        parts = (b"" if nonce is None else nonce.data, path.remote.address.encode(), received.header.spi_i)
        framed = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
        return hashlib.blake2b(framed, key=secret, digest_size=COOKIE_SIZE).digest()
