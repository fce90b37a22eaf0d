"""RFC 6467: Secure Password Framework for IKEv2; the methods of RFC 6617, 6628 and 6631 fill it."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.ikev2.codecs import Numbers
from ipsecscope.dissect.ikev2.notify import NoData, NotifyData
from ipsecscope.dissect.registry.ikev2 import NotifyType, PayloadType, SecurePasswordMethod
from ipsecscope.dissect.wire import REST


class SecurePasswordMethods(NotifyData, of=NotifyType.SECURE_PASSWORD_METHODS, rfc="6467 3.1"):
    """The methods the sender offers, or the one it chose."""

    methods: Annotated[tuple[SecurePasswordMethod, ...], Numbers(SecurePasswordMethod)]

    def summary(self) -> str:
        """The methods."""
        return " ".join(str(method) for method in self.methods)


class PersistentPsk(NoData, of=(NotifyType.PSK_PERSIST, NotifyType.PSK_CONFIRM), rfc="6631 3.5"):
    """The data of notifications that have none."""


class SecurePassword(Ikev2Body, of=PayloadType.GSPM, rfc="6467 3.2"):
    """Generic Secure Password Method payload; the chosen method defines the octets."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.data)} octets"
