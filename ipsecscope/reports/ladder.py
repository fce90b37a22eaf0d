"""The ladder: one IKE SA's messages in the notation of the RFCs, as arrows."""

from __future__ import annotations

import msgspec

from ipsecscope.reports.document import Exchange, ExchangeMessage, IkeSa


class Step(msgspec.Struct, frozen=True):
    """One arrow: ``to_right`` when it goes from the IKE SA's initiator to its responder."""

    frames: tuple[int, ...]
    time: str | None
    to_right: bool
    exchange: str
    message_id: int
    text: str
    remark: str = ""


def ladder(sa: IkeSa) -> list[Step]:
    """The arrows of an IKE SA in capture order."""
    steps = [step for exchange in sa.exchanges for step in _steps(exchange)]
    return sorted(steps, key=lambda step: step.frames[0])


def _steps(exchange: Exchange) -> list[Step]:
    last = len(exchange.messages) - 1
    return [
        Step(
            frames=tuple(message.frames),
            time=message.time,
            to_right=message.sender == "initiator",
            exchange=exchange.type,
            message_id=exchange.message_id,
            text=_text(message),
            remark=_remark(exchange, message, is_last=index == last),
        )
        for index, message in enumerate(exchange.messages)
    ]


def _remark(exchange: Exchange, message: ExchangeMessage, *, is_last: bool) -> str:
    """What the arrow alone does not show: repeats, silence, refusal, why it did not open."""
    parts = []
    if message.repeats:
        parts.append(f"sent {message.repeats + 1} times")
    if is_last and exchange.outcome == "unanswered":
        parts.append("no answer")
    if is_last and exchange.outcome == "refused":
        parts.append(exchange.reason or "refused")
    if message.reason:
        parts.append(message.reason)
    return ", ".join(parts)


def _text(message: ExchangeMessage) -> str:
    text = notation(message.payloads)
    if message.encrypted and not message.opened:
        text = f"{text} {{{message.octets} octets}}" if text else f"HDR* {{{message.octets} octets}}"
    return text


def notation(names: list[str]) -> str:
    """Payloads as the RFCs write them; repeated neighbours are counted: ``SA, KE, Ni, V×3``."""
    counted: list[tuple[str, int]] = []
    for name in names:
        if counted and counted[-1][0] == name:
            counted[-1] = (name, counted[-1][1] + 1)
        else:
            counted.append((name, 1))
    return ", ".join(name if count == 1 else f"{name}×{count}" for name, count in counted)
