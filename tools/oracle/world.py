"""Two places where a script runs: on the kernel's sockets, and on the stack's. Each has a Linux peer on the other side."""

import ctypes
import errno
import os
import re
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from frames import FLAGS, FrameLog

HERE = Path(__file__).resolve().parent
UNDER_TEST = "10.0.0.2"
PEER = "10.0.0.1"
# On the peer's machine, and as silent as it can be: it has an address, and hears no TCP.
SILENT = "10.0.0.51"
# What Python has no name for, by level and number.
MORE_OPTIONS = {
    "IP_RECVERR": (0, 11), "IP_MTU_DISCOVER": (0, 10), "IP_MTU": (0, 14), "IP_PKTINFO": (0, 8), "IP_RECVTTL": (0, 12),
    "TCP_USER_TIMEOUT": (6, 18), "TCP_NOTSENT_LOWAT": (6, 25), "UDP_SEGMENT": (17, 103), "UDP_CORK": (17, 1),
    "IP_MULTICAST_IF": (0, 32), "IP_MULTICAST_TTL": (0, 33), "IP_MULTICAST_LOOP": (0, 34), "IP_ADD_MEMBERSHIP": (0, 35),
    "IP_DROP_MEMBERSHIP": (0, 36), "IP_UNBLOCK_SOURCE": (0, 37), "IP_BLOCK_SOURCE": (0, 38),
    "IP_ADD_SOURCE_MEMBERSHIP": (0, 39), "IP_DROP_SOURCE_MEMBERSHIP": (0, 40), "IP_MSFILTER": (0, 41),
    "MCAST_JOIN_GROUP": (0, 42), "MCAST_BLOCK_SOURCE": (0, 43), "MCAST_UNBLOCK_SOURCE": (0, 44),
    "MCAST_LEAVE_GROUP": (0, 45), "MCAST_JOIN_SOURCE_GROUP": (0, 46), "MCAST_LEAVE_SOURCE_GROUP": (0, 47),
    "MCAST_MSFILTER": (0, 48), "IP_MULTICAST_ALL": (0, 49), "IP_UNICAST_IF": (0, 50), "IP_OPTIONS": (0, 4),
    "IP_RECVOPTS": (0, 6), "IP_RETOPTS": (0, 7),
    "SO_TIMESTAMP": (1, 29), "SO_TIMESTAMPNS": (1, 35), "SO_TIMESTAMPING": (1, 37), "SO_TIMESTAMP_NEW": (1, 63),
    "SO_TIMESTAMPNS_NEW": (1, 64), "SO_TIMESTAMPING_NEW": (1, 65), "SCM_TS_OPT_ID": (1, 81), "SCM_DEVMEM_DMABUF": (1, 79),
    "UDP_GRO": (17, 104), "SO_NO_CHECK": (1, 11), "UDPLITE_SEND_CSCOV": (136, 10), "UDPLITE_RECV_CSCOV": (136, 11),
    "SO_INCOMING_CPU": (1, 49), "SO_TXTIME": (1, 61), "SCM_RIGHTS": (1, 1),
    "SO_BINDTOIFINDEX": (1, 62), "SO_MAX_PACING_RATE": (1, 47), "SO_ZEROCOPY": (1, 60),
    "SO_TIMESTAMP": (1, 29), "TCP_CC_INFO": (6, 26), "TCP_TX_DELAY": (6, 37),
    "TCP_REPAIR": (6, 19), "TCP_REPAIR_QUEUE": (6, 20), "TCP_QUEUE_SEQ": (6, 21), "TCP_REPAIR_OPTIONS": (6, 22),
    "TCP_TIMESTAMP": (6, 24), "TCP_REPAIR_WINDOW": (6, 29), "TCP_MD5SIG": (6, 14), "TCP_MD5SIG_EXT": (6, 32),
    "IP_FREEBIND": (0, 15), "IP_RECVORIGDSTADDR": (0, 20), "IP_MINTTL": (0, 21),
    "IP_BIND_ADDRESS_NO_PORT": (0, 24), "IP_RECVFRAGSIZE": (0, 25), "IP_LOCAL_PORT_RANGE": (0, 51), "SO_PEEK_OFF": (1, 42),
    "SO_RXQ_OVFL": (1, 40), "SO_BUF_LOCK": (1, 72), "SO_MEMINFO": (1, 55), "SO_PEERNAME": (1, 28), "SO_RCVMARK": (1, 75), "SO_SELECT_ERR_QUEUE": (1, 45),
    "TCP_THIN_LINEAR_TIMEOUTS": (6, 16), "TCP_THIN_DUPACK": (6, 17), "TCP_SAVE_SYN": (6, 27), "TCP_SAVED_SYN": (6, 28),
    "TCP_ULP": (6, 31), "TCP_INQ": (6, 36), "TCP_IS_MPTCP": (6, 43), "TCP_RTO_MAX_MS": (6, 44), "TCP_RTO_MIN_US": (6, 45),
    "TCP_DELACK_MAX_US": (6, 46),
    "TCP_FASTOPEN_CONNECT": (6, 30), "TCP_FASTOPEN_KEY": (6, 33), "TCP_FASTOPEN_NO_COOKIE": (6, 34),
}
REQUESTS = {"SIOCINQ": 0x541B, "SIOCOUTQ": 0x5411, "SIOCATMARK": 0x8905, "SIOCOUTQNSD": 0x894B}
# The sequence number of a SYN that is made by hand.
FIRST = 0x7FFFFF00
LEVELS = {"SO": socket.SOL_SOCKET, "TCP": 6, "IP": 0, "UDP": 17}
# What the machine may have otherwise; the stack has Linux's own values.
SETTINGS = (
    "net.ipv6.conf.all.disable_ipv6=1", "net.ipv4.tcp_congestion_control=cubic", "net.ipv4.tcp_no_metrics_save=1",
    "net.ipv4.ping_group_range=0 2147483647", "net.ipv4.tcp_rmem=4096 131072 6291456",
    "net.ipv4.tcp_wmem=4096 16384 4194304",
    # So that cookies are the same in both worlds.
    "net.ipv4.tcp_fastopen_key=00010203-04050607-08090a0b-0c0d0e0f", "net.ipv4.tcp_fastopen=1")
