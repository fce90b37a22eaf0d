"""What a live responder bears from strangers: cookies, caps, little for the unverified, few lines, never an end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecscope.dissect.message import parse_message
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.peers.entropy import EPOCH, SECOND, Entropy
from ipsecscope.peers.guard import STRANGER_FORGOTTEN, VERIFIED_FORGOTTEN, Guard
from ipsecscope.peers.limits import MAX_AMPLIFICATION, MAX_SHOWN_SPIS, MAX_STRANGERS, MAX_VERIFIED
from ipsecscope.peers.live import LivePeer, Wish
from ipsecscope.peers.narration import Narration
from ipsecscope.peers.peer import Path
from ipsecscope.peers.settings import parse_settings

HERE, NAT_PORT = "192.0.2.1", 4500
SETTINGS = 'version = {}\n[local]\naddress = "192.0.2.1"\n[remote]\naddress = "{}"\n[secrets]\npsk = "k"\n'
SPI_I, SPI_R = b"initiate", b"response"


def way(address: str = "192.0.2.7", port: int = 500) -> Path:
    return Path(Endpoint(HERE, port), Endpoint(address, port))


def peer(version: int = 2, *, initiates: bool = False, seed: int = 0, more: str = "", remote: str = HERE) -> LivePeer:
    config = parse_settings(SETTINGS.format(version, remote) + more)
    return LivePeer(config, Entropy.seeded(f"guard {initiates}", seed), Wish(), initiates=initiates)


def opening(version: int = 2, seed: int = 0, more: str = "") -> bytes:
    """The first message of an initiator."""
    initiator = peer(version, initiates=True, seed=seed, more=more)
    initiator.start(EPOCH)
    ((data, _),) = initiator.datagrams_to_send(EPOCH)
    return data


def answers(live: LivePeer, data: bytes, path: Path, now: int = EPOCH) -> list[bytes]:
    live.receive_datagram(data, path, now)
    return [sent for sent, _ in live.datagrams_to_send(now)]


def ike(spi_r: bytes, size: int) -> bytes:
    return SPI_I + spi_r + bytes(size - 16)


# -- the guard alone ---------------------------------------------------------------------------------------------------


def test_unverified_address_gets_so_many_octets_for_each_of_its_own() -> None:
    guard = Guard(NAT_PORT)
    guard.saw(bytes(100), way(), EPOCH)
    most = int(100 * MAX_AMPLIFICATION)
    assert guard.allows(ike(SPI_R, most), way(), EPOCH, unasked=False)
    assert not guard.allows(ike(SPI_R, 28), way(), EPOCH, unasked=False)
    assert guard.counts == {"answers too long for unverified addresses held back": 1}


def test_unverified_address_gets_no_retransmission() -> None:
    guard = Guard(NAT_PORT)
    guard.saw(bytes(1000), way(), EPOCH)
    assert not guard.allows(ike(SPI_R, 28), way(), EPOCH, unasked=True)


@pytest.mark.parametrize("port", [500, NAT_PORT])
def test_address_is_verified_by_the_spi_that_was_sent_there(port: int) -> None:
    guard, marker = Guard(NAT_PORT), bytes(4) if port == NAT_PORT else b""
    guard.saw(marker + ike(bytes(8), 100), way(port=port), EPOCH)
    assert guard.allows(marker + ike(SPI_R, 100), way(port=port), EPOCH, unasked=False)
    guard.saw(marker + ike(b"guessing", 28), way(port=port), EPOCH)
    assert not guard.is_verified("192.0.2.7", EPOCH)
    guard.saw(marker + ike(SPI_R, 28), way("192.0.2.8", port), EPOCH)
    assert not guard.is_verified("192.0.2.8", EPOCH)
    guard.saw(marker + ike(SPI_R, 28), way(port=port), EPOCH)
    assert guard.is_verified("192.0.2.7", EPOCH)
    assert guard.allows(bytes(60_000), way(port=port), EPOCH, unasked=True)


def test_verification_and_account_end_with_silence() -> None:
    guard = Guard(NAT_PORT)
    guard.verify("192.0.2.7", EPOCH)
    assert guard.is_verified("192.0.2.7", EPOCH + VERIFIED_FORGOTTEN)
    assert not guard.is_verified("192.0.2.7", EPOCH + VERIFIED_FORGOTTEN + 1)
    guard.saw(bytes(100), way("192.0.2.8"), EPOCH)
    assert not guard.allows(ike(SPI_R, 28), way("192.0.2.8"), EPOCH + STRANGER_FORGOTTEN + 1, unasked=False)


def test_tables_of_the_guard_are_bounded_and_strangers_displace_nobody_who_is_verified() -> None:
    guard = Guard(NAT_PORT)
    guard.verify("192.0.2.7", EPOCH)
    for number in range(MAX_STRANGERS + 10):
        path = way(f"10.0.{number >> 8}.{number & 255}")
        guard.saw(bytes(100), path, EPOCH)
        for shown in range(2 if number else MAX_SHOWN_SPIS + 5):
            guard.allows(ike(shown.to_bytes(8, "big"), 28), path, EPOCH, unasked=False)
    assert len(guard._strangers) == MAX_STRANGERS
    assert all(len(each.shown) <= MAX_SHOWN_SPIS for each in guard._strangers.values())
    assert guard.is_verified("192.0.2.7", EPOCH)
    for number in range(MAX_VERIFIED + 10):
        guard.verify(f"10.0.{number >> 8}.{number & 255}", EPOCH)
    assert len(guard._verified) == MAX_VERIFIED


# -- the responder behind it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_first_answer_stays_within_the_bound(version: int, mode: str) -> None:
    asked = opening(version, more=f'[ike]\nmode = "{mode}"\n')
    (answer,) = answers(peer(version), asked, way())
    assert len(answer) <= MAX_AMPLIFICATION * len(asked)


@pytest.mark.parametrize("version", [1, 2])
def test_responder_repeats_nothing_by_itself_to_who_has_not_come_back(version: int) -> None:
    live = peer(version)
    assert answers(live, opening(version), way())
    sent, when = [], live.get_timer()
    while when is not None and when < EPOCH + 100 * SECOND:
        live.handle_timer(when)
        sent += list(live.datagrams_to_send(when))
        when = live.get_timer()
    assert sent == []
    assert live.steered.is_idle  # half-open for too long


def is_cookie(answer: bytes) -> bool:
    return [getattr(each.body, "notify_type", None) for each in parse_message(answer).payloads] == [NotifyType.COOKIE]


def cookies_asked(sources: list[str]) -> list[bool]:
    """For each IKE_SA_INIT in turn whether a cookie was asked for."""
    live = peer(more="[limits]\nhalf_open_per_source = 100\n")
    found = []
    for seed, source in enumerate(sources):
        (answer,) = answers(live, opening(seed=seed), way(source))
        found.append(is_cookie(answer))
    return found


def test_cookies_are_asked_for_from_the_fourth_half_open_of_one_source() -> None:
    assert cookies_asked(["192.0.2.7"] * 5) == [False] * 3 + [True] * 2


def test_cookies_are_asked_for_from_the_thirty_first_half_open_of_all() -> None:
    assert cookies_asked([f"198.51.100.{number}" for number in range(33)]) == [False] * 30 + [True] * 3


@pytest.mark.parametrize("version", [1, 2])
def test_half_open_sas_are_capped_for_each_source(version: int) -> None:
    live = peer(version, more="[limits]\nhalf_open_per_source = 2\ncookies_per_source = 9\n")
    answered = [bool(answers(live, opening(version, seed=seed), way())) for seed in range(4)]
    assert answered == [True, True, False, False]
    assert answers(live, opening(version, seed=9), way("192.0.2.9"))


@pytest.mark.parametrize(
    ("mode", "answered"), [("main", [True] * 5), ("aggressive", [True, True, False, False, False])]
)
def test_ikev1_main_mode_displaces_the_oldest_that_never_came_back(mode: str, answered: list[bool]) -> None:
    more = f'[ike]\nmode = "{mode}"\n[limits]\nhalf_open = 2\n'
    live = peer(1, more=more)
    firsts = [opening(1, seed=seed, more=more) for seed in range(5)]
    assert [bool(answers(live, each, way(f"198.51.100.{at}"))) for at, each in enumerate(firsts)] == answered
    displaced = 3 if mode == "main" else 0
    assert live.counts["half-open SAs displaced by newer ones"] == displaced


def test_ikev1_displacement_hits_the_address_that_has_most() -> None:
    live = peer(1, more="[limits]\nhalf_open = 4\n")
    honest = opening(1, seed=99)
    assert answers(live, honest, way("192.0.2.9"))
    for seed in range(9):
        answers(live, opening(1, seed=seed), way(f"198.51.100.{seed % 2}"))
    assert answers(live, honest, way("192.0.2.9"))  # it came again, and its SA is still there
    assert live.counts["messages that came again"] == 1


@pytest.fixture(scope="module", params=[1, 2])
def hostile_pair(request: pytest.FixtureRequest) -> tuple[LivePeer, bytes]:
    return peer(request.param), opening(request.param)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.binary(max_size=200), st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=4))),
    st.sampled_from([500, NAT_PORT]),
    st.integers(0, 3),
)
def test_nothing_that_arrives_ends_a_live_peer(
    hostile_pair: tuple[LivePeer, bytes], data: bytes | tuple[int, bytes], port: int, source: int
) -> None:
    live, first = hostile_pair
    if isinstance(data, tuple):
        place, octets = data
        data = first[:place] + octets + first[place + len(octets) :]
    answers(live, (bytes(4) if port == NAT_PORT and source % 2 else b"") + data, way(f"192.0.2.{source}", port))
    assert live.guard is not None
    assert len(live.guard._strangers) + len(live.guard._verified) <= 4


# -- the log -----------------------------------------------------------------------------------------------------------


def test_log_has_one_line_a_second_of_each_kind_and_counts_the_others() -> None:
    lines: list[str] = []
    narration = Narration(lines.append, sparing=True)
    for step in range(25):
        narration.say("knock", "somebody knocks", EPOCH + step * SECOND // 10)
        narration.say("ring", "somebody rings", EPOCH + step * SECOND)
    knocks = [line.partition(" ")[2] for line in lines if "knocks" in line]
    assert knocks == ["somebody knocks", *["somebody knocks (and 9 like it before)"] * 2]
    assert sum("rings" in line for line in lines) == 25


def test_log_says_what_was_dropped_since_the_last_time() -> None:
    lines: list[str] = []
    narration = Narration(lines.append, sparing=True)
    narration.report(lambda: {"wrong length": 3}, EPOCH)
    narration.report(lambda: {"wrong length": 4}, EPOCH + SECOND)
    narration.report(lambda: {"wrong length": 9, "no IKEv2": 1}, EPOCH + 60 * SECOND)
    assert [line.partition(" ")[2] for line in lines] == [
        "counted: 3 wrong length",
        "counted: 6 wrong length, 1 no IKEv2",
    ]
