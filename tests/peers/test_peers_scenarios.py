"""Every declared scenario: repeatable to the octet, readable, opened in full by its own keys."""

from __future__ import annotations

import io

import pytest
from played import played

from ipsecscope.capture.files import open_capture
from ipsecscope.decrypt.keys import IkeV2Keys, SaKeys
from ipsecscope.decrypt.opening import SK_HEADER_SIZE, SKF_HEADER_SIZE, OpenedBody, open_ike_v2
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.chain import parse_chain
from ipsecscope.dissect.families import IKEV2
from ipsecscope.dissect.ikev2 import Encrypted, EncryptedFragment
from ipsecscope.dissect.ikev2.exchanges import check
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.names import payload_name
from ipsecscope.dissect.natt import KEEPALIVE, UdpContent, classify
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.packets import Udp, split
from ipsecscope.peers.scenarios import BY_NAME, SCENARIOS, Generated, generate
from ipsecscope.peers.scenarios_ikev2 import IKEV2_SCENARIOS

NAMES = [scenario.name for scenario in IKEV2_SCENARIOS]
SLOW = {"ikev2-rsa", "ikev2-rsa-pss", "ikev2-fragments-dropped"}  # their RSA keys are made anew each time
DAMAGED = {"ikev2-damaged-icv"}
MALFORMED = {"ikev2-malformed"}
ONE_SIDED = {"ikev2-expired-certificate"}  # the responder believes in an IKE SA until it hears otherwise
LOSSY = {
    "ikev2-lossy",
    "ikev2-delete-ignored",
    "ikev2-reboot",
    "ikev2-same-nonce-again",
    "esp-damaged",
}  # some pings are lost in these
QUIET_FAILURES = {
    "ikev2-no-answer": "no answer",
    "ikev2-one-way": "no answer",
    "ikev2-port-4500-blocked": "no answer",
    "ikev2-dead-peer": "no answer",
    "ikev2-fragments-dropped": "no answer",
    "ikev2-damaged-icv": "no answer",
    "ikev2-message-id-ahead": "no answer",
}
REFUSALS = {
    "ikev2-no-proposal": "NO_PROPOSAL_CHOSEN",
    "ikev2-malformed": "INVALID_SYNTAX",
    "ikev2-invalid-ke": "INVALID_KE_PAYLOAD",
    "ikev2-cookie": "COOKIE",
    "ikev2-wrong-psk": "AUTHENTICATION_FAILED",
    "ikev2-unknown-id": "AUTHENTICATION_FAILED",
    "ikev2-wrong-responder-id": "AUTHENTICATION_FAILED",
    "ikev2-wrong-password": "AUTHENTICATION_FAILED",
    "ikev2-eap-tls-untrusted": "AUTHENTICATION_FAILED",
    "ikev2-untrusted-certificate": "AUTHENTICATION_FAILED",
    "ikev2-ppk-mismatch": "AUTHENTICATION_FAILED",
    "ikev2-child-no-proposal": "NO_PROPOSAL_CHOSEN",
    "ikev2-ts-mismatch": "TS_UNACCEPTABLE",
    "ikev2-pfs-mismatch": "NO_PROPOSAL_CHOSEN",
    "ikev2-no-additional-sas": "NO_ADDITIONAL_SAS",
}


def datagrams(generated: Generated) -> list[bytes]:
    """The payloads of all UDP datagrams that were captured whole."""
    found = []
    for frame in open_capture(io.BytesIO(generated.pcapng)).frames():
        pieces = split(frame.data[14:])
        if pieces is not None and pieces.protocol == IpProtocol.UDP and not pieces.is_fragment:
            found.append(Udp.parse(pieces.payload).data)
    return found


def messages(generated: Generated) -> list[tuple[Message, bytes]]:
    found = []
    for data in datagrams(generated):
        octets = data[4:] if classify(data) is UdpContent.IKE else data
        message = parse_message(octets)
        if (
            octets != KEEPALIVE
            and message.header is not None
            and message.header.version == 0x20
            and not message.trailing
        ):
            found.append((message, octets))
    return found


def open_with(keys: IkeV2Keys, message: Message, data: bytes) -> OpenedBody | None:
    entry = message.payloads[-1]
    assert message.header is not None
    assert keys.encryption is not None
    assert keys.encryption.row is not None
    first = message.header.original_initiator
    opened = open_ike_v2(
        data,
        entry.start,
        keys.encryption.row,
        (keys.sk_ei if first else keys.sk_er) or Secret(b""),
        keys.integrity.row if keys.integrity else None,
        keys.sk_ai if first else keys.sk_ar,
        header_size=SKF_HEADER_SIZE if isinstance(entry.body, EncryptedFragment) else SK_HEADER_SIZE,
    )
    return opened if isinstance(opened, OpenedBody) else None


def opened(generated: Generated, message: Message, data: bytes) -> OpenedBody | None:
    """What the keys of the scenario make of an encrypted message."""
    header = message.header
    assert header is not None
    candidates = [
        keys
        for keys in generated.keys
        if isinstance(keys, IkeV2Keys) and (keys.spi_i, keys.spi_r) == (header.spi_i, header.spi_r)
    ]
    return next((body for keys in candidates if (body := open_with(keys, message, data)) is not None), None)


