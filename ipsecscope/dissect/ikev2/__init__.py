"""IKEv2 payload bodies, exchange grammar and checks (RFC 7296 and its extensions).

Importing this package fills the registry that the payload chain looks bodies up in.
"""

from __future__ import annotations

from ipsecscope.dissect.ikev2 import extensions
from ipsecscope.dissect.ikev2.configuration import Configuration, ConfigurationAttribute, ConfigurationValue
from ipsecscope.dissect.ikev2.extensions.rfc6467 import SecurePassword
from ipsecscope.dissect.ikev2.extensions.rfc7383 import EncryptedFragment
from ipsecscope.dissect.ikev2.extensions.rfc7427 import DigitalSignature
from ipsecscope.dissect.ikev2.extensions.rfc8019 import PuzzleSolution
from ipsecscope.dissect.ikev2.extensions.rfc9838 import GroupIdentification, GroupSecurityAssociation, KeyDownload
from ipsecscope.dissect.ikev2.identification import Identification, IdentificationInitiator, IdentificationResponder
from ipsecscope.dissect.ikev2.notify import NoData, Notify, NotifyData
from ipsecscope.dissect.ikev2.payloads import (
    Authentication,
    AuthenticationData,
    Certificate,
    CertificateData,
    CertificateRequest,
    Delete,
    Eap,
    Encrypted,
    KeyExchange,
    Nonce,
    VendorId,
)
from ipsecscope.dissect.ikev2.proposals import (
    LongAttribute,
    Proposal,
    SecurityAssociation,
    ShortAttribute,
    Transform,
)
from ipsecscope.dissect.ikev2.selectors import (
    Ipv4Selector,
    Ipv6Selector,
    TrafficSelector,
    TrafficSelectors,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
)

__all__ = [
    "Authentication",
    "AuthenticationData",
    "Certificate",
    "CertificateData",
    "CertificateRequest",
    "Configuration",
    "ConfigurationAttribute",
    "ConfigurationValue",
    "Delete",
    "DigitalSignature",
    "Eap",
    "Encrypted",
    "EncryptedFragment",
    "GroupIdentification",
    "GroupSecurityAssociation",
    "Identification",
    "IdentificationInitiator",
    "IdentificationResponder",
    "Ipv4Selector",
    "Ipv6Selector",
    "KeyDownload",
    "KeyExchange",
    "LongAttribute",
    "NoData",
    "Nonce",
    "Notify",
    "NotifyData",
    "Proposal",
    "PuzzleSolution",
    "SecurePassword",
    "SecurityAssociation",
    "ShortAttribute",
    "TrafficSelector",
    "TrafficSelectors",
    "TrafficSelectorsInitiator",
    "TrafficSelectorsResponder",
    "Transform",
    "VendorId",
    "extensions",
]
