"""Makes the socket calls that it reads, a line each, on sockets of the kernel, and writes what became of each.

    NAME tcp|udp|udplite|ping|echo               a new socket, non-blocking
    NAME raw PROTOCOL                    one that sends packets with a router alert, for the peer
    NAME icmp HEXADECIMAL                an ICMP message of the peer to the host under test, its checksum zero
    NAME segment SOURCE DESTINATION FLAGS SEQ ACK LENGTH WINDOW URGENT TOS OPTIONS     a TCP segment from a host that answers nothing
    NAME query TO TYPE TENTHS GROUP [ROBUSTNESS SECONDS SOURCE ...]     an IGMP message of such a one
    NAME bind|connect ADDRESS:PORT
    NAME listen BACKLOG
    NAME accept OTHER                    OTHER is the name of the connection
    NAME send COUNT [FLAGS]              bytes that count up, FLAGS a number of MSG_*
    NAME sendto ADDRESS:PORT COUNT [FLAGS]
    NAME sendmsg ADDRESS:PORT COUNT FLAGS LEVEL NUMBER HEXADECIMAL ...     with control messages; `-` is no address
    NAME sendname HEXADECIMAL LENGTH COUNT [FLAGS]      with a name of such bytes, of which it says such a length
    NAME writev COUNT,COUNT ...          of so many buffers
    NAME sendmmsg ADDRESS:PORT COUNT,COUNT ... [FLAGS]      so many messages
    NAME readv COUNT,COUNT ... [FLAGS]   into buffers of such lengths
    NAME recvmmsg MESSAGES COUNT [FLAGS]
    NAME recv COUNT [FLAGS]              how many came, a sum over them, from whom, the error of an error queue
    NAME sendhole ADDRESS:PORT COUNT MISSING [FLAGS]    so many bytes, behind which as many cannot be read; `-` is no address
    NAME recvhole COUNT MISSING [FLAGS]  into room for so many bytes, behind which as many cannot be written
    NAME poll                            epoll's bits
    NAME set LEVEL NUMBER HEXADECIMAL
    NAME get LEVEL NUMBER MAXIMUM
    NAME part LEVEL NUMBER PLACE COUNT   of an option's value so many bytes from that place on
    NAME name | peername
    NAME ioctl REQUEST                   of SIOCINQ, SIOCOUTQ, SIOCATMARK, SIOCOUTQNSD the number
    NAME shutdown r|w|rw
    NAME disconnect | close
    NAME sysctl SETTING VALUE            of the namespace, until the script ends
    NAME mark in|out|none                packets that are fit for ECN come in or go out marked, until the script ends
    NAME move OTHER                      a connection becomes OTHER, by TCP_REPAIR
    NAME forget                          what is known of peers: cookies of Fast Open
    - reset                              closes all, and sets the settings back

An answer is one line; `errno N` for a call that failed. `Tests/OracleAgent` says the same of the stack's sockets.
"""

import contextlib
import ctypes
import fcntl
import mmap
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

LIBC = ctypes.CDLL(None, use_errno=True)
SO_EE = struct.Struct("=IBBBBII")
# SO_EE_ORIGIN_ZEROCOPY, SO_EE_ORIGIN_TIMESTAMPING.
ZERO_COPY, STAMPED = 5, 4
# SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING, old and new.
TIMES = (29, 35, 37, 63, 64, 65)
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_REPAIR_OPTIONS = 19, 20, 21, 22
TCP_TIMESTAMP, TCP_REPAIR_WINDOW = 24, 29
# What a receive tells beside the bytes: MSG_TRUNC and MSG_ERRQUEUE.
TOLD_FLAGS = 0x2020


# A host on the link that is as silent as it can be: it has an address, and hears no TCP.
SILENT = "10.0.0.51"
# What needs no socket of that name.
MAKERS = ("tcp", "udp", "udplite", "ping", "echo", "raw", "reset", "sysctl", "mark", "forget", "icmp", "segment")


