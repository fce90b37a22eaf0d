"""Message ids of one IKE SA: our requests on their way, and the other side's that were answered (RFC 7296 2.1 to 2.3).

Each side may have as many requests on their way as the other said that it can keep, one until it says so.
"""

from __future__ import annotations

import msgspec

from ipsecscope.dissect.header import Header
from ipsecscope.peers.ikev2.states import Outstanding, Task

MESSAGE_IDS = 2**32  # RFC 7296 section 2.2: an IKE SA must be rekeyed before its message ids run out
MAX_WINDOW = 64  # requests that we have on their way, whatever the other side takes


class SendWindow:
    """Our requests that wait for their responses; ``size`` is what the other side can keep."""

    def __init__(self) -> None:
        self.size = 1
        self.next_id = 0
        self._waiting: dict[int, Outstanding] = {}

    @property
    def oldest(self) -> Outstanding | None:
        """The request that waits longest."""
        return next(iter(self._waiting.values()), None)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The exchanges that wait for a response, behind the handshake."""
        return tuple(each.task for each in self._waiting.values() if each.task is not None)

    @property
    def has_room(self) -> bool:
        """Whether one more request may be sent: ids count from the oldest that is not answered."""
        oldest = next(iter(self._waiting), None)
        return oldest is None or (self.next_id - oldest) % MESSAGE_IDS < min(self.size, MAX_WINDOW)

    def add(self, request: Outstanding) -> None:
        """Wait for the response to a request."""
        number = request.header.message_id
        self._waiting[number] = request
        self.next_id = (number + 1) % MESSAGE_IDS

    def get(self, number: int) -> Outstanding | None:
        """The request with a message id, while it waits."""
        return self._waiting.get(number)

    def awaits(self, header: Header) -> bool:
        """Whether a response belongs to a request that waits."""
        waiting = self._waiting.get(header.message_id)
        return waiting is not None and waiting.header.exchange_type == header.exchange_type

    def take(self, number: int) -> Outstanding:
        """The request that is answered now."""
        return self._waiting.pop(number)

    def clear(self) -> None:
        """Wait for nothing any more."""
        self._waiting.clear()


class Answer(msgspec.Struct, frozen=True):
    """A response as it was sent."""

    datagrams: tuple[bytes, ...]
    story: str


class ReceiveWindow:
    """The other side's requests; ``size`` is how many we said that we can keep."""

    def __init__(self) -> None:
        self.size = 1
        self.lowest = 0  # the lowest message id that did not come yet
        self._beyond: set[int] = set()  # ids behind it that came already
        self._answers: dict[int, Answer] = {}

    def accepts(self, number: int) -> bool:
        """Whether a request is new and inside the window; its turn does not matter."""
        return (number - self.lowest) % MESSAGE_IDS < self.size and number not in self._beyond

    def came(self, number: int) -> None:
        """Note a request; the window moves on behind the lowest that is missing."""
        self._beyond.add(number)
        while self.lowest in self._beyond:
            self._beyond.discard(self.lowest)
            self.lowest = (self.lowest + 1) % MESSAGE_IDS

    def keep(self, number: int, answer: Answer) -> None:
        """Keep a response while its request may come again."""
        self._answers[number] = answer
        for old in [
            each for each in self._answers if self.size < (self.lowest - each) % MESSAGE_IDS <= MESSAGE_IDS // 2
        ]:
            del self._answers[old]

    def answer_to(self, number: int) -> Answer | None:
        """The response to a request that came before, while it is kept."""
        return self._answers.get(number)
