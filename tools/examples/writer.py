"""writer.py ADDRESS PORT plain|fastopen FILE: sends the file, and waits for the peer to close as well."""

import socket
import sys

address = (sys.argv[1], int(sys.argv[2]))
peer = socket.socket()
peer.settimeout(300)
with open(sys.argv[4], "rb") as file:
    if sys.argv[3] == "fastopen":
        # A connection without bytes fetches the cookie.
        with socket.socket() as first:
            first.sendto(b"", socket.MSG_FASTOPEN, address)
        peer.sendto(file.read(1000), socket.MSG_FASTOPEN, address)
        file.seek(1000)
    else:
        peer.connect(address)
    peer.sendfile(file, file.tell())
peer.shutdown(socket.SHUT_WR)
while peer.recv(65536):
    pass
