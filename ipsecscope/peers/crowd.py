"""Several stations at one end of the network: what arrives reaches the one whose address it bears."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.gateway import GatewayStation
from ipsecscope.peers.packets import split


class Crowd:
    """Stations by their addresses, driven as one."""

    def __init__(self, stations: Mapping[str, GatewayStation]) -> None:
        self.stations = dict(stations)

    def receive_packet(self, packet: bytes, now: Instant) -> None:
        """Hand a packet to the station that it is for; one for nobody is lost."""
        pieces = split(packet)
        station = None if pieces is None else self.stations.get(pieces.destination)
        if station is not None:
            station.receive_packet(packet, now)

    def packets_to_send(self, now: Instant) -> Iterator[tuple[bytes, str]]:
        """The packets of all stations, those of the first one first."""
        for station in self.stations.values():
            yield from station.packets_to_send(now)

    def get_timer(self) -> Instant | None:
        """When the first of them wants to be woken."""
        times = [when for station in self.stations.values() if (when := station.get_timer()) is not None]
        return min(times, default=None)

    def handle_timer(self, now: Instant) -> None:
        """Wake who is due."""
        for station in self.stations.values():
            when = station.get_timer()
            if when is not None and when <= now:
                station.handle_timer(now)
