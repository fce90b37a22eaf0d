"""Where a peer keeps its ISAKMP SAs: found by cookies, woken when something is due, bounded in number."""

from __future__ import annotations

from ipsecscope.dissect.header import Header
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.alarms import Alarms
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev1.config import Ikev1Config
from ipsecscope.peers.ikev1.messages import NO_COOKIE
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.peer import Path


class Register:
    """The SAs of one peer, their alarms, and the addresses that it handed out."""

    def __init__(self, config: Ikev1Config) -> None:
        self.config = config
        self.sas: list[IsakmpSa] = []
        self._by_cookies: dict[tuple[bytes, bytes], IsakmpSa] = {}
        self._by_request: dict[tuple[bytes, Endpoint], IsakmpSa] = {}  # responder: first messages that come again
        self._alarms: Alarms[IsakmpSa] = Alarms()
        self._given_out: dict[str, IsakmpSa] = {}

    # -- finding ------------------------------------------------------------------------------------------------

    def register(self, sa: IsakmpSa) -> None:
        """Find the SA by its cookies from now on."""
        self._by_cookies[sa.cookie_i, NO_COOKIE if sa.is_initiator else sa.cookie_r] = sa
        self._by_cookies[sa.cookie_i, sa.cookie_r] = sa

    def forget(self, sa: IsakmpSa) -> None:
        """Do not find it any more."""
        for key in ((sa.cookie_i, NO_COOKIE), sa.cookies):
            if self._by_cookies.get(key) is sa:
                del self._by_cookies[key]
        for request in [request for request, found in self._by_request.items() if found is sa]:
            del self._by_request[request]
        for address in [address for address, holder in self._given_out.items() if holder is sa]:
            del self._given_out[address]
        if sa in self.sas:
            self.sas.remove(sa)

    def schedule(self, sa: IsakmpSa, when: Instant) -> None:
        """Wake the SA then."""
        self._alarms.set(sa, when)

    def assign_address(self, sa: IsakmpSa) -> str:
        """An address of the pool that nobody has; empty when there is none left."""
        for address in self.config.pool.addresses:
            if address not in self._given_out:
                self._given_out[address] = sa
                return address
        return ""

    def rivals_of(self, sa: IsakmpSa) -> list[IsakmpSa]:
        """Other SAs with the same remote identity."""
        return [each for each in self.sas if each is not sa and each.remote_id == sa.remote_id]

    def find(self, header: Header, path: Path) -> IsakmpSa | None:
        """The SA of a message: by both cookies, by ours while the other is not known, or by a repeated first message."""
        found = self._by_cookies.get((header.spi_i, header.spi_r))
        if found is None and header.spi_r == NO_COOKIE:
            found = self._by_request.get((header.spi_i, path.remote))
        if found is None:
            half = self._by_cookies.get((header.spi_i, NO_COOKIE))
            if half is not None and half.is_initiator and half.cookie_r == NO_COOKIE:
                found = half
        return found

    def has_room(self, path: Path) -> bool:
        """Whether another half-open SA may be kept."""
        limits = self.config.limits
        half_open = [sa for sa in self.sas if not sa.is_authenticated]
        from_there = sum(1 for sa in half_open if sa.path.remote.address == path.remote.address)
        within = len(half_open) < limits.half_open and from_there < limits.half_open_per_source
        return within and len(self.sas) < limits.ike_sas

    def hand_over_addresses(self, old: IsakmpSa, sa: IsakmpSa) -> None:
        """What the old SA's client had, the new SA's client has."""
        for address, holder in list(self._given_out.items()):
            if holder is old:
                self._given_out[address] = sa
                sa.virtual_ip = address

    def register_request(self, sa: IsakmpSa) -> None:
        """Recognise the first message of this SA when it comes again without our cookie."""
        self._by_request[sa.cookie_i, sa.path.remote] = sa

    # -- alarms -------------------------------------------------------------------------------------------------

    def get_timer(self) -> Instant | None:
        """When ``handle_timer`` wants to be called; None while nothing is pending."""
        return self._alarms.next()

    def pop_due(self, now: Instant) -> IsakmpSa | None:
        """The next SA with something due; None when nothing is."""
        return self._alarms.pop_due(now)
