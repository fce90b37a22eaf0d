"""The Attributes payload: mode configuration, XAUTH, Cisco Unity and Check Point extensions.

draft-dukes-ike-mode-cfg-02 (payload 14), draft-beaulieu-ike-xauth-02. Values are shown by what their type says they
are; a value that does not fit its type stays octets.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, ClassVar, Final

import msgspec

from ipsecscope.dissect.body import Ikev1Body
from ipsecscope.dissect.ikev1.attributes import (
    LONG,
    SHORT,
    Attribute,
    CodePointClass,
    LongAttribute,
    ShortAttribute,
    attributes_of,
    show_octets,
)
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.registry.isakmp import *
from ipsecscope.dissect.wire import U8, U16

SPLIT_ENTRY_SIZE: Final = 14  # address, mask, protocol, pad, source port, destination port (Cisco Unity)
SECRETS: Final = frozenset({ConfigAttribute.XAUTH_USER_PASSWORD, ConfigAttribute.XAUTH_PASSCODE})
