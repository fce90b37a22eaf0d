"""IANA "Assigned Internet Protocol Numbers": the Next Header of ESP, AH and IPv6, the protocol of a selector."""

from __future__ import annotations

from ipsecscope.dissect.codepoints import CodePoint


class IpProtocol(CodePoint):
    """Protocol numbers that are met above IP. 0 is HOPOPT in IPv6 and "any" in a selector."""

    HOPOPT = 0, "8200"
    ICMP = 1, "792"
    IGMP = 2, "1112"
    GGP = 3, "823"
    IPV4 = 4, "2003"
    ST = 5, "1819"
    TCP = 6, "9293"
    EGP = 8, "888"
    IGP = 9
    PUP = 12
    UDP = 17, "768"
    HMP = 20, "869"
    XNS_IDP = 22
    RDP = 27, "908"
    DCCP = 33, "4340"
    IPV6 = 41, "2473"
    SDRP = 42
    IPV6_ROUTE = 43, "8200"
    IPV6_FRAG = 44, "8200"
    IDRP = 45
    RSVP = 46, "2205"
    GRE = 47, "2784"
    DSR = 48, "4728"
    ESP = 50, "4303"
    AH = 51, "4302"
    NARP = 54, "1735"
    MIN_IPV4 = 55, "2004"
    IPV6_ICMP = 58, "8200"
    IPV6_NONXT = 59, "8200"
    IPV6_OPTS = 60, "8200"
    EIGRP = 88, "7868"
    OSPFIGP = 89, "2328"
    MTP = 92
    BEETPH = 94, "draft-nikander-esp-beet-mode"
    ETHERIP = 97, "3378"
    ENCAP = 98, "1241"
    PIM = 103, "7761"
    IPCOMP = 108, "2393"
    VRRP = 112, "5798"
    PGM = 113, "3208"
    L2TP = 115, "3931"
    STP = 118
    SMP = 121
    ISIS_OVER_IPV4 = 124
    PIPE = 131
    SCTP = 132, "9260"
    FC = 133, "6172"
    MOBILITY_HEADER = 135, "6275"
    UDPLITE = 136, "3828"
    MPLS_IN_IP = 137, "4023"
    MANET = 138, "5498"
    HIP = 139, "7401"
    SHIM6 = 140, "5533"
    WESP = 141, "5840"
    ROHC = 142, "5858"
    ETHERNET = 143, "8986"
    AGGFRAG = 144, "9347"
    NSH = 145, "9491"
