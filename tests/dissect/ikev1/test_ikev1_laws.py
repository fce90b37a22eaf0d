"""Laws L1 to L3 for every structure of IKEv1, with strategies made from the field lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dpkt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipsecscope.dissect.body import Ikev1Body
from ipsecscope.dissect.ikev1 import (
    ForeignSecurityAssociation,
    GdoiSecurityAssociation,
    SaKek,
    SaTek,
    SecurityAssociation,
    configuration,
    gdoi,
    identification,
    notification,
    payload_class,
    sa,
    transforms,
)
from ipsecscope.dissect.ikev1.attributes import AttributeType
from ipsecscope.dissect.ikev1.notification import Delete, Spis
from ipsecscope.dissect.ikev1.sa import LabeledSituation, Situation, SituationFlags
from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.wire import (
    Array,
    Bytes,
    Field,
    FieldSpec,
    Fixed,
    One,
    Reader,
    Rest,
    Sized,
    Struct,
    WireError,
)

WIDTH = {"B": 8, "H": 16, "I": 32, "Q": 64}


def check_place(error: WireError, size: int) -> None:
    assert 0 <= error.start <= error.stop <= size
    assert error.why


def field_strategy(spec: FieldSpec) -> st.SearchStrategy[object]:
    codec = spec.codec
    if spec.computed is not None:
        return st.none()
    if isinstance(codec, Fixed | AttributeType):
        bits = WIDTH[codec.letter] if isinstance(codec, Fixed) else 15
        numbers = st.integers(0, 2**bits - 1)
        return numbers if spec.convert is None else numbers.map(spec.convert)
    if isinstance(codec, Bytes):
        return st.binary(min_size=codec.count, max_size=codec.count)
    if isinstance(codec, Rest | Sized):
        return st.binary(max_size=20)
    if isinstance(codec, One):
        return strategy(codec.item)
    assert isinstance(codec, Array)
    classes = [codec._item, *(codec._cases or {}).values()]
    return st.lists(st.one_of(*[strategy(cls) for cls in classes]), max_size=3).map(tuple)


def strategy(cls: type[Struct]) -> st.SearchStrategy[Struct]:
    if cls is Situation:
        return st.one_of(st.just(Situation(flags=SituationFlags(1))), strategy(LabeledSituation))
    special = SPECIAL.get(cls)
    if special is not None:
        return special()
    fields = {spec.name: field_strategy(spec) for spec in cls.fields()}
    fields.update(FIXED_FIELDS.get(cls, {}))
    return st.builds(cls, **fields)


def deletes() -> st.SearchStrategy[Struct]:
    def of_size(size: int) -> st.SearchStrategy[Struct]:
        spis = st.lists(st.binary(min_size=size, max_size=size), max_size=4).map(tuple) if size else st.just(())
        trailing = st.binary(max_size=size - 1) if size else st.binary(max_size=9)
        return st.builds(
            Delete,
            doi=st.integers(0, 2**32 - 1).map(isakmp.Doi),
            protocol_id=st.just(sa.ipsec_doi.ProtocolId.PROTO_IPSEC_ESP),
            spi_size=st.just(size),
            spis=spis,
            trailing=trailing,
        )

    return st.integers(0, 20).flatmap(of_size)


def labels() -> st.SearchStrategy[Struct]:
    def build(flags: int, values: tuple[bytes, ...]) -> LabeledSituation:
        secrecy, category, integrity, category2 = values
        return LabeledSituation(
            flags=SituationFlags(flags),
            domain=7,
            secrecy_level=secrecy,
            secrecy_category_length=len(category) * 8,
            secrecy_category=category,
            integrity_level=integrity,
            integrity_category_length=len(category2) * 8,
            integrity_category=category2,
        )

    return st.builds(build, st.sampled_from([2, 3, 4, 5, 6, 7]), st.tuples(*[st.binary(max_size=9)] * 4))


SPECIAL = {Delete: deletes, LabeledSituation: labels}
FIXED_FIELDS: dict[type[Struct], dict[str, st.SearchStrategy[object]]] = {
    sa.Proposal: {"protocol_id": st.integers(5, 255).map(sa.ipsec_doi.ProtocolId)},
    **{cls: {"protocol_id": st.just(sa.ipsec_doi.ProtocolId(number))} for number, cls in sa.PROPOSALS.items()},
    SecurityAssociation: {"doi": st.sampled_from([isakmp.Doi.IPSEC, isakmp.Doi.ISAKMP, isakmp.Doi.GDOI])},
    ForeignSecurityAssociation: {"doi": st.integers(3, 2**32 - 1).map(isakmp.Doi)},
    GdoiSecurityAssociation: {
        "doi": st.just(isakmp.Doi.GDOI),
        "sa_attribute_next_payload": st.sampled_from([isakmp.PayloadType.SAK, isakmp.PayloadType.SAT]),
    },
}

BODIES = sorted(
    {*Ikev1Body.registry.values(), SaKek, SaTek, GdoiSecurityAssociation, ForeignSecurityAssociation},
    key=lambda cls: cls.__name__,
)
INNER = [
    *identification.IdData.registry.values(),
    *notification.NotificationData.registry.values(),
    configuration.SplitList,
    configuration.AddressList,
    configuration.ConfigShort,
    configuration.ConfigLong,
    gdoi.EspTekPolicy,
    gdoi.AhTekPolicy,
    gdoi.KeyPacket,
    gdoi.SaPart,
    transforms.PhaseOneTransform,
    transforms.EspTransform,
    transforms.AhTransform,
    transforms.IpcompTransform,
    transforms.Transform,
    sa.Situation,
]
STRUCTS = sorted({*BODIES, *INNER}, key=lambda cls: cls.__name__)


def tiles(field: Field) -> bool:
    position = field.start
    for child in field.children:
        if child.start != position or not tiles(child):
            return False
        position = child.stop
    return not field.children or position == field.stop


def survives(cls: type[Struct], data: bytes) -> bool:
    """Whether the octets are read; if so they are rebuilt and traced, if not the fault has a place."""
    try:
        value = cls.parse(data)
    except WireError as error:
        check_place(error, len(data))
        return False
    assert value.build() == data
    field = cls.trace(Reader(data))
    assert tiles(field)
    assert (field.start, field.stop) == (0, len(data))
    assert isinstance(value.summary(), str)
    assert repr(value)
    return True


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_struct_built_parses_back_to_itself(cls: type[Struct], data: st.DataObject) -> None:
    value = data.draw(strategy(cls))
    again = cls.parse(value.build())
    assert again == value
    assert survives(cls, value.build())


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_struct_damaged_rebuilds_or_is_refused(cls: type[Struct], data: st.DataObject) -> None:
    octets = bytearray(data.draw(strategy(cls)).build())
    for _ in range(data.draw(st.integers(0, 3))):
        if octets:
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    survives(cls, bytes(octets[:cut]))
    survives(cls, bytes(octets))


@settings(max_examples=300, deadline=None)
@given(kind=st.one_of(st.integers(0, 22), st.integers(0, 255)), data=st.binary(max_size=80))
def test_payload_of_any_number_survives_any_octets(kind: int, data: bytes) -> None:
    for is_gdoi in (False, True):
        cls = payload_class(kind, gdoi=is_gdoi)
        if cls is not None:
            survives(cls, data)


def clear_payloads(path: Path) -> Iterator[tuple[int, bytes]]:
    """The payloads of the unencrypted IKEv1 messages of a capture."""
    with path.open("rb") as stream:
        for _, frame in dpkt.pcap.Reader(stream):
            udp = getattr(dpkt.ethernet.Ethernet(frame).data, "data", None)
            if not isinstance(udp, dpkt.udp.UDP):
                continue
            data = bytes(udp.data).removeprefix(bytes(4)) if 4500 in (udp.sport, udp.dport) else bytes(udp.data)
            if len(data) < 28 or data[17] >> 4 != 1 or data[19] & 1:
                continue
            kind, position = data[16], 28
            while kind and position + 4 <= len(data):
                length = int.from_bytes(data[position + 2 : position + 4], "big")
                if length < 4:
                    break
                yield kind, data[position + 4 : position + length]
                kind, position = data[position], position + length


def test_every_clear_payload_of_the_lab_is_read_and_cut_anywhere_survives(shared: Path) -> None:
    seen = set()
    for path in sorted((shared / "captures/lab").glob("*v1*/capture.pcap")):
        for kind, data in clear_payloads(path):
            if (kind, data) in seen:
                continue
            seen.add((kind, data))
            cls = payload_class(kind)
            assert cls is not None
            assert survives(cls, data)
            for cut in range(min(len(data), 200)):
                survives(cls, data[:cut])
    assert len(seen) > 100


def test_spis_codec_is_bounded() -> None:
    data = bytes(5) + b"\1\0\1" + bytes(notification.MAX_SPIS + 5)
    body = Delete.parse(data)
    assert len(body.spis) == notification.MAX_SPIS
    assert body.build() == data
    assert Spis().by == "spi_size"
