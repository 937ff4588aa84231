"""reader.py ADDRESS PORT COUNT: takes COUNT connections, with Fast Open where asked, and prints the sha256 of the last one's bytes
as sha256sum(1) does."""

import hashlib
import socket
import sys

# The stack brings the address up a moment after this begins.
IP_FREEBIND = 15
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen()
listener.settimeout(300)
for _ in range(int(sys.argv[3])):
    peer, _ = listener.accept()
    peer.settimeout(300)
    digest = hashlib.sha256()
    buffer = bytearray(1 << 20)
    while count := peer.recv_into(buffer):
        digest.update(memoryview(buffer)[:count])
    peer.close()
print(f"{digest.hexdigest()}  -")
