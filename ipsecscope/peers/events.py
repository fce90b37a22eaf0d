"""What a peer tells its owner: one value per thing that happened, named as the timeline names it.

The names are those of the timeline's vocabulary wherever it has one, so that what two peers say of a conversation can
be laid beside what a capture of it shows. Keys are ``Secret`` values and never part of ``data``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from ipsecscope.decrypt.keymat import ChildKeys, ChildSuite, IkeKeys, IkeSuite
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod, SecurityProtocol
from ipsecscope.peers.entropy import Instant

Role = Literal["initiator", "responder"]


class PeerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened.

    ``group_id`` is ``<spi_i>_<spi_r>`` of the IKE SA concerned, ``vantage`` the role of the peer that says so in it.
    """

    name: ClassVar[str] = ""

    time_ns: Instant
    group_id: str
    vantage: Role

    @property
    def data(self) -> dict[str, Any]:
        """The event's facts as plain values, without keys."""
        return {}


class MessageEvent(PeerEvent, frozen=True, kw_only=True):
    """An IKE message: which exchange, which message id, and who sent it."""

    exchange: str
    message_id: int
    sender: Role

    @property
    def data(self) -> dict[str, Any]:
        """Exchange, message id and sender."""
        return {"exchange": self.exchange, "message_id": self.message_id, "sender": self.sender}


class MessageSent(MessageEvent, frozen=True, kw_only=True):
    """A message was sent for the first time."""

    name: ClassVar[str] = "ike:message"


class MessageRetransmitted(MessageEvent, frozen=True, kw_only=True):
    """A message was sent again."""

    name: ClassVar[str] = "ike:retransmission"

    @property
    def data(self) -> dict[str, Any]:
        """Exchange and message id."""
        return {"exchange": self.exchange, "message_id": self.message_id}


class ExchangeEvent(PeerEvent, frozen=True, kw_only=True):
    """An exchange came to its end. ``initiated_by`` is a role in the IKE SA."""

    exchange: str
    message_id: int
    initiated_by: Role

    @property
    def data(self) -> dict[str, Any]:
        """Exchange, message id and who began it."""
        return {"exchange": self.exchange, "message_id": self.message_id, "initiated_by": self.initiated_by}


class ExchangeCompleted(ExchangeEvent, frozen=True, kw_only=True):
    """A request was answered, and not with an error."""

    name: ClassVar[str] = "exchange:completed"


class Refused(ExchangeEvent, frozen=True, kw_only=True):
    """A request was answered with a notification that refuses it or asks for another; ``why`` is for people."""

    name: ClassVar[str] = "exchange:refused"

    notify: str
    why: str = ""

    @property
    def data(self) -> dict[str, Any]:
        """What the exchange says, and the notification."""
        return super().data | {"notify": self.notify}


class ExchangeUnanswered(ExchangeEvent, frozen=True, kw_only=True):
    """The last retransmission of a request stayed without an answer."""

    name: ClassVar[str] = "exchange:unanswered"


class ProposalChosen(PeerEvent, frozen=True, kw_only=True):
    """The responder chose the algorithms of an IKE SA."""

    name: ClassVar[str] = "ike_sa:proposal_chosen"

    transforms: tuple[str, ...]

    @property
    def data(self) -> dict[str, Any]:
        """The transforms by name."""
        return {"transforms": list(self.transforms)}


class KeysDerived(PeerEvent, frozen=True, kw_only=True):
    """An IKE SA has keys. RFC 9370 derives several sets for one SA: ``sequence`` counts them from 0."""

    name: ClassVar[str] = "ike_sa:keys_derived"

    spi_i: bytes
    spi_r: bytes
    suite: IkeSuite
    keys: IkeKeys
    ni: bytes
    nr: bytes
    exchange: str
    sequence: int = 0
    uses_ppk: bool = False


class SecretShared(PeerEvent, frozen=True, kw_only=True):
    """A key exchange gave both sides a secret; ``order`` is 0 for the KE payload of an exchange, then RFC 9370's."""

    name: ClassVar[str] = "ike_sa:secret_shared"

    spi_i: bytes
    spi_r: bytes
    method: KeyExchangeMethod
    secret: Secret
    order: int = 0
    child_spis: tuple[bytes, ...] = ()


class Redirected(PeerEvent, frozen=True, kw_only=True):
    """The gateway sends us to another one, given by address or name."""

    name: ClassVar[str] = "ike_sa:redirected"

    gateway: str

    @property
    def data(self) -> dict[str, Any]:
        """Where to."""
        return {"gateway": self.gateway}


