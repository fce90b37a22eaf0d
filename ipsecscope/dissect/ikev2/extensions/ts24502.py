"""3GPP TS 24.302 and TS 24.502: private notifications of access to a mobile core over non-3GPP networks.

The numbers are of the private-use range, so another vendor may mean something else by them; none of those below is
known to be used twice with data.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.ikev2.private_numbers import private_number
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.registry.private import THREEGPP
from ipsecscope.dissect.wire import REST, U8, U16, Array, Bytes, Length, Sized, SizeOf, Struct


def _number(name: str) -> int:
    return private_number(NotifyType, THREEGPP, name)


# GPRS timer 3, TS 24.008 section 10.5.7.4a: seconds a unit of the upper three bits stands for; None is "deactivated".
_UNITS = (600, 3600, 36_000, 2, 30, 60, 1_152_000, None)


def bcd_digits(data: bytes) -> str:
    """Digits in BCD, the lower half octet first; fillers at the end are left out."""
    return "".join(f"{octet & 0x0F:x}{octet >> 4:x}" for octet in data).rstrip("f")


class BackoffTimer(NotifyData, of=(_number("BACKOFF_TIMER"), _number("N3GPP_BACKOFF_TIMER")), rfc="TS 24.302 8.2.9.1"):
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


class DeviceIdentity(NotifyData, of=_number("DEVICE_IDENTITY"), rfc="TS 24.302 8.2.9.2"):
    """The IMEI (type 1) or IMEISV (type 2) of the device in BCD; a request for it carries no digits."""

    length: Annotated[int, U16]
    identity_type: Annotated[int, U8]
    identity: Annotated[bytes, REST] = b""

    @property
    def digits(self) -> str:
        """The digits, lower half octet first; a filler at the end is left out."""
        return bcd_digits(self.identity)

    def summary(self) -> str:
        """Type and digits."""
        return f"3GPP identity type {self.identity_type} {self.digits}".rstrip()


class EmergencyNumber(Struct, rfc="TS 24.008 10.5.3.13"):
    """One emergency number with the services it stands for (a set of bits)."""

    length: Annotated[int | None, U8, Length(1)] = None
    service_category: Annotated[int, U8]
    number: Annotated[bytes, REST]

    def summary(self) -> str:
        """The digits."""
        return bcd_digits(self.number)


class EmergencyCallNumbers(NotifyData, of=_number("EMERGENCY_CALL_NUMBERS"), rfc="TS 24.302 8.2.9.8"):
    """The local emergency numbers."""

    length: Annotated[int | None, U8, SizeOf("numbers")] = None
    numbers: Annotated[tuple[EmergencyNumber, ...], Array(EmergencyNumber)] = ()

    def summary(self) -> str:
        """The numbers."""
        return " ".join(["3GPP emergency", *(item.summary() for item in self.numbers)])


class N1ModeCapability(NotifyData, of=_number("N1_MODE_CAPABILITY"), rfc="TS 24.302 8.2.9.15"):
    """The PDU session that the connection belongs to."""

    length: Annotated[int, U8]
    pdu_session_id: Annotated[int, U8]

    def summary(self) -> str:
        """The PDU session."""
        return f"3GPP PDU session {self.pdu_session_id}"


class FiveGQosInfo(NotifyData, of=_number("5G_QOS_INFO"), rfc="TS 24.502 9.3.1.1"):
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


class MobileIp4Address(NotifyData, of=(_number("NAS_IP4_ADDRESS"), _number("UP_IP4_ADDRESS")), rfc="TS 24.502 9.3.1.2"):
    """The address that signalling or user data goes to."""

    address: Annotated[bytes, Bytes(4)]

    def summary(self) -> str:
        """The address."""
        return f"3GPP {ipaddress.ip_address(self.address)}"


class MobileIp6Address(NotifyData, of=(_number("NAS_IP6_ADDRESS"), _number("UP_IP6_ADDRESS")), rfc="TS 24.502 9.3.1.3"):
    """The address that signalling or user data goes to."""

    address: Annotated[bytes, Bytes(16)]

    def summary(self) -> str:
        """The address."""
        return f"3GPP {ipaddress.ip_address(self.address)}"


class NasTcpPort(NotifyData, of=_number("NAS_TCP_PORT"), rfc="TS 24.502 9.3.1.6"):
    """The TCP port that signalling goes to."""

    port: Annotated[int, U16]

    def summary(self) -> str:
        """The port."""
        return f"3GPP port {self.port}"
