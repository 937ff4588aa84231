"""The kernel's side of tools/soak: clients and servers of many kinds at once against a stack, and the trouble that they meet.

    load.py --interface IFNAME --binary SWIFTSTACK --stack IP --host IP --daemon PID --seconds N --seed N --jobs N

Each job is a process of its own, so that it can be killed in the middle; a third of them are. At the end one line of JSON
says what ran, what came of it, and which bytes were wrong.
"""

import argparse
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback

from peer import internet_checksum

ECHO, DISCARD, DAYTIME, CHARGEN, CLOSED = 7, 9, 13, 19, 6
# Servers of ours.
SINK, SOURCE, RESET, SLOW, BACK = 5001, 5002, 5003, 5004, 5005
# What a job ends with.
FINE, DISTURBED, WRONG, BROKEN = 0, 3, 4, 5
# Addresses of the network that nobody has.
SILENT = ["10.0.0.77", "10.0.0.78", "10.0.0.79"]
# A second address that the stack has for a while.
SECOND = "10.0.0.3"
BYTES = random.Random(9293).randbytes(1 << 20) * 2


class Wrong(Exception):
    """What came is not what has to come, whatever happened on the way."""


def piece(place: int, count: int) -> bytes:
    place %= 1 << 20
    return BYTES[place : place + count]


def established() -> set[tuple[int, str, int]]:
    """Linux's connections: own port, other end."""
    found = set()
    with open("/proc/net/tcp") as file:
        for line in file.readlines()[1:]:
            own, other = line.split()[1:3]
            address = socket.inet_ntoa(struct.pack("<I", int(other[:8], 16)))
            found.add((int(own[9:], 16), address, int(other[9:], 16)))
    return found


def end_half_open(options) -> int:
    """Connections of which only the stack knows, as their resets were lost: a SYN between their ends is answered with an ACK that
    Linux refuses (RFC 9293 figure 10). Returns how many there were.
    """

    def ask(*arguments: str) -> str:
        return subprocess.run(
            [options.binary, *arguments, "--interface", options.interface], capture_output=True, text=True, timeout=30).stdout

    states = ("ESTAB", "CLOSE-WAIT", "FIN-WAIT-1", "FIN-WAIT-2", "LAST-ACK", "CLOSING")
    known, halves = established(), []
    for entry in json.loads(ask("ss", "--json")):
        if entry["netid"] == "tcp" and entry["state"] in states:
            address, port = entry["local"].rsplit(":", 1)
            own = int(entry["peer"].rsplit(":", 1)[1])
            if (own, address, int(port)) not in known:
                halves.append((address, int(port), own))
    # Of an address that the stack has no more it hears only while it has it.
    gone = {address for address, _, _ in halves} - {options.stack}
    for address in gone:
        ask("addr", "add", f"{address}/24")
    callers = []
    for address, port, own in halves:
        caller = socket.socket()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.setblocking(False)
        try:
            caller.bind(("", own))
            caller.connect((address, port))
        except OSError:
            pass
        callers.append(caller)
    time.sleep(4 if halves else 0)
    for caller in callers:
        caller.close()
    for address in gone:
        ask("addr", "del", f"{address}/24")
    return len(halves)