class MskDerived(PeerEvent, frozen=True, kw_only=True):
    """An EAP method gave both sides a key, which AUTH is made with (RFC 7296 section 2.16)."""

    name: ClassVar[str] = "ike_sa:msk_derived"

    spi_i: bytes
    spi_r: bytes
    msk: Secret


class HandshakeCompleted(PeerEvent, frozen=True, kw_only=True):
    """The IKE SA is established: both sides proved who they are."""

    name: ClassVar[str] = "ike_sa:established"

    local_id: str = ""
    remote_id: str = ""

    @property
    def data(self) -> dict[str, Any]:
        """The identities."""
        return {"local_id": self.local_id, "remote_id": self.remote_id}


class IkeSaRekeyed(PeerEvent, frozen=True, kw_only=True):
    """Another IKE SA took the place of this one; ``successor`` is its group id."""

    name: ClassVar[str] = "ike_sa:rekeyed"

    successor: str

    @property
    def data(self) -> dict[str, Any]:
        """The SA that took over."""
        return {"successor": self.successor}


class IkeSaClosed(PeerEvent, frozen=True, kw_only=True):
    """The IKE SA is gone, and its Child SAs with it."""

    name: ClassVar[str] = "ike_sa:closed"

    reason: str

    @property
    def data(self) -> dict[str, Any]:
        """Why."""
        return {"reason": self.reason}


class ChildEvent(PeerEvent, frozen=True, kw_only=True):
    """Something that concerns one Child SA: the pair of SAs that one exchange made.

    ``spi_i`` is the SPI that the initiator of that exchange chose and receives with, ``spi_r`` the responder's.
    """

    protocol: SecurityProtocol
    spi_i: bytes
    spi_r: bytes

    @property
    def data(self) -> dict[str, Any]:
        """Protocol and SPIs."""
        return {"protocol": str(self.protocol), "spi_i": self.spi_i.hex(), "spi_r": self.spi_r.hex()}


class ChildSaInstalled(ChildEvent, frozen=True, kw_only=True):
    """A Child SA is ready for use.

    Attributes:
        is_initiator: whether this peer began the exchange that made it.
        suite: the algorithms.
        keys: those of both directions.
        tsi: traffic selectors on the side of the exchange's initiator, as text.
        tsr: traffic selectors on the side of the exchange's responder.
        mode: ``tunnel`` or ``transport``.
        esn: whether sequence numbers have 64 bits.
        src: this peer's address of the moment.
        dst: the other's address of the moment.
        encapsulated: whether its packets travel in UDP.
        virtual_ip: the address that the gateway assigned, empty when none.
    """

    name: ClassVar[str] = "child_sa:created"

    is_initiator: bool
    suite: ChildSuite
    keys: ChildKeys
    tsi: tuple[str, ...]
    tsr: tuple[str, ...]
    mode: str = "tunnel"
    esn: bool = False
    src: Endpoint
    dst: Endpoint
    encapsulated: bool = False
    virtual_ip: str = ""

    @property
    def data(self) -> dict[str, Any]:
        """Protocol, SPIs, mode and selectors."""
        facts = {"mode": self.mode, "tsi": list(self.tsi), "tsr": list(self.tsr)}
        return super().data | facts


class ChildSaRekeyed(ChildEvent, frozen=True, kw_only=True):
    """Another Child SA took the place of this one."""

    name: ClassVar[str] = "child_sa:rekeyed"


class ChildSaDeleted(ChildEvent, frozen=True, kw_only=True):
    """The Child SA is gone."""

    name: ClassVar[str] = "child_sa:deleted"


class NatDetected(PeerEvent, frozen=True, kw_only=True):
    """The NAT detection hashes told who is behind a NAT."""

    name: ClassVar[str] = "nat:detected"

    local: bool
    remote: bool

    @property
    def data(self) -> dict[str, Any]:
        """Who is behind a NAT, by role in the IKE SA."""
        mine = self.vantage == "initiator"
        return {
            "initiator": self.local if mine else self.remote,
            "responder": self.remote if mine else self.local,
        }


class PathMoved(PeerEvent, frozen=True, kw_only=True):
    """One end of the IKE SA is now somewhere else."""

    name: ClassVar[str] = "path:moved"

    role: Role
    address: str
    port: int

    @property
    def data(self) -> dict[str, Any]:
        """Who moved, and where to."""
        return {"role": self.role, "address": self.address, "port": self.port}


class DataReceived(PeerEvent, frozen=True, kw_only=True):
    """An ESP packet in UDP came in (RFC 3948): the data plane's business. ``group_id`` is empty."""

    name: ClassVar[str] = "esp:received"

    packet: bytes
    local: Endpoint
    remote: Endpoint
