"""3GPP TS 24.302 and TS 24.502: private notifications of access to a mobile core over non-3GPP networks.

The numbers are of the private-use range, so another vendor may mean something else by them; none of those below is
known to be used twice with data.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.wire import REST, U8, U16, Bytes, Sized, SizeOf


class MobileNotifyType(CodePoint):
    """Private-use Notify Message Types of 3GPP that carry data."""

    BACKOFF_TIMER = 41041, "TS 24.302"
    DEVICE_IDENTITY = 41101, "TS 24.302"
    N1_MODE_CAPABILITY = 51015, "TS 24.302"
    FIVE_G_QOS_INFO = 55501, "TS 24.502"
    NAS_IP4_ADDRESS = 55502, "TS 24.502"
    NAS_IP6_ADDRESS = 55503, "TS 24.502"
    UP_IP4_ADDRESS = 55504, "TS 24.502"
    UP_IP6_ADDRESS = 55505, "TS 24.502"
    NAS_TCP_PORT = 55506, "TS 24.502"
    N3GPP_BACKOFF_TIMER = 55507, "TS 24.502"


# GPRS timer 3, TS 24.008 section 10.5.7.4a: seconds a unit of the upper three bits stands for; None is "deactivated".
_UNITS = (600, 3600, 36_000, 2, 30, 60, 1_152_000, None)


class BackoffTimer(
    NotifyData, of=(MobileNotifyType.BACKOFF_TIMER, MobileNotifyType.N3GPP_BACKOFF_TIMER), rfc="TS 24.302 8.2.9.1"
):
    """How long the device must not try this network again, as a GPRS timer 3."""

    length: Annotated[int | None, U8, SizeOf("timer")] = None
    timer: Annotated[bytes, Sized("length")]

    @property
    def seconds(self) -> int | None:
        """The time; None when the timer is deactivated or not one octet."""
        if len(self.timer) != 1:
            return None
        unit = _UNITS[self.timer[0] >> 5]
        return None if unit is None else unit * (self.timer[0] & 0x1F)

    def summary(self) -> str:
        """Such as ``3GPP 120 s``."""
        return "3GPP deactivated" if self.seconds is None else f"3GPP {self.seconds} s"


class DeviceIdentity(NotifyData, of=MobileNotifyType.DEVICE_IDENTITY, rfc="TS 24.302 8.2.9.2"):
    """The IMEI (type 1) or IMEISV (type 2) of the device in BCD; a request for it carries no digits."""

    length: Annotated[int, U16]
    identity_type: Annotated[int, U8]
    identity: Annotated[bytes, REST] = b""

    @property
    def digits(self) -> str:
        """The digits, lower half octet first; a filler at the end is left out."""
        return "".join(f"{octet & 0x0F:x}{octet >> 4:x}" for octet in self.identity).rstrip("f")

    def summary(self) -> str:
        """Type and digits."""
        return f"3GPP identity type {self.identity_type} {self.digits}".rstrip()


class N1ModeCapability(NotifyData, of=MobileNotifyType.N1_MODE_CAPABILITY, rfc="TS 24.302 8.2.9.15"):
    """The PDU session that the connection belongs to."""

    length: Annotated[int, U8]
    pdu_session_id: Annotated[int, U8]

    def summary(self) -> str:
        """The PDU session."""
        return f"3GPP PDU session {self.pdu_session_id}"


class FiveGQosInfo(NotifyData, of=MobileNotifyType.FIVE_G_QOS_INFO, rfc="TS 24.502 9.3.1.1"):
    """The PDU session and the QoS flows that a Child SA carries."""

    length: Annotated[int, U8]
    pdu_session_id: Annotated[int, U8]
    flow_count: Annotated[int | None, U8, SizeOf("flows")] = None
    flows: Annotated[bytes, Sized("flow_count")] = b""
    flags: Annotated[int, U8] = 0
    rest: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The PDU session and the flows."""
        return f"3GPP PDU session {self.pdu_session_id} QFI {' '.join(str(flow) for flow in self.flows)}".rstrip()


class MobileIp4Address(
    NotifyData, of=(MobileNotifyType.NAS_IP4_ADDRESS, MobileNotifyType.UP_IP4_ADDRESS), rfc="TS 24.502 9.3.1.2"
):
    """The address that signalling or user data goes to."""

    address: Annotated[bytes, Bytes(4)]

    def summary(self) -> str:
        """The address."""
        return f"3GPP {ipaddress.ip_address(self.address)}"


class MobileIp6Address(
    NotifyData, of=(MobileNotifyType.NAS_IP6_ADDRESS, MobileNotifyType.UP_IP6_ADDRESS), rfc="TS 24.502 9.3.1.3"
):
    """The address that signalling or user data goes to."""

    address: Annotated[bytes, Bytes(16)]

    def summary(self) -> str:
        """The address."""
        return f"3GPP {ipaddress.ip_address(self.address)}"


class NasTcpPort(NotifyData, of=MobileNotifyType.NAS_TCP_PORT, rfc="TS 24.502 9.3.1.6"):
    """The TCP port that signalling goes to."""

    port: Annotated[int, U16]

    def summary(self) -> str:
        """The port."""
        return f"3GPP port {self.port}"
