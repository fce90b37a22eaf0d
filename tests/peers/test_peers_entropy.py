from __future__ import annotations

import ast
from pathlib import Path

import ipsecscope.peers
from ipsecscope.peers.entropy import EPOCH, FIRST_CHILD_SPI, Entropy, VirtualClock, seconds

DOORS = {"entropy.py", "udp.py"}
BANNED = {"os", "time", "random", "secrets"}


def test_seeded_entropy_with_the_same_label_and_seed_repeats_itself() -> None:
    first, second = Entropy.seeded("site-to-site", 7), Entropy.seeded("site-to-site", 7)
    assert [first.octets(20, "Ni") for _ in range(3)] == [second.octets(20, "Ni") for _ in range(3)]


def test_seeded_entropy_with_another_seed_or_label_differs() -> None:
    drawn = {Entropy.seeded(label, seed).octets(16, "Ni") for label in "ab" for seed in (0, 1)}
    assert len(drawn) == 4


def test_seeded_entropy_one_more_draw_for_another_purpose_moves_nothing() -> None:
    first, second = Entropy.seeded("x"), Entropy.seeded("x")
    second.octets(9, "something new")
    assert first.octets(16, "Ni") == second.octets(16, "Ni")


def test_seeded_entropy_successive_draws_differ() -> None:
    entropy = Entropy.seeded("x")
    assert len({entropy.octets(8, "SPI") for _ in range(100)}) == 100


def test_fork_has_streams_of_its_own() -> None:
    entropy = Entropy.seeded("x")
    assert entropy.fork("a").octets(8, "n") != entropy.fork("b").octets(8, "n")
    assert entropy.fork("a").octets(8, "n") == Entropy.seeded("x").fork("a").octets(8, "n")


def test_system_entropy_does_not_repeat_itself() -> None:
    assert not Entropy.system().is_seeded
    assert Entropy.system().octets(16, "n") != Entropy.system().octets(16, "n")


def test_child_spi_is_never_in_the_reserved_range() -> None:
    entropy = Entropy.seeded("x")
    spis = [int.from_bytes(entropy.child_spi(), "big") for _ in range(200)]
    assert min(spis) >= FIRST_CHILD_SPI
    assert len(set(spis)) == 200


def test_below_stays_below_and_chance_keeps_its_share() -> None:
    entropy = Entropy.seeded("x")
    assert {entropy.below(3, "n") for _ in range(100)} == {0, 1, 2}
    assert 150 < sum(entropy.chance(0.2, "loss") for _ in range(1000)) < 250


def test_virtual_clock_never_goes_back() -> None:
    clock = VirtualClock()
    clock.advance_to(EPOCH + seconds(1.5))
    clock.advance_to(EPOCH)
    assert clock.now() == EPOCH + 1_500_000_000


def test_no_module_but_the_doors_imports_chance_or_time() -> None:
    """Architecture section 5: time and chance are always passed in."""
    root = Path(ipsecscope.peers.__file__).parent
    guilty = []
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            imported = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            imported += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if BANNED & {name.partition(".")[0] for name in imported} and path.name not in DOORS:
                guilty.append(path.name)
    assert guilty == []


def test_no_module_but_udp_opens_sockets() -> None:
    root = Path(ipsecscope.__file__).parent
    opening = {"socket", "socketpair", "fromfd", "create_connection", "create_server", "open_connection", "urlopen"}
    guilty = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in opening
    }
    assert guilty == {"peers/udp.py"}
