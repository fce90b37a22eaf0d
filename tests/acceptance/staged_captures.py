"""Captures written for one test each: frames with real IPsec octets, through a file and the whole analysis."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from packets import RAW, START, A, B, ipv4, udp

from ipsecscope.capture.writer import PcapWriter
from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import KeyRecord
from ipsecscope.diagnose.engine import diagnose
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Header, IsakmpFlags
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.registry.ikev2 import (
    KeyExchangeMethod,
    NotifyType,
    PayloadType,
    SecurityProtocol,
    TransformType,
)
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.document import Finding, Report
from ipsecscope.reports.tree import write_trees
from ipsecscope.timeline.analysis import analyze

SPI_I, SPI_R = b"initiate", b"responds"
MILLISECOND = 1_000_000
UDP, TCP, ESP, AH = 17, 6, 50, 51

IKE_SA = ikev2.SecurityAssociation(
    proposals=(
        ikev2.Proposal(
            number=1,
            protocol_id=SecurityProtocol.IKE,
            transforms=(
                ikev2.Transform.of_kind(TransformType.ENCR, 12, 256),
                ikev2.Transform.of_kind(TransformType.PRF, 5),
                ikev2.Transform.of_kind(TransformType.INTEG, 12),
                ikev2.Transform.of_kind(TransformType.KE, 31),
            ),
        ),
    )
)
KE = ikev2.KeyExchange(method=KeyExchangeMethod.CURVE25519, data=bytes(range(32)))
# One phase 1 transform: AES-128, SHA2-256, pre-shared key, group 14, 3600 s (RFC 2409 appendix A).
V1_SA = ikev1.SecurityAssociation.parse(
    bytes.fromhex(
        "00000001 00000001 0000002c 01010001 00000024 01010000 80010007 800e0080 80020004 80030001 8004000e 800b0001 800c0e10"
    )
)


def nonce(octet: int, size: int = 32) -> ikev2.Nonce:
    return ikev2.Nonce(data=bytes([octet]) * size)


def notify(kind: NotifyType, data: bytes = b"") -> ikev2.Notify:
    return ikev2.Notify(notify_type=kind, data=data)


def sealed(octet: int, size: int = 200) -> Payload:
    return Payload(ikev2.Encrypted(data=bytes([octet]) * size), next_payload=int(PayloadType.IDi))


def message(
    *bodies: Body | Payload,
    kind: int = 34,
    mid: int = 0,
    flags: int = 0x08,
    version: int = 0x20,
    spi_i: bytes = SPI_I,
    spi_r: bytes = SPI_R,
    ciphertext: bytes = b"",
    next_payload: int | None = None,
) -> bytes:
    payloads = tuple(body if isinstance(body, Payload) else Payload(body) for body in bodies)
    header = Header(
        spi_i=spi_i,
        spi_r=spi_r,
        exchange_type=int(kind),
        message_id=mid,
        flags=int(flags),
        version=version,
        next_payload=next_payload,
    )
    return Message(header=header, payloads=payloads, ciphertext=ciphertext).build()


class Wire:
    """IP packets between two hosts, a millisecond apart unless said otherwise; ``write`` makes a file of them."""

    def __init__(self, link_type: int = RAW) -> None:
        self.link_type = link_type
        self.frames: list[tuple[int, bytes]] = []
        self.now = START
        self.identification = 0

    def frame(self, data: bytes, after_ns: int = MILLISECOND) -> Wire:
        self.now += after_ns
        self.frames.append((self.now, data))
        return self

    def packet(
        self, payload: bytes, protocol: int, *, back: bool = False, after_ns: int = MILLISECOND, **more: object
    ) -> Wire:
        self.identification += 1
        src, dst = (B, A) if back else (A, B)
        values: dict[str, object] = {"src": src, "dst": dst, "identification": self.identification}
        return self.frame(ipv4(payload, protocol, **(values | more)), after_ns)  # type: ignore[arg-type]

    def udp(
        self, data: bytes, *, back: bool = False, port: int = 500, after_ns: int = MILLISECOND, **more: object
    ) -> Wire:
        payload = bytes(4) + data if port == 4500 else data
        return self.packet(udp(payload, port, port), UDP, back=back, after_ns=after_ns, **more)

    def esp(self, data: bytes, *, back: bool = False, after_ns: int = MILLISECOND, **more: object) -> Wire:
        return self.packet(data, ESP, back=back, after_ns=after_ns, **more)

    def init(self) -> Wire:
        self.udp(message(IKE_SA, KE, nonce(1), spi_r=bytes(8)))
        return self.udp(message(IKE_SA, KE, nonce(2), flags=0x20), back=True)

    def handshake(self) -> Wire:
        self.init().udp(message(sealed(1), kind=35, mid=1))
        return self.udp(message(sealed(2), kind=35, mid=1, flags=0x20), back=True)

    def main_mode(self) -> Wire:
        """The six messages of IKEv1 main mode, the last two encrypted with nobody's key."""
        keys = (ikev1.KeyExchange(data=bytes([5]) * 256), ikev1.Nonce(data=bytes([6]) * 32))
        secret = bytes(range(64))
        for number, bodies in enumerate(((V1_SA,), (V1_SA,), keys, keys)):
            spi_r = bytes(8) if number == 0 else SPI_R
            self.udp(v1(IsakmpExchangeType.IDENTITY_PROTECTION, *bodies, spi_r=spi_r), back=bool(number % 2))
        self.udp(v1(IsakmpExchangeType.IDENTITY_PROTECTION, ciphertext=secret))
        return self.udp(v1(IsakmpExchangeType.IDENTITY_PROTECTION, ciphertext=secret[::-1]), back=True)

    def write(self, path: Path) -> Path:
        with PcapWriter(path, link_type=self.link_type, force=True) as out:
            for time_ns, data in self.frames:
                out.write(time_ns, data)
        return path


