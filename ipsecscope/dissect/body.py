"""Payload bodies: the root class of each IKE version, and what stands in for a body that is unknown or unreadable.

A subclass declared with ``of=PayloadType.X`` is found by the chain for that payload; nothing else has to change.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ipsecscope.dissect.wire import Field, Struct


class Body(Struct):
    """What stands behind a generic payload header."""


class Ikev1Body(Body):
    """A payload body of ISAKMP / IKEv1 (RFC 2408 section 3). ``registry`` maps payload numbers to classes."""

    registry: ClassVar[dict[int, Any]] = {}


class Ikev2Body(Body):
    """A payload body of IKEv2 (RFC 7296 section 3). ``registry`` maps payload numbers to classes."""

    registry: ClassVar[dict[int, Any]] = {}


class Opaque(Body):
    """A payload of a type that nobody described (unknown, private use); ``data`` are its octets."""

    data: bytes = b""

    def write(self, out: bytearray, *, last: bool = True) -> None:
        """Append the octets."""
        del last
        out += self.data


class Malformed(Body):
    """A payload of a known type whose octets cannot be read as that type.

    ``why`` is one sentence; ``start`` and ``stop`` are the offending octets within ``data``; ``partial`` holds the
    fields that were read before the fault.
    """

    data: bytes
    why: str
    start: int
    stop: int
    partial: tuple[Field, ...] = ()

    def write(self, out: bytearray, *, last: bool = True) -> None:
        """Append the octets as they came."""
        del last
        out += self.data