class Jobs:
    """The kinds, each a method: it runs in a process of its own, and is killed when its time is up."""

    def __init__(self, options, numbers: random.Random) -> None:
        self.options = options
        self.numbers = numbers
        self.target = options.stack
        if numbers.random() < 0.1:
            self.target = SECOND

    def connect(self, port: int, seconds: float = 8, buffer: int | None = None) -> socket.socket:
        client = socket.socket()
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        if self.numbers.random() < 0.2:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.numbers.random() < 0.2:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, self.numbers.choice([88, 536, 700, 1000, 1400]))
        client.settimeout(seconds)
        client.connect((self.target, port))
        return client

    def reset(self, client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    def swiftstack(self, *arguments: str, shell: str = "") -> None:
        """One of the stack's own clients, in this process's place; with a shell line around it."""
        command = [self.options.binary, *arguments, "--interface", self.options.interface]
        if not shell:
            os.execv(command[0], command)
        os.execv("/bin/bash", ["bash", "-c", shell.replace("CLIENT", '"$@"'), "bash", *command])

    # Clients of the stack's services

    def echo(self, wait: float = 0) -> None:
        """What comes back is what went, in order."""
        client = self.connect(ECHO)
        total, sent, received = self.numbers.choice([1, 100, 5000, 100_000, 2_000_000]), 0, 0
        while received < total:
            can = [client] if sent < total and sent - received < 200_000 else []
            readable, writable, _ = select.select([client], can, [], 8)
            if not readable and not writable:
                raise TimeoutError
            if writable:
                sent += client.send(piece(sent, min(total - sent, 32768)))
                if sent == total:
                    client.shutdown(socket.SHUT_WR)
            if readable:
                data = client.recv(65536)
                if not data:
                    raise Wrong(f"the end after {received} of {total} bytes")
                if data != piece(received, len(data)):
                    raise Wrong(f"other bytes from {received} on")
                received += len(data)
            if wait:
                time.sleep(wait)
        if client.recv(1):
            raise Wrong("bytes behind the last")

    def slow_echo(self) -> None:
        self.echo(self.numbers.choice([0.005, 0.02]))

    def bulk_in(self) -> None:
        """As much as the stack takes, for a while."""
        client, until, place = self.connect(DISCARD), time.monotonic() + self.numbers.uniform(0.2, 2), 0
        while time.monotonic() < until:
            place += client.send(piece(place, 65536))
            time.sleep(0.002)
        client.shutdown(socket.SHUT_WR)
        client.recv(1)

    def bulk_out(self) -> None:
        """chargen, for a while, and then a reset: it has no end."""
        client, until, count = self.connect(CHARGEN), time.monotonic() + self.numbers.uniform(0.2, 2), 0
        while time.monotonic() < until:
            data = client.recv(65536)
            if not data:
                raise Wrong("chargen ended")
            count += len(data)
            time.sleep(0.002)
        self.reset(client)

    def slow_reader(self) -> None:
        client, until = self.connect(CHARGEN, buffer=4096), time.monotonic() + self.numbers.uniform(1, 6)
        while time.monotonic() < until:
            client.recv(self.numbers.choice([1, 100, 2000]))
            time.sleep(0.05)
        client.close()

    def no_reader(self) -> None:
        """Its window closes, and it is gone."""
        client = self.connect(CHARGEN, buffer=2048)
        time.sleep(self.numbers.uniform(1, 8))
        client.close()

    def short(self) -> None:
        """A hundred connections, one after the other, each a word or none."""
        for _ in range(100):
            port = self.numbers.choice([ECHO, DAYTIME, DISCARD, CHARGEN])
            client = self.connect(port, 4)
            how = self.numbers.random()
            if how < 0.3:
                client.sendall(b"hello")
            if how < 0.1 and port != DISCARD:
                client.recv(10)
            if how > 0.7:
                self.reset(client)
            else:
                client.close()

    def refused(self) -> None:
        for _ in range(20):
            try:
                self.connect(CLOSED, 4).close()
                raise Wrong("somebody listens where nobody does")
            except ConnectionRefusedError:
                pass

    def crowd(self) -> None:
        """A hundred at once, and all gone at once."""
        clients = [self.connect(self.numbers.choice([ECHO, DISCARD])) for _ in range(100)]
        for client in clients:
            client.send(b"x" * self.numbers.choice([1, 1000, 20000]))
        time.sleep(self.numbers.uniform(0, 3))
        for client in clients:
            self.reset(client) if self.numbers.random() < 0.5 else client.close()

    def linger(self) -> None:
        """Data under way in both directions, and a reset."""
        for _ in range(10):
            client = self.connect(self.numbers.choice([ECHO, CHARGEN]))
            client.send(piece(0, self.numbers.choice([10, 3000, 60000])))
            time.sleep(self.numbers.choice([0, 0.001, 0.05]))
            self.reset(client)

    def half_closed(self) -> None:
        client = self.connect(CHARGEN)
        client.shutdown(socket.SHUT_WR)
        time.sleep(self.numbers.uniform(0, 2))
        client.close()

    def urgent(self) -> None:
        client = self.connect(ECHO)
        for _ in range(20):
            client.send(b"!", socket.MSG_OOB)
            client.send(b"abc")
            client.recv(3)

    def udp_echo(self) -> None:
        """What comes back is what went; it may stay away."""
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect((self.target, ECHO))
        client.settimeout(0.3)
        came = 0
        for number in range(60):
            size = self.numbers.choice([0, 1, 500, 1472, 1473, 9000, 60000])
            sent = struct.pack(">I", number) + piece(number, size)
            client.send(sent)
            try:
                data = client.recv(65536)
            except TimeoutError:
                continue
            came += 1
            # It may be an answer to one before.
            first = struct.unpack(">I", data[:4])[0]
            if first > number or data[4:] != piece(first, len(data) - 4):
                raise Wrong("a datagram with other bytes")
        if not came:
            raise TimeoutError

    def udp_flood(self) -> None:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for _ in range(self.numbers.choice([500, 3000])):
            port = self.numbers.choice([ECHO, DISCARD, CHARGEN, CLOSED])
            client.sendto(piece(0, self.numbers.choice([10, 1400, 5000])), (self.target, port))
            if self.numbers.random() < 0.05:
                time.sleep(0.01)

    def ping(self) -> None:
        size = self.numbers.choice(["56", "1472", "20000"])
        os.execvp("ping", ["ping", "-q", "-c", "40", "-i", "0.02", "-s", size, "-W", "1", self.target])

    def netcat(self) -> None:
        os.execvp("bash", ["bash", "-c", f"head -c 300000 /dev/zero | nc -N -w 5 {self.target} 7 >/dev/null"])

    def curl(self) -> None:
        os.execvp("bash", ["bash", "-c", f"curl -s -m 5 telnet://{self.target}:19 </dev/null | head -c 500000 >/dev/null"])

    # Packets that lead nowhere

    def packet(self, source: str, protocol: int, payload: bytes, offset: int = 0) -> bytes:
        header = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), self.numbers.randrange(65536), offset, 64, protocol, 0,
            socket.inet_aton(source), socket.inet_aton(self.options.stack))
        return header[:10] + internet_checksum(header) + header[12:] + payload

    def raw(self) -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def fragments(self) -> None:
        """Datagrams of which a fragment never comes, from us and from others; some fragments overlap."""
        wire = self.raw()
        for _ in range(200):
            source = self.numbers.choice([self.options.host, *SILENT])
            offset = self.numbers.choice([0, 1, 100, 185])
            payload = piece(0, 8 * self.numbers.randint(1, 180))
            one = self.packet(source, self.numbers.choice([17, 17, 6, 1]), payload, offset | 0x2000)
            wire.sendto(one, (self.options.stack, 0))
            if self.numbers.random() < 0.2:
                other = one[:6] + struct.pack(">H", (offset + 1) | 0x2000) + b"\x40\x11\0\0" + one[12:]
                wire.sendto(other[:10] + internet_checksum(other[:20]) + other[12:], (self.options.stack, 0))
            time.sleep(0.002)

    def half_open(self) -> None:
        """SYNs of hosts that are not there."""
        wire = self.raw()
        for _ in range(60):
            source = self.numbers.choice(SILENT)
            port = self.numbers.randrange(1024, 65535)
            head = struct.pack(
                ">HHIIBBHHH", port, self.numbers.choice([ECHO, CHARGEN]), self.numbers.randrange(1 << 32), 0, 0x50, 2, 8192, 0, 0)
            pseudo = socket.inet_aton(source) + socket.inet_aton(self.options.stack) + struct.pack(">HH", 6, len(head))
            head = head[:16] + internet_checksum(pseudo + head) + head[18:]
            wire.sendto(self.packet(source, 6, head), (self.options.stack, 0))
            time.sleep(0.01)

    def garbage(self) -> None:
        wire = self.raw()
        for _ in range(300):
            protocol = self.numbers.choice([1, 2, 6, 6, 17, 47, 136])
            payload = self.numbers.randbytes(self.numbers.randint(0, 1400))
            if protocol == 6 and len(payload) > 20:
                port = struct.pack(">H", self.numbers.choice([ECHO, DISCARD, CHARGEN]))
                payload = payload[:2] + port + payload[4:16] + b"\0\0" + payload[18:]
            offset = self.numbers.choice([0, 0, 0x4000, 0x2000, 5, 0x1FFF])
            wire.sendto(self.packet(self.options.host, protocol, payload, offset), (self.options.stack, 0))
            time.sleep(0.001)

    # The stack's own clients

    def perf_send(self) -> None:
        more = ["-Z"] if self.numbers.random() < 0.4 else []
        streams = self.numbers.choice(["1", "1", "4"])
        port = str(self.numbers.choice([SINK, SINK, SLOW, RESET]))
        self.swiftstack("perf", "send", self.options.host, port, "-t", "1", "-P", streams, *more)

    def perf_receive(self) -> None:
        port = self.numbers.randrange(20000, 30000)
        if os.fork() == 0:
            time.sleep(0.4)
            until = time.monotonic() + self.numbers.uniform(0.2, 2)
            with socket.create_connection((self.options.stack, port), 3) as client:
                while time.monotonic() < until:
                    client.send(piece(0, 65536))
                    time.sleep(0.002)
            os._exit(0)
        self.swiftstack("perf", "recv", str(port), "-t", "3")

    def nc_out(self) -> None:
        self.swiftstack("nc", "-w", "5", self.options.host, str(BACK), shell="head -c 500000 /dev/zero | CLIENT >/dev/null")

    def nc_in(self) -> None:
        self.swiftstack("nc", "-w", "5", self.options.host, str(SOURCE), shell="CLIENT </dev/null | head -c 3000000 >/dev/null")

    def nc_listen(self) -> None:
        port = self.numbers.randrange(30000, 40000)
        if os.fork() == 0:
            time.sleep(0.4)
            with socket.create_connection((self.options.stack, port), 3) as client:
                client.sendall(piece(0, 100_000))
                client.recv(10)
            os._exit(0)
        self.swiftstack("nc", "-l", "-w", "4", str(port), shell="echo answer | CLIENT >/dev/null")

    def nc_udp(self) -> None:
        self.swiftstack("nc", "-u", "-w", "2", self.options.host, str(BACK), shell="(echo one; sleep 1; echo two) | CLIENT >/dev/null")

    def nc_nobody(self) -> None:
        self.swiftstack("nc", "-w", "3", self.numbers.choice(SILENT), "80", shell="CLIENT </dev/null")

    def stack_ping(self) -> None:
        host = self.numbers.choice([self.options.host, self.options.host, SILENT[0]])
        size = self.numbers.choice(["56", "3000"])
        self.swiftstack("ping", "-c", "10", "-i", "0.1", "-s", size, "-W", "1", host, shell="CLIENT >/dev/null")

    def capture(self) -> None:
        self.swiftstack("capture", "-", shell="CLIENT 2>/dev/null >/dev/null")

    def trace(self) -> None:
        self.swiftstack("trace", "--follow", shell="CLIENT | head -c 200000 >/dev/null")

    def reports(self) -> None:
        word = self.numbers.choice(["ss", "stats", "nic", "neigh", "route", "qdisc", "addr", "sysctl -a", "stats --drops", "conntrack"])
        self.swiftstack(*word.split(), shell="CLIENT >/dev/null")


