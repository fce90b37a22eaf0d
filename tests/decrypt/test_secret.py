from __future__ import annotations

import json
import pickle

import msgspec
import pytest

from ipsecscope.decrypt.secret import Secret

KEY = Secret(b"\xab" * 32)


def test_secret_prints_its_size_only() -> None:
    for text in (repr(KEY), str(KEY), f"{KEY}", f"{KEY:>30}", "%s" % (KEY,), repr([KEY]), repr({"key": KEY})):  # noqa: UP031
        assert "<secret 32 octets>" in text
        assert "ab" not in text.replace("abs", "")


def test_secret_in_a_struct_prints_its_size_only() -> None:
    class Holder(msgspec.Struct):
        key: Secret

    assert repr(Holder(KEY)) == "Holder(key=<secret 32 octets>)"


def test_secret_is_not_serialised() -> None:
    with pytest.raises(TypeError):
        json.dumps({"key": KEY})
    with pytest.raises(TypeError):
        msgspec.json.encode({"key": KEY})
    with pytest.raises(TypeError, match="not serialised"):
        pickle.dumps(KEY)
    with pytest.raises(TypeError):
        bytes(KEY)  # type: ignore[call-overload]


def test_secret_equals_by_octets_and_with_secrets_only() -> None:
    assert Secret(b"\xab" * 32) == KEY
    assert hash(Secret(b"\xab" * 32)) == hash(KEY)
    assert Secret(b"\xab" * 31) != KEY
    assert KEY != b"\xab" * 32
    assert len({KEY, Secret(bytearray(b"\xab" * 32)), Secret(memoryview(b"\xab" * 32))}) == 1


def test_secret_reveals_and_splits() -> None:
    assert KEY.reveal() == b"\xab" * 32
    assert [len(piece) for piece in Secret(b"abcdefgh").split(3, 0, 4)] == [3, 0, 4]
    assert Secret(b"abcdefgh").split(3, 2)[1].reveal() == b"de"
    with pytest.raises(ValueError, match="9 octets wanted of a secret of 8"):
        Secret(b"abcdefgh").split(9)


@pytest.mark.parametrize("text", ["0xABCD", "abcd", " ab cd\n", "0Xabcd"])
def test_hexadecimal_digits_are_read(text: str) -> None:
    assert Secret.from_hex(text).reveal() == b"\xab\xcd"


@pytest.mark.parametrize("text", ["0xabc", "xyzzy", "abcdeg"])
def test_odd_digits_are_refused_without_quoting_them(text: str) -> None:
    with pytest.raises(ValueError, match="not an even number of hexadecimal digits") as caught:
        Secret.from_hex(text)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_empty_and_zeroed_secrets_are_told() -> None:
    assert not Secret(b"")
    assert KEY
    assert Secret(bytes(16)).is_zero
    assert not KEY.is_zero
