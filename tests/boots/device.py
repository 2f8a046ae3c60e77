"""A Modbus TCP device in the machine (Modbus Messaging on TCP/IP 1.0b): every pair of registers is a float that counts.

Runs there by Debian's own python3: python3 device.py ADDRESS PORT
"""

import socketserver
import struct
import sys


class Answers(socketserver.StreamRequestHandler):
    """Each request is answered; the value goes up by one with each."""

    asked = 0

    def handle(self) -> None:
        while len(head := self.rfile.read(8)) == 8:
            number, _, length, unit, function = struct.unpack(">HHHBB", head)
            _, count = struct.unpack(">HH", self.rfile.read(length - 2)[:4])
            Answers.asked += 1
            data = (struct.pack(">f", Answers.asked) * (count // 2 + 1))[: 2 * count]
            body = struct.pack(">BBB", unit, function, len(data)) + data
            self.wfile.write(struct.pack(">HHH", number, 0, len(body)) + body)


class Server(socketserver.ThreadingTCPServer):
    """Threads end with the process."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Server((sys.argv[1], int(sys.argv[2])), Answers).serve_forever()
