"""Frames in, datagrams out: the layers, IP reassembly, TCP streams, and what each frame teaches about later ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from ipsecscope.capture.clear import ClearTable, Key
from ipsecscope.capture.copies import Copies
from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.duplicates import Duplicates, Sighting
from ipsecscope.capture.layers import Decoder
from ipsecscope.capture.ports import USUAL_PORTS, Protocol
from ipsecscope.capture.reassembly import IpReassembler, Whole
from ipsecscope.capture.records import CaptureNote, Frame
from ipsecscope.capture.tcp import TcpStreams
from ipsecscope.capture.walk import Fragment, Known, Unit, endpoints

MAX_NOTES = 1000  # notes kept, of all kinds; the others are counted
MAX_PAIRS = 10_000  # pairs of addresses, or of addresses and ports, remembered for having carried IKE

BULK = frozenset((Kind.ESP, Kind.AH, Kind.KEEPALIVE))
_UNITS = {Protocol.ESP: "ESP", Protocol.AH: "AH", Protocol.UDP: "UDP", Protocol.IPCOMP: "IPComp", Protocol.WESP: "WESP"}
_ALWAYS_IPSEC = frozenset((Protocol.ESP, Protocol.AH, Protocol.IPCOMP, Protocol.WESP))


class Pipeline:
    """Everything between records and dissectors.

    Attributes:
        notes: what was missing, contradictory or given up; at most ``MAX_NOTES``.
        notes_not_listed: how many there were beyond that.
        frames: frames that were fed.
        other: those in which nothing of IPsec was recognised.
        known: conversations that were found to carry IPsec on ports of their own.
        duplicates: the latest packets, to recognise their copies.
        copies: the same for columns.
        clear: IP packets outside IPsec, by sender, receiver and protocol.
        outermost: source, destination and protocol of the latest frame when it holds nothing of IPsec.
    """

    def __init__(self, ike_ports: frozenset[int] = frozenset()) -> None:
        """``ike_ports`` are UDP ports that carry IKE besides those that are recognised."""
        self.known = Known()
        self.ike_ports = frozenset(ike_ports)
        self.notes: list[CaptureNote] = []
        self.notes_not_listed = 0
        self.frames = 0
        self.other = 0
        self._decoder = Decoder(self.ike_ports, self.known)
        self._fragments = IpReassembler()
        self._streams = TcpStreams(self.known)
        self.duplicates = Duplicates()
        self.copies = Copies()
        self.clear = ClearTable()
        self.outermost: Key | None = None
        self._partners: set[frozenset[str]] = set()

    def feed(self, frame: Frame) -> list[Datagram]:
        """Take a frame; returns the datagrams that it completes, in the order in which they stand in it."""
        found = self.read(frame)
        if self.outermost is not None:
            self.clear.add(self.outermost, frame)
        if any(each.kind in (Kind.ESP, Kind.AH) for each in found):
            self.clear.protected(frame)
        return [self._marked(each, _link(each, frame)) if each.kind in BULK else each for each in found]

    def read(self, frame: Frame) -> list[Datagram]:
        """As ``feed``, for ``columns.py``, which looks for copies of ESP, AH and keepalives, and counts clear packets, in bulk."""
        self.frames += 1
        units = self._decoder.units(frame)
        self.outermost = None
        if not units:
            self.other += 1
            self.outermost = self._decoder.outermost
        found = self._work(units)
        self._collect_notes()
        return [each if each.kind in BULK else self._marked(each, _link(each, frame)) for each in found]

    def take(self, message: Datagram, link: bytes) -> Datagram:
        """As ``feed``, for an IKE message that ``columns.py`` has read; ``link`` is what stood in front of its packet."""
        self.frames += 1
        self._learn(message)
        return self._marked(message, link)

    def finish(self) -> list[Datagram]:
        """What is left when the last frame has been fed: incomplete packets and messages, each with what is missing."""
        self._fragments.finish()
        found = self._abandoned()
        found += self._streams.finish()
        self._collect_notes()
        return found

    # -- units ------------------------------------------------------------------------------------------------

    def _work(self, units: Iterable[Unit]) -> list[Datagram]:
        """Datagrams as they are; fragments and segments as far as they complete something."""
        found: list[Datagram] = []
        waiting = deque(units)
        while waiting:
            unit = waiting.popleft()
            if isinstance(unit, Datagram):
                self._learn(unit)
                found.append(unit)
            elif isinstance(unit, Fragment):
                whole = self._add(unit)
                found += self._abandoned()
                if whole is not None:
                    waiting.extendleft(reversed(self._reread(whole)))
            else:
                for datagram in self._streams.add(unit):
                    self._learn(datagram)
                    found.append(datagram)
        return found

    def _add(self, fragment: Fragment) -> Whole | None:
        copy = (fragment.origin.file, int(Kind.FRAGMENT), fragment.packet)
        sighting = Sighting(fragment.origin.frames[-1], fragment.origin.time_ns, b"")
        if self.duplicates.original(copy, sighting) is not None:
            return None
        return self._fragments.add(fragment)

    def _reread(self, whole: Whole) -> list[Unit]:
        first = whole.first
        return self._decoder.packet_units(
            whole.packet, whole.wire_length, whole.origin, list(first.layers), first.depth - 1
        )

    def _marked(self, datagram: Datagram, link: bytes) -> Datagram:
        if not datagram.packet or datagram.kind is Kind.FRAGMENT:
            return datagram
        copy = (datagram.file, int(datagram.kind), datagram.packet)
        original = self.duplicates.original(copy, Sighting(datagram.frame, datagram.time_ns, link))
        return datagram if original is None else msgspec.structs.replace(datagram, duplicate_of=original)

    def _learn(self, datagram: Datagram) -> None:
        """IKE behind the non-ESP marker says that ESP will follow on the same ports."""
        if datagram.kind is not Kind.IKE:
            return
        if len(self._partners) < MAX_PAIRS:
            self._partners.add(frozenset((datagram.src, datagram.dst)))
        ports = (datagram.sport, datagram.dport)
        floated = datagram.marker and datagram.encapsulation is Encapsulation.UDP and USUAL_PORTS.isdisjoint(ports)
        if floated and len(self.known.nat_t) < MAX_PAIRS:
            self.known.nat_t.add(endpoints(datagram.src, datagram.sport, datagram.dst, datagram.dport))

    # -- what never became whole ------------------------------------------------------------------------------

    def _abandoned(self) -> list[Datagram]:
        given_up, self._fragments.abandoned = self._fragments.abandoned, []
        found = []
        for whole in given_up:
            datagram = self._incomplete(whole)
            if datagram is not None:
                found.append(datagram)
        return found

    def _incomplete(self, whole: Whole) -> Datagram | None:
        """A datagram for a packet whose fragments are not all in the capture; None when it is not of interest."""
        first = whole.first
        beginning = None
        if first.start == 0:
            units = self._reread(whole)
            beginning = next((unit for unit in units if isinstance(unit, Datagram)), None)
        ipsec = first.protocol in _ALWAYS_IPSEC
        blind = first.start > 0 and first.protocol == Protocol.UDP and self._are_partners(first)
        if beginning is None and not ipsec and not blind:
            return None
        datagram = beginning or _nameless(whole)
        self._say(CaptureNote("ip.fragment-missing", _story(whole, beginning), frame=whole.origin.frames[-1]))
        return msgspec.structs.replace(datagram, kind=Kind.FRAGMENT, missing=max(whole.missing, 1))

    def _are_partners(self, fragment: Fragment) -> bool:
        return frozenset((fragment.src, fragment.dst)) in self._partners

    # -- notes ------------------------------------------------------------------------------------------------

    def _collect_notes(self) -> None:
        for source in (self._decoder, self._fragments, self._streams):
            if source.notes:
                for note in source.notes:
                    self._say(note)
                source.notes.clear()

    def _say(self, note: CaptureNote) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(note)
            return
        if not self.notes_not_listed:
            self.notes.append(
                CaptureNote("capture.limit", f"more than {MAX_NOTES} notes on frames: the rest is counted")
            )
        self.notes_not_listed += 1


def _link(datagram: Datagram, frame: Frame) -> bytes:
    """What stands in front of a datagram's IP packet in the frame; nothing when it came in pieces."""
    here = datagram.frames == (frame.number,) and datagram.file == frame.file
    return frame.data[: datagram.packet_offset] if here and datagram.packet_offset is not None else b""


