"""Vendor IDs of products other than the pluto family (``vendor_swan``): gateways, clients, operating systems."""

from __future__ import annotations

from typing import Final

from ipsecscope.dissect.registry import vendor_fields as fields
from ipsecscope.dissect.registry.vendor_rows import (
    IKEV1,
    IKEV2,
    VendorId,
    hashed,
    hashed_prefix,
    literal,
    literal_prefix,
    raw,
    raw_prefix,
)

CISCO: Final = "Cisco"
MICROSOFT: Final = "Microsoft"
CHECK_POINT: Final = "Check Point"
CRYPTOPRO: Final = "CryptoPro"
JUNIPER: Final = "Juniper"
FORTINET: Final = "Fortinet"
SSH: Final = "SSH Communications Security"
SONICWALL: Final = "SonicWall"
ARUBA: Final = "Aruba Networks"
ZYXEL: Final = "Zyxel"
NCP: Final = "NCP"
SAFENET: Final = "SafeNet"
KAME: Final = "KAME"
APPLE: Final = "Apple"

_EXPRESS: Final = [
    "Ssh 1.1.0",
    "Ssh 1.1.1",
    "Ssh 1.1.2",
    "Ssh 1.2.1",
    "Ssh 1.2.2",
    "SSH 2.0.0",
    "SSH 2.1.0",
    "SSH 2.1.1",
    "SSH 2.1.2",
    "SSH 3.0.0",
    "SSH 3.0.1",
    "SSH 4.0.0",
    "SSH 4.0.1",
    "SSH 4.1.0",
    "SSH 4.1.1",
    "SSH 4.2.0",
    "SSH 5.0",
    "SSH 5.0.0",
    "SSH 5.1.0",
    "SSH 5.1.1",
]
_QUICKSEC: Final = ["0.9.0", "1.1.0", "1.1.1", "1.1.2", "1.1.3", "2.1.0"]
_SENTINEL: Final = ["1.1", "1.2", "1.3", "1.4", "1.4.1"]


def _express(spelling: str) -> VendorId:
    """SSH wrote its name in two ways."""
    name, version = spelling.split()
    origin = f"{name} Communications Security IPSEC Express version {version}"
    return hashed(origin, SSH, name=f"SSH IPSEC Express {version}", fields={"version": version})


_SSH_ROWS: Final = (
    *(_express(spelling) for spelling in _EXPRESS),
    *(
        hashed(
            f"SSH Communications Security QuickSec {version}",
            SSH,
            name=f"SSH QuickSec {version}",
            fields={"version": version},
        )
        for version in _QUICKSEC
    ),
    hashed("SSH Sentinel", SSH),
    *(hashed(f"SSH Sentinel {version}", SSH, fields={"version": version}) for version in _SENTINEL),
)

_CISCO_ROWS: Final = (
    hashed_prefix("CISCO-UNITY", 14, CISCO, name="Cisco Unity", read=fields.two_octet_version, ike_versions=IKEV1),
    hashed_prefix("ALTIGA GATEWAY", 14, CISCO, name="Cisco VPN 3000 or ASA", read=fields.vpn3000_version),
    hashed("ALTIGA NETWORKS", CISCO, name="Cisco VPN 3000 client"),
    raw("800100018002000180030002", "Cisco Unity firewall type", CISCO, ike_versions=IKEV1),
    literal("CISCO-DELETE-REASON", CISCO, name="Cisco Delete Reason", ike_versions=IKEV2),
    literal("CISCO-DYNAMIC-ROUTE", CISCO, name="Cisco Dynamic Route", ike_versions=IKEV2),
    literal("CISCOVPN-REV-02", CISCO, name="Cisco VPN revision 2", ike_versions=IKEV2),
    literal("FLEXVPN-SUPPORTED", CISCO, name="Cisco FlexVPN", ike_versions=IKEV2),
    literal("CISCO-ANYCONNECT-EAP", CISCO, name="Cisco AnyConnect EAP", ike_versions=IKEV2),
    literal("CISCO-ANYCONNECT-STRAP", CISCO, name="Cisco AnyConnect STRAP", ike_versions=IKEV2),
    literal("CISCO-WSG-4CISCO", CISCO, name="Cisco WSG", ike_versions=IKEV2),
    literal(
        "CISCO(COPYRIGHT)&Copyright (c) 2009 Cisco Systems, Inc.",
        CISCO,
        name="Cisco Copyright 2009",
        ike_versions=IKEV2,
    ),
    literal_prefix("CISCO(COPYRIGHT)&", CISCO, name="Cisco Copyright", read=fields.text, ike_versions=IKEV2),
    VendorId("Cisco GRE mode", CISCO, b"CISCO-GRE-MODE", prefix=True, ike_versions=IKEV2, read=fields.one_octet),
    VendorId("Cisco NGE level", CISCO, b"CISCO-NGE-LEVEL", prefix=True, ike_versions=IKEV2, read=fields.one_octet),
    literal_prefix("CISCO-", CISCO, name="Cisco extension", read=fields.text),
    raw_prefix("3e984048", "Cisco IOS (one device's cookies)", CISCO, ike_versions=IKEV1, size=16),
    raw("bdb41038a7ec5e5534dd004d0f91f927", "Cisco IOS (unconfirmed)", CISCO, ike_versions=IKEV1),
    raw("e23ae9f51a46876ff93d89ba725d649d", "Cisco (unconfirmed)", CISCO, ike_versions=IKEV1),
    raw("c32364b3b4f447eb17c488ab2a480a57", "Cisco (unconfirmed, second)", CISCO, ike_versions=IKEV1),
    raw("6d761ddc26aceca1b0ed11fabbb860c4", "Cisco (unconfirmed, third)", CISCO, ike_versions=IKEV1),
)

