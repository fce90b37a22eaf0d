"""A program: SOURCE DESTINATION COUNT. Begins so many IKE SAs from an address, and leaves them half-open."""

import socket
import sys

from ipsecscope.peers.config import Offer, PeerConfig
from ipsecscope.peers.entropy import Entropy, SystemClock
from ipsecscope.peers.ikev2.initiator import Initiator


def main(source: str, destination: str, count: str) -> None:
    """Send first requests and never read the answers."""
    config = PeerConfig(
        address=source,
        remote_address=destination,
        ike_proposals=(Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519"),),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for _ in range(int(count)):
            peer = Initiator(config, Entropy.system())
            now = SystemClock().now()
            peer.connect(now)
            for data, _ in peer.datagrams_to_send(now):
                sender.sendto(data, (destination, 500))


if __name__ == "__main__":
    main(*sys.argv[1:])
