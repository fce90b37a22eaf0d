"""The sessions: what each is told beyond the shared lines, and what must happen."""

from __future__ import annotations

from interop_cases import (
    CBC,
    CHACHA,
    CHARON,
    CHARON_BEHIND_NAT,
    GCM,
    OURS,
    PFS,
    V1,
    WE_BEHIND_NAT,
    Told,
    plus,
    sessions,
    signed,
)

REKEYED_BY_CHARON = """
    ping
    swanctl --rekey --child {name}
    we tell child_sa:rekeyed
    ping
    swanctl --rekey --ike {name}
    we tell ike_sa:rekeyed
    ping
"""
REKEYED_BY_US = """
    ping
    we tell child_sa:rekeyed
    ping
    we tell ike_sa:rekeyed
    ping
"""
DELETED_BY_CHARON = """
    ping
    swanctl --terminate --child {name}
    we tell child_sa:deleted
    swanctl --terminate --ike {name}
    we tell ike_sa:closed
"""

REAL_NAT = Told("", "ike.force_encapsulation = false")
NAT_SEEN = """
    ping
    charon logs remote host is behind NAT
"""
IMPATIENT = "patience.retransmit_after_s = 0.5\npatience.retransmissions = 2\n"
DIES = """
    ping
    cut
    we tell ike_sa:closed
    charon logs (giving up after|DPD check timed out)
"""

