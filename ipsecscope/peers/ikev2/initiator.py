"""The peer that begins: IKE_SA_INIT to the configured responder."""

from __future__ import annotations

from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.config import PeerConfig
from ipsecscope.peers.entropy import Entropy, Instant
from ipsecscope.peers.ikev2.driver import Ikev2Peer
from ipsecscope.peers.ikev2.messages import NO_SPI
from ipsecscope.peers.ikev2.redirect import LOOP_PERIOD, MAX_REDIRECTS
from ipsecscope.peers.ikev2.sa import IkeSa
from ipsecscope.peers.ikev2.transitions import CONNECT
from ipsecscope.peers.peer import Path


class Initiator(Ikev2Peer):
    """A peer that begins."""

    def __init__(self, config: PeerConfig, entropy: Entropy) -> None:
        super().__init__(config, entropy)
        self._redirects: list[Instant] = []

    def connect(self, now: Instant) -> IkeSa:
        """Begin IKE_SA_INIT with the configured responder."""
        return self._begin(self.config.remote_address, now)

    def redirect(self, sa: IkeSa, gateway: str, now: Instant) -> None:
        """Begin with another gateway, unless gateways send us in circles (RFC 5685 section 4)."""
        self._redirects = [*(when for when in self._redirects if now - when <= LOOP_PERIOD), now]
        if len(self._redirects) > MAX_REDIRECTS:
            self.mailbox.counts["redirections in circles"] += 1
            return
        self._begin(gateway, now, redirected_from=sa.path.remote.address)

    def _begin(self, address: str, now: Instant, *, redirected_from: str = "") -> IkeSa:
        config = self.config
        path = Path(Endpoint(config.address, config.port), Endpoint(address, config.remote_ports[0]))
        sa = self.new_sa("initiator", self.entropy.ike_spi(), NO_SPI, path)
        sa.handshake.redirected_from = redirected_from
        self.register(sa)
        sa.take(CONNECT, None, now)
        return sa
