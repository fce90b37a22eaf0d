"""What a live peer says while it works: one sentence an event, and no more than one line a second of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from ipsecscope.peers import events
from ipsecscope.peers.entropy import SECOND, Instant
from ipsecscope.peers.events import ChildSaInstalled, PeerEvent
from ipsecscope.peers.ikev1.events import ConfigurationExchanged, UserAuthenticated
from ipsecscope.peers.limits import MAX_LINES_PER_SECOND

LINE_INTERVAL: Instant = SECOND // MAX_LINES_PER_SECOND  # between two lines of one kind
REPORT_INTERVAL: Instant = 10 * SECOND  # between two reports of what was dropped
MAX_REPORTED = 8  # kinds of dropped datagrams named in one line


def sentence_of(event: PeerEvent) -> str:
    """What happened, for people; empty for what is not worth a line."""
    tell = _SENTENCES.get(type(event))
    return "" if tell is None else f"{event.group_id}: {tell(event)}"


def _child(event: ChildSaInstalled) -> str:
    ours, theirs = (event.tsi, event.tsr) if event.is_initiator else (event.tsr, event.tsi)
    suite = event.suite
    cipher = "" if suite.encryption is None else suite.encryption.name
    bits = f"-{suite.key_bits}" if suite.key_bits else ""
    mac = "" if suite.integrity is None else suite.integrity.name
    spi_in, spi_out = (event.spi_i, event.spi_r) if event.is_initiator else (event.spi_r, event.spi_i)
    assigned = f", our address is {event.virtual_ip}" if event.virtual_ip and event.is_initiator else ""
    return (
        f"Child SA created: {event.protocol} {event.mode} {', '.join(ours)} === {', '.join(theirs)},"
        f" {' '.join(filter(None, (cipher + bits, mac)))}, SPI in {spi_in.hex()}, out {spi_out.hex()}{assigned}"
    )


def _spis(event: events.ChildEvent) -> str:
    return f"{event.protocol} {event.spi_i.hex()}/{event.spi_r.hex()}"


_SENTENCES: dict[type[PeerEvent], Callable[..., str]] = {
    events.MessageRetransmitted: lambda event: f"{event.exchange} {event.message_id} sent again",
    events.ProposalChosen: lambda event: f"algorithms {' '.join(event.transforms)}",
    events.HandshakeCompleted: lambda event: f"IKE SA established: {event.local_id} with {event.remote_id}",
    events.Refused: lambda event: (
        f"{event.exchange} {event.message_id} of the {event.initiated_by} refused: {event.notify}"
    ),
    events.ExchangeUnanswered: lambda event: f"{event.exchange} {event.message_id} stayed without an answer",
    events.IkeSaRekeyed: lambda event: f"IKE SA rekeyed, {event.successor} goes on",
    events.IkeSaClosed: lambda event: f"IKE SA closed: {event.reason}",
    events.ChildSaInstalled: _child,
    events.ChildSaRekeyed: lambda event: f"Child SA {_spis(event)} rekeyed",
    events.ChildSaDeleted: lambda event: f"Child SA {_spis(event)} deleted",
    events.NatDetected: lambda event: (
        f"NAT in front of {' and '.join(side for side, there in (('us', event.local), ('the other side', event.remote)) if there)}"
        " (or somebody says so)"
    ),
    events.PathMoved: lambda event: f"the {event.role} is now at {event.address} port {event.port}",
    UserAuthenticated: lambda event: f"XAUTH of user {event.user} {'succeeded' if event.succeeded else 'failed'}",
    ConfigurationExchanged: lambda event: f"mode configuration: address {event.address}",
}


class Narration:
    """Writes lines, each with the time of day (UTC) in front.

    ``write`` is given each line. With ``sparing``, no more than one line a second of each kind; those left out are
    counted on the next line of their kind.
    """

    def __init__(self, write: Callable[[str], None], *, sparing: bool) -> None:
        self._write = write
        self._sparing = sparing
        self._last: dict[str, Instant] = {}
        self._omitted: Counter[str] = Counter()
        self._reported: Counter[str] = Counter()
        self._report_at: Instant = 0

    def heard(self, event: PeerEvent) -> None:
        """Say what happened, if it is worth a line."""
        sentence = sentence_of(event)
        if sentence:
            self.say(type(event).__name__, sentence, event.time_ns)

    def say(self, kind: str, sentence: str, now: Instant) -> None:
        """Say a sentence of a kind."""
        if self._sparing and now - self._last.get(kind, -LINE_INTERVAL) < LINE_INTERVAL:
            self._omitted[kind] += 1
            return
        self._last[kind] = now
        more = self._omitted.pop(kind, 0)
        self._write(f"{_time(now)} {sentence}" + (f" (and {more} like it before)" if more else ""))

    def report(self, counted: Callable[[], Mapping[str, int]], now: Instant, *, at_once: bool = False) -> None:
        """Say now and then what was dropped since the last time; ``counted`` is asked only then."""
        if now < self._report_at and not at_once:
            return
        self._report_at = now + REPORT_INTERVAL
        news = Counter(counted()) - self._reported
        if news:
            self._reported += news
            named = ", ".join(f"{count} {what}" for what, count in news.most_common(MAX_REPORTED))
            self._write(f"{_time(now)} counted: {named}")
        if at_once and self._omitted:
            self._write(f"{_time(now)} lines left out: {self._omitted.total()}")
            self._omitted.clear()


def _time(now: Instant) -> str:
    day, rest = divmod(now, 86_400 * SECOND)
    del day
    minutes, nanoseconds = divmod(rest, 60 * SECOND)
    return f"{minutes // 60:02}:{minutes % 60:02}:{nanoseconds / SECOND:06.3f}Z"