_MICROSOFT_ROWS: Final = (
    hashed_prefix("MS NT5 ISAKMPOAKLEY", 16, MICROSOFT, read=fields.windows_version),
    *(
        VendorId(
            "MS NT5 ISAKMPOAKLEY",
            MICROSOFT,
            hashed("MS NT5 ISAKMPOAKLEY", MICROSOFT).octets + number.to_bytes(4, "big"),
            origin="MS NT5 ISAKMPOAKLEY",
            fields={"version": number, "operating_system": system},
        )
        for number, system in fields.WINDOWS_VERSIONS.items()
    ),
    hashed("MS-MamieExists", MICROSOFT, name="MS-MamieExists (AuthIP)"),
    hashed("MS-Negotiation Discovery Capable", MICROSOFT),
    hashed("Vid-Initial-Contact", MICROSOFT),
    hashed("IKE CGA version 1", MICROSOFT),
    hashed("NLBS_PRESENT", MICROSOFT, name="NLBS_PRESENT (fast failover)"),
    hashed("MSFT IPsec Security Realm Id", MICROSOFT),
    hashed("Microsoft Xbox One 2013", MICROSOFT),
    raw("660822b3a73a244149578d62e0eb46a0", "Xbox IKEv2 negotiation", MICROSOFT, ike_versions=IKEV2),
    raw_prefix(
        "01528bbbc00696121849ab9a1c5b2a51", "Windows keying modules", MICROSOFT, read=fields.key_modules, size=20
    ),
    *(
        raw(
            f"01528bbbc00696121849ab9a1c5b2a51{number:08x}",
            f"Windows keying modules ({module})",
            MICROSOFT,
            fields={"module": module},
        )
        for number, module in enumerate(("IKE", "AuthIP", "IKEv2"))
    ),
    raw_prefix("7bb93867d76c8d80df0f40fae8fc3b19", "AuthIP key exchange", MICROSOFT, read=fields.authip_group, size=20),
    *(
        raw(
            f"7bb93867d76c8d80df0f40fae8fc3b19{number:08x}",
            f"AuthIP key exchange ({group})",
            MICROSOFT,
            ike_versions=IKEV1,
            fields={"group": group},
        )
        for number, group in enumerate(
            ("none", "MODP_768", "MODP_1024", "MODP_2048", "ECP_256", "ECP_384", "ECP_521", "maximum")
        )
    ),
    raw("3025dbd21062b9e53dc441c6aab5293600000000", "Microsoft L2TP/IPsec VPN client", MICROSOFT, ike_versions=IKEV1),
)

_CHECK_POINT_ROWS: Final = (
    raw_prefix("f4ed19e0c114eb516faaac0ee37daf2807b4381f", "Check Point", CHECK_POINT, read=fields.check_point),
    raw("031017e07f7a82e3aa6950c999990100", "CryptoPro/GOST 1.0, Check Point R71", CRYPTOPRO, ike_versions=IKEV1),
    raw("031017e07f7a82e3aa6950c999990101", "CryptoPro/GOST 1.1", CRYPTOPRO, ike_versions=IKEV1),
)