def _nameless(whole: Whole) -> Datagram:
    """A datagram for a packet whose first fragment is not in the capture."""
    first, origin = whole.first, whole.origin
    return Datagram(
        file=origin.file,
        frames=origin.frames,
        time_ns=origin.time_ns,
        kind=Kind.FRAGMENT,
        encapsulation=Encapsulation.UDP if first.protocol == Protocol.UDP else Encapsulation.IP,
        src=first.src,
        dst=first.dst,
        sport=0,
        dport=0,
        payload=b"",
        identification=first.identification,
        fragments=origin.fragments,
        layers=(*first.layers, f"IPv{first.version}"),
        comment=origin.comment,
    )


def _story(whole: Whole, beginning: Datagram | None) -> str:
    """Which octets of what are missing, in one line."""
    first = whole.first
    what = _UNITS.get(first.protocol, f"protocol {first.protocol}")  # type: ignore[call-overload]
    ends = f"{first.src} → {first.dst}"
    if beginning is not None and beginning.encapsulation is Encapsulation.UDP:
        ends = f"{first.src} port {beginning.sport} → {first.dst} port {beginning.dport}"
    spi = ""
    if beginning is not None and beginning.kind is Kind.IKE and len(beginning.payload) >= 16:
        spi = f", IKE SPIs {beginning.payload[:8].hex()} {beginning.payload[8:16].hex()}"
    elif beginning is not None and beginning.kind is Kind.ESP and len(beginning.payload) >= 4:
        spi = f", SPI {beginning.payload[:4].hex()}"
    holes = ", ".join(f"{start}-{'the end' if stop is None else stop - 1}" for start, stop in whole.holes[:8])
    return (
        f"{what} {ends}, IPv{first.version} identification {first.identification:#x}{spi}: "
        f"octets {holes} of the packet's payload are in no fragment"
    )