@pytest.mark.parametrize(("name",), [(name,) for name in NAMES if name not in SLOW and BY_NAME[name].is_repeatable])
def test_scenario_with_the_same_seed_makes_the_same_bytes(name: str) -> None:
    again = generate(name)
    assert again.pcapng == played(name).pcapng
    assert again.keys == played(name).keys
    assert again.expected == played(name).expected


def test_scenario_with_another_seed_makes_other_bytes() -> None:
    assert generate("ikev2", 1).pcapng != played("ikev2").pcapng


def test_scenario_that_is_not_declared_is_the_callers_mistake() -> None:
    with pytest.raises(KeyError):
        generate("no such scenario")


def test_scenarios_have_names_of_their_own_and_a_title() -> None:
    assert len(BY_NAME) == len(SCENARIOS)
    assert {"ikev2", "esp-tunnel", "esp-transport", "ah-tunnel", "ah-transport"} <= set(BY_NAME)
    assert all(scenario.title for scenario in SCENARIOS)


@pytest.mark.parametrize(("name",), [(name,) for name in NAMES])
def test_scenario_messages_parse_without_remark_and_rebuild(name: str) -> None:
    found = messages(played(name))
    assert found or name == "ikev2-fragments-dropped"
    for message, data in found:
        assert not message.notes
        assert message.build() == data


@pytest.mark.parametrize(("name",), [(name,) for name in NAMES if name not in DAMAGED])
def test_scenario_is_opened_in_full_by_its_own_keys(name: str) -> None:
    generated = played(name)
    for message, data in messages(generated):
        if message.payloads and isinstance(message.payloads[-1].body, Encrypted | EncryptedFragment):
            assert opened(generated, message, data) is not None, (name, message.header)


@pytest.mark.parametrize(("name",), [(name,) for name in NAMES if name not in DAMAGED | MALFORMED])
def test_scenario_messages_fit_the_grammar_of_the_rfc_in_its_order(name: str) -> None:
    """RFC 7296 appendix C: every payload is expected, none is missing, nothing inside is remarkable."""
    generated = played(name)
    for message, data in messages(generated):
        header = message.header
        assert header is not None
        payloads = message.payloads
        if payloads and isinstance(payloads[-1].body, EncryptedFragment):
            continue
        if payloads and isinstance(payloads[-1].body, Encrypted):
            body = opened(generated, message, data)
            assert body is not None
            chain = parse_chain(body.plaintext, 0, len(body.plaintext), payloads[-1].next_payload or 0, IKEV2)
            assert not chain.notes
            payloads = chain.payloads
        names = [payload_name(payload, header) for payload in payloads]
        fit = check(header.exchange_type, names, is_response=header.is_response)
        assert fit.fits, (names, fit)


@pytest.mark.parametrize(
    ("name",),
    [
        (scenario.name,)
        for scenario in SCENARIOS
        if scenario.pings and not scenario.fails and scenario.name not in LOSSY
    ],
)
def test_scenario_pings_are_answered_through_the_tunnel(name: str) -> None:
    assert played(name).pings_answered == BY_NAME[name].pings


@pytest.mark.parametrize(("name", "notify"), list(REFUSALS.items()))
def test_scenario_of_a_failure_shows_its_refusal(name: str, notify: str) -> None:
    refused = [event.data["notify"] for event in played(name).events if event.name == "exchange:refused"]
    assert set(refused) == {notify}
    assert len(refused) == 2  # what the responder says, and what the initiator hears


@pytest.mark.parametrize(("name", "reason"), list(QUIET_FAILURES.items()))
def test_scenario_of_silence_ends_without_an_answer(name: str, reason: str) -> None:
    closed = [event.data["reason"] for event in played(name).events if event.name == "ike_sa:closed"]
    assert reason in closed
    assert not any(event.name == "exchange:refused" for event in played(name).events)


@pytest.mark.parametrize(("name",), [(name,) for name in NAMES if name not in {*QUIET_FAILURES, *ONE_SIDED}])
def test_scenario_events_of_both_sides_agree(name: str) -> None:
    """What one side says was completed, established, created or deleted, the other side says as well."""
    told = {"exchange:completed", "ike_sa:established", "child_sa:created", "child_sa:rekeyed", "child_sa:deleted"}
    sides = []
    for events in (played(name).left_events, played(name).right_events):
        mine = [event for event in events if event.name in told]
        sides.append(sorted((event.name, event.group_id, sorted(_facts(event.data).items())) for event in mine))
    assert sides[0] == sides[1]


def _facts(data: dict[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in data.items() if not key.endswith("_id") or key == "message_id"}


def test_reboot_makes_the_responder_forget_the_ike_sa_before() -> None:
    """RFC 7296 section 2.4: INITIAL_CONTACT says that no other IKE SA of this identity is alive."""
    generated = played("ikev2-reboot")
    closed = [event.data["reason"] for event in generated.right_events if event.name == "ike_sa:closed"]
    assert closed == ["INITIAL_CONTACT"]
    assert [event.name for event in generated.right_events].count("ike_sa:established") == 2


def test_key_records_hold_both_directions_of_every_child() -> None:
    generated = played("ikev2")
    children = [record for record in generated.keys if isinstance(record, SaKeys)]
    created = [event for event in generated.left_events if event.name == "child_sa:created"]
    assert len(children) == 2 * len(created)
    assert {record.direction for record in children} == {"inbound", "outbound"}
    assert "<secret" in repr(children[0])
