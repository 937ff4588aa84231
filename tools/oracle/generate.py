"""Scripts that chance writes: legal calls in any order, with what a socket already is in mind, so that most of them do something.

The same seed is the same script for ever, as long as this file stays what it is.
"""

import random

# Options with values worth trying; everything that every socket takes first.
SOCKET_OPTIONS = (
    ("SO_REUSEADDR", (0, 1)), ("SO_REUSEPORT", (0, 1)), ("SO_KEEPALIVE", (0, 1)), ("SO_BROADCAST", (0, 1)),
    ("SO_OOBINLINE", (0, 1)), ("SO_PRIORITY", (0, 3, 6, 7, -1)), ("SO_RCVLOWAT", (0, 1, 5, 100, -1)),
    ("SO_SNDBUF", (0, 1, 4096, 100_000, -1)), ("SO_RCVBUF", (100_000, -1)),
    ("SO_LINGER", ("hex:0100000000000000", "hex:0100000001000000", "hex:0000000005000000", "hex:01")),
    ("SO_DONTROUTE", (0, 1)), ("IP_TOS", (0, 8, 0x10, 0xFC, 255, 256, -1)), ("IP_TTL", (1, 64, 255, 0, 256, -1)),
    ("IP_RECVERR", (0, 1)), ("IP_MTU_DISCOVER", (0, 1, 2, 3, 4, 5, 6, -1)), ("IP_RECVTTL", (0, 1)),
    ("SO_ZEROCOPY", (0, 1, 2, -1)), ("SO_BINDTOIFINDEX", (0, 1, 2, 99)),
    ("IP_OPTIONS", ("hex:", "hex:01010101", "hex:0101", "hex:0707040000000000", "hex:83", "hex:44080501", "hex:830b040a000001")),
    ("IP_MULTICAST_TTL", (0, 1, 255, -1, 256)), ("IP_MULTICAST_LOOP", (0, 1)), ("IP_MULTICAST_ALL", (0, 1)),
    ("IP_MULTICAST_IF", ("parts:10.0.0.2", "parts:0.0.0.0", "parts:10.0.0.9")),
    # Always by an interface: a group that no route leads to is on the only link here, and unreachable in Linux.
    ("IP_ADD_MEMBERSHIP", ("parts:239.1.1.1,10.0.0.2", "parts:10.0.0.1,10.0.0.2")),
    ("IP_DROP_MEMBERSHIP", ("parts:239.1.1.1,10.0.0.2", "parts:239.1.1.2,10.0.0.2")),
)
TCP_OPTIONS = (
    ("TCP_NODELAY", (0, 1)), ("TCP_CORK", (0, 1)), ("TCP_MAXSEG", (87, 88, 536, 1000, 1460, 32768, 0)),
    ("TCP_QUICKACK", (0, 1)), ("TCP_DEFER_ACCEPT", (0, 1, 5)), ("TCP_KEEPIDLE", (0, 1, 7200, 40_000)),
    ("TCP_KEEPINTVL", (0, 1, 75, 40_000)), ("TCP_KEEPCNT", (0, 1, 9, 200)), ("TCP_SYNCNT", (0, 1, 6, 200)),
    ("TCP_LINGER2", (0, 1, 60, -1)), ("TCP_USER_TIMEOUT", (0, 1000, -1)), ("TCP_NOTSENT_LOWAT", (0, 1000, 16384)),
    ("TCP_WINDOW_CLAMP", (0, 1, 5000, 100_000)), ("TCP_FASTOPEN_CONNECT", (0, 1, 2)), ("TCP_FASTOPEN", (0, 5, -1)),
    ("TCP_FASTOPEN_NO_COOKIE", (0, 1)),
)
UDP_OPTIONS = (("UDP_CORK", (0, 1)), ("UDP_SEGMENT", (0, 1, 100, 1400, 65_535, 65_536, -1)))
ASKED = (
    "SO_TYPE", "SO_ERROR", "SO_ACCEPTCONN", "SO_DOMAIN", "SO_PROTOCOL", "IP_MTU", "TCP_NODELAY", "TCP_CORK",
    "TCP_DEFER_ACCEPT", "TCP_LINGER2", "UDP_SEGMENT", "UDP_CORK",
)
SIZES = (0, 1, 2, 10, 99, 500, 1448, 1449, 1472, 1473, 3000, 5000)
RECEIVED = (0, 1, 5, 100, 1000, 20_000)
# Not MSG_MORE: what pushes it out, the timer or a segment, depends in Linux on the memory of that segment.
STREAM_FLAGS = ("", "", "", "", " OOB", " EOR", " DONTROUTE", " ZEROCOPY")
DATAGRAM_FLAGS = ("", "", "", "", " MORE", " OOB", " DONTROUTE", " CONFIRM", " ZEROCOPY")
RECEIVE_FLAGS = ("", "", "", "", " PEEK", " TRUNC", " PEEK|TRUNC", " WAITALL", " OOB", " ERRQUEUE")
PORTS = (0, 7000, 7000, 7001, 7001, 7002)

TCP_BY_US = (
    "p1 tcp", "p1 bind peer:7001", "p1 listen 5", "a tcp", "a connect peer:7001", "p1 accept p2")
