"""RFC 9478: Labeled IPsec Traffic Selector Support for IKEv2."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.identification import key_id_text
from ipsecscope.dissect.ikev2.selectors import TrafficSelector
from ipsecscope.dissect.registry.ikev2 import TrafficSelectorType
from ipsecscope.dissect.wire import REST, U8, U16, Length


class SecurityLabel(TrafficSelector, of=TrafficSelectorType.TS_SECLABEL, rfc="9478 2.1"):
    """The label that traffic must carry besides matching the address selectors."""

    ts_type: Annotated[TrafficSelectorType, U8] = TrafficSelectorType.TS_SECLABEL
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    label: Annotated[bytes, REST]

    def summary(self) -> str:
        """Such as ``label system_u:object_r:ipsec_spd_t:s0``; SELinux ends its text with NUL."""
        return f"label {key_id_text(self.label.removesuffix(bytes(1)))}"