def summed(body: bytes) -> bytes:
    """A message with its checksum in bytes 2 and 3, which are zero."""
    padded = body + bytes(len(body) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return body[:2] + struct.pack("!H", total ^ 0xFFFF) + body[4:]


# TCP_NLA_* that are alike in all worlds: DATA_SEGS_OUT, SND_CWND, SNDQ_SIZE, SND_SSTHRESH, DELIVERED, BYTES_SENT, BYTES_NOTSENT.
ALIKE = (4, 8, 13, 15, 16, 18, 24)


def statistics(body: bytes) -> str:
    """Netlink attributes of a stamp: number and bytes, and the value where it is alike."""
    words, place = [], 0
    while place + 4 <= len(body):
        length, number = struct.unpack_from("=HH", body, place)
        value = int.from_bytes(body[place + 4:place + length], "little")
        words.append(f"{number}:{length - 4}" + (f"={value}" if number in ALIKE else ""))
        place += length + 3 & ~3
    return ",".join(words)


class Agent:
    def __init__(self) -> None:
        self.sockets: dict[str, socket.socket] = {}
        self.sent: dict[str, int] = {}
        self.settings: dict[str, str] = {}
        # Memory that the kernel may still be reading.
        self.lent: list[bytes] = []
        self.echoes: set[str] = set()
        # Whether there are nft rules.
        self.marks = False

    def answer(self, name: str, verb: str, words: list[str]) -> str:
        if name not in self.sockets and verb not in MAKERS:
            # Perhaps an accept that failed; the other world has none either.
            return "nobody"
        try:
            return getattr(self, "do_" + verb)(name, *words) or "ok"
        except OSError as error:
            return f"errno {error.errno}"

    def add(self, name: str, made: socket.socket) -> None:
        made.setblocking(False)
        self.sockets[name] = made
        self.sent[name] = 0

    def do_tcp(self, name: str) -> None:
        self.add(name, socket.socket(socket.AF_INET, socket.SOCK_STREAM))

    def do_udp(self, name: str) -> None:
        self.add(name, socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def do_udplite(self, name: str) -> None:
        self.add(name, socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136))

    def do_ping(self, name: str) -> None:
        self.add(name, socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP))

    def do_echo(self, name: str) -> None:
        self.do_ping(name)
        self.echoes.add(name)

    def do_raw(self, name: str, protocol: str) -> None:
        self.add(name, socket.socket(socket.AF_INET, socket.SOCK_RAW, int(protocol)))
        self.sockets[name].setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([148, 4, 0, 0]))
        self.sockets[name].setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), 2))

    def do_query(self, name: str, to: str, kind: str, tenths: str, group: str, *rest: str) -> None:
        body = struct.pack("!BBH4s", int(kind, 16), int(tenths), 0, socket.inet_aton(group))
        if rest:
            body += struct.pack("!BBH", int(rest[0]), int(rest[1]), len(rest) - 2)
            body += b"".join(map(socket.inet_aton, rest[2:]))
        self.sockets[name].sendto(summed(body), (to, 0))

    def do_icmp(self, _name: str, text: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as one:
            one.sendto(summed(bytes.fromhex(text)), ("10.0.0.2", 0))

    def do_segment(self, _name: str, source: str, destination: str, *numbers: str) -> None:
        flags, sequence, acknowledgment, count, window, urgent, service = map(int, numbers[:7])
        options = bytes.fromhex(numbers[7][1:])
        options += bytes(-len(options) % 4)
        body = bytes((sequence + index) % 251 for index in range(count))
        header = struct.pack(
            "!HHIIHHHH", int(source), int(destination), sequence, acknowledgment, (5 + len(options) // 4) << 12 | flags, window,
            0, urgent)
        addresses = socket.inet_aton(SILENT) + socket.inet_aton("10.0.0.2")
        whole = header + options + body
        pseudo = addresses + struct.pack("!HH", 6, len(whole)) + whole + bytes(len(whole) % 2)
        total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
        while total > 0xFFFF:
            total = (total & 0xFFFF) + (total >> 16)
        whole = whole[:16] + struct.pack("!H", total ^ 0xFFFF) + whole[18:]
        packet = struct.pack("!BBHHHBBH", 0x45, service, 20 + len(whole), 0, 0, 64, 6, 0) + addresses + whole
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as one:
            one.sendto(packet, ("10.0.0.2", 0))

    def do_ioctl(self, name: str, request: str) -> str:
        room = bytearray(4)
        fcntl.ioctl(self.sockets[name].fileno(), int(request), room)
        return f"value {int.from_bytes(room, 'little', signed=True)}"

    def do_bind(self, name: str, address: str) -> None:
        self.sockets[name].bind(parse(address))

    def do_connect(self, name: str, address: str) -> None:
        self.sockets[name].connect(parse(address))

    def do_disconnect(self, name: str) -> None:
        # AF_UNSPEC, which Python has no words for.
        address = struct.pack("=H14x", socket.AF_UNSPEC)
        if LIBC.connect(self.sockets[name].fileno(), address, len(address)) < 0:
            raise OSError(ctypes.get_errno(), "connect")

    def do_listen(self, name: str, backlog: str) -> None:
        self.sockets[name].listen(int(backlog))

    def do_accept(self, name: str, other: str) -> str:
        made, address = self.sockets[name].accept()
        self.add(other, made)
        return f"ok {say(address)}"

    def do_close(self, name: str) -> None:
        self.sockets.pop(name).close()

    def do_reset(self, _name: str) -> None:
        for one in self.sockets.values():
            one.close()
        self.sockets = {}
        self.echoes = set()
        for setting, value in self.settings.items():
            write_setting(setting, value)
        self.settings = {}
        self.lent = []
        self.do_mark("", "none")

    def do_mark(self, _name: str, way: str) -> None:
        if way == "none":
            if self.marks:
                subprocess.run(["nft", "delete", "table", "ip", "oracle"], check=True)
            self.marks = False
            return
        hook = {"in": "prerouting", "out": "postrouting"}[way]
        chain = f"type filter hook {hook} priority 0\nip ecn {{ ect0, ect1 }} ip ecn set ce"
        rules = f"table ip oracle {{\nchain {way} {{\n{chain}\n}}\n}}\n"
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
        self.marks = True

    def do_sysctl(self, _name: str, setting: str, value: str) -> None:
        with open("/proc/sys/" + setting.replace(".", "/")) as file:
            self.settings.setdefault(setting, file.read().strip())
        write_setting(setting, value)

    def do_forget(self, _name: str) -> None:
        subprocess.run(["ip", "tcp_metrics", "flush"], check=True)

    def do_move(self, name: str, other: str) -> str:
        old = self.sockets.pop(name)
        local, remote = old.getsockname(), old.getpeername()
        old.setsockopt(6, TCP_REPAIR, 1)
        info = old.getsockopt(6, socket.TCP_INFO, 104)
        old.setsockopt(6, TCP_REPAIR_QUEUE, 2)
        sent, end = peek(old), old.getsockopt(6, TCP_QUEUE_SEQ) & 0xFFFFFFFF
        old.setsockopt(6, TCP_REPAIR_QUEUE, 1)
        unread, begin = peek(old), old.getsockopt(6, TCP_QUEUE_SEQ) & 0xFFFFFFFF
        window = old.getsockopt(6, TCP_REPAIR_WINDOW, 20)
        stamp = old.getsockopt(6, TCP_TIMESTAMP)
        old.close()
        new = socket.socket()
        new.setsockopt(6, TCP_REPAIR, 1)
        new.bind(local)
        new.setsockopt(6, TCP_REPAIR_QUEUE, 2)
        new.setsockopt(6, TCP_QUEUE_SEQ, signed(end - len(sent)))
        new.setsockopt(6, TCP_REPAIR_QUEUE, 1)
        new.setsockopt(6, TCP_QUEUE_SEQ, signed(begin - len(unread)))
        new.connect(remote)
        options = struct.pack("=II", 2, 1460)
        if info[5] & 4:
            options += struct.pack("=II", 3, info[6] & 15 | info[6] >> 4 << 16)
        options += struct.pack("=II", 4, 0) if info[5] & 2 else b""
        options += struct.pack("=II", 8, 0) if info[5] & 1 else b""
        new.setsockopt(6, TCP_REPAIR_OPTIONS, options)
        if unread:
            new.send(unread)
        new.setsockopt(6, TCP_REPAIR_QUEUE, 2)
        if sent:
            new.send(sent)
        new.setsockopt(6, TCP_REPAIR_WINDOW, window)
        new.setsockopt(6, TCP_TIMESTAMP, stamp)
        new.setsockopt(6, TCP_REPAIR, 0)
        count = self.sent.get(name, 0)
        self.add(other, new)
        self.sent[other] = count
        return f"sent {len(sent)} unread {len(unread)}"

    def do_shutdown(self, name: str, ways: str) -> None:
        how = {"r": socket.SHUT_RD, "w": socket.SHUT_WR, "rw": socket.SHUT_RDWR}[ways]
        self.sockets[name].shutdown(how)

    def pattern(self, name: str, count: str) -> bytes:
        data = bytes((self.sent[name] + index) % 251 for index in range(int(count)))
        if name in self.echoes:
            data = bytes([8, 0, 0, 0, 0, 0, 0, 1]) + data[8:]
        self.lent.append(data)
        return data

    def do_send(self, name: str, count: str, flags: str = "0") -> str:
        sent = self.sockets[name].send(self.pattern(name, count), int(flags) | socket.MSG_NOSIGNAL)
        self.sent[name] += sent
        return f"sent {sent}"

    def do_sendto(self, name: str, address: str, count: str, flags: str = "0") -> str:
        data = self.pattern(name, count)
        sent = self.sockets[name].sendto(data, int(flags) | socket.MSG_NOSIGNAL, parse(address))
        self.sent[name] += sent
        return f"sent {sent}"

    def do_sendmsg(self, name: str, address: str, count: str, flags: str, *control: str) -> str:
        messages = [
            (int(control[place]), int(control[place + 1]), bytes.fromhex(control[place + 2][1:]))
            for place in range(0, len(control), 3)]
        data = self.pattern(name, count)
        to = () if address == "-" else parse(address)
        sent = self.sockets[name].sendmsg([data], messages, int(flags) | socket.MSG_NOSIGNAL, *([to] if to else []))
        self.sent[name] += sent
        return f"sent {sent}"

    def do_sendname(self, name: str, address: str, length: str, count: str, flags: str = "0") -> str:
        data = self.pattern(name, count)
        room = bytes.fromhex(address).ljust(256, b"\0")
        # By sendmsg(2), as the stack's call: sendto(2) refuses names that are too long before the socket is asked.
        headers = Headers("-", [data])
        buffer = ctypes.create_string_buffer(room, len(room))
        headers.array[0].name = ctypes.cast(buffer, ctypes.c_void_p)
        headers.array[0].name_length = int(length) & 0xFFFFFFFF
        sent = LIBC.sendmsg(self.sockets[name].fileno(), headers.array, int(flags) | socket.MSG_NOSIGNAL)
        if sent < 0:
            raise OSError(ctypes.get_errno(), "sendmsg")
        self.sent[name] += sent
        return f"sent {sent}"

    def pieces(self, name: str, counts: str) -> list[bytes]:
        lengths = [int(count) for count in counts.split(",")]
        data = self.pattern(name, str(sum(lengths)))
        return [data[sum(lengths[:place]):sum(lengths[:place + 1])] for place in range(len(lengths))]

    def do_writev(self, name: str, counts: str) -> str:
        sent = os.writev(self.sockets[name].fileno(), self.pieces(name, counts))
        self.sent[name] += sent
        return f"sent {sent}"

    def do_sendmmsg(self, name: str, address: str, counts: str, flags: str = "0") -> str:
        headers = Headers(address, self.pieces(name, counts))
        sent = LIBC.sendmmsg(
            self.sockets[name].fileno(), headers.array, len(headers.array), int(flags) | socket.MSG_NOSIGNAL)
        if sent < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")
        lengths = [headers.array[place].length for place in range(sent)]
        self.sent[name] += sum(lengths)
        return "sent " + " ".join(map(str, lengths))

    def do_recvmmsg(self, name: str, count: str, room: str, flags: str = "0") -> str:
        headers = Headers("-", [bytes(int(room))] * int(count))
        got = LIBC.recvmmsg(self.sockets[name].fileno(), headers.array, int(count), int(flags), None)
        if got < 0:
            raise OSError(ctypes.get_errno(), "recvmmsg")
        texts = []
        for place in range(got):
            length = headers.array[place].length
            texts.append(f"{length} {digest(headers.buffers[place].raw[:length])}")
        return "got " + ", ".join(texts)

    def do_readv(self, name: str, counts: str, flags: str = "0") -> str:
        rooms = [bytearray(int(count)) for count in counts.split(",")]
        length = self.sockets[name].recvmsg_into(rooms, 0, int(flags))[0]
        return f"got {length} " + " ".join(str(digest(room)) for room in rooms)

    def do_recv(self, name: str, count: str, flags: str = "0") -> str:
        room = bytearray(int(count))
        length, control, told, address = self.sockets[name].recvmsg_into([room], 1024, int(flags))
        if any(kind == 11 and body[4] == STAMPED for level, kind, body in control if level == 0):
            # Headers that no two worlds have alike.
            room = bytearray(int(count))
        if name in self.echoes:
            # The sum, and the identifier that somebody picked.
            room[2:6] = bytes(4)
        text = f"got {length} {digest(room[:length])}"
        if address:
            text += f" from {say(address)}"
        if told & TOLD_FLAGS:
            text += f" flags {told & TOLD_FLAGS:x}"
        for level, kind, body in control:
            if (level, kind) == (socket.IPPROTO_IP, 11):
                code, origin, icmp, sub, _, info, data = SO_EE.unpack_from(body)
                if origin == ZERO_COPY:
                    # Whether a copy was made is the device's affair: veth makes one, the stack none.
                    text += f" sends {code} {icmp} {info}-{data}"
                    continue
                if origin == STAMPED:
                    text += f" stamp {code} {info} {data}"
                family, _, offender = struct.unpack_from("=HH4s", body, SO_EE.size)
                by = socket.inet_ntoa(offender) if family == socket.AF_INET else "-"
                text += f" error {code} {origin} {icmp} {sub} {info} by {by}"
            elif level == 1 and kind in TIMES:
                text += f" time {kind} {len(body)} {'known' if any(body[:16]) else 'unknown'}"
            else:
                text += f" control {level} {kind} {statistics(body) if (level, kind) == (1, 54) else body.hex()}"
        return text

    def do_sendhole(self, name: str, address: str, count: str, missing: str, flags: str = "0") -> str:
        data = self.pattern(name, count)
        with hole(len(data)) as base:
            ctypes.memmove(base, data, len(data))
            to = struct.pack("=H", socket.AF_INET) + struct.pack("!H", parse(address)[1]) + socket.inet_aton(
                parse(address)[0]) + bytes(8) if address != "-" else None
            sent = LIBC.sendto(
                self.sockets[name].fileno(), ctypes.c_void_p(base), ctypes.c_size_t(len(data) + int(missing)),
                int(flags) | socket.MSG_NOSIGNAL, to, 16 if to else 0)
        if sent < 0:
            raise OSError(ctypes.get_errno(), "sendto")
        self.sent[name] += sent
        return f"sent {sent}"

    def do_recvhole(self, name: str, count: str, missing: str, flags: str = "0") -> str:
        with hole(int(count)) as base:
            got = LIBC.recv(
                self.sockets[name].fileno(), ctypes.c_void_p(base), ctypes.c_size_t(int(count) + int(missing)),
                int(flags))
            if got < 0:
                raise OSError(ctypes.get_errno(), "recv")
            return f"got {got} {digest(ctypes.string_at(base, min(got, int(count))))}"

    def do_poll(self, name: str) -> str:
        poll = select.poll()
        poll.register(self.sockets[name], 0x2007)
        found = poll.poll(0)
        return f"poll {found[0][1] if found else 0:x}"

    def do_set(self, name: str, level: str, number: str, value: str = "") -> None:
        self.sockets[name].setsockopt(int(level), int(number), bytes.fromhex(value))

    def do_get(self, name: str, level: str, number: str, maximum: str) -> str:
        # Python takes no room at all for a number.
        room = ctypes.create_string_buffer(int(maximum) + 1)
        length = ctypes.c_uint32(int(maximum))
        if LIBC.getsockopt(self.sockets[name].fileno(), int(level), int(number), room, ctypes.byref(length)) < 0:
            raise OSError(ctypes.get_errno(), "getsockopt")
        return f"value {room.raw[:length.value].hex()}"

    def do_part(self, name: str, level: str, number: str, place: str, count: str) -> str:
        value = self.sockets[name].getsockopt(int(level), int(number), 1024)
        return f"value {value[int(place):int(place) + int(count)].hex()}"

    def do_name(self, name: str) -> str:
        return f"name {say(self.sockets[name].getsockname())}"

    def do_peername(self, name: str) -> str:
        return f"name {say(self.sockets[name].getpeername())}"


class Header(ctypes.Structure):
    """struct mmsghdr."""
    _fields_ = [
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32), ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int), ("padding", ctypes.c_int), ("length", ctypes.c_uint32), ("behind", ctypes.c_uint32)]


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Headers:
    """Messages of one buffer each, for sendmmsg and recvmmsg; Python has neither."""

    def __init__(self, address: str, pieces: list[bytes]) -> None:
        self.buffers = [ctypes.create_string_buffer(piece, max(1, len(piece))) for piece in pieces]
        self.vectors = [
            Vector(ctypes.cast(buffer, ctypes.c_void_p), len(piece)) for buffer, piece in zip(self.buffers, pieces)]
        self.array = (Header * len(pieces))()
        self.name = None
        if address != "-":
            host, port = parse(address)
            self.name = ctypes.create_string_buffer(
                struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8), 16)
        for header, vector in zip(self.array, self.vectors):
            header.vectors, header.vector_count = ctypes.cast(ctypes.pointer(vector), ctypes.c_void_p), 1
            if self.name is not None:
                header.name, header.name_length = ctypes.cast(self.name, ctypes.c_void_p), 16


