"""Conversations staged for the rules: datagrams with real IKE bytes, fed to the real correlator.

What a lab capture does not show is played here: who sends what when, in which size, and what would be read with keys.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ipsecscope.capture.datagrams import Datagram, Encapsulation, IcmpError, Kind
from ipsecscope.decrypt.algorithms import encryption_by_name, integrity_by_name
from ipsecscope.diagnose.sizes import Envelope
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Flags, Header
from ipsecscope.dissect.ikev2.proposals import Transform
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.natt import nat_detection_hash
from ipsecscope.dissect.registry.ikev2 import (
    EncryptionAlgorithm,
    ExchangeType,
    IntegrityAlgorithm,
    KeyExchangeMethod,
    NotifyType,
    PseudorandomFunction,
    SecurityProtocol,
    TransformType,
)
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline import analysis as timeline
from ipsecscope.timeline.analysis import Analysis, Counts
from ipsecscope.timeline.binding import bind_flows
from ipsecscope.timeline.correlate import Correlator
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import Opening
from ipsecscope.timeline.settle import settle

SECOND = 10**9
A, B = "192.0.2.1", "198.51.100.1"
SPI_I, SPI_R = b"initiate", b"responds"
START = 1_795_000_000 * SECOND
# AES-CBC with HMAC-SHA2-256-128: RFC 7296 3.14 with the sizes of RFC 3602 and RFC 4868.
CBC = Envelope(
    "AES-CBC", 4, encryption_by_name("aes-cbc")[0].iv_size, 16, integrity_by_name("hmac-sha2-256-128").icv_size
)

# One phase 1 transform: AES-128, SHA2-256, pre-shared key or as given, group 14, 3600 s (RFC 2409 appendix A).
V1_SA = (
    "00000001 00000001 0000002c 01010001 00000024 01010000 80010007 800e0080 80020004 8003{auth:04x} 8004000e "
    "800b0001 800c0e10"
)


def v1_sa(auth: int = 1) -> ikev1.SecurityAssociation:
    found = ikev1.SecurityAssociation.parse(bytes.fromhex(V1_SA.format(auth=auth)))
    assert isinstance(found, ikev1.SecurityAssociation)
    return found


def ike_sa(
    *ke: KeyExchangeMethod,
    encr: EncryptionAlgorithm = EncryptionAlgorithm.ENCR_AES_CBC,
    bits: int | None = 128,
    prf: PseudorandomFunction = PseudorandomFunction.PRF_HMAC_SHA2_256,
    integ: IntegrityAlgorithm = IntegrityAlgorithm.AUTH_HMAC_SHA2_256_128,
) -> ikev2.SecurityAssociation:
    transforms = (
        Transform.of_kind(TransformType.ENCR, encr, bits),
        Transform.of_kind(TransformType.PRF, prf),
        Transform.of_kind(TransformType.INTEG, integ),
        *(Transform.of_kind(TransformType.KE, each) for each in ke or (KeyExchangeMethod.CURVE25519,)),
    )
    proposal = ikev2.Proposal(number=1, protocol_id=SecurityProtocol.IKE, transforms=transforms)
    return ikev2.SecurityAssociation(proposals=(proposal,))


def notify(kind: int, data: bytes = b"") -> ikev2.Notify:
    return ikev2.Notify(notify_type=NotifyType(kind), data=data)


def key_exchange(salt: int = 0) -> ikev2.KeyExchange:
    return ikev2.KeyExchange(method=KeyExchangeMethod.CURVE25519, data=bytes([salt % 255 + 1]) * 32)


class Stage:
    """A capture in the making. Times are seconds from its start; frames are numbered as things are sent."""

    def __init__(self, initiator: str = A, responder: str = B, spi_i: bytes = SPI_I, spi_r: bytes = SPI_R) -> None:
        self.initiator, self.responder = initiator, responder
        self.spi_i, self.spi_r = spi_i, spi_r
        self.datagrams: list[Datagram] = []
        self.flows: list[Flow] = []
        self.opened: dict[int, tuple[Payload, ...]] = {}
        self.counts = Counts()
        self.traffic: dict[str, Any] = {}
        self.end = 0.0
        self.frame = 0

    # -- sending ----------------------------------------------------------------------------------------------

    def send(self, at: float, data: bytes, *, back: bool = False, port: int = 500, **more: Any) -> Stage:
        """Put a datagram on the wire: from the initiator, or ``back`` to it."""
        self.frame += 1
        src, dst = (self.responder, self.initiator) if back else (self.initiator, self.responder)
        values: dict[str, Any] = {
            "file": 0,
            "frames": (self.frame,),
            "time_ns": START + int(at * SECOND),
            "kind": Kind.IKE,
            "encapsulation": Encapsulation.UDP,
            "src": src,
            "dst": dst,
            "sport": port,
            "dport": port,
            "payload": data,
            "marker": port == 4500,
            "ttl": 61 if not back else 60,
        }
        self.datagrams.append(Datagram(**(values | more)))
        self.end = max(self.end, at)
        return self

    def v2(
        self,
        at: float,
        kind: ExchangeType,
        mid: int,
        *bodies: Body,
        back: bool = False,
        response: bool | None = None,
        inner: int | None = None,
        opened: tuple[Body, ...] = (),
        salt: int = 0,
        first: bool = False,
        spi_r: bytes | None = None,
        **more: Any,
    ) -> Stage:
        """An IKEv2 message: with bodies in the clear, or encrypted with ``inner`` octets of payloads."""
        is_response = back if response is None else response
        flags = (0 if back else Flags.INITIATOR) | (Flags.RESPONSE if is_response else 0)
        payloads = [Payload(body=body) for body in bodies]
        if inner is not None:
            size = CBC.length_of(inner) - 28 - CBC.sk_header
            payloads.append(Payload(body=ikev2.Encrypted(data=bytes([(mid + salt) % 256]) * size)))
        header = Header(
            spi_i=self.spi_i,
            spi_r=bytes(8) if first else self.spi_r if spi_r is None else spi_r,
            exchange_type=int(kind),
            flags=int(flags),
            message_id=mid,
        )
        self.send(at, Message(header=header, payloads=tuple(payloads)).build(), back=back, **more)
        if opened:
            self.opened[self.frame] = tuple(Payload(body=body) for body in opened)
        return self

    def v1(
        self,
        at: float,
        kind: IsakmpExchangeType,
        *bodies: Body,
        mid: int = 0,
        octets: int = 0,
        back: bool = False,
        first: bool = False,
        salt: int = 0,
        **more: Any,
    ) -> Stage:
        """An IKEv1 message: with bodies in the clear, or encrypted with so many ``octets`` of ciphertext."""
        header = Header(
            spi_i=self.spi_i,
            spi_r=bytes(8) if first else self.spi_r,
            version=0x10,
            exchange_type=int(kind),
            flags=1 if octets else 0,
            message_id=mid,
            next_payload=None if not octets else 5,
        )
        ciphertext = bytes([(mid + salt) % 250 + 1]) * octets
        message = Message(header=header, payloads=tuple(Payload(body=body) for body in bodies), ciphertext=ciphertext)
        return self.send(at, message.build(), back=back, **more)

    def icmp(self, at: float, kind: int, code: int, sender: str, *, mtu: int | None = None, esp: bool = False) -> Stage:
        """An ICMP error about the last datagram, or about an ESP packet in UDP."""
        quoted = self.datagrams[-1]
        if esp:
            quoted = msgspec.structs.replace(quoted, kind=Kind.ESP, payload=bytes(range(8)))
        error = IcmpError(sender=sender, type=kind, code=code, mtu=mtu, version=4)
        return self.send(at, b"", back=True, src=sender, kind=Kind.ICMP, icmp=error, quoted=quoted)

    def flow(self, lengths: dict[int, int], *, at: float, stop: float, back: bool = False, **more: Any) -> Stage:
        """ESP packets of these lengths, all in sequence."""
        src, dst = (self.responder, self.initiator) if back else (self.initiator, self.responder)
        count = sum(lengths.values())
        self.frame += 2
        values: dict[str, Any] = {
            "id": f"flow-{len(self.flows) + 1}",
            "protocol": "ESP",
            "encapsulation": "udp",
            "src": src,
            "dst": dst,
            "spi": 0x1000 + len(self.flows),
            "packets": count,
            "octets": sum(length * times for length, times in lengths.items()),
            "first_ns": START + int(at * SECOND),
            "last_ns": START + int(stop * SECOND),
            "first_frame": self.frame - 1,
            "last_frame": self.frame,
            "file": 0,
            "first_seq": 1,
            "last_seq": count,
            "lost": 0,
            "duplicates": 0,
            "reordered": 0,
            "replayed": 0,
            "rolled_over": False,
            "gaps": (),
            "sources": ((src, 4500),),
            "ports": (4500, 4500),
            "longest_silence_ns": 0,
            "lengths": lengths,
        }
        self.flows.append(Flow(**(values | more)))
        self.end = max(self.end, stop)
        return self

    # -- whole steps --------------------------------------------------------------------------------------------

    def init(
        self,
        at: float = 0.0,
        *,
        ask: tuple[Body, ...] = (),
        tell: tuple[Body, ...] = (),
        sa: ikev2.SecurityAssociation | None = None,
        salt: int = 0,
        answered: bool = True,
    ) -> Stage:
        """IKE_SA_INIT with a good answer."""
        kind, offer = ExchangeType.IKE_SA_INIT, sa or ike_sa()
        mine = (offer, key_exchange(salt), ikev2.Nonce(data=bytes([salt + 1]) * 32), *ask)
        theirs = (ike_sa(), key_exchange(salt + 7), ikev2.Nonce(data=bytes([salt + 9]) * 32), *tell)
        self.v2(at, kind, 0, *mine, first=True)
        return self.v2(at + 0.01, kind, 0, *theirs, back=True) if answered else self

    def auth(self, at: float = 0.1, *, answer: int = 180, request: int = 230, port: int = 4500, **more: Any) -> Stage:
        """One round of IKE_AUTH with an answer of so many octets."""
        self.v2(at, ExchangeType.IKE_AUTH, 1, inner=request, port=port)
        return self.v2(at + 0.02, ExchangeType.IKE_AUTH, 1, inner=answer, back=True, port=port, **more)

    def main_mode(self, *, auth: int = 1, octets: int = 64, answered: bool = True, upto: int = 6) -> Stage:
        """The six messages of main mode, or the first ones of them."""
        kind = IsakmpExchangeType.IDENTITY_PROTECTION
        keys = (ikev1.KeyExchange(data=b"\x05" * 256), ikev1.Nonce(data=b"\x06" * 32))
        steps: list[dict[str, Any]] = [
            {"bodies": (v1_sa(auth),), "first": True},
            {"bodies": (v1_sa(auth),), "back": True},
            {"bodies": keys},
            {"bodies": (ikev1.KeyExchange(data=b"\x07" * 256), ikev1.Nonce(data=b"\x08" * 32)), "back": True},
            {"octets": octets},
            {"octets": octets, "back": True, "salt": 9},
        ]
        for number, step in enumerate(steps[: upto if answered else 5]):
            bodies = step.pop("bodies", ())
            self.v1(number / 100, kind, *bodies, **step)
        return self

    def behind_nat(self) -> tuple[ikev2.Notify, ikev2.Notify]:
        """Detection hashes of an initiator whose address was another one, and of this responder."""
        own = nat_detection_hash(self.spi_i, bytes(8), "10.1.2.3", 500)
        return (
            notify(NotifyType.NAT_DETECTION_SOURCE_IP, own),
            notify(
                NotifyType.NAT_DETECTION_DESTINATION_IP,
                nat_detection_hash(self.spi_i, bytes(8), self.responder, 500),
            ),
        )

    # -- the result ---------------------------------------------------------------------------------------------

    def open_ike(self, sa: object, exchange: object, record: Any) -> Opening | None:
        """What would be read with keys (the correlator's Opener)."""
        del sa, exchange
        payloads = self.opened.get(record.frame)
        return None if payloads is None else Opening(payloads=payloads, data=b"read")

    def filed(self, sa: object, exchange: object) -> None:
        """Nothing is learned from a message that was filed."""

    def analysis(self, *others: Stage, until: float = 0.0) -> Analysis:
        """The timeline of everything sent, together with other stages."""
        stages = (self, *others)
        correlator = Correlator(self)
        for datagram in sorted((d for each in stages for d in each.datagrams), key=lambda each: each.time_ns):
            correlator.feed(datagram)
        flows = tuple(flow for each in stages for flow in each.flows)
        sas, bindings = bind_flows(settle(correlator.finish()), flows)
        times = [each.time_ns for stage in stages for each in stage.datagrams]
        times += [moment for flow in flows for moment in (flow.first_ns, flow.last_ns)]
        return Analysis(
            files=[],
            errors=[],
            counts=self.counts,
            ike_sas=tuple(sas),
            flows=flows,
            bindings=bindings,
            events=correlator.events,
            icmp=[(datagram, None if sa is None else sa.id) for datagram, sa in correlator.icmp],
            notes=timeline._notes(sas),
            traffic=self.traffic,
            first_ns=min(times, default=None),
            last_ns=max([*times, START + int(until * SECOND)]),
            orphans=correlator.unreadable,
        )
