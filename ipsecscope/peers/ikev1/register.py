"""Where a peer keeps its ISAKMP SAs: found by cookies, woken when something is due, bounded in number."""

from __future__ import annotations

from collections import Counter

from ipsecscope.dissect.header import Header
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.alarms import Alarms
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev1.config import Ikev1Config
from ipsecscope.peers.ikev1.messages import NO_COOKIE
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.ikev1.states import PhaseOne
from ipsecscope.peers.peer import Path


class Register:
    """The SAs of one peer, their alarms, and the addresses that it handed out."""

    def __init__(self, config: Ikev1Config) -> None:
        self.config = config
        self.sas: list[IsakmpSa] = []
        self._by_cookies: dict[tuple[bytes, bytes], IsakmpSa] = {}
        self._by_request: dict[tuple[bytes, Endpoint], IsakmpSa] = {}  # responder: first messages that come again
        self._strangers: dict[IsakmpSa, str] = {}  # responder: half-open SAs and the addresses that began them
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
        self.proven(sa)
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

    def make_room(self, path: Path, now: Instant, *, displaces: bool) -> bool:
        """Whether another half-open SA may be kept.

        Where there are too many of them, one that ``displaces`` takes the place of one whose initiator has not shown
        that it receives at its address: the oldest one of the address that has most of these. IKEv1 has no cookie that
        would keep a flood from taking all places.
        """
        limits, address = self.config.limits, path.remote.address
        held = Counter(self._strangers.values())
        if held[address] >= limits.half_open_per_source or len(self.sas) >= limits.ike_sas:
            return False
        if len(self._strangers) < limits.half_open:
            return True
        doomed = self._unproven(held) if displaces else None
        if doomed is None:
            return False
        doomed.count("half-open SAs displaced by newer ones")
        doomed.close(now, "displaced by a newer half-open SA")
        return True

    def _unproven(self, held: Counter[str]) -> IsakmpSa | None:
        """The oldest SA whose first answer got no answer, of the address that has most half-open ones."""
        for address, _ in held.most_common():
            for sa, source in self._strangers.items():
                if source == address and sa.state is PhaseOne.SA_ANSWERED:
                    return sa
        return None

    def proven(self, sa: IsakmpSa) -> None:
        """The SA is half-open no longer."""
        self._strangers.pop(sa, None)

    def hand_over_addresses(self, old: IsakmpSa, sa: IsakmpSa) -> None:
        """What the old SA's client had, the new SA's client has."""
        for address, holder in list(self._given_out.items()):
            if holder is old:
                self._given_out[address] = sa
                sa.virtual_ip = address

    def register_request(self, sa: IsakmpSa) -> None:
        """Recognise the first message of this half-open SA when it comes again without our cookie."""
        self._by_request[sa.cookie_i, sa.path.remote] = sa
        self._strangers[sa] = sa.path.remote.address

    # -- alarms -------------------------------------------------------------------------------------------------

    def get_timer(self) -> Instant | None:
        """When ``handle_timer`` wants to be called; None while nothing is pending."""
        return self._alarms.next()

    def pop_due(self, now: Instant) -> IsakmpSa | None:
        """The next SA with something due; None when nothing is."""
        return self._alarms.pop_due(now)