@contextlib.contextmanager
def hole(count: int) -> Iterator[int]:
    """Room for so many bytes, behind which a page is that nobody may touch."""
    length = -(-count // mmap.PAGESIZE) * mmap.PAGESIZE
    with mmap.mmap(-1, length + mmap.PAGESIZE) as memory:
        held = ctypes.c_char.from_buffer(memory)
        base = ctypes.addressof(held)
        LIBC.mprotect(ctypes.c_void_p(base + length), ctypes.c_size_t(mmap.PAGESIZE), 0)
        try:
            yield base + length - count
        finally:
            LIBC.mprotect(ctypes.c_void_p(base + length), ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE)
            del held


def digest(data: bytes) -> int:
    total = 0
    for byte in data:
        total = (total * 31 + byte) & 0xFFFFFF
    return total


def peek(one: socket.socket) -> bytes:
    try:
        return one.recv(1 << 20, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


def signed(number: int) -> int:
    number &= 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number


def write_setting(setting: str, value: str) -> None:
    with open("/proc/sys/" + setting.replace(".", "/"), "w") as file:
        file.write(value)


def parse(text: str) -> tuple[str, int]:
    address, port = text.split(":")
    return address, int(port)


def say(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def main() -> None:
    agent = Agent()
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        print(agent.answer(words[0], words[1], words[2:]), flush=True)
    os._exit(0)


main()
