"""RFC 5857: IKEv2 Extensions to Support Robust Header Compression over IPsec."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.codecs import Marked
from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.ikev2.proposals import format_bit
from ipsecscope.dissect.registry.ikev2 import NotifyType, RohcAttributeType
from ipsecscope.dissect.wire import U16, Array, Sized, SizeOf, Struct


class ShortRohcAttribute(Struct, rfc="5857 2.1.2"):
    """A parameter of the compression that fits 16 bits."""

    attribute_type: Annotated[RohcAttributeType, Marked(bit=True)]
    value: Annotated[int, U16]

    def summary(self) -> str:
        """Such as ``MAX_CID=15``."""
        return f"{self.attribute_type}={self.value}"


class LongRohcAttribute(Struct, rfc="5857 2.1.2"):
    """A parameter of the compression with a length of its own."""

    attribute_type: Annotated[RohcAttributeType, Marked(bit=False)]
    length: Annotated[int | None, U16, SizeOf("value")] = None
    value: Annotated[bytes, Sized("length")] = b""

    def summary(self) -> str:
        """The type and the octets."""
        return f"{self.attribute_type}={self.value.hex()}"


class RohcSupported(NotifyData, of=NotifyType.ROHC_SUPPORTED, rfc="5857 2.1.1"):
    """The parameters of the header compression that the sender offers for a Child SA."""

    attributes: Annotated[
        tuple[ShortRohcAttribute | LongRohcAttribute, ...],
        Array(LongRohcAttribute, format_bit, {1: ShortRohcAttribute}),
    ]

    def summary(self) -> str:
        """The parameters."""
        return " ".join(attribute.summary() for attribute in self.attributes)
