"""The wire kernel: field lists read in three directions."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.wire import (
    MAX_ITEMS,
    REST,
    U8,
    U16,
    U24,
    Array,
    Bytes,
    CountOf,
    Field,
    Length,
    More,
    One,
    Reader,
    Sized,
    SizeOf,
    Struct,
    WireError,
)


class Fruit(CodePoint):
    APPLE = 1, "RFC 1"
    PEAR = 2


class Leaf(Struct):
    more: Annotated[int | None, U8, More(3)] = None
    length: Annotated[int | None, U16, Length()] = None
    data: Annotated[bytes, REST] = b""


class Branch(Struct, rfc="1 2.3"):
    fruit: Annotated[Fruit, U8]
    size: Annotated[int | None, U8, SizeOf("spi")] = None
    count: Annotated[int | None, U8, CountOf("leaves")] = None
    spi: Annotated[bytes, Sized("size")] = b""
    leaves: Annotated[tuple[Leaf, ...], Array(Leaf)] = ()


class Wide(Struct):
    number: Annotated[int, U24]
    fixed: Annotated[bytes, Bytes(2)]
    one: Annotated[Leaf, One(Leaf)]


class Plum(Struct):
    registry: ClassVar[dict[int, type[Struct]]] = {}


class Boxed(Struct):
    kind: Annotated[int, U8]
    size: Annotated[int | None, U8, SizeOf("leaves", extra=2)] = None
    leaves: Annotated[tuple[Leaf, ...], Array(Leaf)] = ()

    def inner(self) -> tuple[str, type[Struct]] | None:
        return ("leaves", Leaf) if self.kind == 1 else None


class Nothing(Struct):
    pass


LEAVES = (Leaf(data=b"x"), Leaf(data=b"yz"))
BRANCH = Branch(fruit=Fruit.PEAR, spi=b"abcd", leaves=LEAVES)


def test_build_computes_lengths_counts_and_markers() -> None:
    assert (
        BRANCH.build()
        == bytes.fromhex("020402") + b"abcd" + bytes.fromhex("030004") + b"x" + bytes.fromhex("000005") + b"yz"
    )


def test_parse_forgets_what_agrees() -> None:
    assert Branch.parse(BRANCH.build()) == BRANCH


@pytest.mark.parametrize("field", ["count"])
def test_parse_keeps_what_disagrees(field: str) -> None:
    odd = Branch(fruit=Fruit.APPLE, spi=b"", leaves=LEAVES, **{field: 9})
    assert getattr(Branch.parse(odd.build()), field) == 9
    assert Branch.parse(odd.build()).build() == odd.build()


def test_marker_that_disagrees_is_kept_and_rebuilt() -> None:
    data = bytearray(BRANCH.build())
    data[7] = 7
    parsed = Branch.parse(bytes(data))
    assert parsed.leaves[0].more == 7
    assert parsed.build() == bytes(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "octets needed"),
        (b"\x01\x05\x00abc", "5 octets needed"),
        (b"\x01\x00\x01\x00\x00\x02", "length 2"),
        (b"\x01\x00\x01\x00\x00\x09", "length 9"),
    ],
    ids=["empty", "short-spi", "length-below-header", "length-beyond-end"],
)
def test_parse_says_what_is_wrong_and_where(data: bytes, why: str) -> None:
    with pytest.raises(WireError) as caught:
        Branch.parse(data)
    assert why in caught.value.why
    assert 0 <= caught.value.start <= caught.value.stop <= len(data)


def test_parse_refuses_octets_behind_the_structure() -> None:
    with pytest.raises(WireError, match="behind"):
        Wide.parse(Wide(number=1, fixed=b"ab", one=Leaf(data=b"q")).build() + b"!")


def test_length_that_does_not_end_with_its_fields_is_refused() -> None:
    class Closed(Struct):
        length: Annotated[int | None, U8, Length()] = None
        octet: Annotated[int, U8]

    with pytest.raises(WireError, match="left over"):
        Closed.parse(b"\x03\x01\x02")


def test_wide_integers_and_single_structures_round_trip() -> None:
    value = Wide(number=0x010203, fixed=b"ab", one=Leaf(data=b"q"))
    assert value.build()[:5] == b"\x01\x02\x03ab"
    assert Wide.parse(value.build()) == value


def test_trace_gives_every_field_its_octets() -> None:
    tree = Branch.trace(Reader(BRANCH.build()), "branch")
    assert [(child.name, child.start, child.stop) for child in tree.children] == [
        ("fruit", 0, 1),
        ("size", 1, 2),
        ("count", 2, 3),
        ("spi", 3, 7),
        ("leaves", 7, 16),
    ]
    assert tree.children[0].value == Fruit.PEAR
    assert tree.children[4].children[1].children[2].value == b"yz"
    assert tree.value == BRANCH


def test_trace_of_a_fault_carries_what_was_read_before_it() -> None:
    with pytest.raises(WireError) as caught:
        Branch.trace(Reader(b"\x01\x05\x00abc"))
    assert [field.name for field in caught.value.partial] == ["fruit", "size", "count"]  # type: ignore[attr-defined]


def test_too_many_items_are_an_error_not_a_hang() -> None:
    data = b"\x01\x00\x00" + Leaf(more=3).build() * (MAX_ITEMS + 1)
    with pytest.raises(WireError, match="more than"):
        Branch.parse(data)


def test_items_without_octets_are_an_error_not_a_loop() -> None:
    class Holder(Struct):
        items: Annotated[tuple[Nothing, ...], Array(Nothing)] = ()

    with pytest.raises(WireError, match="without octets"):
        Holder.parse(b"x")


def test_structure_inside_a_field_is_found_and_traced() -> None:
    boxed = Boxed(kind=1, leaves=(Leaf(data=b"ab"),))
    assert boxed.build() == bytes.fromhex("0107") + bytes.fromhex("000005") + b"ab"
    assert Boxed.parse(boxed.build()) == boxed
    tree = Boxed.trace(Reader(boxed.build()))
    assert [child.name for child in tree.children[2].children] == ["more", "length", "data"]


def test_content_is_none_where_nothing_is_known() -> None:
    assert Boxed(kind=2).content() is None
    assert Leaf().content() is None


def test_values_are_frozen() -> None:
    with pytest.raises(AttributeError):
        LEAVES[0].data = b"other"  # type: ignore[misc]


def test_subclass_is_registered_for_its_numbers() -> None:
    class Damson(Plum, of=(5, 6), rfc="9 9"):
        pass

    assert Plum.registry == {5: Damson, 6: Damson}
    assert Damson.of == 5
    assert Damson.rfc == "9 9"


def tile(field: Field) -> None:
    position = field.start
    for child in field.children:
        assert child.start == position
        assert child.stop >= child.start
        position = child.stop
        tile(child)
    if field.children:
        assert position == field.stop


@given(st.binary(max_size=80))
def test_build_of_parse_is_the_octets_for_all_octets(data: bytes) -> None:
    try:
        value = Branch.parse(data)
    except WireError:
        return
    assert value.build() == data
    tile(Branch.trace(Reader(data)))


@given(
    st.builds(
        Branch,
        fruit=st.integers(0, 255).map(Fruit),
        spi=st.binary(max_size=20),
        leaves=st.lists(st.builds(Leaf, data=st.binary(max_size=9)), max_size=4).map(tuple),
    )
)
def test_parse_of_build_is_the_value_for_all_values(value: Branch) -> None:
    assert Branch.parse(value.build()) == value