IKEV2_SUCCEEDS = (
    *sessions("IKEv2 PSK, AES-GCM, X25519", GCM),
    *sessions("IKEv2 PSK, AES-CBC, MODP-2048", CBC),
    *sessions("IKEv2 PSK, ChaCha20-Poly1305, P-256", CHACHA),
    *sessions("IKEv2 RSA, PKCS #1 (RFC 7296)", GCM, signed("rsa", "rsa")),
    *sessions("IKEv2 RSA, PKCS #1 (RFC 7427)", GCM, signed("rsa", "signature")),
    *sessions("IKEv2 RSA, PSS", GCM, signed("rsa", "signature-pss", theirs="rsa/pss")),
    *sessions("IKEv2 ECDSA P-256 (RFC 4754)", GCM, signed("ecdsa-p256", "ecdsa")),
    *sessions("IKEv2 ECDSA P-384 (RFC 7427)", GCM, signed("ecdsa-p384", "signature")),
    *sessions("IKEv2 ECDSA P-521 (RFC 7427)", GCM, signed("ecdsa-p521", "signature")),
    *sessions("IKEv2 Ed25519", GCM, signed("ed25519", "signature")),
    *(
        case
        for method in ("mschapv2", "md5")
        for case in sessions(
            f"IKEv2 EAP-{method.upper()}",
            GCM,
            {
                OURS: Told(
                    f"""
                    local.auth = pubkey
                    local.certs = theirs-rsa.pem
                    remote.auth = eap-{method}
                    remote.eap_id = %any
                    """,
                    f"""
                    local.auth = "eap"
                    eap.methods = ["{method}"]
                    eap.user = "alice"
                    eap.password = "a test password"
                    remote.auth = ["signature"]
                    remote.authorities = ["authority.pem"]
                    """,
                ),
                CHARON: Told(
                    f"""
                    local.auth = eap-{method}
                    local.eap_id = alice
                    remote.auth = pubkey
                    """,
                    f"""
                    local.auth = "signature"
                    local.certificates = ["ours-rsa.pem"]
                    local.private_key = "ours-rsa.key"
                    remote.auth = ["eap"]
                    eap.methods = ["{method}"]
                    secrets.users = {{ alice = "a test password" }}
                    """,
                ),
            },
        )
    ),
    *sessions(
        "IKEv2 EAP-GTC",
        GCM,
        {
            CHARON: Told(
                """
                local.auth = eap-gtc
                local.eap_id = alice
                remote.auth = pubkey
                """,
                """
                local.auth = "signature"
                local.certificates = ["ours-ecdsa-p256.pem"]
                local.private_key = "ours-ecdsa-p256.key"
                remote.auth = ["eap"]
                eap.methods = ["gtc"]
                secrets.users = { alice = "a test password" }
                """,
            )
        },
    ),
    *(
        case
        for kind in ("rsa", "ecdsa-p256")
        for case in sessions(
            f"IKEv2 EAP-TLS, {kind.upper()}",
            GCM,
            {
                OURS: Told(
                    f"""
                    local.auth = pubkey
                    local.certs = theirs-{kind}.pem
                    remote.auth = eap-tls
                    """,
                    f"""
                    local.auth = "eap"
                    local.certificates = ["ours-{kind}.pem"]
                    local.private_key = "ours-{kind}.key"
                    eap.methods = ["tls"]
                    eap.user = "ours.example"
                    remote.auth = ["signature"]
                    remote.authorities = ["authority.pem"]
                    """,
                ),
                CHARON: Told(
                    f"""
                    local.auth = eap-tls
                    local.certs = theirs-{kind}.pem
                    remote.auth = pubkey
                    """,
                    f"""
                    local.auth = "signature"
                    local.certificates = ["ours-{kind}.pem"]
                    local.private_key = "ours-{kind}.key"
                    remote.auth = ["eap"]
                    remote.authorities = ["authority.pem"]
                    eap.methods = ["tls"]
                    """,
                ),
            },
        )
    ),
    *sessions(
        "IKEv2 virtual IP",
        GCM,
        {
            OURS: Told(
                "pools = pool-{n}\nchild.remote_ts = dynamic", "local.request_address = true\nlocal.networks = []"
            )
        },
        our_host="10.3.{n}.1",
    ),
    *sessions(
        "IKEv2 virtual IP",
        GCM,
        {
            CHARON: Told(
                "vips = 0.0.0.0\nchild.local_ts = dynamic",
                'remote.addresses = ["10.4.{n}.1"]\nremote.dns = ["10.2.{n}.53"]\nremote.networks = []',
            ),
        },
        our_host="10.2.{n}.1",
        their_host="10.4.{n}.1",
    ),
    *sessions("IKEv2 PFS, rekeyed by charon", PFS, script=REKEYED_BY_CHARON),
    *sessions("IKEv2 PFS, rekeyed by us", PFS, script=REKEYED_BY_US, asks="--rekey-child 2 --rekey-ike 4"),
    *sessions("IKEv2 NAT in front of us", GCM, {OURS: REAL_NAT}, NAT_SEEN, path=WE_BEHIND_NAT),
    *sessions("IKEv2 NAT in front of charon", GCM, {CHARON: REAL_NAT}, path=CHARON_BEHIND_NAT),
    *sessions(
        "IKEv2 fragmentation",
        GCM,
        plus(signed("rsa", "signature"), ours="ike.fragment_size = 600"),
        "ping\ncharon logs received fragment #2 of 2\ncharon logs splitting IKE.* into 2 fragments",
    ),
    *sessions(
        "IKEv2 DPD by us",
        GCM,
        Told("", "patience.dpd_after_s = 1.0"),
        "ping\ncharon logs parsed INFORMATIONAL request \\d+ \\[ \\]",
    ),
    *sessions(
        "IKEv2 DPD by charon",
        GCM,
        Told("dpd_delay = 1s"),
        "ping\ncharon logs parsed INFORMATIONAL response \\d+ \\[ \\]",
        pings=2,  # charon asks only where it hears nothing else
    ),
    *sessions("IKEv2 deleted by charon", GCM, script=DELETED_BY_CHARON),
    *sessions(
        "IKEv2 peer dead",
        GCM,
        Told("dpd_delay = 1s", "patience.dpd_after_s = 1.0\n" + IMPATIENT),
        DIES,
        finds="LIFE-006",
    ),
    *sessions("IKEv2 narrowed traffic selectors", GCM, Told("", 'local.networks = ["10.2.0.0/16"]')),
    *sessions(
        "IKEv2 PPK (RFC 8784)",
        GCM,
        Told(
            "ppk_id = a test PPK\nppk_required = yes",
            'secrets.ppk_id = "a test PPK"\nsecrets.ppk = "a test PPK that is no secret"\nsecrets.ppk_required = true',
        ),
    ),
    *sessions("IKEv2 MOBIKE", GCM, Told("mobike = yes", "ike.mobike = true"), "ping\ncharon logs peer supports MOBIKE"),
    *sessions("IKEv2 cookie", GCM, {OURS: Told()}, "ping\nwe tell COOKIE", half_open=4),
    *sessions("IKEv2 cookie", GCM, {CHARON: Told("", "limits.cookies_from = 0")}, "ping\ncharon logs N\\(COOKIE\\)"),
    *sessions(
        "IKEv2 INVALID_KE_PAYLOAD",
        GCM,
        {
            OURS: Told(
                "proposals = aes256gcm16-prfsha256-modp2048",
                'ike.proposals = ["ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519 MODP_2048"]',
            ),
            CHARON: Told(
                "proposals = aes256gcm16-prfsha256-x25519-modp2048",
                'ike.proposals = ["ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 MODP_2048"]',
            ),
        },
        "ping\ncharon logs N\\(INVAL_KE\\)",
    ),
)

