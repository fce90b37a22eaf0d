"""Vendor IDs: known octets have their names, versions are read, hostile octets do no harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.dissect.registry.vendor_ids import VENDOR_IDS, Identified, VendorId, identify

REQUIRED_ROWS = 650


def known(hexadecimal: str) -> Identified:
    found = identify(bytes.fromhex(hexadecimal))
    assert found is not None
    return found


def test_vendor_ids_are_650_distinct_or_more() -> None:
    distinct = {row.octets for row in VENDOR_IDS}
    assert len(distinct) == len(VENDOR_IDS), "two rows with the same octets"
    assert len(distinct) >= REQUIRED_ROWS


def example_of(row: VendorId) -> bytes:
    """Octets that the row is there for."""
    octets = bytes(row.offset) + row.octets
    return octets if row.size is None else octets.ljust(row.size, b"\x41")


def test_vendor_id_rows_are_found_by_their_octets() -> None:
    found = [(row, identify(example_of(row))) for row in VENDOR_IDS]
    missed = [row.name for row, each in found if each is None or (each.name, each.vendor) != (row.name, row.vendor)]
    assert missed == []


# Octets as they were published or seen, each against the string, product or version they stand for. The hashes of
# strings were computed by others; that they come out is the proof of the derivations.
PUBLISHED = {
    "RFC 3947": ("4a131c81070358455c5728f20e95452f", "NAT-T (RFC 3947)", ""),
    "nat-t-00": ("4485152d18b6bbcd0be8a8469579ddcc", "draft-ietf-ipsec-nat-t-ike-00", ""),
    "nat-t-02": ("cd60464335df21f87cfdb2fc68b6a448", "draft-ietf-ipsec-nat-t-ike-02", ""),
    "nat-t-02n": ("90cb80913ebb696e086381b5ec427b1f", "draft-ietf-ipsec-nat-t-ike-02\\n", ""),
    "nat-t-03": ("7d9419a65310ca6f2c179d9215529d56", "draft-ietf-ipsec-nat-t-ike-03", ""),
    "nat-t-08": ("8f8d83826d246b6fc7a8a6a428c11de8", "draft-ietf-ipsec-nat-t-ike-08", ""),
    "huttunen-01": ("50760f624c63e5c53eea386c685ca083", "draft-huttunen-ipsec-esp-in-udp-01", ""),
    "stenberg-02": ("6105c422e76847e43f9684801292aecd", "draft-stenberg-ipsec-nat-traversal-02", ""),
    "XAUTH": ("09002689dfd6b712", "XAUTH", ""),
    "DPD": ("afcad71368a1f1c96b8696fc77570100", "DPD (RFC 3706)", ""),
    "DPD-NG": ("3b9031dce4fcf88b489a923963dd0c49", "DPD (next generation)", ""),
    "FRAGMENTATION": ("4048b7d56ebce88525e7de7f00d6c2d3", "FRAGMENTATION", ""),
    "GSSAPI": ("621b04bb09882ac1e15935fefa24aeee", "GSSAPI", ""),
    "strongSwan": ("882fe56d6fd20dbc2251613b2ebe5beb", "strongSwan", "strongSwan"),
    "strongSwan-4.2.8": ("95569ee23ebb62eddedea353a575faf3", "strongSwan 4.2.8", "strongSwan"),
    "strongSwan-2.2.0": ("85b6cbec480d5c8cd9882c825ac2c244", "strongSwan 2.2.0", "strongSwan"),
    "FreeS/WAN-0.5": ("4f454a734e486b4a4c656272", "FreeS/WAN 0.5", "FreeS/WAN"),
    "FreeS/WAN-2.06": ("4f457e4c466e5d427c5c6b52", "FreeS/WAN 2.06", "FreeS/WAN"),
    "Openswan-2.2.0": ("4f4548724b6e5e68557c604f", "Openswan 2.2.0", "Openswan"),
    "Openswan-2.4.12-LDAP": ("4f45606c50487c5662707575", "Openswan 2.4.12", "Openswan"),
    "Openswan-2.6.32": ("4f4568794c64414365636661", "Openswan 2.6.32", "Openswan"),
    "Openswan-2.6.40": ("4f53577666617a6f6355505a", "Openswan 2.6.40", "Openswan"),
    "Openswan-2.6.44": ("4f53574745627352675b5a51", "Openswan 2.6.44", "Openswan"),
    "Libreswan-3.5-LDAP": ("4f454e756f6b706a71757d5c", "Libreswan 3.5", "Libreswan"),
    "KAME": ("7003cbc1097dbe9c2600ba6983bc8b35", "KAME racoon", "KAME"),
    "IPsec-Tools": ("20a3622c1cea7ce37bee3ca484425276", "IPsec-Tools racoon", "KAME"),
    "SSH-1.1.0": ("fbf47614984031fa8e3bb6198089b223", "SSH IPSEC Express 1.1.0", "SSH Communications Security"),
    "SSH-4.2.0": ("6880c7d026099114e486c55430e7abee", "SSH IPSEC Express 4.2.0", "SSH Communications Security"),
    "QuickSec-2.1.0": ("8f9cc94e01248ecdf147594c284b213b", "SSH QuickSec 2.1.0", "SSH Communications Security"),
    "Sentinel-1.4.1": ("eb4b0d96276b4e220ad16221a7b2a5e6", "SSH Sentinel 1.4.1", "SSH Communications Security"),
    "VPN3000-client": ("f6f7efc7f5aeb8cb158cb9d094ba69e7", "Cisco VPN 3000 client", "Cisco"),
    "Delete-Reason": ("434953434f2d44454c4554452d524541534f4e", "Cisco Delete Reason", "Cisco"),
    "FlexVPN": ("464c455856504e2d535550504f52544544", "Cisco FlexVPN", "Cisco"),
    "MS-MamieExists": ("214ca4faffa7f32d6748e5303395ae83", "MS-MamieExists (AuthIP)", "Microsoft"),
    "MS-Negotiation": ("fb1de3cdf341b7ea16b7e5be0855f120", "MS-Negotiation Discovery Capable", "Microsoft"),
    "CGA": ("e3a5966a76379fe707228231e5ce8652", "IKE CGA version 1", "Microsoft"),
    "NLBS": ("72872b95fcda2eb708efe322119b4971", "NLBS_PRESENT (fast failover)", "Microsoft"),
    "Initial-Contact": ("26244d38eddb61b3172a36e3d0cfb819", "Vid-Initial-Contact", "Microsoft"),
    "Xbox": ("8aa394cf8a5577dc3110c113b027a4f2", "Microsoft Xbox One 2013", "Microsoft"),
    "FortiClient": ("4c53427b6d465d1b337bb755a37a7fef", "FortiClient connect license", "Fortinet"),
    "Netgear": ("dbfb81eb5760b0788562067da102d755", "Netgear", "Netgear"),
    "SRX": ("fd808804df73b15150709d878044cde0ac1efcde", "Juniper SRX", "Juniper"),
    "Aruba": ("88f0e3149b3fa48b05aa7f685f0b766be186ccb8", "Aruba VIA client", "Aruba Networks"),
    "Sidewinder": ("8404adf9cda05760b2ca292e4bff537b", "Sidewinder", "Secure Computing"),
    "NCP-server": ("c6f57ac398f493208145b7581e878983", "NCP server", "NCP"),
    "NCP-client": ("eb4c1b788afd4a9cb7730a68d56c5321", "NCP client", "NCP"),
    "Teldat": ("00112233445566778854656c646174", "Teldat", "Teldat"),
    "challenge-revised-n": (
        "13f11823f966fa91900f024ba66a86ba",
        "IKE Challenge/Response for Authenticated Cryptographic Keys (Revised, with a newline)",
        "",
    ),
}


@pytest.mark.parametrize(("octets", "name", "vendor"), PUBLISHED.values(), ids=PUBLISHED)
def test_vendor_id_that_was_published_has_its_name(octets: str, name: str, vendor: str) -> None:
    found = known(octets)
    assert (found.name, found.vendor) == (name, vendor)


@pytest.mark.parametrize(
    ("octets", "fields"),
    [
        pytest.param("afcad71368a1f1c96b8696fc77570100", {"version": "1.0"}, id="DPD"),
        pytest.param("12f5f28c457168a9702d9fe274cc0100", {"version": "1.0"}, id="Cisco Unity"),
        pytest.param("1f07f70eaa6514d3b0fa96542a500306", {"version": "3.0.6"}, id="VPN 3000 3.0.6"),
        pytest.param("1f07f70eaa6514d3b0fa96542a500407", {"version": "4.0.7"}, id="VPN 3000 4.0.7"),
        pytest.param("4048b7d56ebce88525e7de7f00d6c2d3c0000000", {"capabilities": "0xc0000000"}, id="FRAGMENTATION"),
        pytest.param(
            "1e2b516905991c7d7c96fcbfb587e46100000007", {"version": 7, "operating_system": "Windows 7"}, id="Windows 7"
        ),
        pytest.param("1e2b516905991c7d7c96fcbfb587e461000000ff", {"version": 255}, id="Windows unheard of"),
        pytest.param("01528bbbc00696121849ab9a1c5b2a5100000002", {"module": "IKEv2"}, id="Windows keying module"),
        pytest.param("7bb93867d76c8d80df0f40fae8fc3b1900000003", {"group": "MODP_2048"}, id="AuthIP group"),
        pytest.param(
            "f4ed19e0c114eb516faaac0ee37daf2807b4381f000000010000138d459becd70000000018000000",
            {
                "product": "Firewall-1",
                "version": "NGX R60 or later",
                "timestamp": 0x459BECD7,
                "features": "0x18000000",
            },
            id="Check Point NGX",
        ),
        pytest.param(
            "f4ed19e0c114eb516faaac0ee37daf2807b4381f00000002000013880000000000000000186a0000",
            {"product": "SecuRemote/SecureClient", "version": "NG", "timestamp": 0, "features": "0x186a0000"},
            id="Check Point client NG",
        ),
        pytest.param(
            "699369228741c6d4ca094c93e242c9de19e7b7c60000000500000500",
            {"platform": 5, "version": "5.0"},
            id="NetScreen",
        ),
        pytest.param("166f932d55eb64d8e4df4fd37e2313f0d0fd84510000000000000000", {}, id="NetScreen tells nothing"),
        pytest.param("8299031757a36082c6a621de00050282", {"release": 5, "build": 642}, id="FortiGate 5.2.2"),
        pytest.param("4f454c4e766d475b775e6f56", {}, id="pluto build unknown"),
        pytest.param("424e45530000000a", {"version": 10}, id="Contivity"),
        pytest.param("434953434f2d4752452d4d4f444503", {"value": 3}, id="Cisco GRE mode"),
        pytest.param("08db45e6cb01f80bb576e9a78c0f54e1300b88816300", {"version": "6.3"}, id="ELVIS-PLUS"),
        pytest.param(
            "47bbe7c993f1fc13b4e6d0db565c68e5010201010201010310382e302e3020284275696c6420313029000000",
            {"text": "8.0.0 (Build 10)", "version": "8.0.0"},
            id="SafeNet 8.0.0",
        ),
        pytest.param("4865617274426561745f4e6f74696679386b0100", {"data": "386b0100"}, id="Heartbeat"),
    ],
)
def test_vendor_id_fields_are_read(octets: str, fields: dict[str, str | int]) -> None:
    assert known(octets).fields == fields


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("OE-Libreswan-4.12", "Libreswan", "4.12"),
        ("OE-Libreswan-v5.3-dirty", "Libreswan", "5.3-dirty"),
        ("OpenIKED-7.4", "OpenIKED", "7.4"),
        ("TIMESTEP 1 SGW 1520 315 2.01E013", "Timestep", "2.01E013"),
        ("Raptor PowerVpn Server [V8.1]", "Symantec Raptor", "8.1"),
        ("LVG9.2.245:BRICK:9.2.245", "Lucent VPN Gateway", "9.2.245:BRICK:9.2.245"),
    ],
)
def test_vendor_id_in_plain_text_gives_its_version(text: str, name: str, version: str) -> None:
    found = identify(text.encode())
    assert found is not None
    assert (found.name, found.fields["version"]) == (name, version)


def test_vendor_id_of_an_unknown_pluto_build_still_names_the_family() -> None:
    assert known("4f45407942714f72547e497b").name == "FreeS/WAN, Openswan or Libreswan, unknown build"
    assert known("4f5357407942714f72547e49").vendor == "Openswan"
    assert known("4f454e5942714f72547e4940").vendor == "Libreswan"
    assert identify(b"OE\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09") is None
    assert identify(b"OEOE") is None


def test_vendor_id_longest_beginning_wins() -> None:
    assert known("4f45706c75746f756e697430").name == "Openswan unit test"
    assert known("da8e937880010000").name == "SafeNet, WatchGuard or SonicWall client"
    assert known("434953434f2d41425543").name == "Cisco extension"


@pytest.mark.parametrize(
    ("spi", "octets"),
    [
        ("e47a591fd057587f", "11bdfe02d056587f2c18125972c32401"),
        ("a00b8ef0902bb8ec", "55cc29ed902ab8ec53b1df867c610929"),
        ("cf02326f14a95b93", "3ac5957214a85b93db6a509869fdb330"),
        ("18a109f89219e8df", "ed66aee59218e8dfbe01a135a2ad8994"),
    ],
)
def test_vendor_id_of_cisco_ios_is_known_by_the_spi_it_was_made_from(spi: str, octets: str) -> None:
    data = bytes.fromhex(octets)
    assert identify(data) is None
    found = identify(data, [bytes(8), bytes.fromhex(spi)])
    assert found is not None
    assert (found.name, found.vendor) == ("Cisco IOS", "Cisco")
    assert identify(data, [bytes(8)]) is None


def test_vendor_id_in_words_has_the_version_once() -> None:
    assert str(known("1e2b516905991c7d7c96fcbfb587e46100000007")) == "MS NT5 ISAKMPOAKLEY Windows 7"
    assert str(known("95569ee23ebb62eddedea353a575faf3")) == "strongSwan 4.2.8"
    assert str(known("4a131c81070358455c5728f20e95452f")) == "NAT-T (RFC 3947)"


@given(st.binary(max_size=80), st.lists(st.binary(max_size=12), max_size=2))
def test_identify_never_raises(data: bytes, spis: list[bytes]) -> None:
    found = identify(data, spis)
    assert found is None or found.name


@given(st.sampled_from([row for row in VENDOR_IDS if row.prefix]), st.binary(max_size=48))
def test_identify_reads_any_octets_behind_a_prefix(row: VendorId, rest: bytes) -> None:
    found = identify(bytes(row.offset) + row.octets + rest)
    assert found is None or all(isinstance(value, str | int) for value in found.fields.values())
