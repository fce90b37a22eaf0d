"""Keys that opened something, as records with the SPIs of what they opened: what exporters need and few sources say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from ipsecscope.capture.datagrams import Datagram
from ipsecscope.capture.datagrams import Encapsulation as Carrier
from ipsecscope.decrypt.algorithms import EncryptionRow
from ipsecscope.decrypt.keys import (
    Encapsulation,
    IkeV1Keys,
    IkeV2Keys,
    KeyRecord,
    NamedEncryption,
    NamedIntegrity,
    NamedPrf,
    Origin,
    SaKeys,
)
from ipsecscope.decrypt.opening_esp import EspOpener
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol
from ipsecscope.timeline.decryption import KeyOpener
from ipsecscope.timeline.ikev1_keys import PhaseOneKey
from ipsecscope.timeline.ikev2_keys import KeySet
from ipsecscope.timeline.tracking import SaTracker
from ipsecscope.timeline.traffic import ProvenSa, TrafficOpener

FORMAT = "derived"


def proven_keys(
    trackers: Iterable[SaTracker], opener: KeyOpener, traffic: TrafficOpener | None = None
) -> Iterator[KeyRecord]:
    """One record for each set of keys of an IKE SA that opened a message, and for each SA whose packets opened."""
    for sa in trackers:
        if sa.version == 1:
            yield from (_ike_v1(sa, key) for key in opener.ikev1.state(sa).proven)
        else:
            proven = opener.ikev2.state(sa).proven
            yield from (_ike_v2(sa, keys, number) for number, keys in enumerate(proven))
    if traffic is not None:
        yield from (_sa(each) for each in traffic.proven())


def _ike_v2(sa: SaTracker, keys: KeySet, number: int) -> IkeV2Keys:
    return IkeV2Keys.derived(
        keys,
        origin=Origin(sa.id, 0, FORMAT),
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        encryption=_encryption(keys.encryption, keys.sk_ei or keys.sk_er),
        integrity=NamedIntegrity.of(keys.integrity),
        prf=NamedPrf.of(keys.prf),
        sequence=number,
    )


def _ike_v1(sa: SaTracker, key: PhaseOneKey) -> IkeV1Keys:
    known = key.skeyids
    return IkeV1Keys(
        origin=Origin(sa.id, 0, FORMAT),
        cookie_i=sa.spi_i,
        cookie_r=sa.spi_r,
        skeyid=None if known is None else known.skeyid,
        skeyid_d=key.skeyid_d,
        skeyid_a=key.skeyid_a,
        skeyid_e=None if known is None else known.skeyid_e,
        ka=key.key,
        iv=key.first_iv,
        encryption=_encryption(key.encryption, key.key),
        hash=NamedPrf.of(key.prf),
    )


def _sa(proven: ProvenSa) -> SaKeys:
    datagram, opener = proven.datagram, proven.opener
    protocol = SecurityProtocol.ESP if isinstance(opener, EspOpener) else SecurityProtocol.AH
    record = SaKeys(
        origin=Origin(f"{protocol} {proven.spi:08x} to {datagram.dst}", 0, FORMAT),
        protocol=protocol,
        spi=proven.spi,
        src=datagram.src,
        dst=datagram.dst,
        integrity=NamedIntegrity.of(opener.integrity if isinstance(opener, EspOpener) else opener.sa.integrity),
        integrity_key=opener.sa.integrity_key,
        esn=opener.esn,
        seq_hi=opener.sa.esn_high or None,
        mode=proven.modes[0] if len(proven.modes) == 1 else "",
        encapsulation=_encapsulation(datagram),
    )
    if not isinstance(opener, EspOpener):
        return record
    row, key = opener.sa.encryption, opener.sa.encryption_key
    if row.is_aead:
        record = replace(record, integrity=None)
    return replace(record, encryption=_encryption(row, key), encryption_key=key)


def _encapsulation(datagram: Datagram) -> Encapsulation | None:
    if datagram.encapsulation is Carrier.IP:
        return None
    return Encapsulation(datagram.encapsulation.name.lower(), datagram.sport, datagram.dport)


def _encryption(row: EncryptionRow, key: Secret | None) -> NamedEncryption | None:
    bits = row.key_bits_of(len(key)) if key is not None and row.key_sizes else None
    return NamedEncryption.of(row, bits)