_NETSCREEN: Final = (  # numbered as everybody numbers them
    "299ee8289f40a8973bc78687e2e7226b532c3b76",
    "3a15e1f3cf2a63582e3ac82d1c64cbe3b6d779e7",
    "47d2b126bfcd83489760e2cf8c5d4d5a03497c15",
    "4a4340b543e02b84c88a8b96a8af9ebe77d9accc",
    "64405f46f03b7660a23be116a1975058e69e8387",
    "699369228741c6d4ca094c93e242c9de19e7b7c6",
    "8c0dc6cf62a0ef1b5c6eabd1b67ba69866adf16a",
    "92d27a9ecb31d99246986d3453d0c3d57a222a61",
    "9b096d9ac3275a7d6fe8b91c583111b09efed1a0",
    "bf03746108d746c904f1f3547de24f78479fed12",
    "c2e80500f4cc5fbf5daaeed3bb59abaeee56c652",
    "c8660a62b03b1b6130bf781608d32a6a8d0fb89f",
    "f885da40b1e7a9abd17655ec5bbec0f21f0ed52e",
    "2a2bcac19b8e91b426107807e02e7249569d6fd3",
    "166f932d55eb64d8e4df4fd37e2313f0d0fd8451",
    "a35bfd05ca1ac0b3d2f24e9e82bfcbff9c9e52b5",
    "9436e8d67174ef9aed068d5ad5213f187a3f8ba6",
)
_NETSCREEN_LIKE: Final = (  # the same layout, seen from devices that nobody named
    "edea53a3c15d45cafb11e59ea68db2aa99c1470e",
    "bedc86dabf0ab7973870b5e6c4b87d3ee824de31",
    "ac5078c25cabb9523979978e76a3d0d2426bc926",
    "3499691eb82f9eaefed378f5503671debd0663b4",
    "cf49908791073fb46439790fdeb6aeed981101ab",
)
_JUNIPER_ROWS: Final = (
    *(
        raw_prefix(octets, f"NetScreen-{number}", JUNIPER, read=fields.netscreen)
        for number, octets in enumerate(_NETSCREEN, 1)
    ),
    *(
        raw_prefix(octets, f"NetScreen (unconfirmed {number})", JUNIPER, read=fields.netscreen)
        for number, octets in enumerate(_NETSCREEN_LIKE, 1)
    ),
    raw_prefix("2c9d7e81995b9967d23f571ac641f9348122f1cc", "Juniper SSG", JUNIPER, read=fields.trailing_octets),
    raw("d6b45f82f24bacb288af59a978830ab7", "NetScreen (no version)", JUNIPER, ike_versions=IKEV1),
    raw("fd808804df73b15150709d878044cde0ac1efcde", "Juniper SRX", JUNIPER),
)

_FORTINET_ROWS: Final = (
    hashed_prefix("FORTIGATE", 12, FORTINET, name="FortiGate", read=fields.fortigate),
    raw("1d6e178f6c2c0be284985465450fe9d4", "FortiGate (FortiOS 4 or older)", FORTINET, ike_versions=IKEV1),
    raw("5062b335bc20db32c0d54465a2f70100", "FortiGate (beside its own Vendor ID)", FORTINET, ike_versions=IKEV1),
    hashed("Fortinet Endpoint Control", FORTINET),
    hashed("forticlient connect license", FORTINET, name="FortiClient connect license"),
    hashed("Fortinet Auto-Discovery Sender", FORTINET),
    hashed("Fortinet Auto-Discovery Receiver", FORTINET),
    hashed("Fortinet Exchange Interface IP", FORTINET),
)

_SONICWALL_ROWS: Final = (
    *(raw_prefix(f"5b362bc820f6{number:04x}", f"SonicWall-{number}", SONICWALL) for number in (1, 2, 3, 5, 6, 7, 8)),
    raw_prefix("5b362bc820f70001", "SonicWall (SonicOS 6 or later)", SONICWALL),
    raw_prefix("404bf439522ca3f6", "SonicWall or 3Com", SONICWALL),
    raw("975b7816f69789600dda89040576e0db", "SonicWall Global VPN Client", SONICWALL, ike_versions=IKEV1),
)

_ARUBA_ROWS: Final = (
    raw("ca3e2b854ba8030017dc1023a4fde2041f9f7463", "Aruba remote access point", ARUBA),
    raw("3c8e70bdf9c7d74add53e4100915dc2e4bb51274", "Aruba controller", ARUBA),
    raw("88f0e3149b3fa48b05aa7f685f0b766be186ccb8", "Aruba VIA client", ARUBA),
    raw("1725f0892742ea523b79ec848c97201a3094d6c5", "Aruba (beside its other Vendor IDs)", ARUBA),
    literal_prefix("VIA Auth Profile : ", ARUBA, name="Aruba VIA authentication profile", read=fields.text),
)

