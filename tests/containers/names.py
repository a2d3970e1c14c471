"""Names of services, as Docker's own server answers for them: `names.py TABLE.json`, on port 53 of each network.

The table has, for each address that may ask, what every name means there: replicas of a service are several addresses.
"""

import json
import socket
import struct
import sys
from pathlib import Path

_ADDRESS = 1
_NO_SUCH_NAME = 3


def answer(question: bytes, meanings: dict[str, list[str]]) -> bytes:
    """Return the reply to one question; addresses of IPv6 do not exist here."""
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    asked = question[12 : at + 5]
    (kind,) = struct.unpack("!H", question[at + 1 : at + 3])
    found = meanings.get(".".join(labels).lower())
    addresses = (found or []) if kind == _ADDRESS else []
    flags = 0x8580 | (_NO_SUCH_NAME if found is None else 0)
    header = question[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0)
    lines = [b"\xc0\x0c" + struct.pack("!HHIH", _ADDRESS, 1, 1, 4) + socket.inet_aton(one) for one in addresses]
    return header + asked + b"".join(lines)


def serve(table: Path) -> None:
    """Answer until it is ended; the table is read for each question, so that it may change."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", 53))  # noqa: S104  of a network of its own
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            question, asker = server.recvfrom(512)
            meanings = json.loads(table.read_text()).get(asker[0], {})
            server.sendto(answer(question, meanings), asker)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
