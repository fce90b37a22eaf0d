"""Keys meet the conversation: opening IKE messages as they pass, deriving the keys of every Child SA on the way."""

from __future__ import annotations

from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.timeline.ikev1_keys import Ikev1Opener
from ipsecscope.timeline.ikev2_keys import Ikev2Opener
from ipsecscope.timeline.sas import MessageRecord, Opening
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker


class KeyOpener:
    """The correlator's opener: one for all IKE SAs of an analysis."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self.ikev1 = Ikev1Opener(ring)
        self.ikev2 = Ikev2Opener(ring)

    def open_ike(self, sa: SaTracker, exchange: ExchangeTracker, record: MessageRecord) -> Opening | None:
        """Open the encrypted part of a message; None when it has none or when more fragments are needed."""
        if sa.version == 1:
            return self.ikev1.open(sa, exchange, record)
        return self.ikev2.open(sa, exchange, record)

    def filed(self, sa: SaTracker, exchange: ExchangeTracker) -> None:
        """Learn from an exchange after another of its messages was filed."""
        if sa.version != 1:
            self.ikev2.learn(sa, exchange)
