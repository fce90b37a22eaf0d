"""RFC 7427: Signature Authentication in IKEv2; RFC 8420 (EdDSA) and RFC 9385 (Streebog) add algorithms to it."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.certificates import describe_algorithm
from ipsecscope.dissect.ikev2.codecs import Numbers
from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.ikev2.payloads import AuthenticationData
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, HashAlgorithm, NotifyType
from ipsecscope.dissect.wire import REST, U8, Sized, SizeOf


class SignatureHashAlgorithms(NotifyData, of=NotifyType.SIGNATURE_HASH_ALGORITHMS, rfc="7427 4"):
    """The hash algorithms the sender can verify signatures with."""

    hashes: Annotated[tuple[HashAlgorithm, ...], Numbers(HashAlgorithm)]

    def summary(self) -> str:
        """The names."""
        return " ".join(str(item) for item in self.hashes)


class DigitalSignature(AuthenticationData, of=AuthenticationMethod.DIGITAL_SIGNATURE, rfc="7427 3"):
    """A signature behind the DER AlgorithmIdentifier that says how it was made."""

    algorithm_length: Annotated[int | None, U8, SizeOf("algorithm_identifier")] = None
    algorithm_identifier: Annotated[bytes, Sized("algorithm_length")]
    signature: Annotated[bytes, REST]

    @property
    def algorithm(self) -> str:
        """The algorithm by name, such as ``ecdsa-with-SHA256``; dotted numbers or hex when it has none."""
        return describe_algorithm(self.algorithm_identifier)

    def summary(self) -> str:
        """The algorithm."""
        return self.algorithm
