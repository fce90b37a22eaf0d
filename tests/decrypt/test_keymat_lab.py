"""Sessions of real daemons: the keys they logged come out of their shared secrets and what was on the wire."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab_captures import Message, chain, ike_messages

from ipsecscope.decrypt import keymat, keymat_ikev1
from ipsecscope.decrypt.algorithms import encryption_by_name, integrity_by_name, prf_by_name
from ipsecscope.decrypt.keymat import ChildSuite, IkeKeys, IkeSuite
from ipsecscope.decrypt.opening import SK_HEADER_SIZE, SKF_HEADER_SIZE, OpenedBody, open_ike_v1, open_ike_v2
from ipsecscope.decrypt.secret import Secret

PSK = Secret(b"lab-psk-8fK2")
KEY_NAMES = ("sk_d", "sk_ai", "sk_ar", "sk_ei", "sk_er", "sk_pi", "sk_pr")


def suite_of(alg: dict[str, Any]) -> IkeSuite:
    row, _ = encryption_by_name(alg["enc"])
    return IkeSuite(
        prf=prf_by_name(alg["prf"]),
        encryption=row,
        key_bits=alg["keysize"] or None,
        integrity=integrity_by_name(alg["integ"]) if alg.get("integ") else None,
    )


def keys_of(entry: dict[str, Any]) -> IkeKeys:
    return IkeKeys(**{name: Secret.from_hex(entry.get("SK_" + name[3:], "")) for name in KEY_NAMES})


def open_with(message: Message, suite: IkeSuite, keys: IkeKeys) -> OpenedBody | None:
    sk = next((payload for payload in message.payloads() if payload[0] in (46, 53)), None)
    if sk is None:
        return None
    opened = open_ike_v2(
        message.data,
        sk[1],
        suite.encryption,
        keys.sk_e(initiator=message.from_initiator),
        integrity=suite.integrity,
        sk_a=keys.sk_a(initiator=message.from_initiator),
        header_size=SK_HEADER_SIZE if sk[0] == 46 else SKF_HEADER_SIZE,
    )
    return opened if isinstance(opened, OpenedBody) else None


def scenarios(shared: Path, version: int) -> Iterator[tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]]:
    for path in sorted((shared / "captures/lab").glob("*/keys.json")):
        keys = json.loads(path.read_text())
        ike = [entry for entry in keys["ike"] if entry["version"] == version and entry.get("spi_i")]
        if ike and (path.parent / "capture.pcap").exists():
            yield path.parent, ike, keys["esp"]


def nonces_of(messages: list[Message], spi_i: bytes, spi_r: bytes) -> tuple[bytes, bytes] | None:
    """Ni and Nr of the IKE_SA_INIT exchange that the responder answered with its SPI."""
    ni = nr = b""
    for message in messages:
        if message.exchange != 34 or message.spis[0] != spi_i:
            continue
        nonce = next((body for kind, _, body in message.payloads() if kind == 40), b"")
        if message.is_response and message.spis[1] == spi_r and nonce:
            nr = nonce
        elif not message.is_response:
            ni = nonce
    return (ni, nr) if ni and nr else None


def test_ikev2_keys_of_the_lab_come_out_of_shared_secrets(shared: Path) -> None:
    compared: Counter[str] = Counter()
    for folder, ike, _ in scenarios(shared, 2):
        messages = list(ike_messages(folder / "capture.pcap"))
        before: dict[tuple[str, str], IkeKeys] = {}
        for entry in ike:
            spis = entry["spi_i"], entry["spi_r"]
            spi_i, spi_r = bytes.fromhex(spis[0]), bytes.fromhex(spis[1])
            nonces = nonces_of(messages, spi_i, spi_r)
            if nonces is None or entry["exchange"] not in ("IKE_SA_INIT", "IKE_INTERMEDIATE"):
                continue
            ni, nr = nonces
            suite, secret = suite_of(entry["alg"]), Secret.from_hex(entry["dh_secret"])
            if entry["exchange"] == "IKE_SA_INIT":
                seed = keymat.skeyseed(suite.prf, ni, nr, secret)
                made = keymat.derive_ike_keys(suite, secret, ni=ni, nr=nr, spi_i=spi_i, spi_r=spi_r)
            else:
                sk_d = before[spis].sk_d
                seed = keymat.skeyseed_additional(suite.prf, sk_d, secret, ni, nr)
                made = keymat.next_ike_keys(suite, sk_d, secret, ni=ni, nr=nr, spi_i=spi_i, spi_r=spi_r)
            assert seed == Secret.from_hex(entry["SKEYSEED"]), folder.name
            assert made == keys_of(entry), folder.name
            before[spis] = made
            compared[entry["exchange"]] += 1
            if "ppk_update" in entry:
                update = entry["ppk_update"]
                mixed = keymat.mix_ppk(suite.prf, Secret.from_hex(update["PPK"]), made)
                assert mixed.sk_d == Secret.from_hex(update["SK_d"])
                assert mixed.sk_pi == Secret.from_hex(update["SK_pi"])
                assert mixed.sk_pr == Secret.from_hex(update["SK_pr"])
                assert mixed.sk_ei == made.sk_ei
                compared["PPK"] += 1
    print(dict(compared))
    assert compared["IKE_SA_INIT"] >= 75
    assert compared["IKE_INTERMEDIATE"] >= 5
    assert compared["PPK"] == 1


def test_every_ikev2_message_of_the_lab_opens_as_verified_independently(shared: Path) -> None:
    total: Counter[str] = Counter()
    for folder, ike, _ in scenarios(shared, 2):
        expected = json.loads((folder / "own-verify.json").read_text()).get("capture.pcap", {}).get("ike", {})
        sets: dict[tuple[bytes, bytes], list[tuple[IkeSuite, IkeKeys]]] = defaultdict(list)
        for entry in ike:
            spis = bytes.fromhex(entry["spi_i"]), bytes.fromhex(entry["spi_r"])
            sets[spis].append((suite_of(entry["alg"]), keys_of(entry)))
        opened = 0
        for message in ike_messages(folder / "capture.pcap"):
            if message.data[17] >> 4 == 2:
                opened += any(open_with(message, *candidate) is not None for candidate in sets[message.spis])
        assert opened == expected.get("ok", 0), folder.name
        total["opened"] += opened
    print(dict(total))
    assert total["opened"] > 400


def test_child_keys_of_the_lab_come_out_of_sk_d(shared: Path) -> None:
    compared = 0
    for folder, ike, esp in scenarios(shared, 2):
        messages = list(ike_messages(folder / "capture.pcap"))
        wanted = {key["enc_key"] + key["integ_key"] for key in esp if key.get("exchange") == "IKE_AUTH"}
        for entry in ike:
            nonces = nonces_of(messages, bytes.fromhex(entry["spi_i"]), bytes.fromhex(entry["spi_r"]))
            sample = next((key for key in esp if key.get("exchange") == "IKE_AUTH"), None)
            if nonces is None or sample is None or (sample["proto"], sample["enc_alg"]) == ("AH", "x"):
                continue
            row = encryption_by_name(sample["enc_alg"])[0] if sample["enc_alg"] else None
            suite = ChildSuite(
                encryption=row,
                key_bits=sample.get("keysize") or None,
                integrity=integrity_by_name(sample["integ_alg"]) if sample["integ_alg"] else None,
            )
            sk_d = Secret.from_hex(entry.get("ppk_update", entry)["SK_d"])
            keys = keymat.derive_child_keymat(suite_of(entry["alg"]).prf, sk_d, suite, ni=nonces[0], nr=nonces[1])
            both = {
                (keys.encryption_i.reveal() + keys.integrity_i.reveal()).hex(),
                (keys.encryption_r.reveal() + keys.integrity_r.reveal()).hex(),
            }
            compared += both <= wanted
    print(f"{compared} first Child SAs")
    assert compared >= 60


def reassembled(messages: list[tuple[Message, OpenedBody]]) -> tuple[Message, int, bytes]:
    """First message, type of the first inner payload, and the inner payloads of all fragments of one message."""
    first = messages[0][0]
    sk = next(payload for payload in first.payloads() if payload[0] in (46, 53))
    return first, first.data[sk[1]], b"".join(opened.plaintext for _, opened in messages)


def intermediate_chunks(
    messages: list[Message], sets: list[tuple[IkeSuite, IkeKeys]], *, responses: bool
) -> Iterator[tuple[IkeKeys, bytes]]:
    """For each IKE_INTERMEDIATE message of one direction, the keys that opened it and its IntAuth octets."""
    by_id: dict[int, list[tuple[Message, OpenedBody, IkeKeys]]] = defaultdict(list)
    seen = set()
    for message in messages:
        if message.exchange != 43 or message.is_response is not responses or message.data in seen:
            continue
        seen.add(message.data)
        for suite, keys in sets:
            opened = open_with(message, suite, keys)
            if opened is not None:
                by_id[message.message_id].append((message, opened, keys))
                break
    for message_id in sorted(by_id):
        first, kind, inner = reassembled([(message, opened) for message, opened, _ in by_id[message_id]])
        sk_at = next(at for payload, at, _ in first.payloads() if payload in (46, 53))
        yield by_id[message_id][0][2], keymat.int_auth_chunk(first.data, sk_at, kind, inner)


def test_psk_auth_of_the_lab_is_right_with_intermediate_exchanges_and_ppk(shared: Path) -> None:
    right: Counter[str] = Counter()
    for folder, ike, _ in scenarios(shared, 2):
        messages = list(ike_messages(folder / "capture.pcap"))
        spis = bytes.fromhex(ike[0]["spi_i"]), bytes.fromhex(ike[0]["spi_r"])
        own = [entry for entry in ike if (entry["spi_i"], entry["spi_r"]) == (spis[0].hex(), spis[1].hex())]
        nonces = nonces_of(messages, *spis)
        config = folder / "initiator.swanctl.conf"
        is_psk = config.exists() and "auth = psk" in config.read_text() and "eap" not in config.read_text()
        if nonces is None or not is_psk or "fail" in folder.name:
            continue
        sets = [(suite_of(entry["alg"]), keys_of(entry)) for entry in own]
        suite, keys = sets[-1]
        if "ppk_update" in own[-1]:
            keys = keymat.mix_ppk(suite.prf, Secret.from_hex(own[-1]["ppk_update"]["PPK"]), keys)
        mine = [message for message in messages if message.spis == spis or message.spis == (spis[0], bytes(8))]
        chains = []
        for responses in (False, True):
            value = b""
            for used, chunk in intermediate_chunks(mine, sets, responses=responses):
                value = keymat.int_auth_step(suite.prf, used.sk_pr if responses else used.sk_pi, value, chunk)
            chains.append(value)
        for response in (False, True):
            auth = [m for m in mine if m.exchange == 35 and m.is_response is response]
            if not auth:
                continue
            opened = open_with(auth[0], *sets[-1])
            if opened is None or auth[0].data[16] == 53:
                continue
            sk_at = auth[0].payloads()[-1][1]
            inner = {kind: body for kind, _, body in chain(auth[0].data[sk_at], opened.plaintext)}
            real = [m for m in mine if m.exchange == 34 and m.is_response is response][-1]
            if 39 not in inner or inner[39][0] != 2:
                continue
            intermediate = keymat.int_auth(*chains, auth[0].message_id) if chains[0] else b""
            signed = keymat.signed_octets(
                suite.prf,
                real.data,
                nonces[0] if response else nonces[1],
                keys.sk_pr if response else keys.sk_pi,
                inner[36] if response else inner[35],
                intermediate=intermediate,
            )
            assert keymat.shared_key_auth(suite.prf, PSK, signed) == inner[39][4:], (folder.name, response)
            right["with IntAuth" if intermediate else "plain"] += 1
            right["with PPK"] += "ppk_update" in own[-1]
    print(dict(right))
    assert right["with IntAuth"] >= 8
    assert right["plain"] >= 60
    assert right["with PPK"] == 2


def without_fragments(messages: list[Message]) -> Iterator[Message]:
    """IKEv1 messages with those that came in fragments (payload 132) put together where their last piece came."""
    pieces: dict[bytes, dict[int, bytes]] = defaultdict(dict)
    for message in messages:
        if message.data[16] != 132:
            yield message
            continue
        body = message.data[32:]
        pieces[body[:2]][body[2]] = body[4:]
        if body[3] & 1:
            yield Message(b"".join(pieces[body[:2]][number] for number in sorted(pieces[body[:2]])))
            pieces[body[:2]].clear()


def uses_psk(folder: Path) -> bool:
    config = folder / "initiator.swanctl.conf"
    return config.exists() and PSK.reveal().decode() in config.read_text() and "auth = psk" in config.read_text()


class Ikev1Session:
    """One ISAKMP SA: opens its messages in order and keeps what the HASH payloads cover."""

    def __init__(self, messages: list[Message], entry: dict[str, Any]) -> None:
        self.entry = entry
        self.suite = suite_of(entry["alg"])
        self.key = Secret.from_hex(entry["enc_key"])
        self.block = self.suite.encryption.block_size
        spis = bytes.fromhex(entry["spi_i"]), bytes.fromhex(entry["spi_r"])
        own = [m for m in messages if m.spis[0] == spis[0] and m.spis[1] in (spis[1], bytes(8))]
        self.messages = list(without_fragments(own))
        self.clear: dict[tuple[int, bool], bytes] = {}
        for message in self.messages:
            if not message.data[19] & 1:
                for kind, _, body in message.payloads():
                    self.clear.setdefault((kind, message.spis[1] != bytes(8)), body)

    def opened(self) -> Iterator[tuple[Message, OpenedBody | None, list[tuple[int, int, bytes]]]]:
        last_phase_1 = Secret.from_hex(self.entry["iv"]).reveal()
        ivs: dict[int, bytes] = {}
        seen = set()
        for message in self.messages:
            if not message.data[19] & 1 or message.data in seen:
                continue
            seen.add(message.data)
            identity = message.message_id
            if identity == 0:
                iv = last_phase_1
            else:
                fresh = keymat_ikev1.phase_2_iv(self.suite.prf, last_phase_1, identity, self.block)
                iv = ivs.get(identity, fresh)
            opened = open_ike_v1(message.data, self.suite.encryption, self.key, iv)
            if not isinstance(opened, OpenedBody):
                yield message, None, []
                continue
            if identity == 0:
                last_phase_1 = opened.next_iv
            else:
                ivs[identity] = opened.next_iv
            yield message, opened, chain(message.data[16], opened.plaintext)


def test_ikev1_sessions_of_the_lab_open_and_their_hashes_and_keys_are_right(shared: Path) -> None:
    right: Counter[str] = Counter()
    for folder, ike, esp in scenarios(shared, 1):
        if "fail" in folder.name:
            continue
        messages = list(ike_messages(folder / "capture.pcap"))
        wanted = {key["enc_key"] + key["integ_key"] for key in esp if key.get("exchange") == "QUICK_MODE"}
        for entry in ike:
            session = Ikev1Session(messages, entry)
            suite, prf = session.suite, session.suite.prf
            g_xi, g_xr = session.clear.get((4, False)), session.clear.get((4, True))
            cky_i, cky_r = bytes.fromhex(entry["spi_i"]), bytes.fromhex(entry["spi_r"])
            ka = keymat_ikev1.encryption_key(prf, Secret.from_hex(entry["SKEYID_e"]), suite.encryption, suite.key_bits)
            assert ka == session.key
            right["Ka"] += 1
            aggressive = any(m.exchange == 4 for m in session.messages)
            if not aggressive:
                g_xi, g_xr, ni, nr = main_mode_values(session.messages)
                if uses_psk(folder):
                    skeyid = keymat_ikev1.skeyid_psk(prf, PSK, ni, nr)
                    assert skeyid == Secret.from_hex(entry["SKEYID"]), folder.name
                    right["SKEYID"] += 1
            if g_xi and g_xr:
                iv = keymat_ikev1.phase_1_iv(prf, g_xi, g_xr, session.block)
                assert iv == Secret.from_hex(entry["iv"]).reveal(), folder.name
                right["IV"] += 1
            quick: dict[int, list[tuple[bytes, list[tuple[int, int, bytes]]]]] = defaultdict(list)
            roles = iter(("i", "r"))
            for message, opened, payloads in session.opened():
                if opened is None:
                    right["not opened"] += 1
                    continue
                right["opened"] += 1
                if message.exchange == 32:
                    quick[message.message_id].append((opened.plaintext, payloads))
                body = {kind: octets for kind, _, octets in payloads}
                if message.exchange == 2 and 8 in body and 5 in body and uses_psk(folder):
                    compute = keymat_ikev1.hash_i if next(roles) == "i" else keymat_ikev1.hash_r
                    made = compute(
                        prf, Secret.from_hex(entry["SKEYID"]), g_xi=g_xi, g_xr=g_xr, cky_i=cky_i, cky_r=cky_r,
                        sa_i=sa_of_initiator(session.messages), **{
                            "id_i" if compute is keymat_ikev1.hash_i else "id_r": body[5]
                        },
                    )  # fmt: skip
                    assert made == body[8], folder.name
                    right["HASH_I and HASH_R"] += 1
            for message_id, three in quick.items():
                right.update(check_quick_mode(three, message_id, entry, prf, wanted, esp))
    print(dict(right))
    assert right["opened"] >= 100
    assert not right["not opened"]
    assert right["SKEYID"] >= 10
    assert right["IV"] >= 14
    assert right["HASH_I and HASH_R"] >= 20
    assert right["HASH(1)"] == right["HASH(2)"] == right["HASH(3)"] >= 14
    assert right["KEYMAT"] >= 20


def main_mode_values(messages: list[Message]) -> tuple[bytes, bytes, bytes, bytes]:
    """g^xi, g^xr, Ni, Nr of the third and the fourth message."""
    found = []
    for message in messages:
        body = {kind: octets for kind, _, octets in message.payloads()} if not message.data[19] & 1 else {}
        if 4 in body and (body[4], body[10]) not in found:
            found.append((body[4], body[10]))
    (g_xi, ni), (g_xr, nr) = found[:2]
    return g_xi, g_xr, ni, nr


def sa_of_initiator(messages: list[Message]) -> bytes:
    return next(body for kind, _, body in messages[0].payloads() if kind == 1)


def check_quick_mode(
    three: list[tuple[bytes, list[tuple[int, int, bytes]]]],
    message_id: int,
    entry: dict[str, Any],
    prf: Any,
    wanted: set[str],
    esp: list[dict[str, Any]],
) -> Counter[str]:
    right: Counter[str] = Counter()
    skeyid_a, skeyid_d = Secret.from_hex(entry["SKEYID_a"]), Secret.from_hex(entry["SKEYID_d"])
    if len(three) != 3:
        return right
    (first, in_first), (second, in_second), (_, in_third) = three
    hashes = [payloads[0][2] for payloads in (in_first, in_second, in_third)]
    ni = next(body for kind, _, body in in_first if kind == 10)
    nr = next(body for kind, _, body in in_second if kind == 10)
    rest = [octets[4 + len(value) :] for octets, value in zip((first, second), hashes[:2], strict=True)]
    right["HASH(1)"] += keymat_ikev1.hash_1(prf, skeyid_a, message_id, rest[0]) == hashes[0]
    right["HASH(2)"] += keymat_ikev1.hash_2(prf, skeyid_a, message_id, ni, rest[1]) == hashes[1]
    right["HASH(3)"] += keymat_ikev1.hash_3(prf, skeyid_a, message_id, ni, nr) == hashes[2]
    if any(kind == 4 for kind, _, _ in in_first):
        return right  # the lab did not log the shared secret of quick mode
    spis = []
    for payloads in (in_first, in_second):
        sa = next(body for kind, _, body in payloads if kind == 1)
        spis.append(sa[16:20])  # DOI, situation, proposal header of 8 octets
    sample = next(key for key in esp if key.get("exchange") == "QUICK_MODE" and key["spi"] == spis[0].hex())
    suite = ChildSuite(
        encryption=encryption_by_name(sample["enc_alg"])[0],
        key_bits=sample.get("keysize") or None,
        integrity=integrity_by_name(sample["integ_alg"]),
    )
    keys = keymat_ikev1.quick_mode_keys(
        prf, skeyid_d, suite, protocol=3, spi_to_initiator=spis[0], spi_to_responder=spis[1], ni=ni, nr=nr
    )
    for encryption, integrity in ((keys.encryption_i, keys.integrity_i), (keys.encryption_r, keys.integrity_r)):
        right["KEYMAT"] += (encryption.reveal() + integrity.reveal()).hex() in wanted
    return right


def log_dumps(path: Path) -> list[tuple[str, bytes]]:
    """The hexdumps of a charon log in order: (name, octets)."""
    found: list[tuple[str, bytearray, int]] = []
    for line in path.read_text(errors="replace").splitlines():
        head = re.search(r"> (\S.*) => (\d+) bytes @", line)
        body = re.search(r"> +\d+: ((?:[0-9A-F]{2} )+)", line)
        if head:
            found.append((head[1], bytearray(), int(head[2])))
        elif body and found and len(found[-1][1]) < found[-1][2]:
            found[-1][1].extend(bytes.fromhex(body[1]))
    return [(name, bytes(octets)) for name, octets, size in found if len(octets) == size]


def test_ike_sa_rekeyed_with_two_key_exchanges_has_the_logged_skeyseed(shared: Path) -> None:
    dumps = log_dumps(shared / "captures/lab/ss6-mlkem-ike-rekey/initiator.log")
    row, sk_d, secrets, nonces, rekeyed = prf_by_name("PRF_HMAC_SHA2_256"), Secret(b""), [b""], b"", 0
    for name, octets in dumps:
        if name == "key exchange secret":
            secrets = [octets]
        elif name == "additional key exchange secret" and octets:
            secrets.append(octets)
        elif name == "nonces":
            nonces = octets
        elif name == "SKEYSEED" and len(secrets) == 2:
            assert keymat.skeyseed_rekey(row, sk_d, secrets, nonces[:32], nonces[32:]).reveal() == octets
            rekeyed += 1
        elif name == "Sk_d secret":
            sk_d = Secret(octets)
    assert rekeyed == 2


def test_child_sa_rekeyed_with_two_key_exchanges_has_the_logged_keys(shared: Path) -> None:
    dumps = log_dumps(shared / "captures/lab/ss6-mlkem-child-rekey/initiator.log")
    sk_d = [Secret(octets) for name, octets in dumps if name == "Sk_d secret"][-1]
    last = max(at for at, (name, _) in enumerate(dumps) if name == "additional key exchange secret")
    (_, first), (_, more), (_, seed) = dumps[last - 1 : last + 2]
    logged = dict(dumps[last + 2 :])
    nonces = seed[len(first) : -len(more)]
    suite = ChildSuite(
        encryption=encryption_by_name("AES_CBC")[0], key_bits=256, integrity=integrity_by_name("HMAC_SHA2_256_128")
    )
    row = prf_by_name("PRF_HMAC_SHA2_256")
    keys = keymat.derive_child_keymat(row, sk_d, suite, [first, more], ni=nonces[:32], nr=nonces[32:])
    assert keys.encryption_i.reveal() == logged["encryption initiator key"]
    assert keys.encryption_r.reveal() == logged["encryption responder key"]
    assert keys.integrity_i.reveal() == logged["integrity initiator key"]
    assert keys.integrity_r.reveal() == logged["integrity responder key"]