_OTHER_ROWS: Final = (
    hashed("KAME/racoon", KAME, name="KAME racoon", ike_versions=IKEV1),
    hashed("IPSec-Tools", KAME, name="IPsec-Tools racoon", ike_versions=IKEV1),
    literal_prefix("OpenIKED", "OpenIKED", read=fields.text, ike_versions=IKEV2),
    literal("Mac OSX 10.x", APPLE, ike_versions=IKEV1),
    raw("f14b94b7bff1fef02773b8c49feded26", "Shrew Soft VPN client", "Shrew Soft", ike_versions=IKEV1),
    raw_prefix("eb4c1b788afd4a9cb7730a68", "NCP client", NCP, read=fields.trailing_octets, size=16),
    raw_prefix("c6f57ac398f493208145b758", "NCP server", NCP, read=fields.trailing_octets, size=16),
    raw("101fb0b35c5a4f4c08b919f1cb9777b0", "NCP client (second)", NCP),
    raw_prefix("c61baca1f1a60cc1", "NCP client (feature bits)", NCP, read=fields.trailing_octets, size=16),
    raw("cbe79444a0870de4224a2c151fbfe099", "NCP client (third)", NCP),
    raw("85817703c6e320d2ae5a4dd02056c6d7", "NCP server (beside its other Vendor ID)", NCP),
    raw_prefix("47bbe7c993f1fc13b4e6d0db565c68e5", "SafeNet SoftRemote", SAFENET, read=fields.embedded_text),
    raw_prefix("da8e937880010000", "SafeNet, WatchGuard or SonicWall client", SAFENET),
    raw_prefix("da8e9378", "SafeNet or WatchGuard", SAFENET, read=fields.trailing_octets, size=8),
    raw("8404adf9cda05760b2ca292e4bff537b", "Sidewinder", "Secure Computing"),
    raw_prefix("424e4553", "Nortel Contivity", "Nortel", read=fields.contivity, size=8),
    raw("4485152d18b6bbcc0be8a8469579ddcc", "Avaya", "Avaya", ike_versions=IKEV1),
    hashed("NETGEAR", "Netgear", name="Netgear"),
    raw("b858d1addd08c1e8adafea150608aa4497aa6cc8", "ZyWALL router", ZYXEL),
    raw("f758f22668750f03b08df6ebe1d0", "ZyWALL USG 100", ZYXEL),
    raw("625027749d5ab97f5616c1602765cf480a3b7d0b", "ZyWALL", ZYXEL),
    raw("c573b056d7faca36c2fba28374127cbf", "StoneGate", "Stonesoft"),
    raw("baeb239037e17787d730eed9d95d48aa", "StoneGate (second)", "Stonesoft"),
    raw("ab926d9ee113a0219557fcc54e52865c", "Citrix NetScaler (unconfirmed)", "Citrix"),
    raw("4f4540454371496d7a684644", "Linksys (a build of pluto)", "Linksys", ike_versions=IKEV1),
    raw_prefix(
        "08db45e6cb01f80bb576e9a78c0f54e1300b8881", "ELVIS-PLUS Zastava", "ELVIS-PLUS", read=fields.nibble_version
    ),
    literal_prefix("TIMESTEP", "Timestep", name="Timestep", read=fields.text, ike_versions=IKEV1),
    literal_prefix("Raptor PowerVpn Server", "Symantec", name="Symantec Raptor", read=fields.text, ike_versions=IKEV1),
    literal_prefix("LVG", "Lucent", name="Lucent VPN Gateway", read=fields.text, ike_versions=IKEV1),
    literal_prefix("LVC", "Lucent", name="Lucent VPN Client", read=fields.text, ike_versions=IKEV1),
    VendorId("Teldat", "Teldat", b"Teldat", prefix=True, offset=9, ike_versions=IKEV1),
)

ROWS: Final[tuple[VendorId, ...]] = (
    *_SSH_ROWS,
    *_CISCO_ROWS,
    *_MICROSOFT_ROWS,
    *_CHECK_POINT_ROWS,
    *_JUNIPER_ROWS,
    *_FORTINET_ROWS,
    *_SONICWALL_ROWS,
    *_ARUBA_ROWS,
    *_OTHER_ROWS,
)
