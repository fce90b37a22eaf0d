"""A message of IKEv1 or IKEv2 whose protection was removed: its payloads found by class and told in RFC notation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from ipsecscope.dissect.body import Body, Malformed
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.names import payload_name
from ipsecscope.peers.peer import Path

_Body = TypeVar("_Body", bound=Body)


class ReceivedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What messages of both versions have.

    Attributes:
        header: the IKE header.
        payloads: the payloads in the clear.
        path: the way it came.
    """

    header: Header
    payloads: tuple[Payload, ...]
    path: Path

    @property
    def names(self) -> tuple[str, ...]:
        """The payloads in RFC notation."""
        return tuple(payload_name(payload, self.header) for payload in self.payloads)

    def all(self, cls: type[_Body]) -> Iterator[_Body]:
        """The payload bodies of one class."""
        return (payload.body for payload in self.payloads if isinstance(payload.body, cls))

    def first(self, cls: type[_Body]) -> _Body | None:
        """The first payload body of a class."""
        return next(self.all(cls), None)

    @property
    def malformed(self) -> Payload | None:
        """The first payload that cannot be read."""
        return next((payload for payload in self.payloads if isinstance(payload.body, Malformed)), None)
