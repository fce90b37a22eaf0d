"""Vendor IDs of FreeS/WAN and its children: Openswan, Libreswan, strongSwan.

Pluto hashes its version string followed by the compile-time options that matter to a peer, such as
``Openswan 2.4.9 LDAP_V3 PLUTO_SENDS_VENDORID PLUTO_USES_KEYRR``. A build from a version control checkout has a string
of its own, so the families have a row that tells them by their prefix alone. strongSwan hashed its version until 4.3.5
and just its name afterwards; Libreswan writes its version in plain text since 3.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipsecscope.dissect.registry import vendor_fields
from ipsecscope.dissect.registry.vendor_rows import (
    IKEV1,
    VendorId,
    hashed,
    literal,
    literal_prefix,
    printable_md5,
)

FREESWAN: Final = "FreeS/WAN"
OPENSWAN: Final = "Openswan"
LIBRESWAN: Final = "Libreswan"
STRONGSWAN: Final = "strongSwan"
PLUTO: Final = "FreeS/WAN family"  # FreeS/WAN, Openswan or Libreswan: the octets do not tell

PLUTO_SIZE: Final = 12

_FREESWAN_VERSIONS: Final = (
    "0.5 0.6 0.7 0.7.1 0.7.2 0.8 0.8.1 0.8.2 0.8.3 0.8.4 0.8.5 0.9 "
    + " ".join(f"0.9.{patch}" for patch in range(1, 41))
    + " 1.0.0 1.0.1 1.0.2 1.1.0 1.1.1 1.1.2 1.1.3 1.1.4 1.1.5 1.1.6 1.2.0 1.2.1 1.2.2 "
    "1.3.0 1.3.1 1.3.2 1.3.3 1.3.4 1.3.5 1.3.6 1.4.0 1.4.1 1.4.2 1.4.3 1.4.4 1.4.5 1.4.6 1.4.7 1.4.8 "
    "1.5.0 1.5.1 1.5.2 1.5.3 1.5.4 1.5.5 1.6.0 1.6.1 1.6.2 1.6.3"
).split()
_FREESWAN_2_VERSIONS: Final = ["2.00", "2.01", "2.02", "2.03", "2.04", "2.05", "2.06"]
_FREESWAN_2_OPTIONS: Final = (
    "",
    " PLUTO_SENDS_VENDORID",
    " PLUTO_SENDS_VENDORID PLUTO_USES_KEYRR",
)
_FREESWAN_X509_OPTIONS: Final = (" X.509-1.3.1 PLUTO_SENDS_VENDORID", " X.509-1.3.1 LDAP PLUTO_SENDS_VENDORID")

_SENDS: Final = " PLUTO_SENDS_VENDORID PLUTO_USES_KEYRR"
_OPENSWAN_EARLY_VERSIONS: Final = ["2.1.0", "2.1.1", "2.1.2", "2.2.0", "2.3.0"]
_OPENSWAN_X509_VERSIONS: Final = [
    "2.3.1",
    "2.4.0",
    "2.4.1",
    "2.4.2",
    "2.4.3",
    "2.4.4",
    "2.4.5dr3",
    "2.4.5",
    "2.4.6rc3",
    "2.4.6",
]
_OPENSWAN_X509_OPTIONS: Final = ("", " X.509-1.5.4" + _SENDS, " X.509-1.5.4 LDAP_V3" + _SENDS)
_OPENSWAN_2_4_VERSIONS: Final = ["2.4.7", "2.4.8", "2.4.9", "2.4.10", "2.4.11", "2.4.12", "2.4.13", "2.4.14", "2.4.15"]
_OPENSWAN_2_4_OPTIONS: Final = ("", _SENDS, " LDAP_V3" + _SENDS)
_OPENSWAN_LATE_VERSIONS: Final = (
    "2.5.0 "
    + " ".join(f"2.5.{patch:02}" for patch in range(19))
    + " "
    + " ".join(f"2.6.{patch:02}" for patch in range(1, 40))
    + " 2.6.20dr2 2.6.20rc1 2.6.24rc3 2.6.24rc5 2.6.38dr2 2.6.38rc2 2.6.39dr3"
).split()
_OPENSWAN_LATE_OPTIONS: Final = ("", " LDAP_V3")
_OPENSWAN_OSW_VERSIONS: Final = ["2.6.40", "2.6.41", "2.6.42", "2.6.43"]
_OPENSWAN_LINUX_VERSIONS: Final = [
    "2.6.44",
    "2.6.45",
    "2.6.46",
    "2.6.47",
    "2.6.47.1",
    "2.6.48",
    "2.6.49",
    "2.6.49.1",
    "2.6.50",
    "2.6.50dev1",
]

_LIBRESWAN_VERSIONS: Final = ["3.0", "3.1", "3.2", "3.3", "3.4", "3.5"]
_LIBRESWAN_OPTIONS: Final = ("", " LDAP_V3")

_STRONGSWAN_VERSIONS: Final = (
    "2.2.0 2.2.1 2.2.2 2.3.0 2.3.1 2.3.2 2.4.0 2.4.1 2.4.2 2.4.3 2.4.4 "
    "2.5.0 2.5.1 2.5.2 2.5.3 2.5.4 2.5.5 2.5.6 2.5.7 2.6.0 2.6.1 2.6.2 2.6.3 2.6.4 2.7.0 2.7.1 2.7.2 2.7.3 "
    "2.8.0 2.8.1 2.8.2 2.8.3 2.8.4 2.8.5 2.8.6 2.8.7 2.8.8 2.8.9 2.8.10 2.8.11 "
    "4.0.0 4.0.1 4.0.2 4.0.3 4.0.4 4.0.5 4.0.6 4.0.7 "
    + " ".join(f"4.1.{patch}" for patch in range(12))
    + " "
    + " ".join(f"4.2.{patch}" for patch in range(18))
    + " 4.3.0 4.3.1 4.3.2 4.3.3 4.3.4 4.3.5rc1 4.3.5 4.3.6 4.3.7 4.4.0 4.4.1 4.5.0 4.5.1 4.5.2 4.5.3 "
    "4.6.0 4.6.1 4.6.2 4.6.3 4.6.4 5.0.0 5.0.1 5.0.2dr4 5.0.2rc1 5.0.2 5.0.3dr1 5.0.3dr2 5.0.3dr3 5.0.3rc1 5.0.3 5.0.4 "
    "5.1.0dr1 5.1.0dr2 5.1.0rc1 5.1.0 5.1.1dr1 5.1.1dr2 5.1.1dr3 5.1.1dr4 5.1.1rc1 5.1.1"
).split()


def _pluto(prefix: bytes, product: str, version: str, options: str, vendor: str) -> VendorId:
    """The row of one build of pluto."""
    origin = f"{product} {version}{options}"
    fields = {"version": version}
    if options:
        fields["options"] = options.strip()
    name = f"{vendor} {version}"
    return VendorId(name, vendor, printable_md5(prefix, origin), origin=origin, fields=fields)


def _builds(
    prefix: bytes, product: str, versions: list[str], options: tuple[str, ...], vendor: str
) -> Iterator[VendorId]:
    return (_pluto(prefix, product, version, option, vendor) for version in versions for option in options)


def _family(prefix: bytes, name: str, vendor: str) -> VendorId:
    """The row of the builds that have no row of their own."""
    return VendorId(name, vendor, prefix, prefix=True, text=True, size=PLUTO_SIZE)


ROWS: Final[tuple[VendorId, ...]] = (
    *_builds(b"OE", "Linux FreeS/WAN", _FREESWAN_VERSIONS, ("",), FREESWAN),
    *_builds(b"OE", "Linux FreeS/WAN", _FREESWAN_2_VERSIONS, _FREESWAN_2_OPTIONS, FREESWAN),
    *_builds(b"OE", "Linux FreeS/WAN", ["2.00"], _FREESWAN_X509_OPTIONS, FREESWAN),
    *_builds(b"OE", "Openswan", _OPENSWAN_EARLY_VERSIONS, ("", _SENDS), OPENSWAN),
    *_builds(b"OE", "Openswan", _OPENSWAN_X509_VERSIONS, _OPENSWAN_X509_OPTIONS, OPENSWAN),
    *_builds(b"OE", "Openswan", _OPENSWAN_2_4_VERSIONS, _OPENSWAN_2_4_OPTIONS, OPENSWAN),
    *_builds(b"OE", "Openswan", _OPENSWAN_LATE_VERSIONS, _OPENSWAN_LATE_OPTIONS, OPENSWAN),
    *_builds(b"OSW", "Openswan", _OPENSWAN_OSW_VERSIONS, _OPENSWAN_LATE_OPTIONS, OPENSWAN),
    *_builds(b"OSW", "Linux Openswan", _OPENSWAN_LINUX_VERSIONS, _OPENSWAN_LATE_OPTIONS, OPENSWAN),
    *_builds(b"OEN", "Libreswan", _LIBRESWAN_VERSIONS, _LIBRESWAN_OPTIONS, LIBRESWAN),
    literal_prefix("OE-Libreswan-", LIBRESWAN, name="Libreswan", read=vendor_fields.text),
    literal("OEplutounit0", OPENSWAN, name="Openswan unit test"),
    _family(b"OEN", "Libreswan 3.0 to 3.5 (or an older pluto), unknown build", LIBRESWAN),
    _family(b"OSW", "Openswan 2.6.40 or later, unknown build", OPENSWAN),
    _family(b"OE", "FreeS/WAN, Openswan or Libreswan, unknown build", PLUTO),
    literal("Opportunistic IPsec", LIBRESWAN),
    literal("IKEv2", OPENSWAN, name="CAN-IKEv2 (also speaks IKEv2)", ike_versions=IKEV1),
    hashed("strongSwan", STRONGSWAN),
    *(hashed(f"strongSwan {version}", STRONGSWAN, fields={"version": version}) for version in _STRONGSWAN_VERSIONS),
)
