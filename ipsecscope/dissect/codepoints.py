"""Code points: numbers with names, including the numbers that nobody named yet.

A registry row is a member; its value tuple is ``(number, reference, status)``. A number without a row is a
value as well: ``NotifyType(40999)`` prints ``UNKNOWN_40999``, equals and hashes as ``40999``. Compare with ``==``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class CodePoint(IntEnum):
    """An IANA code point. ``reference`` is the defining document, ``status`` the algorithm guidance, if any."""

    reference: str
    status: str

    def __new__(cls, value: int, reference: str = "", status: str = "") -> Self:
        """Make a row from its number, the document that defines it and its RFC 8247/8221 status."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.reference = reference
        member.status = status
        return member

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        unknown = int.__new__(cls, value)
        unknown._name_ = f"UNKNOWN_{value}"
        unknown._value_ = value
        unknown.reference = ""
        unknown.status = ""
        return unknown

    @property
    def is_known(self) -> bool:
        """Whether the registry has a row for this number."""
        return int(self) in type(self)._value2member_map_

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return format(self.name, spec)
