"""XAUTH and mode configuration (draft-beaulieu-ike-xauth-02, draft-dukes-ike-mode-cfg-02), Cisco Unity's attributes.

A transaction is a REQUEST with its REPLY, or a SET with its ACK. Either end may begin one once phase 1 is done.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass

from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.ikev1 import Attributes
from ipsecscope.dissect.ikev1.attributes import Attribute
from ipsecscope.dissect.ikev1.configuration import ConfigLong, ConfigShort, SplitEntry, SplitList
from ipsecscope.dissect.registry.isakmp import ConfigAttributeType as Cfg
from ipsecscope.dissect.registry.isakmp import ConfigType, ExchangeType, XauthStatus
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev1.established import close
from ipsecscope.peers.ikev1.events import ConfigurationExchanged, UserAuthenticated
from ipsecscope.peers.ikev1.messages import Received
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.ikev1.states import Purpose, Talk
from ipsecscope.peers.ikev1.vendors import Extension
from ipsecscope.peers.peer import Input, Local

USER_ACCEPTED = Local("the user is accepted")
USER_REJECTED = Local("the user is rejected")
CONFIGURED = Local("the client has its address")

UNITY = (Cfg.UNITY_BANNER, Cfg.UNITY_SAVE_PASSWORD, Cfg.UNITY_DEF_DOMAIN, Cfg.UNITY_SPLIT_INCLUDE)
PULLED = (Cfg.INTERNAL_IP4_ADDRESS, Cfg.INTERNAL_IP4_NETMASK, Cfg.INTERNAL_IP4_DNS)
PULLED_IPV6 = (Cfg.INTERNAL_IP6_ADDRESS, Cfg.INTERNAL_IP6_DNS)
MAX_USER_SIZE = 256  # octets of a user name that are looked at


@dataclass(slots=True, eq=False)
class Matter:
    """What one transaction keeps."""

    purpose: Purpose | None = None
    identifier: int = 0
    succeeded: bool = False


def matter_of(talk: Talk) -> Matter:
    """What the transaction keeps."""
    assert isinstance(talk.matter, Matter)
    return talk.matter


def _send(
    sa: IsakmpSa,
    talk: Talk,
    config_type: ConfigType,
    attributes: tuple[Attribute, ...],
    now: Instant,
    *,
    expects_answer: bool,
) -> None:
    """Send HDR*, HASH, ATTR; the HASH is made like HASH(1) in both directions."""
    assert sa.protection is not None
    body = Attributes(config_type=config_type, identifier=matter_of(talk).identifier, attributes=attributes)
    payloads = sa.protection.with_hash_1(talk.message_id, (Payload(body=body),))
    sa.send(talk, payloads, now, expects_answer=expects_answer)


def _empty(*kinds: Cfg) -> tuple[Attribute, ...]:
    return tuple(ConfigLong(attribute_type=kind) for kind in kinds)


def _identify(sa: IsakmpSa, talk: Talk) -> None:
    matter_of(talk).identifier = int.from_bytes(sa.owner.entropy.octets(2, "transaction"), "big")


# -- beginning --------------------------------------------------------------------------------------------------------


def ask_credentials(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Gateway: ask for user name and password."""
    del received
    _identify(sa, talk)
    wanted = _empty(Cfg.XAUTH_USER_NAME, Cfg.XAUTH_USER_PASSWORD)
    _send(sa, talk, ConfigType.REQUEST, wanted, now, expects_answer=True)
    return None


