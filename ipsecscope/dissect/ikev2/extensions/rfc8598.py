"""RFC 8598: Split DNS Configuration for IKEv2."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.configuration import ConfigurationValue
from ipsecscope.dissect.ikev2.identification import text_of
from ipsecscope.dissect.registry.ikev2 import ConfigurationAttributeType
from ipsecscope.dissect.wire import REST, U8, U16


class InternalDnsDomain(ConfigurationValue, of=ConfigurationAttributeType.INTERNAL_DNS_DOMAIN, rfc="8598 4.1"):
    """A domain that is resolved through the tunnel, in presentation format."""

    domain: Annotated[bytes, REST]

    def summary(self) -> str:
        """The domain."""
        return text_of(self.domain)


class InternalDnssecTa(ConfigurationValue, of=ConfigurationAttributeType.INTERNAL_DNSSEC_TA, rfc="8598 4.2"):
    """A DNSSEC trust anchor for the domain in the attribute before it: the fields of a DS record."""

    key_tag: Annotated[int, U16]
    algorithm: Annotated[int, U8]
    digest_type: Annotated[int, U8]
    digest: Annotated[bytes, REST]

    def summary(self) -> str:
        """The fields as a DS record writes them."""
        return f"{self.key_tag} {self.algorithm} {self.digest_type} {self.digest.hex()}"
