from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from ipsecscope.dissect.registry.ikev2 import IdType, TransformType
from ipsecscope.peers import settings
from ipsecscope.peers.authority import Authority, KeyKind
from ipsecscope.peers.config import AuthMethod, Identity, Mode, Offer, PeerConfig, SettingError
from ipsecscope.peers.entropy import SECOND, Entropy
from ipsecscope.peers.selectors import texts
from ipsecscope.peers.settings import SettingsFileError, parse_settings, read_settings

PSK = '[secrets]\npsk = "k"\n'


@pytest.mark.parametrize(
    ("text", "id_type"),
    [
        ("moon.example", IdType.ID_FQDN),
        ("alice@moon.example", IdType.ID_RFC822_ADDR),
        ("192.0.2.1", IdType.ID_IPV4_ADDR),
        ("2001:db8::1", IdType.ID_IPV6_ADDR),
        ("keyid:c0ffee", IdType.ID_KEY_ID),
    ],
)
def test_identity_text_decides_the_type(text: str, id_type: IdType) -> None:
    assert Identity.parse(text).id_type == id_type


def test_offer_words_are_iana_names_with_key_length_and_round() -> None:
    offer = Offer.ike("ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 CURVE25519 ADDKE1:ML_KEM_768")
    assert [item.summary() for item in offer.transforms] == [
        "ENCR_AES_CBC-256",
        "PRF_HMAC_SHA2_256",
        "AUTH_HMAC_SHA2_256_128",
        "CURVE25519",
        "ML_KEM_768",
    ]
    assert offer.transforms[-1].transform_type == TransformType.ADDKE1


def test_offer_understands_the_names_of_other_programs() -> None:
    offer = Offer.ike("aes256gcm16 PRFSHA256 modp2048")
    assert [item.summary() for item in offer.transforms] == ["ENCR_AES_GCM_16-256", "PRF_HMAC_SHA2_256", "MODP_2048"]


def test_esp_offer_without_sequence_numbers_gets_short_ones() -> None:
    assert [item.summary() for item in Offer.esp("ENCR_AES_GCM_16-128").transforms][-1] == "NO_ESN"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ENCR_AES_CBC-256 PRF_HMAC_SHA2_256 CURVE25519", "lacks a transform of type INTEG"),
        ("ENCR_AES_GCM_16-256 CURVE25519", "lacks a transform of type PRF"),
        ("ENCR_AES_GCM_16-100 PRF_HMAC_SHA2_256 CURVE25519", "keys of 128, 192, 256 bits"),
        ("ENCR_ROT13 PRF_HMAC_SHA2_256 CURVE25519", 'no algorithm is called "ENCR_ROT13"'),
    ],
)
def test_offer_that_cannot_work_says_why(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Offer.ike(text)


def test_settings_example_of_the_module_is_read() -> None:
    example = textwrap.dedent((settings.__doc__ or "").split("\n\n", 1)[1])
    config = parse_settings(example)
    assert (config.name, str(config.local_id), str(config.remote_id)) == (
        "gateway",
        "gateway.example",
        "client.example",
    )
    assert (texts(config.local_ts), texts(config.remote_ts)) == (("10.1.0.0/16",), ("10.2.0.0/16",))
    assert config.psk.reveal() == b"correct horse battery staple"


def test_settings_all_tables_reach_the_configuration() -> None:
    text = """
        [local]
        id = "alice@example.org"
        request_address = true
        [remote]
        auth = ["psk", "eap"]
        addresses = ["10.3.0.1"]
        [secrets]
        psk = "0x00ff"
        ppk_id = "q"
        ppk = "0x01"
        users = { bob = "builder" }
        [ike]
        mobike = true
        rekey_s = 90
        [child]
        ah = ["AUTH_HMAC_SHA2_256_128"]
        mode = "transport"
        [patience]
        retransmit_after_s = 0.5
        """
    config = parse_settings(textwrap.dedent(text))
    assert config.psk.reveal() == b"\x00\xff"
    assert config.remote_methods == (AuthMethod.PSK, AuthMethod.EAP)
    assert config.mode == Mode.TRANSPORT
    assert (config.patience.retransmit_after, config.patience.ike_lifetime) == (SECOND // 2, 90 * SECOND)
    assert config.ppk is not None
    assert config.users[0][0] == "bob"
    assert (config.mobike, config.request_virtual_ip, config.pool.addresses) == (True, True, ("10.3.0.1",))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(
            "x = 1",
            "f.toml: x: no such key; expected one of version, name, local, remote, secrets, eap, xauth, ike, child,"
            " patience, limits",
            id="unknown-table",
        ),
        pytest.param(
            PSK + "[eap]\nusers = 1",
            "f.toml: eap.users: no such key; expected one of methods, newest_tls, user, password, password_file, password_env",
            id="unknown-key",
        ),
        pytest.param('[local]\nport = "a"', "f.toml: local.port: Expected `int`, got `str`", id="type"),
        pytest.param(
            PSK + "[local]\nport = 99999", "f.toml: local.port: a port from 0 to 65535 is expected", id="port"
        ),
        pytest.param(
            '[local]\naddress = "here"\n' + PSK, 'f.toml: local.address: "here" is no IP address', id="address"
        ),
        pytest.param(PSK + '[child]\nesp = ["FOO"]', 'f.toml: child.esp: no algorithm is called "FOO"', id="algorithm"),
        pytest.param("[local]", 'f.toml: secrets.psk: a pre-shared key is expected with local.auth = "psk"', id="psk"),
        pytest.param(
            '[local]\nauth = "rsa"',
            'f.toml: local.private_key: a private key and certificates are expected with local.auth = "rsa"',
            id="certificate",
        ),
        pytest.param(
            '[child]\nmode = "routed"\n' + PSK,
            "f.toml: child.mode: Invalid enum value 'routed'; expected tunnel, transport, beet",
            id="word",
        ),
        pytest.param(
            PSK + '[remote]\nauthorities = ["none.pem"]',
            "f.toml: remote.authorities: none.pem cannot be read: No such file or directory",
            id="file",
        ),
    ],
)
def test_settings_error_names_file_key_and_expectation(text: str, line: str) -> None:
    with pytest.raises(SettingsFileError) as caught:
        parse_settings(text, "f.toml")
    assert str(caught.value) == line


def test_settings_that_are_no_toml_name_the_line() -> None:
    with pytest.raises(SettingsFileError, match=r"f\.toml: no TOML: .*line 1"):
        parse_settings("[local\nx = 1", "f.toml")


def test_settings_certificates_and_keys_come_from_files_beside_them(tmp_path: Path) -> None:
    issued = Authority("CA", Entropy.seeded("ca")).issue(Identity.parse("moon.example"), KeyKind.ED25519)
    (tmp_path / "moon.der").write_bytes(issued.certificates[0])
    (tmp_path / "moon.key").write_bytes(issued.private_key.reveal())
    (tmp_path / "peer.toml").write_text(
        '[local]\nauth = "signature"\ncertificates = ["moon.der"]\nprivate_key = "moon.key"\n'
    )
    config = read_settings(tmp_path / "peer.toml")
    assert config.credentials.certificates == issued.certificates
    assert config.credentials.private_key == issued.private_key


def test_configuration_never_shows_a_secret() -> None:
    config = parse_settings('[secrets]\npsk = "swordfish"\nusers = { a = "mackerel" }\n[eap]\npassword = "haddock"')
    assert isinstance(config, PeerConfig)
    assert not any(word in repr(config) for word in ("swordfish", "mackerel", "haddock"))
