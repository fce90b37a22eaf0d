"""``ip xfrm state`` and ``ip -s xfrm state`` of Linux.

A record begins with ``src A dst B``; the indented lines under it are its attributes. A policy looks alike but has
prefix lengths in its first line. The key of an AEAD ends with the salt and is followed by the bits of the ICV.
"""

from __future__ import annotations

import re

from ipsecscope.decrypt.keylogs.reading import (
    KeyLineError,
    Reading,
    address_of,
    encryption_named,
    integrity_named,
    protocol_of,
    sa_spi,
    secret_of,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keys import Direction, Encapsulation, NamedEncryption, NamedIntegrity, SaKeys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol

HEADER = re.compile(r"\s*src ([0-9a-fA-F:.]+) dst ([0-9a-fA-F:.]+)\s*$")
POLICY = re.compile(r"\s*(?:src \S+/\d+ dst \S+/\d+\s*|tmpl src .*|socket (?:in|out) .*)$")
PROTOCOL = re.compile(r"\s*proto (\S+) spi (\S+?)(?:\(\d+\))?(?:\s.*?\bmode (\S+).*)?$")
ALGORITHM = re.compile(r"\s*(enc|auth|auth-trunc|aead) (\S+)\s*(.*)$")
KEY = re.compile(r"(<.*?>>?|\"[^\"]*\"|\S*)\s*(?:\(\d+ bits\))?\s*(\d{1,4})?\s*$")
FLAG = re.compile(r"\s*replay-window \d+ .*?\bflag (.*)$")
SEQ_HI = re.compile(r"\s*seq-hi (0x[0-9a-f]{1,8}), seq \S+ oseq-hi (0x[0-9a-f]{1,8}),")
ENCAP = re.compile(r"\s*encap type (\S+) sport (\d{1,5}) dport (\d{1,5})")
DIRECTION = re.compile(r"\s*dir (in|out)\s*$")

MARK = r"^[ \t]*src [0-9a-fA-F:.]+ dst [0-9a-fA-F:.]+[ \t]*\n[ \t]+proto \S+ spi 0x"


class _State:
    """One state while its lines are read."""

    def __init__(self, number: int, src: str, dst: str) -> None:
        self.number = number
        self.src, self.dst = src, dst
        self.protocol: SecurityProtocol | None = None
        self.spi = ""
        self.mode = ""
        self.encryption: NamedEncryption | None = None
        self.encryption_key = Secret(b"")
        self.integrity: NamedIntegrity | None = None
        self.integrity_key = Secret(b"")
        self.esn = False
        self.seq_hi: int | None = None
        self.encapsulation: Encapsulation | None = None
        self.direction: Direction | None = None
        self.is_unusable = False


@importer(
    "xfrm",
    "ip xfrm state",
    MARK,
    advice='run "ip xfrm state" again as root and without "nokeys" (a locked-down kernel shows zeros)',
)
def read_xfrm(reading: Reading) -> None:
    """Read every ESP and AH state."""
    state: _State | None = None
    for line in reading.text.unwrapped():
        header = HEADER.match(line.text)
        if header or POLICY.match(line.text):
            _finish(reading, state)
            state = _State(line.number, header[1], header[2]) if header else None
        elif state is not None:
            before = len(reading.problems)
            with reading.line(line.number):
                _read_attribute(state, line.text)
            state.is_unusable |= len(reading.problems) > before
    _finish(reading, state)


def _finish(reading: Reading, state: _State | None) -> None:
    if state is None or state.is_unusable or state.protocol is None:
        return
    if state.encryption is None and state.integrity is None:
        reading.note(state.number, "this state has no keys: the kernel still waits for them")
        return
    with reading.line(state.number):
        reading.add(
            SaKeys(
                origin=reading.origin(state.number),
                protocol=state.protocol,
                spi=sa_spi(state.spi),
                src=address_of(state.src),
                dst=address_of(state.dst),
                encryption=state.encryption,
                encryption_key=state.encryption_key,
                integrity=state.integrity or _no_integrity(state),
                integrity_key=state.integrity_key,
                esn=state.esn,
                seq_hi=state.seq_hi,
                mode=state.mode,
                encapsulation=state.encapsulation,
                direction=state.direction,
            )
        )


def _no_integrity(state: _State) -> NamedIntegrity | None:
    """ESP with a cipher that is no AEAD and without ``auth`` has no ICV at all."""
    row = state.encryption.row if state.encryption else None
    return None if row is None or row.is_aead else integrity_named("none")


def _read_attribute(state: _State, text: str) -> None:
    if found := PROTOCOL.match(text):
        if not state.spi:
            state.protocol, state.spi, state.mode = protocol_of(found[1]), found[2], found[3] or ""
    elif found := ALGORITHM.match(text):
        _read_algorithm(state, *found.groups())
    elif found := FLAG.match(text):
        state.esn = "esn" in found[1].split()
    elif found := SEQ_HI.match(text):
        state.seq_hi = max(int(found[1], 16), int(found[2], 16))
    elif found := ENCAP.match(text):
        kind = "tcp" if "tcp" in found[1] else "udp"
        state.encapsulation = Encapsulation(kind, int(found[2]), int(found[3]))
    elif found := DIRECTION.match(text):
        state.direction = Direction.INBOUND if found[1] == "in" else Direction.OUTBOUND


def _read_algorithm(state: _State, kind: str, name: str, rest: str) -> None:
    found = KEY.match(rest)
    if found is None:
        raise KeyLineError("what follows the algorithm's name is not a key")
    text, bits = found[1].strip('"'), int(found[2]) if found[2] else None
    key = secret_of(text) if text not in ("", "0x") else Secret(b"")
    if kind in ("enc", "aead"):
        state.encryption = with_key_bits(encryption_named(name, bits if kind == "aead" else None), key)
        state.encryption_key = key
    else:
        state.integrity = integrity_named(name, bits if kind == "auth-trunc" else None)
        if state.integrity.row is not None:
            state.integrity.row.check_key(len(key))
        state.integrity_key = key
