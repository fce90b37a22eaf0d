"""A program: ping SOURCE DESTINATION COUNT, for a namespace whose machine may have no ping. Exits 0 if all come back."""

import os
import select
import socket
import struct
import sys
import time

PATIENCE = 2.0  # seconds for one answer


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def request(identifier: int, number: int) -> bytes:
    """An echo request, RFC 792."""
    body = bytes(range(48))
    head = struct.pack("!BBHHH", 8, 0, 0, identifier, number)
    return struct.pack("!BBHHH", 8, 0, checksum(head + body), identifier, number) + body


def main(source: str, destination: str, count: str) -> int:
    """Send and wait, one after the other; the first answer may need a second request."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    raw.bind((source, 0))
    identifier, answered = os.getpid() & 0xFFFF, 0
    for number in range(1, int(count) + 1):
        raw.sendto(request(identifier, number), (destination, 0))
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0 and select.select([raw], [], [], left)[0]:
            packet, (sender, _) = raw.recvfrom(2048)
            kind, _, _, theirs, of = struct.unpack_from("!BBHHH", packet, (packet[0] & 15) * 4)
            if (kind, sender, theirs, of) == (0, destination, identifier, number):
                answered += 1
                break
    print(f"{answered} of {count}")
    return 0 if answered == int(count) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