LIBC = ctypes.CDLL(None, use_errno=True)


NO_ENGINES = tuple(
    word for engine in ("tso", "gso", "gro", "tx-udp-segmentation") for word in (engine, "off"))


class ScriptError(Exception):
    pass


def signature_key(text: str) -> str:
    """md5:ADDRESS:KEY or md5:ADDRESS/LENGTH:KEY as a struct tcp_md5sig in hexadecimal digits."""
    _, place, key = text.split(":")
    host, slash, length = {"me": UNDER_TEST, "peer": PEER}.get(place, place).partition("/")
    address = struct.pack("=H2x4s120x", socket.AF_INET, socket.inet_aton(host))
    return (address + struct.pack("=BBHi80s", bool(slash), int(length or 0), len(key), 0, key.encode())).hex()


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def option(name: str) -> tuple[int, int]:
    if name in MORE_OPTIONS:
        return MORE_OPTIONS[name]
    prefix = name.split("_")[0]
    if prefix not in LEVELS or not hasattr(socket, name):
        raise ScriptError(f"unknown option {name}")
    return LEVELS[prefix], getattr(socket, name)


def value(word: str) -> str:
    """In hexadecimal."""
    if word.startswith("md5:"):
        return signature_key(word)
    if word.startswith("parts:"):
        return b"".join(map(part, word[6:].split(","))).hex()
    return word[4:] if word.startswith("hex:") else (int(word) & 0xFFFFFFFF).to_bytes(4, "little").hex()


def part(word: str) -> bytes:
    """Of a struct: an address, `@` and an address for a `sockaddr_storage`, or a number of four bytes."""
    if word.startswith("@"):
        return struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton(word[1:]))
    return socket.inet_aton(word) if "." in word else (int(word, 0) & 0xFFFFFFFF).to_bytes(4, "little")


def flag(word: str) -> int:
    more = {"ZEROCOPY": 0x4000000, "WAITFORONE": 0x10000, "PROBE": 0x10}
    return more[word] if word in more else getattr(socket, "MSG_" + word)


