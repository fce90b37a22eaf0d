"""Decrypted copies: some gateways capture an encrypted message twice, as it was sent and once more in the clear.

A Cisco ASA does so with ``capture … type isakmp``: the same SPIs, message id and exchange, the payloads readable. Such
a copy is no message of its own. What it says is not taken over either, for nothing proves it.
"""

from __future__ import annotations

from ipsecscope.dissect import ikev1
from ipsecscope.dissect.chain import parse_chain
from ipsecscope.dissect.families import IKEV1
from ipsecscope.dissect.notes import Note
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.timeline.contents import first
from ipsecscope.timeline.sas import MessageRecord
from ipsecscope.timeline.tracking import ExchangeTracker

MAX_APART_NS = 10**9  # between a message and its decrypted copy
_IN_THE_CLEAR = frozenset({int(ExchangeType.IKE_SA_INIT), int(ExchangeType.IKE_SESSION_RESUME)})
_BEGINS = (ikev1.SecurityAssociation, ikev1.KeyExchange)  # RFC 2409 section 5: what phase 1 sends unencrypted
_ENDS = (ikev1.Hash, ikev1.Signature)  # and what it encrypts


def take_copy(exchange: ExchangeTracker, record: MessageRecord) -> bool:
    """Whether a message is a decrypted copy of one that was filed; then it is put with the copies.

    When the copy came first, it leaves the messages of the exchange as soon as the encrypted one comes.
    """
    if is_copy_again(exchange, record):
        exchange.copies.append(record)
        return True
    if _is_readable(record):
        if not any(_are_twins(known, record) for known in _unpaired(exchange)):
            return False
        exchange.copies.append(record)
        return True
    for side in (exchange.request, exchange.response):
        for known in [each for each in side if _is_readable(each) and _are_twins(record, each)][-1:]:
            side.remove(known)
            exchange.copies.append(known)
    return False


def is_copy_again(exchange: ExchangeTracker, record: MessageRecord) -> bool:
    """Whether these octets are a copy that was recognised already, as a retransmission has one of its own."""
    return any(record.datagram.payload == copy.datagram.payload for copy in exchange.copies)


def copy_note(exchange_type: object, message_id: int) -> Note:
    """What is said of a decrypted copy."""
    return Note(
        "capture.decrypted-copy",
        f"{exchange_type} {message_id} a second time, in the clear: a gateway's capture of what it decrypted. It counts "
        "for no message, and nothing proves what it says",
    )


def _unpaired(exchange: ExchangeTracker) -> list[MessageRecord]:
    """Encrypted messages of an exchange whose copy was not seen yet."""
    taken = [each.sender for each in exchange.copies]
    return [
        each
        for sender in ("initiator", "responder")
        for each in [known for known in (*exchange.request, *exchange.response) if known.sender == sender][
            taken.count(sender) :
        ]
        if not _is_readable(each)
    ]


def _are_twins(encrypted: MessageRecord, readable: MessageRecord) -> bool:
    """Whether the one may be the other in the clear: one sender, one time, one first payload, and not longer."""
    near = abs(encrypted.time_ns - readable.time_ns) <= MAX_APART_NS
    same = encrypted.sender == readable.sender and encrypted.datagram.file == readable.datagram.file
    fits = readable.datagram.wire_length <= encrypted.datagram.wire_length or encrypted.fragment is not None
    return encrypted.encrypted and near and same and fits and _first_payload(encrypted) == _first_payload(readable)


def _first_payload(record: MessageRecord) -> int:
    """The type of the first payload, encrypted or not: headers say it of what is behind them (RFC 7296 3.14)."""
    message, header = record.message, record.message.header
    if message.ciphertext:
        return (header.next_payload if header is not None else None) or 0
    if record.encrypted:
        return message.payloads[-1].next_payload or 0
    return message.payloads[0].kind if message.payloads else 0


def _is_readable(record: MessageRecord) -> bool:
    """Whether a message stands in the clear that is encrypted when it is sent."""
    message, header = record.message, record.message.header
    if header is None or record.fragment is not None or record.datagram.missing:
        return False
    if header.major_version != 1:
        return not record.encrypted and header.exchange_type not in _IN_THE_CLEAR
    if message.ciphertext:
        return _is_chain(record)
    if header.message_id:
        return bool(message.payloads)
    begins = any(first(message.payloads, each) is not None for each in _BEGINS)
    return not begins and any(first(message.payloads, each) is not None for each in _ENDS)


def _is_chain(record: MessageRecord) -> bool:
    """Whether what the header calls encrypted is a chain of payloads to the last octet but the padding."""
    message = record.message
    data = message.ciphertext
    chain = parse_chain(data, 0, len(data), _first_payload(record), IKEV1, message.context)
    odd = any(payload.reserved or payload.critical for payload in chain.payloads)
    return bool(chain.payloads) and chain.complete and not (odd or chain.notes or any(data[chain.stop :]))
