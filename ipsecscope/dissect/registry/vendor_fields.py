"""What stands behind the fixed part of a Vendor ID: versions, builds, capabilities.

Every reader takes the octets behind the row's prefix and returns what it finds; octets that are not as expected give
no fields. Nothing here raises.
"""

from __future__ import annotations

import re
from typing import Final

from ipsecscope.dissect.registry.vendor_rows import Fields

WINDOWS_VERSIONS: Final = {  # [MS-IKEE] section 1.7
    2: "Windows 2000",
    3: "Windows XP",
    4: "Windows Server 2003, Windows XP SP2",
    5: "Windows Vista",
    6: "Windows Server 2008",
    7: "Windows 7",
    8: "Windows Server 2008 R2",
    9: "Windows 8, Windows Server 2012 or later",
}
CHECK_POINT_PRODUCTS: Final = {1: "Firewall-1", 2: "SecuRemote/SecureClient"}
CHECK_POINT_VERSIONS: Final = {
    2: "4.1",
    3: "4.1 SP1",
    4002: "4.1 SP2 to SP6",
    5000: "NG",
    5001: "NG FP1",
    5002: "NG FP2",
    5003: "NG FP3",
    5004: "NG AI R54",
    5005: "NG AI R55",
    5006: "NG AI R56",
}
CHECK_POINT_NGX: Final = "NGX R60 or later"
CHECK_POINT_R55: Final = 5005
CHECK_POINT_SIZE: Final = 20  # octets behind the fixed part: product, version, timestamp, reserved, features
WORD: Final = 4

_PRINTABLE_RUN: Final = re.compile(rb"[\x20-\x7e]{4,}")
_VERSION: Final = re.compile(r"\d+(?:\.\d+)+\S*")


def _word(data: bytes, index: int) -> int:
    return int.from_bytes(data[index * WORD : (index + 1) * WORD], "big")


def two_octet_version(rest: bytes) -> Fields:
    """Major and minor version in one octet each (DPD, CISCO-UNITY)."""
    if len(rest) != 2:
        return {}
    return {"version": f"{rest[0]}.{rest[1]}"}


def vpn3000_version(rest: bytes) -> Fields:
    """Cisco VPN 3000: a major version, then minor and maintenance version in one octet; 0306 is 3.0.6."""
    if len(rest) != 2:
        return {}
    return {"version": f"{rest[0]}.{rest[1] >> 4}.{rest[1] & 0x0F}"}


def nibble_version(rest: bytes) -> Fields:
    """Major and minor version in the halves of one octet (ELVIS-PLUS)."""
    return {"version": f"{rest[0] >> 4}.{rest[0] & 0x0F}"} if rest else {}


def windows_version(rest: bytes) -> Fields:
    """Windows: a number that grows with the operating system."""
    if len(rest) < WORD:
        return {}
    number = _word(rest, 0)
    known = WINDOWS_VERSIONS.get(number)
    return {"version": number} if known is None else {"version": number, "operating_system": known}


def check_point(rest: bytes) -> Fields:
    """Check Point: product, version, timestamp, a reserved word, features; NGX is R55 with a timestamp."""
    if len(rest) < CHECK_POINT_SIZE:
        return {}
    product, version, timestamp, _, features = (_word(rest, index) for index in range(5))
    release = CHECK_POINT_VERSIONS.get(version, str(version))
    if version == CHECK_POINT_R55 and timestamp:
        release = CHECK_POINT_NGX
    return {
        "product": CHECK_POINT_PRODUCTS.get(product, str(product)),
        "version": release,
        "timestamp": timestamp,
        "features": f"{features:#010x}",
    }


def netscreen(rest: bytes) -> Fields:
    """NetScreen: a platform number and the ScreenOS version, each in 32 bits; zero when it is not told."""
    if len(rest) < 2 * WORD:
        return {}
    platform, version = _word(rest, 0), _word(rest, 1)
    found: dict[str, str | int] = {"platform": platform} if platform else {}
    if 0 < version <= 0xFFFF:
        found["version"] = f"{version >> 8}.{version & 0xFF}"
    return found


def fortigate(rest: bytes) -> Fields:
    """FortiGate: the release of FortiOS and its build number, 16 bits each."""
    if len(rest) != WORD:
        return {}
    return {"release": int.from_bytes(rest[:2], "big"), "build": int.from_bytes(rest[2:], "big")}


def fragmentation(rest: bytes) -> Fields:
    """FRAGMENTATION: capability bits; the highest one is Main and Aggressive Mode."""
    return {"capabilities": f"{_word(rest, 0):#010x}"} if len(rest) == WORD else {}


def contivity(rest: bytes) -> Fields:
    """Nortel Contivity: a version number in 32 bits."""
    return {"version": _word(rest, 0)} if len(rest) >= WORD else {}


def authip_group(rest: bytes) -> Fields:
    """AuthIP: which group the first message's key exchange uses."""
    groups = ("none", "MODP_768", "MODP_1024", "MODP_2048", "ECP_256", "ECP_384", "ECP_521")
    if len(rest) != WORD:
        return {}
    number = _word(rest, 0)
    return {"group": groups[number] if number < len(groups) else number}


def key_modules(rest: bytes) -> Fields:
    """Windows: the keying module that speaks."""
    modules = ("IKE", "AuthIP", "IKEv2")
    if len(rest) != WORD:
        return {}
    number = _word(rest, 0)
    return {"module": modules[number] if number < len(modules) else number}


def one_octet(rest: bytes) -> Fields:
    """A mode or level in one octet."""
    return {"value": rest[0]} if len(rest) == 1 else {}


def trailing_octets(rest: bytes) -> Fields:
    """Octets whose meaning nobody knows, in hexadecimal."""
    return {"data": rest.hex()} if rest else {}


def text(rest: bytes) -> Fields:
    """The rest as text; with a version when it looks like one."""
    shown = rest.decode("ascii", "replace").strip(" -[]")
    version = _VERSION.search(shown)
    found: dict[str, str | int] = {"text": shown} if shown else {}
    if version is not None:
        found["version"] = version[0].rstrip("])")
    return found


def embedded_text(rest: bytes) -> Fields:
    """The first run of printable characters among other octets (SafeNet)."""
    run = _PRINTABLE_RUN.search(rest)
    return {} if run is None else text(run[0])
