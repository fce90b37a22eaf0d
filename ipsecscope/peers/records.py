"""What peers derived, as key records: the shape that every key log is read into and written from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipsecscope.decrypt.groups import group
from ipsecscope.decrypt.keys import (
    Direction,
    Encapsulation,
    IkeV2Keys,
    KeyRecord,
    Msk,
    NamedEncryption,
    NamedGroup,
    NamedIntegrity,
    NamedPrf,
    Origin,
    Role,
    SaKeys,
    SecretKind,
    SharedSecret,
)
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.events import ChildSaInstalled, KeysDerived, MskDerived, PeerEvent, SecretShared
from ipsecscope.peers.ikev1.events import IsakmpKeysDerived
from ipsecscope.peers.ikev1.records import isakmp_record

FORMAT = "ipsecscope"


def key_records(events: Iterable[PeerEvent], source: str) -> tuple[KeyRecord, ...]:
    """The records of everything that was derived, in the order of the events; ``source`` names them."""
    found: list[KeyRecord] = []
    for event in events:
        origin = Origin(source, len(found) + 1, FORMAT)
        if isinstance(event, KeysDerived):
            found.append(_ike(event, origin))
        elif isinstance(event, IsakmpKeysDerived):
            found.append(isakmp_record(event, origin))
        elif isinstance(event, SecretShared):
            found.append(_secret(event, origin))
        elif isinstance(event, MskDerived):
            found.append(Msk(origin=origin, value=event.msk, spi_i=event.spi_i, spi_r=event.spi_r))
        elif isinstance(event, ChildSaInstalled):
            found += _child(event, origin)
    return tuple(found)


def _ike(event: KeysDerived, origin: Origin) -> IkeV2Keys:
    suite = event.suite
    return IkeV2Keys.derived(
        event.keys,
        origin=origin,
        spi_i=event.spi_i,
        spi_r=event.spi_r,
        encryption=NamedEncryption.of(suite.encryption, suite.key_bits),
        integrity=NamedIntegrity.of(suite.integrity),
        prf=NamedPrf.of(suite.prf),
        role=Role(event.vantage),
        nonces=event.ni + event.nr,
        exchange=event.exchange,
        uses_ppk=event.uses_ppk,
        sequence=event.sequence,
    )


def _secret(event: SecretShared, origin: Origin) -> SharedSecret:
    row = group(event.method)
    return SharedSecret(
        origin=origin,
        value=event.secret,
        kind=SecretKind.KEM if row.is_kem else SecretKind.DH,
        group=NamedGroup(row.name, row.id),
        spi_i=event.spi_i,
        spi_r=event.spi_r,
        child_spis=tuple(int.from_bytes(spi, "big") for spi in event.child_spis),
        order=event.order,
    )


def _child(event: ChildSaInstalled, origin: Origin) -> Iterator[SaKeys]:
    """Both directions of a Child SA: what the initiator of its exchange sends bears the SPI of the responder."""
    for by_initiator in (True, False):
        sends = by_initiator == event.is_initiator
        source, destination = (event.src, event.dst) if sends else (event.dst, event.src)
        suite, keys = event.suite, event.keys
        cipher = suite.encryption
        yield SaKeys(
            origin=origin,
            protocol=event.protocol,
            spi=int.from_bytes(event.spi_r if by_initiator else event.spi_i, "big"),
            src=source.address,
            dst=destination.address,
            encryption=NamedEncryption.of(cipher, suite.key_bits),
            encryption_key=keys.encryption(initiator=by_initiator) if cipher is not None else Secret(b""),
            integrity=NamedIntegrity.of(suite.integrity),
            integrity_key=keys.integrity(initiator=by_initiator),
            esn=event.esn,
            mode=event.mode,
            encapsulation=_encapsulation(source, destination) if event.encapsulated else None,
            direction=Direction.OUTBOUND if sends else Direction.INBOUND,
            role=Role.INITIATOR if by_initiator else Role.RESPONDER,
        )


def _encapsulation(source: Endpoint, destination: Endpoint) -> Encapsulation:
    return Encapsulation(source_port=source.port, destination_port=destination.port)
