"""The laws of the wire kernel, for every structure of IKEv2, its notifications, attributes, selectors and EAP data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from wire_strategies import instances, structures

from ipsecscope.dissect import ikev2
from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.eap import EapData
from ipsecscope.dissect.ikev2.checks import check_body
from ipsecscope.dissect.wire import Field, Reader, Struct, WireError

assert ikev2  # importing it fills the registries

ROOTS = (
    Ikev2Body,
    ikev2.NotifyData,
    ikev2.ConfigurationValue,
    ikev2.TrafficSelector,
    ikev2.CertificateData,
    ikev2.AuthenticationData,
    EapData,
)
CLASSES = sorted(
    {cls for root in ROOTS for cls in structures(root)}, key=lambda cls: f"{cls.__module__}.{cls.__name__}"
)
REGISTERED = [cls for cls in CLASSES if issubclass(cls, Ikev2Body) and cls.of is not None]
EACH = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
LAW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def tiles(field: Field) -> bool:
    """Whether the children of a field cover it without gap or overlap, all the way down."""
    position = field.start
    for child in field.children:
        if child.start != position or not tiles(child):
            return False
        position = child.stop
    return not field.children or position == field.stop


@EACH
@LAW
@given(data=st.data())
def test_a_structure_survives_building_and_parsing(cls: type[Struct], data: Any) -> None:
    value = data.draw(instances(cls))
    assert cls.parse(value.build()) == value


@EACH
@LAW
@given(data=st.data())
def test_a_structure_traces_to_spans_that_tile_it(cls: type[Struct], data: Any) -> None:
    octets = data.draw(instances(cls)).build()
    reader = Reader(octets)
    field = cls.trace(reader)
    assert (field.start, field.stop, reader.left) == (0, len(octets), 0)
    assert tiles(field)


@EACH
@LAW
@given(data=st.data())
def test_a_structure_with_damaged_octets_rebuilds_or_refuses(cls: type[Struct], data: Any) -> None:
    octets = bytearray(data.draw(instances(cls)).build())
    for _ in range(data.draw(st.integers(1, 3))):
        if octets:
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    _rebuilds_or_refuses(cls, bytes(octets))


@EACH
@LAW
@given(octets=st.binary(max_size=64))
@example(b"")
def test_a_structure_of_any_octets_rebuilds_or_refuses(cls: type[Struct], octets: bytes) -> None:
    _rebuilds_or_refuses(cls, octets)


@EACH
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_a_structure_cut_anywhere_raises_nothing_but_a_wire_error(cls: type[Struct], data: Any) -> None:
    octets = data.draw(instances(cls)).build()
    for size in range(len(octets)):
        _rebuilds_or_refuses(cls, octets[:size])


@pytest.mark.parametrize("cls", REGISTERED, ids=lambda cls: cls.__name__)
@LAW
@given(data=st.data(), is_response=st.booleans())
def test_checks_of_any_body_give_notes_inside_it(cls: type[Any], data: Any, is_response: bool) -> None:
    body = data.draw(instances(cls))
    size = len(body.build())
    for note in check_body(body, is_response=is_response, offset=32, prf_key_size=64):
        assert 32 <= note.start <= note.stop <= 32 + size
        assert note.text


def _rebuilds_or_refuses(cls: type[Struct], octets: bytes) -> None:
    try:
        value = cls.parse(octets)
    except WireError:
        with pytest.raises(WireError) as refusal:
            _trace_all(cls, octets)
        assert 0 <= refusal.value.start <= refusal.value.stop <= len(octets)
        return
    assert value.build() == octets
    assert tiles(_trace_all(cls, octets))
    assert isinstance(value.summary(), str)


def _trace_all(cls: type[Struct], octets: bytes) -> Field:
    reader = Reader(octets)
    field = cls.trace(reader)
    if reader.left:
        raise WireError("left over", reader.pos, reader.end)
    return field
