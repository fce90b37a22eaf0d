from __future__ import annotations

import pytest

from ipsecscope.dissect.ikev2.codecs import Chunks, Sequence, TopBit
from ipsecscope.dissect.ikev2.proposals import Transform
from ipsecscope.dissect.wire import MAX_ITEMS, Reader, WireError


def test_a_bit_of_nothing_is_refused() -> None:
    with pytest.raises(WireError):
        TopBit().get(Reader(b""))


def test_more_chunks_than_the_limit_are_refused() -> None:
    with pytest.raises(WireError, match="more than"):
        Chunks("size").get(Reader(bytes(MAX_ITEMS * 16 + 1)), 1)


def test_a_sequence_ends_with_the_octets_when_nothing_says_it_ends() -> None:
    reader = Reader(bytes.fromhex("0300000801000014"))
    (transform,) = Sequence(Transform).get(reader)
    assert (transform.last, reader.left) == (3, 0)
    assert Sequence(Transform).get(Reader(b"")) == ()


def test_a_sequence_beyond_the_limit_is_refused() -> None:
    with pytest.raises(WireError, match="more than"):
        Sequence(Transform).get(Reader(bytes.fromhex("0300000801000014") * (MAX_ITEMS + 1)))
