"""The table of sessions with charon: what charon is told, what our peer is told, and what must happen.

``charon`` and ``ours`` are lines of swanctl.conf and of our TOML with the section in front of the key; they are laid
over the lines that all sessions share. ``{n}`` is the number of the session. ``script`` is what must happen, a step a
line: ``ping`` (both ways through the tunnel), ``swanctl …``, ``charon logs REGEX``, ``we tell REGEX`` (an event), and
``cut``: from here on nothing passes between the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

OURS, CHARON = "we", "charon"  # who begins
BOTH = (OURS, CHARON)
DIRECT, WE_BEHIND_NAT, CHARON_BEHIND_NAT = "direct", "we are behind a NAT", "charon is behind a NAT"
ADDRESSES = {  # ours, and charon's
    DIRECT: ("192.0.2.{n}", "192.0.2.1"),
    WE_BEHIND_NAT: ("10.10.0.{n}", "203.0.113.2"),
    CHARON_BEHIND_NAT: ("198.51.100.{n}", "10.20.0.2"),
}
SEEN_BY_CHARON = {WE_BEHIND_NAT: "203.0.113.1"}  # our address, where a NAT changes it
SEEN_BY_US = {CHARON_BEHIND_NAT: "198.51.100.1"}

CHARON_BASE = """
    version = 2
    send_cert = ifasked
    rekey_time = 0
    dpd_delay = 0
    local.auth = psk
    local.id = theirs.example
    remote.auth = psk
    remote.id = ours.example
    child.local_ts = 10.1.0.1/32
    child.remote_ts = 10.2.{n}.0/24
    child.rekey_time = 0
"""
OURS_BASE = """
    version = 2
    local.id = "ours.example"
    local.networks = ["10.2.{n}.0/24"]
    remote.id = "theirs.example"
    remote.networks = ["10.1.0.1/32"]
    secrets.psk = "a test key that is no secret"
    patience.retransmit_after_s = 2.0
    patience.retransmissions = 3
"""

# -- algorithms ----------------------------------------------------------------------------------------------------

GCM = (
    """
    proposals = aes256gcm16-prfsha256-x25519
    child.esp_proposals = aes256gcm16
    """,
    """
    ike.proposals = ["ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519"]
    child.esp = ["ENCR_AES_GCM_16-256"]
    """,
)
CBC = (
    """
    proposals = aes128-sha256-modp2048
    child.esp_proposals = aes128-sha256
    """,
    """
    ike.proposals = ["ENCR_AES_CBC-128 AUTH_HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 MODP_2048"]
    child.esp = ["ENCR_AES_CBC-128 AUTH_HMAC_SHA2_256_128"]
    """,
)
CHACHA = (
    """
    proposals = chacha20poly1305-prfsha512-ecp256
    child.esp_proposals = chacha20poly1305
    """,
    """
    ike.proposals = ["ENCR_CHACHA20_POLY1305 PRF_HMAC_SHA2_512 ECP_256"]
    child.esp = ["ENCR_CHACHA20_POLY1305"]
    """,
)
PFS = (
    """
    proposals = aes256gcm16-prfsha384-ecp384
    child.esp_proposals = aes256gcm16-ecp384
    """,
    """
    ike.proposals = ["ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_384 ECP_384"]
    child.esp = ["ENCR_AES_GCM_16-256 ECP_384"]
    """,
)
V1 = (
    """
    version = 1
    proposals = aes256-sha256-modp2048
    child.esp_proposals = aes256-sha256
    """,
    """
    version = 1
    ike.proposals = ["AES_CBC-256 SHA2_256 MODP_2048"]
    child.esp = ["AES_CBC-256 HMAC_SHA2_256_128"]
    """,
)


class Case(NamedTuple):
    """One session."""

    title: str
    begins: str  # OURS or CHARON
    charon: str
    ours: str
    script: str
    asks: str = ""  # further options of our command
    path: str = DIRECT
    our_host: str = "10.2.{n}.1"
    their_host: str = "10.1.0.1"
    finds: str = ""  # the codes of which our analyser's headline must have one; none: there must be no headline
    pings: int = 60  # of ours, one a second: they go on through every rekeying
    half_open: int = 0  # IKE SAs that are begun and left behind from our address before

    @property
    def succeeds(self) -> bool:
        """Whether there must be a tunnel, at least for a while."""
        return "ping" in self.script

    @property
    def outcome(self) -> str:
        said = "established, pings answered" if self.succeeds else "refused"
        return f"{said}, diagnosed as {self.finds.replace(' ', ' or ')}" if self.finds else said

    @property
    def name(self) -> str:
        return f"{self.title}, {self.begins} begin{'s' if self.begins == CHARON else ''}"


class Told(NamedTuple):
    """What one side is told for a purpose, by who begins: a gateway is told other things than its client."""

    charon: str = ""
    ours: str = ""


NOTHING = Told()


def plus(told: Told, charon: str = "", ours: str = "") -> Told:
    """The same with more lines, which win."""
    return Told(f"{told.charon}\n{charon}", f"{told.ours}\n{ours}")


def signed(kind: str, method: str, *, theirs: str = "pubkey", accepted: str = "") -> Told:
    """Certificates on both sides; charon uses RFC 7427 whenever the other side can."""
    return Told(
        f"""
        local.auth = {theirs}
        local.certs = theirs-{kind}.pem
        remote.auth = pubkey
        """,
        f"""
        local.auth = "{method}"
        local.certificates = ["ours-{kind}.pem"]
        local.private_key = "ours-{kind}.key"
        remote.auth = ["signature", "{accepted or method}"]
        remote.authorities = ["authority.pem"]
        """,
    )


def sessions(
    title: str,
    suite: tuple[str, str],
    told: Told | dict[str, Told] = NOTHING,
    script: str | dict[str, str] = "ping",
    **more: object,
) -> Iterator[Case]:
    """A session for each side that may begin."""
    for begins in told if isinstance(told, dict) else BOTH:
        each = told[begins] if isinstance(told, dict) else told
        steps = script[begins] if isinstance(script, dict) else script
        yield Case(title, begins, f"{suite[0]}\n{each.charon}", f"{suite[1]}\n{each.ours}", steps, **more)  # type: ignore[arg-type]
