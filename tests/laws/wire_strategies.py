"""Hypothesis strategies for every wire structure, read off its field list: a new structure is covered as it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from ipsecscope.dissect.ikev2.codecs import (
    AllBut,
    Chunks,
    CountedNumbers,
    Low15,
    Marked,
    Numbers,
    Sequence,
    TopBit,
)
from ipsecscope.dissect.ikev2.extensions.rfc9464 import Addresses
from ipsecscope.dissect.ikev2.extensions.rfc9838 import OneSelector
from ipsecscope.dissect.ikev2.selectors import Ipv4Selector, Ipv6Selector
from ipsecscope.dissect.registry.ikev2 import TrafficSelectorType
from ipsecscope.dissect.wire import (
    Array,
    Bytes,
    Codec,
    FieldSpec,
    Fixed,
    One,
    Reader,
    Rest,
    Sized,
    Struct,
    Wide,
)

MAX_OCTETS = 24
MAX_LIST = 3


def structures(root: type[Struct]) -> Iterator[type[Struct]]:
    """Every class below ``root`` that has fields on the wire."""
    for cls in root.__subclasses__():
        if cls.fields():
            yield cls
        yield from structures(cls)


def _width(codec: Codec) -> int:
    return codec.packer.size if isinstance(codec, Fixed) else codec.size  # type: ignore[attr-defined]


def values(spec: FieldSpec, drawn: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of one field, given the fields drawn before it."""
    codec = spec.codec
    if isinstance(codec, Fixed | Wide):
        return st.integers(0, 256 ** _width(codec) - 1).map(spec.convert or (lambda number: number))
    if isinstance(codec, TopBit):
        return st.integers(0, 1)
    if isinstance(codec, Low15 | Marked):
        return st.integers(0, 0x7FFF).map(spec.convert or (lambda number: number))
    if isinstance(codec, Bytes):
        return st.binary(min_size=codec.count, max_size=codec.count)
    if isinstance(codec, Numbers | CountedNumbers):
        return st.lists(st.integers(0, 256**codec.size - 1).map(codec.kind), max_size=MAX_LIST).map(tuple)
    if isinstance(codec, Chunks):
        size = drawn[codec.by]
        items = st.binary(min_size=size, max_size=size)
        return st.lists(items, max_size=MAX_LIST).map(tuple) if size else st.just(())
    if isinstance(codec, Addresses):
        items = st.binary(min_size=codec.size, max_size=codec.size)
        return st.lists(items, max_size=MAX_LIST).map(tuple)
    if isinstance(codec, Rest | Sized | AllBut):
        return st.binary(max_size=MAX_OCTETS)
    if type(codec).__name__ == "_Words":
        return st.integers(1, 4).flatmap(lambda words: st.binary(min_size=words * 4 - 2, max_size=words * 4 - 2))
    return _substructures(codec)


def _substructures(codec: Codec) -> st.SearchStrategy[Any]:
    if isinstance(codec, Array):
        return st.lists(_items(codec), max_size=MAX_LIST).map(tuple)
    if isinstance(codec, Sequence):
        return st.lists(instances(codec.item), min_size=1, max_size=MAX_LIST).map(tuple)
    if isinstance(codec, OneSelector):
        return st.one_of(_selector(Ipv4Selector), _selector(Ipv6Selector))
    assert isinstance(codec, One), f"no strategy for {codec}"
    return instances(codec.item)


def _selector(cls: type[Struct]) -> st.SearchStrategy[Struct]:
    return instances(cls, ts_type=TrafficSelectorType(cls.of or 0))


def _items(codec: Array) -> st.SearchStrategy[Struct]:
    """Items of an array, each of a class that the array would choose for its octets."""

    def chosen(item: Struct) -> bool:
        data = item.build()
        return codec._class_at(Reader(data)) is type(item)

    cases = codec._cases or {}
    other = codec._item if isinstance(codec._item, type) else codec._item()
    strategies = [instances(other).filter(chosen)]
    for number, cls in cases.items():
        first = cls.fields()[0]
        is_number = first.convert is not None and isinstance(first.codec, Fixed)
        fixed = {first.name: first.convert(number)} if is_number else {}  # type: ignore[misc]
        strategies.append(instances(cls, **fixed).filter(chosen))
    return st.one_of(strategies)


def instances(cls: type[Struct], **fixed: Any) -> st.SearchStrategy[Any]:
    """Well-formed values of a structure: computed fields are None, sizes agree with what they size."""

    @st.composite
    def draw_instance(draw: st.DrawFn) -> Struct:
        drawn: dict[str, Any] = {}
        for spec in cls.fields():
            if spec.computed is not None:
                drawn[spec.name] = None
            elif spec.name in fixed:
                drawn[spec.name] = fixed[spec.name]
            elif any(isinstance(other.codec, Chunks) and other.codec.by == spec.name for other in cls.fields()):
                drawn[spec.name] = draw(st.integers(0, 8))
            else:
                drawn[spec.name] = draw(values(spec, drawn))
        return cls(**drawn)

    return draw_instance()
