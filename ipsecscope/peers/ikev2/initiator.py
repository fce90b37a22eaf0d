"""The peer that begins: IKE_SA_INIT to the configured responder."""

from __future__ import annotations

from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2.driver import Ikev2Peer
from ipsecscope.peers.ikev2.messages import NO_SPI
from ipsecscope.peers.ikev2.sa import IkeSa
from ipsecscope.peers.ikev2.transitions import CONNECT
from ipsecscope.peers.peer import Path


class Initiator(Ikev2Peer):
    """A peer that begins."""

    def connect(self, now: Instant) -> IkeSa:
        """Begin IKE_SA_INIT with the configured responder."""
        config = self.config
        path = Path(Endpoint(config.address, config.port), Endpoint(config.remote_address, config.remote_ports[0]))
        sa = self.new_sa("initiator", self.entropy.ike_spi(), NO_SPI, path)
        self.register(sa)
        sa.take(CONNECT, None, now)
        return sa