IKEV2_FAILS = (
    *sessions(
        "IKEv2 wrong PSK",
        GCM,
        Told("", 'secrets.psk = "another test key"'),
        "charon logs N\\(AUTH_FAILED\\)\nwe tell AUTHENTICATION_FAILED",
        finds="AUTH-002",
    ),
    *sessions(
        "IKEv2 wrong ID",
        GCM,
        Told("", 'local.id = "stranger.example"'),
        "charon logs AUTH_FAILED\nwe tell AUTHENTICATION_FAILED",
        finds="AUTH-002 AUTH-003",  # the wire says that the proof does not hold, not why
    ),
    *sessions(
        "IKEv2 no common IKE proposal",
        GCM,
        Told("", 'ike.proposals = ["ENCR_AES_GCM_16-128 PRF_HMAC_SHA2_512 CURVE25519"]'),
        "charon logs N\\(NO_PROP\\)",
        finds="PH1-004",
    ),
    *sessions(
        "IKEv2 no common ESP proposal",
        GCM,
        Told("", 'child.esp = ["ENCR_CHACHA20_POLY1305"]'),
        "charon logs NO_PROP",
        finds="PH2-001",
    ),
    *sessions(
        "IKEv2 no common traffic selectors",
        GCM,
        Told("", 'local.networks = ["172.16.{n}.0/24"]'),
        "charon logs TS_UNACCEPT",
        finds="PH2-002",
    ),
)

XAUTH_CLIENT = """
    xauth.enabled = true
    xauth.user = "alice"
    xauth.password = "a test password"
    local.request_address = true
    local.networks = []
"""
XAUTH_GATEWAY = """
    xauth.enabled = true
    secrets.users = { alice = "a test password" }
    remote.addresses = ["10.4.{n}.1"]
    remote.dns = ["10.2.{n}.53"]
    remote.networks = []
"""
AGGRESSIVE = Told("aggressive = yes", 'ike.mode = "aggressive"')
V1_RSA = Told(
    """
    local.auth = pubkey
    local.certs = theirs-rsa.pem
    remote.auth = pubkey
    """,
    """
    local.auth = "rsa"
    local.certificates = ["ours-rsa.pem"]
    local.private_key = "ours-rsa.key"
    remote.authorities = ["authority.pem"]
    """,
)
IKEV1_SUCCEEDS = (
    *sessions("IKEv1 main mode, PSK, AES-CBC", V1),
    *sessions(
        "IKEv1 main mode, PSK, AES-128, SHA-1, ESP AES-GCM",
        V1,
        Told(
            """
            proposals = aes128-sha1-modp1024
            child.esp_proposals = aes128gcm16
            """,
            """
            ike.proposals = ["AES_CBC-128 SHA1 MODP_1024"]
            child.esp = ["AES_GCM_16-128"]
            """,
        ),
    ),
    *sessions("IKEv1 aggressive mode, PSK", V1, AGGRESSIVE),
    *sessions("IKEv1 main mode, RSA", V1, V1_RSA),
    *sessions("IKEv1 aggressive mode, RSA", V1, plus(V1_RSA, AGGRESSIVE.charon, AGGRESSIVE.ours)),
    *(
        case
        for mode, more in (("main", Told()), ("aggressive", AGGRESSIVE))
        for case in sessions(
            f"IKEv1 {mode} mode, PSK, XAUTH, mode-config",
            V1,
            {
                OURS: plus(
                    more,
                    """
                    remote2.auth = xauth
                    pools = pool-{n}
                    child.remote_ts = dynamic
                    """,
                    XAUTH_CLIENT,
                ),
            },
            our_host="10.3.{n}.1",
        )
    ),
    *(
        case
        for how, pull in (("pull", "yes"), ("push", "no"))
        for case in sessions(
            f"IKEv1 main mode, PSK, XAUTH, mode-config {how}",
            V1,
            {
                CHARON: Told(
                    f"""
                    local2.auth = xauth
                    local2.xauth_id = alice
                    pull = {pull}
                    vips = 0.0.0.0
                    child.local_ts = dynamic
                    """,
                    XAUTH_GATEWAY + ("xauth.push = true\n" if how == "push" else ""),
                ),
            },
            their_host="10.4.{n}.1",
        )
    ),
    *sessions(
        "IKEv1 main mode, hybrid, XAUTH, mode-config",
        V1,
        {
            OURS: Told(
                """
                local.auth = pubkey
                local.certs = theirs-rsa.pem
                remote.auth = xauth
                pools = pool-{n}
                child.remote_ts = dynamic
                """,
                XAUTH_CLIENT + 'local.auth = "hybrid"\nremote.authorities = ["authority.pem"]\n',
            ),
        },
        our_host="10.3.{n}.1",
    ),
    *sessions(
        "IKEv1 PFS, rekeyed by charon",
        V1,
        Told("child.esp_proposals = aes256-sha256-modp2048", 'child.pfs = "MODP_2048"'),
        REKEYED_BY_CHARON,
    ),
    *sessions(
        "IKEv1 PFS, rekeyed by us",
        V1,
        Told("child.esp_proposals = aes256-sha256-modp2048", 'child.pfs = "MODP_2048"'),
        REKEYED_BY_US,
        asks="--rekey-child 2 --rekey-ike 4",
    ),
    *sessions("IKEv1 NAT in front of us", V1, {OURS: REAL_NAT}, NAT_SEEN, path=WE_BEHIND_NAT),
    *sessions("IKEv1 NAT in front of charon", V1, {CHARON: REAL_NAT}, path=CHARON_BEHIND_NAT),
    *sessions(
        "IKEv1 fragmentation",
        V1,
        plus(V1_RSA, ours="ike.fragment_size = 600"),
        "ping\ncharon logs received fragment #2\ncharon logs splitting IKE.* into 2 fragments",
    ),
    *sessions(
        "IKEv1 DPD by us",
        V1,
        Told("", "patience.dpd_after_s = 1.0"),
        "ping\ncharon logs parsed INFORMATIONAL_V1 request \\d+ \\[ HASH N\\(DPD\\) \\]",
    ),
    *sessions(
        "IKEv1 DPD by charon",
        V1,
        Told("dpd_delay = 1s"),
        "ping\ncharon logs parsed INFORMATIONAL_V1 request \\d+ \\[ HASH N\\(DPD_ACK\\) \\]",
        pings=2,  # charon asks only where it hears nothing else
    ),
    *sessions("IKEv1 deleted by charon", V1, script=DELETED_BY_CHARON),
    *sessions(
        "IKEv1 peer dead",
        V1,
        Told("dpd_delay = 1s\ndpd_timeout = 4s", "patience.dpd_after_s = 1.0\n" + IMPATIENT),
        DIES,
        finds="LIFE-006",
    ),
)