def v1(kind: IsakmpExchangeType, *bodies: Body, mid: int = 0, ciphertext: bytes = b"", **more: object) -> bytes:
    """An IKEv1 message; with ``ciphertext`` it is encrypted and begins with an ID or a HASH payload."""
    flags = int(IsakmpFlags.ENCRYPTION) if ciphertext else 0
    first = (5 if mid == 0 else 8) if ciphertext else None
    values: dict[str, object] = {"flags": flags, "next_payload": first}
    return message(*bodies, kind=int(kind), mid=mid, version=0x10, ciphertext=ciphertext, **(values | more))  # type: ignore[arg-type]


def report(path: Path | str, *keys: Path, records: Iterable[KeyRecord] = ()) -> Report:
    """What ``analyze FILE --keys …`` reports."""
    found = [*records, *(record for each in keys for record in read_keys(each).records)]
    analysis = analyze([str(path)], ring=KeyRing(found) if found else None)
    assert not analysis.errors
    return assemble(analysis, diagnose(analysis))


def tree(path: Path | str, *frames: int) -> str:
    """What ``dissect FILE`` prints."""
    out = io.StringIO()
    write_trees(str(path), out, frames=frozenset(frames))
    return out.getvalue()


def played(name: str, folder: Path) -> tuple[Path, tuple[KeyRecord, ...]]:
    """A session of the built-in peers, as a capture with its keys."""
    from ipsecscope.peers.scenarios import generate

    made = generate(name)
    path = folder / f"{name}.pcapng"
    path.write_bytes(made.pcapng)
    return path, made.keys


def codes(found: Report) -> dict[str, Finding]:
    """The findings that are not suppressed, by code."""
    return {each.code: each for each in found.findings if each.suppressed_by is None}


def shape(found: Report) -> object:
    """A report without what depends on the file it was read from."""
    plain = msgspec.to_builtins(found)
    for file in plain["capture"]["files"]:
        for name in ("name", "format", "link_types", "compression"):
            file.pop(name)
    return plain


def shown(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print an acceptance table."""
    print(f"\n{title}")
    for name, text in rows:
        print(f"  {name:<8} {text}")
