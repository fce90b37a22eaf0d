"""Rules on conversations that are staged datagram by datagram: variants that no capture of test_rules_table.py shows."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from conftest import ROOT
from lab import analysed, capture
from staged import SECOND, START, Stage, ike_sa, key_exchange, notify

from ipsecscope import load
from ipsecscope.capture.clear import ClearTraffic
from ipsecscope.capture.datagrams import Encapsulation
from ipsecscope.diagnose.engine import Diagnosis, diagnose
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.ikev2.extensions.fortinet import NETWORK_OVERLAY_ID
from ipsecscope.dissect.registry.ikev2 import (
    AuthenticationMethod,
    CertificateEncoding,
    ExchangeType,
    IdType,
    NotifyType,
)
from ipsecscope.dissect.registry.isakmp import ExchangeType as OldExchange
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.lateness import Lateness
from ipsecscope.timeline.sas import ChildSa, Suite
from ipsecscope.timeline.traffic import TrafficResult

INIT, AUTH, CREATE, INFO = (
    ExchangeType.IKE_SA_INIT,
    ExchangeType.IKE_AUTH,
    ExchangeType.CREATE_CHILD_SA,
    ExchangeType.INFORMATIONAL,
)
PROOF = ikev2.Authentication(method=AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE, data=bytes(32))

Positive = Callable[[], Diagnosis]
STAGED: dict[str, Positive] = {}


def staged(code: str) -> Callable[[Callable[[], Analysis | Diagnosis]], Callable[[], Analysis | Diagnosis]]:
    def register(make: Callable[[], Analysis | Diagnosis]) -> Callable[[], Analysis | Diagnosis]:
        def play() -> Diagnosis:
            made = make()
            return made if isinstance(made, Diagnosis) else diagnose(made)

        STAGED[code] = play
        return make

    return register


# -- what is staged -------------------------------------------------------------------------------------------------


@staged("CAP-002")
def one_direction() -> Analysis:
    stage = Stage().init(answered=False)
    return stage.v2(0.1, AUTH, 1, inner=230, port=4500).analysis(until=5)


@staged("CAP-004")
def answers_without_requests() -> Analysis:
    stage = Stage().init().auth()
    for mid in (2, 3):
        stage.v2(mid, INFO, mid, inner=0, back=True, port=4500)
    return stage.analysis()


@staged("CAP-005")
def mirrored() -> Analysis:
    stage = Stage().init().auth()
    stage.counts.duplicates = 4
    return stage.analysis()


@staged("CAP-006")
def joined_by_the_host() -> Analysis:
    return Stage().init().auth().flow({9500: 1, 136: 4}, at=1, stop=2).analysis()


@staged("CAP-007")
def filtered_to_port_500() -> Analysis:
    stage = Stage()
    return stage.init(ask=stage.behind_nat()).analysis(until=120)


@staged("PH1-003")
def version_refused() -> Analysis:
    stage = Stage().init(answered=False)
    return stage.v2(0.1, INIT, 0, notify(NotifyType.INVALID_MAJOR_VERSION), back=True).analysis()


@staged("PH1-005")
def refused_here_accepted_there() -> Analysis:
    refused = Stage().init(answered=False).v2(0.1, INIT, 0, notify(NotifyType.NO_PROPOSAL_CHOSEN), back=True)
    accepted = Stage("192.0.2.9", spi_i=b"another1", spi_r=b"another2").init(1, salt=30).auth(1.1)
    return refused.analysis(accepted)


@staged("PH1-010")
def cookies_without_end() -> Analysis:
    stage = Stage()
    for number in range(4):
        cookie = (notify(NotifyType.COOKIE, bytes([number]) * 8),) if number else ()
        body = (*cookie, ike_sa(), key_exchange(), ikev2.Nonce(data=bytes(32)))
        stage.v2(number, INIT, 0, *body, first=True)
        asked = notify(NotifyType.COOKIE, bytes([number + 1]) * 8)
        stage.v2(number + 0.1, INIT, 0, asked, back=True, spi_r=bytes(8))
    return stage.analysis()


@staged("PH1-013")
def key_exchange_unanswered() -> Analysis:
    stage = Stage().main_mode(upto=3)
    third = stage.datagrams[-1].payload
    return stage.send(1, third).send(3, third).analysis(until=20)


@staged("PH1-014")
def intermediate_unanswered() -> Analysis:
    stage = Stage().init().v2(0.1, ExchangeType.IKE_INTERMEDIATE, 1, inner=1192)
    request = stage.datagrams[-1].payload
    return stage.send(1, request).send(3, request).analysis(until=20)


def initiator_hangs_up_v1() -> Analysis:
    return Stage().main_mode(auth=3).v1(0.06, OldExchange.INFORMATIONAL, mid=77, octets=64).analysis(until=5)


@staged("AUTH-007")
def other_name_than_the_certificate() -> Analysis:
    real = analysed(capture("fail-expired-cert"), keyed=True)
    records = [record for sa in real.ike_sas for exchange in sa.exchanges for record in exchange.request]
    certificate = next(p.body for r in records for p in r.payloads if isinstance(p.body, ikev2.Certificate))
    named = ikev2.IdentificationInitiator(id_type=IdType.ID_FQDN, data=b"someone.else")
    stage = Stage().init()
    stage.v2(0.1, AUTH, 1, inner=1300, opened=(named, certificate, PROOF), port=4500)
    return stage.v2(0.2, AUTH, 1, inner=8, back=True, port=4500).analysis(until=5)


@staged("AUTH-008")
def no_common_authority() -> Analysis:
    def asked(octet: bytes) -> ikev2.CertificateRequest:
        return ikev2.CertificateRequest(encoding=CertificateEncoding.X_509_CERTIFICATE_SIGNATURE, data=octet * 20)

    return Stage().init(ask=(asked(b"a"),), tell=(asked(b"b"),)).auth(request=1300, answer=8).analysis(until=5)


@staged("AUTH-011")
def eap_without_answer() -> Analysis:
    stage = Stage().init().auth(answer=900)
    stage.v2(0.2, AUTH, 2, inner=30, port=4500)
    request = stage.datagrams[-1].payload
    return stage.send(1, request, port=4500).send(3, request, port=4500).analysis(until=20)


@staged("AUTH-012")
def xauth_refused() -> Analysis:
    stage = Stage().main_mode()
    stage.v1(0.2, OldExchange.TRANSACTION, mid=5, octets=80, back=True).v1(
        0.3, OldExchange.TRANSACTION, mid=5, octets=96
    )
    stage.v1(0.4, OldExchange.TRANSACTION, mid=6, octets=80, back=True).v1(
        0.5, OldExchange.TRANSACTION, mid=6, octets=64, salt=3
    )
    return stage.v1(0.6, OldExchange.INFORMATIONAL, mid=7, octets=64, back=True).analysis(until=9)


@staged("AUTH-013")
def no_common_hash() -> Analysis:
    kind = NotifyType.SIGNATURE_HASH_ALGORITHMS
    return Stage().init(ask=(notify(kind, b"\x00\x01"),), tell=(notify(kind, b"\x00\x02"),)).auth().analysis()


@staged("PH2-005")
def quick_mode_ignored() -> Analysis:
    stage = Stage().main_mode().v1(0.1, OldExchange.QUICK_MODE, mid=9, octets=160)
    quick = stage.datagrams[-1].payload
    stage.send(1, quick).send(3, quick).v1(9, OldExchange.INFORMATIONAL, mid=4, octets=80, back=True)
    return stage.analysis(until=20)


@staged("PH2-006")
def quick_mode_unconfirmed() -> Analysis:
    stage = Stage().main_mode().v1(0.1, OldExchange.QUICK_MODE, mid=9, octets=160)
    stage.v1(0.2, OldExchange.QUICK_MODE, mid=9, octets=160, back=True, salt=4)
    second = stage.datagrams[-1].payload
    return stage.send(1, second, back=True).send(3, second, back=True).analysis(until=20)


@staged("PH2-009")
def tunnel_instead_of_transport() -> Analysis:
    child = (PROOF, ike_sa())
    stage = Stage().init()
    stage.v2(0.1, AUTH, 1, inner=230, opened=(notify(NotifyType.USE_TRANSPORT_MODE), *child), port=4500)
    stage.v2(0.2, AUTH, 1, inner=180, opened=child, back=True, port=4500)
    return stage.flow({136: 3}, at=1, stop=2).flow({136: 3}, at=1, stop=2, back=True).analysis()


@staged("PH2-011")
def no_further_tunnel() -> Analysis:
    stage = Stage().init().auth().v2(5, CREATE, 2, inner=200, opened=(ike_sa(),), port=4500)
    full = notify(NotifyType.NO_ADDITIONAL_SAS)
    stage.v2(5.1, CREATE, 2, inner=8, opened=(full,), back=True, port=4500)
    return stage.flow({136: 3}, at=1, stop=2).flow({136: 3}, at=1, stop=2, back=True).analysis()


@staged("PH2-013")
def refused_again_and_again() -> Analysis:
    stage = Stage().init().auth()
    for mid in range(2, 8):
        stage.v2(mid, CREATE, mid, inner=140, port=4500)
        stage.v2(mid + 0.1, CREATE, mid, inner=8, back=True, port=4500)
    return stage.analysis()


@staged("NAT-009")
def plain_esp_behind_nat() -> Analysis:
    stage = Stage()
    stage.init(ask=stage.behind_nat()).auth()
    stage.flow({136: 9}, at=1, stop=5).flow({136: 9}, at=1, stop=5, back=True, encapsulation="ip")
    return stage.analysis()


@staged("NAT-011")
def marker_missing() -> Analysis:
    stage = Stage().init()
    return stage.v2(0.1, AUTH, 1, inner=230, port=4500, marker=False).analysis()


@staged("NET-002")
def router_filters() -> Analysis:
    return Stage().init(answered=False).icmp(0.1, 3, 13, "203.0.113.1").analysis(until=5)


@staged("NET-004")
def fragmentation_on_one_side() -> Analysis:
    return Stage().init(ask=(notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED),)).auth().analysis()


@staged("NET-006")
def plain_esp_unanswered() -> Analysis:
    return Stage().init().auth().flow({136: 9, 200: 3}, at=1, stop=9, encapsulation="ip").analysis(until=12)


@staged("NET-007")
def packet_too_big() -> Analysis:
    stage = Stage().init().auth()
    for at in (1, 2, 3):
        stage.icmp(at, 3, 4, "203.0.113.1", mtu=1400, esp=True)
    return stage.analysis()


@staged("NET-011")
def overtaking() -> Analysis:
    late = Lateness(most=70, beyond=(9, 3, 0, 0))
    return Stage().init().auth().flow({136: 90}, at=1, stop=9, reordered=9, lateness=late).analysis()


@staged("NET-014")
def replies_in_the_clear() -> Diagnosis:
    analysis = Stage().init().auth().flow({136: 9}, at=1, stop=5).analysis(until=9)
    return diagnose(
        analysis, [ClearTraffic("10.2.0.1", "10.1.0.1", 1, 9, START + 2 * SECOND, START + 5 * SECOND, 7, 31)]
    )


@staged("NET-015")
def in_tcp() -> Analysis:
    stage = Stage().init()
    return stage.v2(0.1, AUTH, 1, inner=230, encapsulation=Encapsulation.TCP).analysis()


@staged("ESP-004")
def unknown_spi() -> Analysis:
    stage = Stage().init().auth()
    return stage.v2(
        9, INFO, 0, notify(NotifyType.INVALID_SPI, b"\x01\x02\x03\x04"), back=True, response=False
    ).analysis()


@staged("ESP-005")
def other_truncation() -> Analysis:
    stage = Stage().init().auth().flow({136: 9}, at=1, stop=5).flow({136: 9}, at=1, stop=5, back=True)
    stage.traffic = {"flow-1": TrafficResult(opened=9, refused=0, reason=None, protocols={}, truncated_icv=True)}
    return stage.analysis()


@staged("ESP-006")
def unequal_icv() -> Analysis:
    stage = Stage().init().auth()
    stage.flow({8 + 16 * k: 2 for k in range(5, 14)}, at=1, stop=5)
    return stage.flow({4 + 16 * k: 2 for k in range(5, 14)}, at=1, stop=5, back=True).analysis()


@staged("ESP-009")
def many_lengths() -> Analysis:
    lengths = {8 + 16 * k: 2 for k in range(5, 14)}
    return Stage().init().auth().flow(lengths, at=1, stop=5).flow(lengths, at=1, stop=5, back=True).analysis()


@staged("ESP-010")
def small_packets() -> Analysis:
    lengths = {36: 4, 60: 2, 64: 2, 92: 2}
    return Stage().init().auth().flow(lengths, at=1, stop=5).flow(lengths, at=1, stop=5, back=True).analysis()


@staged("ESP-012")
def one_length() -> Analysis:
    return Stage().init().auth().flow({1400: 2000}, at=1, stop=9).flow({1400: 2000}, at=1, stop=9, back=True).analysis()


@staged("LIFE-002")
def renewal_refused() -> Analysis:
    stage = Stage().init().auth().v2(60, CREATE, 2, inner=200, opened=(ike_sa(),), port=4500)
    busy = notify(NotifyType.TS_UNACCEPTABLE)
    stage.v2(60.1, CREATE, 2, inner=8, opened=(busy,), back=True, port=4500)
    return stage.flow({136: 3}, at=1, stop=2).flow({136: 3}, at=1, stop=2, back=True).analysis()


@staged("LIFE-003")
def crossing_rekeys() -> Analysis:
    stage = Stage().init().auth()
    stage.v2(5.0, CREATE, 2, inner=170, port=4500)
    stage.v2(5.01, CREATE, 0, inner=170, back=True, response=False, port=4500, salt=1)
    stage.v2(5.02, CREATE, 2, inner=170, back=True, port=4500, salt=2)
    return stage.v2(5.03, CREATE, 0, inner=170, response=True, port=4500, salt=3).analysis()


@staged("LIFE-006")
def peer_gone() -> Analysis:
    stage = Stage().init().auth().v2(9, INFO, 2, inner=0, port=4500)
    probe = stage.datagrams[-1].payload
    stage.send(10, probe, port=4500).send(12, probe, port=4500)
    return stage.flow({136: 4}, at=1, stop=3).flow({136: 4}, at=1, stop=3, back=True).analysis(until=30)


@staged("LIFE-007")
def ike_silent_esp_alive() -> Analysis:
    stage = Stage().init().auth().v2(5, INFO, 2, inner=0, port=4500)
    probe = stage.datagrams[-1].payload
    stage.send(6, probe, port=4500).send(8, probe, port=4500)
    return stage.flow({136: 40}, at=1, stop=20).flow({136: 40}, at=1, stop=20, back=True).analysis()


@staged("LIFE-011")
def counter_jumps() -> Analysis:
    gap = ((11, 16394),)
    return Stage().init().auth().flow({136: 20}, at=1, stop=5, lost=16384, gaps=gap, last_seq=16404).analysis()


@staged("LIFE-013")
def one_number_two_requests() -> Analysis:
    stage = Stage().init().auth().v2(5, INFO, 2, inner=0, port=4500)
    return stage.v2(6, INFO, 2, inner=60, port=4500, salt=5).analysis()


@staged("SEC-011")
def much_under_one_key() -> Analysis:
    stage = Stage().init().auth().flow({1400: 9}, at=1, stop=5, octets=40 << 30)
    analysis = stage.analysis()
    child = ChildSa("child-1", "ESP", None, 0x1000, suite=Suite(encr="ENCR_3DES"), flows=("flow-1",))
    sa = msgspec.structs.replace(analysis.ike_sas[0], child_sas=(child,))
    return msgspec.structs.replace(analysis, ike_sas=(sa,))


@staged("SEC-013")
def same_nonce_twice() -> Analysis:
    again = Stage(spi_i=b"another1", spi_r=b"another2").init(9, salt=0).auth(9.1)
    return Stage().init(salt=0).auth().analysis(again)


@staged("INTEROP-004")
def network_id_of_one_side() -> Analysis:
    return Stage().init(ask=(notify(int(NETWORK_OVERLAY_ID), b"\x02"),)).analysis()


@staged("INTEROP-010")
def answered_from_elsewhere() -> Analysis:
    stage = Stage().init(answered=False)
    answer = (ike_sa(), key_exchange(3), ikev2.Nonce(data=b"\x44" * 32))
    return stage.v2(0.1, INIT, 0, *answer, back=True, src="198.51.100.2").analysis(until=9)


@staged("HOST-002")
def many_targets() -> Analysis:
    stages = [
        Stage(responder=f"198.51.100.{number}", spi_i=b"sweep%03d" % number).init(number / 10, answered=False)
        for number in range(1, 13)
    ]
    return stages[0].analysis(*stages[1:])


@staged("HOST-004")
def amplifier() -> Analysis:
    stage = Stage().main_mode(upto=2)
    answer = stage.datagrams[-1].payload
    return stage.send(2, answer, back=True).send(6, answer, back=True).analysis()


@staged("HOST-005")
def flood() -> Analysis:
    stages = [
        Stage(f"10.9.{number // 200}.{number % 200 + 1}", spi_i=b"flood%03d" % number).v2(
            number / 1000, INIT, 0, ike_sa(), first=True
        )
        for number in range(600)
    ]
    return stages[0].analysis(*stages[1:])


@staged("HOST-006")
def guessing() -> Analysis:
    stages = [
        Stage(spi_i=b"guess%03d" % number, spi_r=b"agues%03d" % number)
        .init(number * 5, salt=number)
        .auth(number * 5 + 1, answer=8)
        for number in range(12)
    ]
    return stages[0].analysis(*stages[1:])


@staged("HOST-007")
def contradicting_answers() -> Analysis:
    stage = Stage().init(answered=False)
    stage.v2(0.01, INIT, 0, notify(NotifyType.NO_PROPOSAL_CHOSEN), back=True, ttl=51, spi_r=bytes(8))
    answer = (ike_sa(), key_exchange(3), ikev2.Nonce(data=b"\x44" * 32))
    return stage.v2(0.02, INIT, 0, *answer, back=True).analysis()


@staged("HOST-010")
def no_ike_header() -> Analysis:
    return Stage().init().auth().send(3, b"\x01\x02\x03").analysis()


# -- the test -------------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("code", sorted(STAGED))
def test_rule_fires_on_what_is_staged_for_it(code: str) -> None:
    diagnosis = STAGED[code]()
    found = [each for each in diagnosis.findings if each.code == code]
    assert diagnosis.faults == ()
    assert found
    for each in found:
        assert each.evidence
        assert "None" not in each.summary


def test_ikev1_initiator_that_hangs_up_is_named() -> None:
    headline = diagnose(initiator_hangs_up_v1()).headline
    assert headline is not None
    assert headline.code == "AUTH-005"


@pytest.mark.parametrize("keys", [(), ("ikev1-rekey.keys",)], ids=["without keys", "with keys"])
def test_ikev1_rekeying_is_no_refusal_no_silence_and_no_restart(keys: tuple[str, ...]) -> None:
    # An IKEv1 SA that takes over has no quick mode of its own, and nobody answers a Delete.
    captures = ROOT / "captures"
    found = diagnose(load(captures / "ikev1-rekey.pcapng", keys=[captures / each for each in keys]))
    assert found.headline is None
    assert not {"AUTH-005", "LIFE-006", "LIFE-007", "LIFE-010"} & {each.code for each in found.findings}