IMPATIENT = "patience.retransmit_after_s = 0.5\npatience.retransmissions = 2\n"

IKEV1_FAILS = (
    *sessions(
        "IKEv1 wrong PSK",
        V1,
        Told("", 'secrets.psk = "another test key"\n' + IMPATIENT),
        {OURS: "charon logs could not decrypt payloads", CHARON: "charon logs giving up after 3 retransmits"},
        finds="AUTH-001",
    ),
    *sessions(
        "IKEv1 aggressive mode, wrong PSK",
        V1,
        plus(AGGRESSIVE, ours='secrets.psk = "another test key"'),
        {OURS: "we tell AUTHENTICATION_FAILED", CHARON: "charon logs N\\(AUTH_FAILED\\)"},
        finds="AUTH-001 AUTH-005",
    ),
    *sessions(
        "IKEv1 wrong ID",
        V1,
        Told("", 'local.id = "stranger.example"'),
        {OURS: "charon logs no peer config found", CHARON: "charon logs does not match"},
        finds="AUTH-003 AUTH-005",  # not accepted by the responder, or by the initiator
    ),
    *sessions(
        "IKEv1 no common phase 1 proposal",
        V1,
        Told("", 'ike.proposals = ["AES_CBC-128 SHA2_512 MODP_2048"]'),
        "charon logs NO_PROP",
        finds="PH1-006",
    ),
    *sessions(
        "IKEv1 no common phase 2 proposal",
        V1,
        Told("", 'child.esp = ["AES_CBC-128 HMAC_SHA1_96"]'),
        "charon logs NO_PROP",
        finds="PH2-001 PH2-003",
    ),
    *sessions(
        "IKEv1 no common traffic selectors",
        V1,
        Told("", 'local.networks = ["172.16.{n}.0/24"]'),
        "charon logs INVAL_ID",
        finds="PH2-002 PH2-004",
    ),
)

CASES = (*IKEV2_SUCCEEDS, *IKEV2_FAILS, *IKEV1_SUCCEEDS, *IKEV1_FAILS)