def inside(namespace: str, make):
    """What `make` returns, called in a namespace."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as other:
        if LIBC.setns(other.fileno(), 0) < 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
        try:
            return make()
        finally:
            LIBC.setns(home.fileno(), 0)


class Agent:
    """A process that makes socket calls; see kernel_agent.py."""

    def __init__(self, namespace: str, *command: str) -> None:
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer = self.process.stdout.readline().strip()
        if answer != "ready":
            raise ScriptError(f"{command[0]} does not start: {answer}")

    def tell(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        answer = self.process.stdout.readline()
        if not answer:
            raise ScriptError(f"the agent has ended with {self.process.wait()}")
        return answer.strip()

    def end(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class World:
    """One of the two. The host under test is 10.0.0.2/24, its peer 10.0.0.1/24."""

    def __init__(self, name: str, prefix: str) -> None:
        self.name = name
        self.peer_namespace = prefix + "p"
        self.namespaces: list[str] = []
        self.agents: dict[str, Agent] = {}

    def namespace(self, name: str) -> str:
        run("ip", "netns", "add", name)
        self.namespaces.append(name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        for setting in SETTINGS:
            subprocess.run(["ip", "netns", "exec", name, "sysctl", "-qw", setting], check=False)
        return name

    def start_peer(self, interface: str) -> None:
        self.agents["peer"] = Agent(self.peer_namespace, sys.executable, str(HERE / "kernel_agent.py"))
        run("ip", "-n", self.peer_namespace, "addr", "add", SILENT + "/32", "dev", interface)
        rules = f"table ip silent {{\nchain in {{\ntype filter hook input priority 0\nip daddr {SILENT} ip protocol tcp drop\n}}\n}}\n"
        subprocess.run(["ip", "netns", "exec", self.peer_namespace, "nft", "-f", "-"], input=rules, text=True, check=True)
        self.log = inside(self.peer_namespace, lambda: FrameLog(interface, UNDER_TEST))

    def end(self) -> None:
        for agent in self.agents.values():
            agent.end()
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False)

    # A step: told to both worlds, then heard from both.

    def tell(self, line: str) -> None:
        name, verb, *words = line.split()
        agent = self.agents["peer" if name.startswith("p") else "sut"]
        self.asked = agent
        agent.tell(" ".join([name, verb, *self.translate(verb, words)]))

    def hear(self) -> str:
        return self.plain(self.asked.hear())

    def translate(self, verb: str, words: list[str]) -> list[str]:
        if verb in ("bind", "connect", "sendto", "sendmsg", "sendmmsg", "sendhole") and words[0] != "-":
            places = {"me": UNDER_TEST, "peer": PEER, "lo": "127.0.0.1", "any": "0.0.0.0"}
            host, port = words[0].split(":")
            words[0] = f"{places.get(host, host)}:{self.log.real(int(port))}"
        if verb in ("set", "get", "part"):
            level, number = option(words[0])
            if verb == "part":
                return [str(level), str(number), *words[1:]]
            if verb == "get":
                return [str(level), str(number), words[1] if len(words) > 1 else "4"]
            return [str(level), str(number), value(words[1])]
        if verb == "ioctl":
            return [str(REQUESTS[words[0]])]
        if verb == "segment":
            return self.segment(words)
        if verb == "sendmsg":
            for place in range(3, len(words), 2):
                level, number = option(words[place])
                words[place:place + 2] = [f"{level} {number}", "=" + value(words[place + 1])]
        flags = {
            "send": 1, "sendto": 2, "recv": 1, "sendmsg": 2, "sendname": 3, "readv": 1, "sendmmsg": 2, "recvmmsg": 2,
            "sendhole": 3, "recvhole": 2,
        }.get(verb)
        if flags is not None and len(words) > flags and words[flags] != "0":
            words[flags] = str(sum(flag(word) for word in words[flags].split("|")))
        return words

    def segment(self, words: list[str]) -> list[str]:
        """SOURCE DESTINATION FLAGS [seq N] [ack N] [len N] [win N] [urg N] [tos N] [sack N-N,N-N] [opt HEXADECIMAL], numbers as frames show
        them."""
        source, destination = (self.log.real(int(port)) for port in words[:2])
        said = dict(zip(words[3::2], words[4::2]))
        flags = sum(bit for bit, letter in FLAGS if letter in words[2])
        # What it acknowledges may still be on its way here.
        until = time.monotonic() + 1
        while "ack" in said and (">", destination, source) not in self.log.first and time.monotonic() < until:
            self.log.collect(0.005)
        own = self.log.first.get(("<", source, destination), FIRST)
        other = self.log.first.get((">", destination, source), 0)
        numbers = (
            flags, (own + int(said.get("seq", 0))) & 0xFFFFFFFF,
            (other + int(said.get("ack", 0))) & 0xFFFFFFFF if "ack" in said else 0,
            said.get("len", 0), said.get("win", 65535), said.get("urg", 0), said.get("tos", 0))
        options = said.get("opt", "")
        if "sack" in said:
            edges = [int(edge) for block in said["sack"].split(",") for edge in block.split("-")]
            options += f"010105{2 + 4 * len(edges):02x}" + "".join(f"{(other + edge) & 0xFFFFFFFF:08x}" for edge in edges)
        return [str(source), str(destination), *map(str, numbers), "=" + options]

    def plain(self, answer: str) -> str:
        """With errors by name, and without what chance decides."""
        if answer.startswith("errno "):
            return errno.errorcode.get(int(answer[6:]), answer)
        return re.sub(r":(\d+)", lambda found: ":" + self.log.port(int(found.group(1))), answer)

    def reset(self) -> None:
        for name in ("sut", "peer"):
            self.agents[name].tell("- reset")
            self.agents[name].hear()


class KernelWorld(World):
    """Linux to Linux, over veth without segmentation offload."""

    def __init__(self, prefix: str) -> None:
        super().__init__("kernel", prefix)
        try:
            mine, peer = self.namespace(prefix + "k"), self.namespace(self.peer_namespace)
            run("ip", "-n", mine, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", peer)
            for name, address in ((mine, UNDER_TEST), (peer, PEER)):
                run("ip", "-n", name, "addr", "add", address + "/24", "dev", "eth0")
                run("ip", "netns", "exec", name, "ethtool", "-K", "eth0", *NO_ENGINES)
                run("ip", "-n", name, "link", "set", "eth0", "up")
            self.agents["sut"] = Agent(mine, sys.executable, str(HERE / "kernel_agent.py"))
            self.start_peer("eth0")
        except BaseException:
            self.end()
            raise


class StackWorld(World):
    """The stack to Linux, over a TAP that takes no engines."""

    def __init__(self, prefix: str) -> None:
        super().__init__("stack", prefix)
        try:
            peer = self.namespace(self.peer_namespace)
            self.agents["sut"] = Agent(peer, os.environ["SWIFTSTACK_ORACLE_AGENT"], "tap0")
            self.start_peer("tap0")
        except BaseException:
            self.end()
            raise