# How often each kind runs, of all, and for how long at most.
KINDS = {
    "echo": (10, 12), "slow_echo": (3, 12), "bulk_in": (5, 8), "bulk_out": (5, 8), "slow_reader": (3, 8), "no_reader": (3, 9),
    "short": (5, 12), "refused": (1, 8), "crowd": (2, 10), "linger": (4, 10), "half_closed": (2, 6), "urgent": (1, 6),
    "udp_echo": (5, 20), "udp_flood": (2, 8), "ping": (3, 8), "netcat": (2, 8), "curl": (2, 8), "fragments": (2, 5),
    "half_open": (1, 5), "garbage": (1, 5), "perf_send": (4, 6), "perf_receive": (3, 8), "nc_out": (3, 8), "nc_in": (3, 8),
    "nc_listen": (2, 8), "nc_udp": (1, 6), "nc_nobody": (1, 6), "stack_ping": (2, 6), "capture": (2, 4), "trace": (1, 4),
    "reports": (3, 5),
}


def serve(port: int) -> None:
    """One of Linux's servers, until it is killed: a process for each connection would be too many, so it is one with poll."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if port == SLOW:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.bind(("", port))
    server.listen(64)
    poll = select.poll()
    poll.register(server, select.POLLIN)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if port == BACK:
        datagrams.bind(("", port))
        poll.register(datagrams, select.POLLIN)
    clients: dict[int, socket.socket] = {}
    waiting: dict[int, bytes] = {}
    while True:
        for descriptor, _ in poll.poll(1000):
            if descriptor == server.fileno():
                client = server.accept()[0]
                client.setblocking(False)
                clients[client.fileno()] = client
                poll.register(client, select.POLLOUT if port == SOURCE else select.POLLIN)
                continue
            if descriptor == datagrams.fileno():
                data, sender = datagrams.recvfrom(65536)
                datagrams.sendto(data, sender)
                continue
            client = clients[descriptor]
            try:
                if port == SOURCE:
                    client.send(piece(0, 32768))
                    time.sleep(0.0005)
                    continue
                if descriptor in waiting:
                    rest = waiting.pop(descriptor)
                    waiting[descriptor] = rest[client.send(rest) :]
                    if not waiting[descriptor]:
                        del waiting[descriptor]
                        poll.modify(client, select.POLLIN)
                    continue
                data = client.recv(500 if port == SLOW else 65536)
                if port == SLOW:
                    time.sleep(0.02)
                if port == BACK and data:
                    waiting[descriptor] = data
                    poll.modify(client, select.POLLOUT)
                if data and port != RESET:
                    continue
                if port == RESET:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except BlockingIOError:
                continue
            except OSError:
                pass
            poll.unregister(descriptor)
            clients.pop(descriptor).close()
            waiting.pop(descriptor, None)


class Trouble:
    """What happens to the path, the stack and its memory: a cycle, a line each, seconds from its begin."""

    LENGTH = 60

    def __init__(self, options) -> None:
        self.options = options
        link = options.interface
        self.base = self.address()
        both = "netem loss 2% duplicate 1% reorder 95% delay 1ms corrupt 0.2% limit 10000"
        places = ("root", "ingress")
        # Each needs the next.
        features = ["tso", "tx-udp-segmentation", "gro", "sg", "tx-checksum"]
        nft = "nft add table netdev soak; " + "".join(
            f"nft add chain netdev soak {hook} '{{ type filter hook {hook} device {link} priority 0; }}'; "
            f"nft add rule netdev soak {hook} numgen random mod 100 '<' 3 drop; " for hook in ("ingress", "egress"))
        memory = self.ask("sysctl", "net.ipv4.tcp_mem").split("=")[1].split()
        # What begins when, and ends when.
        plan = [
            (5, 9, "loss", lambda: self.shell(nft), lambda: self.shell("nft delete table netdev soak")),
            (9.5, 17, "loss, reordering, duplication, corruption", lambda: [
                self.ask("qdisc", "replace", place, *both.split()) for place in places], lambda: [
                self.ask("qdisc", "del", place) for place in places]),
            (19, 19.5, "link down", lambda: self.shell(f"ip link set {link} down"), lambda: self.shell(f"ip link set {link} up")),
            (21, 23, "link down", lambda: self.shell(f"ip link set {link} down"), lambda: self.shell(f"ip link set {link} up")),
            (25, 26, "neighbours flushed", lambda: self.shell(f"ip neigh flush dev {link}"), lambda: self.ask("neigh", "flush")),
            (27, 32, "memory short", lambda: self.ask("sysctl", "net.ipv4.tcp_mem=64 96 160"),
             lambda: self.ask("sysctl", f"net.ipv4.tcp_mem={' '.join(memory)}")),
            (33, 41, "second address", lambda: self.ask("addr", "add", f"{SECOND}/24"), lambda: self.ask("addr", "del", f"{SECOND}/24")),
            (36, 36.6, "NIC stalls", lambda: self.fault("stall"), lambda: self.fault("off")),
            (37, 38, "NIC drops", lambda: self.fault("drop", "2%"), lambda: self.fault("off")),
            (38.5, 39.2, "mappings fail", lambda: self.fault("map-fail", "200"), lambda: self.fault("off")),
            (39.3, 40.5, "write-back is late", lambda: self.fault("late-writeback", "5"), lambda: self.fault("off")),
            (42, 45, "engines off", lambda: [self.ask("nic", "set", word, "off") for word in features],
             lambda: [self.ask("nic", "set", word, "on") for word in reversed(features)]),
            (46, 48, "MTU 600", lambda: self.mtu(600), lambda: self.mtu(1500)),
            (49, 49.7, "process stopped", lambda: os.kill(options.daemon, signal.SIGSTOP),
             lambda: os.kill(options.daemon, signal.SIGCONT)),
            (51, 51.6, "stack's link down", lambda: self.ask("link", "set", "down"), lambda: self.ask("link", "set", "up")),
            (53, 54.5, "Linux's MAC address changes", lambda: self.shell(f"ip link set {link} address 02:11:22:33:44:55"),
             lambda: self.shell(f"ip link set {link} address {self.base}")),
            (55, 58, "connections tracked", lambda: self.ask("filter", "add", "input", "ct", "state", "invalid", "drop"), self.untrack),
        ]
        self.cycle = sorted(
            [(begin, name, start) for begin, _, name, start, _ in plan] + [(end, None, undo) for _, end, _, _, undo in plan],
            key=lambda step: step[0])
        # Each beginning's end, and the ends that are to come.
        self.ends = {id(start): undo for _, _, _, start, undo in plan}
        self.open: list = []
        self.counts: dict[str, int] = {}
        self.failures: list[str] = []
        self.next = 0
        self.begin = time.monotonic()

    def address(self) -> str:
        with open(f"/sys/class/net/{self.options.interface}/address") as file:
            return file.read().strip()

    def shell(self, line: str) -> None:
        self.run(["bash", "-c", line])

    def ask(self, *arguments: str) -> str:
        return self.run([self.options.binary, *arguments, "--interface", self.options.interface])

    def run(self, command: list[str]) -> str:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if found.returncode != 0 and hasattr(self, "failures"):
            self.failures.append(f"{' '.join(command)}: {(found.stderr or found.stdout).strip()}")
        return found.stdout

    def fault(self, *words: str) -> None:
        self.ask("nic", "fault", *words)

    def mtu(self, size: int) -> None:
        self.shell(f"ip link set {self.options.interface} mtu {size}")
        self.ask("link", "set", "mtu", str(size))

    def untrack(self) -> None:
        for chain in json.loads(self.ask("filter", "--json")):
            for rule in chain["rules"]:
                self.ask("filter", "del", chain["chain"], "handle", str(rule["handle"]))

    def turn(self) -> None:
        """Does what is due."""
        while time.monotonic() - self.begin >= self.next // len(self.cycle) * self.LENGTH + self.cycle[self.next % len(self.cycle)][0]:
            _, name, act = self.cycle[self.next % len(self.cycle)]
            self.next += 1
            act()
            if name:
                self.counts[name] = self.counts.get(name, 0) + 1
                self.open.append(self.ends[id(act)])
            else:
                self.open.remove(act)

    def calm(self) -> None:
        """Ends what has begun."""
        for act in self.open:
            act()


class Zoo:
    def __init__(self, options) -> None:
        self.options = options
        self.numbers = random.Random(options.seed)
        self.jobs: dict[int, tuple[str, float]] = {}
        self.servers: dict[int, int] = {}
        self.counts = {kind: dict.fromkeys(("run", "fine", "disturbed", "killed"), 0) for kind in KINDS}
        self.wrong: list[str] = []
        self.restarts = 0
        self.recoveries = 0
        self.recovery: int | None = None
        self.trouble = Trouble(options)
        self.pipe = os.pipe()
        os.set_blocking(self.pipe[0], False)

    def fork(self, body) -> int:
        """A process group of its own that runs `body`."""
        seed = self.numbers.random()
        child = os.fork()
        if child:
            return child
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        quiet = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(quiet, descriptor)
        try:
            body(random.Random(seed))
        except Wrong as error:
            os.write(self.pipe[1], f"{error}\n".encode())
            os._exit(WRONG)
        except OSError:
            os._exit(DISTURBED)
        except BaseException:
            # A fault of this program: it must not go on as a second zoo.
            os.write(self.pipe[1], traceback.format_exc().encode())
            os._exit(BROKEN)
        os._exit(FINE)

    def start(self) -> None:
        kind = self.numbers.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
        # tools/soak looks at the resident memory in the rest of the cycle.
        if kind == "capture" and (time.monotonic() - self.trouble.begin) % Trouble.LENGTH > 30:
            return
        child = self.fork(lambda numbers: getattr(Jobs(self.options, numbers), kind)())
        most = KINDS[kind][1]
        self.counts[kind]["run"] += 1
        ends = self.numbers.uniform(0.02, most / 3) if self.numbers.random() < 0.33 else most
        self.jobs[child] = (kind, time.monotonic() + ends)

    def kill(self, child: int) -> int:
        """Ends a process group that is ours and returns what its first process ended with."""
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            # It has not made its group yet.
            os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]

    def look(self) -> None:
        """Ends jobs whose time is up, and notes what became of those that have ended."""
        now = time.monotonic()
        for child, (kind, ends) in list(self.jobs.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                # A shell's or a forked one's other processes.
                try:
                    os.killpg(child, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                result = "fine" if status == 0 else "disturbed"
                if os.waitstatus_to_exitcode(status) in (WRONG, BROKEN):
                    self.wrong.append(kind)
            elif now > ends:
                self.kill(child)
                result = "killed"
            else:
                continue
            self.counts[kind][result] += 1
            del self.jobs[child]

    def recover(self) -> None:
        """At the end of each cycle, when nothing is lost: connections that lost their peer would become more and more."""
        if self.recovery is not None and os.waitpid(self.recovery, os.WNOHANG)[0]:
            self.recovery = None
        due = int((time.monotonic() - self.trouble.begin + 2) // Trouble.LENGTH)
        if due > self.recoveries and self.recovery is None:
            self.recoveries = due
            self.recovery = self.fork(lambda numbers: end_half_open(self.options))

    def renew_servers(self, one: int | None = None) -> None:
        """Starts those that do not run; kills one before, in the middle of what it does."""
        for port in (SINK, SOURCE, RESET, SLOW, BACK):
            if port == one and port in self.servers:
                self.kill(self.servers.pop(port))
                self.restarts += 1
            if port not in self.servers:
                self.servers[port] = self.fork(lambda numbers: serve(port))

    def run(self) -> None:
        end = time.monotonic() + self.options.seconds
        self.renew_servers()
        server_ends = time.monotonic() + 7
        while time.monotonic() < end and not stopped:
            self.look()
            for _ in range(3):
                if len(self.jobs) < self.options.jobs:
                    self.start()
            if time.monotonic() > server_ends:
                server_ends += 7
                self.renew_servers(self.numbers.choice([SINK, SOURCE, RESET, SLOW, BACK]))
            self.trouble.turn()
            self.recover()
            time.sleep(0.03)
        self.trouble.calm()
        self.look()
        for child, (kind, _) in self.jobs.items():
            self.kill(child)
            self.counts[kind]["killed"] += 1
        for child in self.servers.values():
            self.kill(child)
        if self.recovery is not None:
            os.waitpid(self.recovery, 0)

    def report(self) -> dict:
        try:
            words = os.read(self.pipe[0], 65536).decode()
        except BlockingIOError:
            words = ""
        return {
            "jobs": self.counts, "wrong": self.wrong, "words": words.splitlines(), "trouble": self.trouble.counts,
            "failures": self.trouble.failures, "servers killed": self.restarts,
        }


stopped = False


def stop(*_: object) -> None:
    global stopped
    stopped = True


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("interface", "binary", "stack", "host"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("daemon", "seed", "jobs"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--end-half-open", action="store_true", help="and nothing else; prints how many there were")
    options = parser.parse_args()
    if options.end_half_open:
        print(end_half_open(options))
        return
    signal.signal(signal.SIGTERM, stop)
    zoo = Zoo(options)
    zoo.run()
    print(json.dumps(zoo.report()))


main()