def tell_status(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Gateway: tell whether the user is accepted."""
    del received
    _identify(sa, talk)
    status = XauthStatus.OK if matter_of(talk).succeeded else XauthStatus.FAIL
    attribute = ConfigShort(attribute_type=Cfg.XAUTH_STATUS, value=int(status))
    _send(sa, talk, ConfigType.SET, (attribute,), now, expects_answer=True)
    return None


def ask_address(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Client: ask for an address and what goes with it."""
    del received
    _identify(sa, talk)
    kinds = PULLED_IPV6 if ":" in sa.config.address else PULLED
    unity = UNITY if Extension.UNITY in sa.extensions else ()
    _send(sa, talk, ConfigType.REQUEST, _empty(*kinds, *unity), now, expects_answer=True)
    return None


def push_address(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Gateway: give the client an address without being asked."""
    del received
    _identify(sa, talk)
    attributes = _handed_out(sa, now, None)
    _send(sa, talk, ConfigType.SET, attributes, now, expects_answer=True)
    return None


# -- answering --------------------------------------------------------------------------------------------------------


def answer_request(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Answer a REQUEST: user and password, or what the pool has."""
    assert received is not None
    body = received.first(Attributes)
    if body is None:
        return None
    matter_of(talk).identifier = body.identifier
    if body.is_xauth:
        attributes = _credentials(sa, body)
    else:
        wanted = {Cfg(int(item.attribute_type)) for item in body.attributes}
        attributes = _handed_out(sa, now, wanted) if sa.config.is_gateway else ()
    _send(sa, talk, ConfigType.REPLY, attributes, now, expects_answer=False)
    sa.completed(talk, now)
    return None


def _credentials(sa: IsakmpSa, body: Attributes) -> tuple[Attribute, ...]:
    """Client: what XAUTH asks for, as far as we have it. Nothing for a gateway that is asked by its client."""
    if not sa.is_client:
        return ()
    known = {Cfg.XAUTH_USER_NAME: sa.config.user.encode(), Cfg.XAUTH_USER_PASSWORD: sa.config.password.reveal()}
    return tuple(
        ConfigLong(attribute_type=kind, value=value)
        for kind, value in known.items()
        if body.attribute(kind) is not None
    )


def answer_set(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Client: acknowledge the outcome of XAUTH, or the address that is pushed."""
    assert received is not None
    body = received.first(Attributes)
    if body is None or not sa.is_client:
        return None
    matter_of(talk).identifier = body.identifier
    kinds = tuple(Cfg(int(item.attribute_type)) for item in body.attributes)
    _send(sa, talk, ConfigType.ACK, _empty(*kinds), now, expects_answer=False)
    sa.completed(talk, now)
    if body.xauth_status is not None:
        succeeded = body.xauth_status == XauthStatus.OK
        sa.say(UserAuthenticated, now, user=sa.config.user, succeeded=succeeded)
        sa.take(USER_ACCEPTED if succeeded else USER_REJECTED, None, now)
    elif not body.is_xauth:
        _take_configuration(sa, body, now)
    return None


# -- answers ------------------------------------------------------------------------------------------------------------


def take_reply(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take the answer to our REQUEST."""
    assert received is not None
    body, matter = received.first(Attributes), matter_of(talk)
    sa.completed(talk, now)
    if body is None:
        return None
    if matter.purpose is Purpose.CREDENTIALS:
        sa.owner.transact(sa, Purpose.STATUS, now, succeeded=_is_known(sa, body))
    elif matter.purpose is Purpose.PULL:
        _take_configuration(sa, body, now)
    return None


def _is_known(sa: IsakmpSa, body: Attributes) -> bool:
    name, password = body.attribute(Cfg.XAUTH_USER_NAME), body.attribute(Cfg.XAUTH_USER_PASSWORD)
    if name is None or password is None or len(name.octets) > MAX_USER_SIZE:
        return False
    sa.user = name.octets.decode("utf-8", "backslashreplace")
    expected = next((secret for user, secret in sa.config.users if user == sa.user), None)
    return expected is not None and hmac.compare_digest(expected.reveal(), password.octets)


def take_ack(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take the acknowledgment of our SET."""
    del received
    matter = matter_of(talk)
    sa.completed(talk, now)
    if matter.purpose is Purpose.STATUS:
        sa.say(UserAuthenticated, now, user=sa.user, succeeded=matter.succeeded)
        sa.take(USER_ACCEPTED if matter.succeeded else USER_REJECTED, None, now)
    elif matter.purpose is Purpose.PUSH:
        sa.take(CONFIGURED, None, now)
    return None


def unanswered(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Nobody answers: the SA is of no use."""
    del received
    sa.unanswered(talk, now)
    close(sa, talk, None, now)
    return None


# -- attributes ---------------------------------------------------------------------------------------------------------


def _handed_out(sa: IsakmpSa, now: Instant, wanted: set[Cfg] | None) -> tuple[Attribute, ...]:
    """Gateway: an address, name servers and Unity's attributes, as far as they are wanted (None: all of them)."""
    attributes: list[Attribute] = []
    address = sa.virtual_ip or sa.owner.assign_address(sa)
    if address:
        sa.virtual_ip = address
        attributes.append(_address(address))
        attributes += [_server(server) for server in sa.config.pool.dns]
    if Extension.UNITY in sa.extensions:
        attributes += _unity(sa)
    chosen = tuple(item for item in attributes if wanted is None or item.attribute_type in wanted)
    _tell(sa, now, chosen)
    return chosen


def _address(address: str) -> Attribute:
    packed = ipaddress.ip_address(address).packed
    kind = Cfg.INTERNAL_IP4_ADDRESS if len(packed) == 4 else Cfg.INTERNAL_IP6_ADDRESS
    return ConfigLong(attribute_type=kind, value=packed)


def _server(address: str) -> Attribute:
    packed = ipaddress.ip_address(address).packed
    return ConfigLong(attribute_type=Cfg.INTERNAL_IP4_DNS if len(packed) == 4 else Cfg.INTERNAL_IP6_DNS, value=packed)


def _unity(sa: IsakmpSa) -> list[Attribute]:
    unity = sa.config.unity
    if unity is None:
        return []
    found: list[Attribute] = []
    texts = {Cfg.UNITY_BANNER: unity.banner, Cfg.UNITY_DEF_DOMAIN: unity.default_domain}
    found += [ConfigLong(attribute_type=kind, value=text.encode()) for kind, text in texts.items() if text]
    found.append(ConfigShort(attribute_type=Cfg.UNITY_SAVE_PASSWORD, value=int(unity.save_password)))
    if unity.split_include:
        networks = [ipaddress.ip_network(text) for text in unity.split_include]
        entries = tuple(SplitEntry(address=net.network_address.packed, mask=net.netmask.packed) for net in networks)
        found.append(ConfigLong(attribute_type=Cfg.UNITY_SPLIT_INCLUDE, value=SplitList(entries=entries).build()))
    return found


def _take_configuration(sa: IsakmpSa, body: Attributes, now: Instant) -> None:
    """Client: note our address."""
    found = body.attribute(Cfg.INTERNAL_IP4_ADDRESS) or body.attribute(Cfg.INTERNAL_IP6_ADDRESS)
    if found is not None and len(found.octets) in (4, 16):
        sa.virtual_ip = str(ipaddress.ip_address(found.octets))
    _tell(sa, now, body.attributes)
    if not sa.virtual_ip:
        sa.count("mode configuration without an address")
    sa.take(CONFIGURED, None, now)


def _tell(sa: IsakmpSa, now: Instant, attributes: tuple[Attribute, ...]) -> None:
    texts = tuple(item.summary() for item in attributes)
    sa.say(ConfigurationExchanged, now, address=sa.virtual_ip, attributes=texts)


EXCHANGE = ExchangeType.TRANSACTION