TCP_BY_PEER = ("a tcp", "a bind any:7000", "a listen 5", "p1 tcp", "p1 connect me:7000", "a accept b")
TCP_INSIDE = ("a tcp", "a bind lo:7000", "a listen 5", "b tcp", "b connect lo:7000", "a accept c")
UDP_PAIR = ("p1 udp", "p1 bind peer:7001", "a udp", "a bind any:7000", "p1 connect me:7000", "a connect peer:7001")
UDP_OPEN = ("p1 udp", "p1 bind peer:7001", "a udp", "a bind any:7000")
BEGINNINGS = (TCP_BY_US, TCP_BY_US, TCP_BY_PEER, TCP_BY_PEER, TCP_INSIDE, UDP_PAIR, UDP_OPEN, (), ())


def sequence(seed: int) -> list[str]:
    """The calls of a seed."""
    chance = random.Random(seed)
    beginning = chance.choice(BEGINNINGS)
    calls = list(beginning)
    kinds: dict[str, str] = {}
    for call in calls:
        note(call, kinds)
    for _ in range(chance.randint(5, 16)):
        call = one(chance, kinds)
        calls.append(call)
        note(call, kinds)
    # What is left when everything is closed: a connection that still has the port, or none.
    left = sorted(kinds)
    chance.shuffle(left)
    return [*calls, *(f"{name} close" for name in left), "e tcp", f"e bind any:{chance.choice(PORTS[1:])}"]


def note(call: str, kinds: dict[str, str]) -> None:
    """Which sockets there are after a call, as far as can be told beforehand."""
    name, verb, *words = call.split()
    if verb in ("tcp", "udp", "ping"):
        kinds[name] = verb
    elif verb == "accept":
        kinds.setdefault(words[0], kinds.get(name, "tcp"))
    elif verb == "close":
        kinds.pop(name, None)


def one(chance: random.Random, kinds: dict[str, str]) -> str:
    ours = [name for name in kinds if not name.startswith("p")]
    theirs = [name for name in kinds if name.startswith("p")]
    free = [name for name in "abcd" if name not in kinds]
    if not ours or (free and chance.random() < 0.08):
        return f"{free[0]} {chance.choice(('tcp', 'tcp', 'udp', 'udp', 'ping'))}"
    if theirs and chance.random() < 0.3:
        return peers(chance, chance.choice(theirs), kinds)
    name = chance.choice(ours)
    kind = kinds[name]
    verbs = ("send", "send", "send", "recv", "recv", "recv", "poll", "poll", "set", "set", "get", "shutdown", "name", "peername",
             "bind", "connect", "sendto", "sendto", "close", "disconnect", "listen", "accept", "wait")
    return words(chance, name, kind, chance.choice(verbs), free)


def peers(chance: random.Random, name: str, kinds: dict[str, str]) -> str:
    """The peer does what makes something happen here."""
    verb = chance.choice(("send", "send", "send", "recv", "recv", "shutdown", "close", "connect"))
    if verb == "connect":
        return f"{name} connect me:{chance.choice(PORTS[1:])}"
    return words(chance, name, kinds[name], verb, [])


def words(chance: random.Random, name: str, kind: str, verb: str, free: list[str]) -> str:
    is_stream = kind == "tcp"
    if verb == "send":
        return f"{name} send {chance.choice(SIZES)}{chance.choice(STREAM_FLAGS if is_stream else DATAGRAM_FLAGS)}"
    if verb == "recv":
        return f"{name} recv {chance.choice(RECEIVED)}{chance.choice(RECEIVE_FLAGS)}"
    if verb == "shutdown":
        return f"{name} shutdown {chance.choice(('r', 'w', 'rw'))}"
    if verb == "set":
        own = TCP_OPTIONS if is_stream else UDP_OPTIONS
        option, values = chance.choice(chance.choice((SOCKET_OPTIONS, own)))
        return f"{name} set {option} {chance.choice(values)}"
    if verb == "get":
        return f"{name} get {chance.choice(ASKED)}"
    if verb == "bind":
        return f"{name} bind {chance.choice(('me', 'any', 'lo', 'peer'))}:{chance.choice(PORTS)}"
    if verb == "connect":
        # A datagram socket whose peer has port 0 hears all ports of it, in Linux alone.
        ports = PORTS if is_stream else PORTS[1:]
        return f"{name} connect {chance.choice(('peer', 'peer', 'me', 'lo'))}:{chance.choice(ports)}"
    if verb == "sendto":
        flags = chance.choice((*STREAM_FLAGS, " FASTOPEN") if is_stream else DATAGRAM_FLAGS)
        place = chance.choice(("peer", "peer", "me", "lo"))
        return f"{name} sendto {place}:{chance.choice(PORTS)} {chance.choice(SIZES)}{flags}"
    if verb == "listen":
        return f"{name} listen {chance.choice((0, 1, 5))}"
    if verb == "accept":
        return f"{name} accept {free[0]}" if free else f"{name} poll"
    if verb == "wait":
        return f"wait {chance.choice((60, 250))}"
    # The number that a ping socket picks may look like one that was asked for.
    return f"{name} {verb if kind != 'ping' or verb != 'name' else 'poll'}"
