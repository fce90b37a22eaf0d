"""Code points: named numbers, and the numbers that nobody named."""

from __future__ import annotations

from ipsecscope.dissect.codepoints import CodePoint


class Fruit(CodePoint):
    APPLE = 1, "RFC 1", "MUST"
    PEAR = 2


def test_known_number_carries_name_reference_and_status() -> None:
    assert str(Fruit(1)) == "APPLE"
    assert (Fruit.APPLE.reference, Fruit.APPLE.status) == ("RFC 1", "MUST")
    assert Fruit.APPLE.is_known


def test_unknown_number_is_a_value() -> None:
    unknown = Fruit(999)
    assert str(unknown) == "UNKNOWN_999"
    assert f"{unknown:>12}" == " UNKNOWN_999"
    assert unknown == 999
    assert hash(unknown) == hash(999)
    assert not unknown.is_known
    assert unknown.reference == ""


def test_unknown_number_does_not_join_the_table() -> None:
    Fruit(998)
    assert [member.name for member in Fruit] == ["APPLE", "PEAR"]
