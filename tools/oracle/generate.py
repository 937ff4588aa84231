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
    ("SO_PEEK_OFF", (-1, 0, 0, 1, 5, 100)), ("SO_SELECT_ERR_QUEUE", (0, 1)), ("SO_BUF_LOCK", (0, 1, 2, 3, 4)),
    ("SO_MARK", (0, 7)), ("SO_RCVMARK", (0, 1)), ("SO_RXQ_OVFL", (0, 1)), ("IP_PKTINFO", (0, 1)), ("IP_RECVTOS", (0, 1)),
    ("IP_MINTTL", (0, 1, 64, 65, 255, 256)), ("IP_FREEBIND", (0, 1)), ("IP_BIND_ADDRESS_NO_PORT", (0, 1)),
    ("IP_LOCAL_PORT_RANGE", ("hex:00000000", "hex:409c439c", "hex:439c409c")), ("IP_UNICAST_IF", (0, 33554432, 99)),
    ("IP_RECVORIGDSTADDR", (0, 1)), ("IP_RECVFRAGSIZE", (0, 1)), ("SO_TIMESTAMP", (0, 1)),
)
TCP_OPTIONS = (
    ("TCP_NODELAY", (0, 1)), ("TCP_CORK", (0, 1)), ("TCP_MAXSEG", (87, 88, 536, 1000, 1460, 32768, 0)),
    ("TCP_QUICKACK", (0, 1)), ("TCP_DEFER_ACCEPT", (0, 1, 5)), ("TCP_KEEPIDLE", (0, 1, 7200, 40_000)),
    ("TCP_KEEPINTVL", (0, 1, 75, 40_000)), ("TCP_KEEPCNT", (0, 1, 9, 200)), ("TCP_SYNCNT", (0, 1, 6, 200)),
    ("TCP_LINGER2", (0, 1, 60, -1)), ("TCP_USER_TIMEOUT", (0, 1000, -1)), ("TCP_NOTSENT_LOWAT", (0, 1000, 16384)),
    ("TCP_WINDOW_CLAMP", (0, 1, 5000, 100_000)), ("TCP_FASTOPEN_CONNECT", (0, 1, 2)), ("TCP_FASTOPEN", (0, 5, -1)),
    ("TCP_FASTOPEN_NO_COOKIE", (0, 1)), ("TCP_INQ", (0, 1, 2)), ("TCP_SAVE_SYN", (0, 1)), ("TCP_REPAIR", (0, 1, -1)),
    ("TCP_THIN_LINEAR_TIMEOUTS", (0, 1)), ("TCP_CONGESTION", ("hex:72656e6f", "hex:6375626963", "hex:71")),
)
UDP_OPTIONS = (("UDP_CORK", (0, 1)), ("UDP_SEGMENT", (0, 1, 100, 1400, 65_535, 65_536, -1)), ("UDP_GRO", (0, 1)), ("SO_NO_CHECK", (0, 1)))
ASKED = (
    "SO_TYPE", "SO_ERROR", "SO_ACCEPTCONN", "SO_DOMAIN", "SO_PROTOCOL", "IP_MTU", "TCP_NODELAY", "TCP_CORK",
    "TCP_DEFER_ACCEPT", "TCP_LINGER2", "UDP_SEGMENT", "UDP_CORK",
    "SO_PEEK_OFF", "SO_RCVLOWAT", "SO_RCVBUF", "SO_PEERNAME", "SO_BUF_LOCK", "SO_LINGER", "SO_REUSEADDR", "SO_OOBINLINE",
    "TCP_MAXSEG", "TCP_QUICKACK", "TCP_INQ", "TCP_FASTOPEN", "TCP_SYNCNT", "TCP_KEEPIDLE", "TCP_WINDOW_CLAMP", "IP_TOS", "IP_TTL",
    "IP_MTU_DISCOVER", "IP_RECVERR", "IP_FREEBIND", "UDP_GRO",
)
# Not SIOCOUTQ: Linux forgets what was sent last when a connection ends, and tells the difference.
REQUESTS = ("SIOCINQ", "SIOCATMARK")
# Control messages of a send, right and wrong.
CONTROL = (
    ("IP_TTL", (0, 1, 9, 255, 256)), ("IP_TOS", (0, 8, 255, 256, "hex:10")), ("SO_MARK", (1, "hex:01")), ("SO_PRIORITY", (0, 6)),
    ("IP_PKTINFO", ("parts:0,10.0.0.2,0", "parts:2,0.0.0.0,0", "parts:1,127.0.0.1,0", "parts:99,0.0.0.0,0")),
    ("UDP_SEGMENT", ("hex:0000", "hex:0100", "hex:6400", "hex:64000000")), ("SO_RCVMARK", (1,)), ("IP_RETOPTS", ("hex:01010100",)),
)
SIZES = (0, 1, 2, 10, 99, 500, 1448, 1449, 1472, 1473, 3000, 5000)
RECEIVED = (0, 1, 5, 100, 1000, 20_000)
# Not MSG_MORE: what pushes it out, the timer or a segment, depends in Linux on the memory of that segment.
STREAM_FLAGS = ("", "", "", "", " OOB", " EOR", " DONTROUTE", " ZEROCOPY")
DATAGRAM_FLAGS = ("", "", "", "", " MORE", " OOB", " DONTROUTE", " CONFIRM", " ZEROCOPY")
RECEIVE_FLAGS = ("", "", "", "", " PEEK", " TRUNC", " PEEK|TRUNC", " WAITALL", " OOB", " ERRQUEUE", " PEEK|WAITALL",
                 " PEEK|OOB", " PEEK|ERRQUEUE", " TRUNC|WAITALL", " DONTWAIT")
PORTS = (0, 7000, 7000, 7001, 7001, 7002)

TCP_BY_US = (
    "p1 tcp", "p1 bind peer:7001", "p1 listen 5", "a tcp", "a connect peer:7001", "p1 accept p2")
TCP_BY_PEER = ("a tcp", "a bind any:7000", "a listen 5", "p1 tcp", "p1 connect me:7000", "a accept b")
TCP_INSIDE = ("a tcp", "a bind lo:7000", "a listen 5", "b tcp", "b connect lo:7000", "a accept c")
UDP_PAIR = ("p1 udp", "p1 bind peer:7001", "a udp", "a bind any:7000", "p1 connect me:7000", "a connect peer:7001")
UDP_OPEN = ("p1 udp", "p1 bind peer:7001", "a udp", "a bind any:7000")
BEGINNINGS = (TCP_BY_US, TCP_BY_US, TCP_BY_PEER, TCP_BY_PEER, TCP_INSIDE, UDP_PAIR, UDP_OPEN, (), ())


# Seeds from here on are of connections whose other end is made by hand. One in a hundred of them differs still, in segments
# that no TCP sends: tools/test tries none.
OPPONENTS = 1_000_000


def sequence(seed: int) -> list[str]:
    """The calls of a seed."""
    chance = random.Random(seed)
    if seed >= OPPONENTS:
        return by_hand(chance)
    beginning = chance.choice(BEGINNINGS)
    calls = list(beginning)
    kinds: dict[str, str] = {}
    for call in calls:
        note(call, kinds)
    for _ in range(chance.randint(5, 16)):
        call = one(chance, kinds)
        name, verb, *_ = call.split()
        # The window of a connection after another depends on the memory that packets of the first took.
        if verb == "connect" and kinds.get(name) == "tcp" and f"{name} disconnect" in calls:
            call = f"{name} poll"
        calls.append(call)
        note(call, kinds)
    # What is left when everything is closed: a connection that still has the port, or none.
    left = sorted(kinds)
    chance.shuffle(left)
    return [*calls, *(f"{name} close" for name in left), "e tcp", f"e bind any:{chance.choice(PORTS[1:])}"]


def by_hand(chance: random.Random) -> list[str]:
    """A connection whose other end is segments, most of them as none would send them."""
    options = chance.choice(("020405b4", "020405b401010402", "020405b403030701", "02040218"))
    hello = "p segment 7009 7000 "
    calls = ["a tcp"]
    for _ in range(chance.choice((0, 0, 1, 2))):
        calls.append(words(chance, "a", "tcp", "set", []))
    calls += ["a bind any:7000", "a listen 5", f"{hello}S opt {options}", f"{hello}. seq 1 ack 1", "a accept b"]
    # What comes next of theirs, and what ours has said so far.
    theirs, ours = 1, 1
    for _ in range(chance.randint(4, 12)):
        what = chance.random()
        if what < 0.6:
            flags = chance.choice((".", ".", ".", "P.", "F.", "S", "R", "R.", "U.", "PF.", "S.", "-", "P", "FU."))
            count = chance.choice((0, 0, 1, 5, 100, 1460))
            sequence = theirs + chance.choice((0, 0, 0, 0, 0, -1, 1, -5, 5, 100, 100_000, -100_000))
            call = f"{hello}{flags} seq {sequence} len {count} win {chance.choice((65535, 65535, 5000, 100, 0))}"
            if "." in flags:
                # Not before what was acknowledged: a segment that is next is taken by Linux whatever it acknowledges.
                call += f" ack {chance.choice((ours, ours, ours, ours + 1, ours + 1000))}"
            if "U" in flags:
                call += f" urg {chance.choice((0, 1, count, count + 1, 500))}"
            calls.append(call)
            if sequence == theirs and "." in flags and not set(flags) & set("SR"):
                theirs += count + ("F" in flags)
        elif what < 0.75:
            count = chance.choice((1, 5, 1000, 1460, 3000))
            calls.append(f"b send {count}{chance.choice(('', '', ' OOB', ' MORE'))}")
            ours += count
        elif what < 0.9:
            calls.append(words(chance, "b", "tcp", "recv", []))
        else:
            calls.append(chance.choice(("b shutdown w", "b shutdown r", "b poll", "b close", "b disconnect", "wait 60", "b get SO_ERROR",
                                        "b part TCP_INFO 0 1", "b ioctl SIOCINQ", "b set TCP_QUICKACK 1", "b set TCP_NODELAY 1")))
    return [*calls, "b poll", "b recv 20000", "b part TCP_INFO 0 1", "b close"]


def note(call: str, kinds: dict[str, str]) -> None:
    """Which sockets there are after a call, as far as can be told beforehand."""
    name, verb, *words = call.split()
    if verb in ("tcp", "udp", "ping"):
        kinds[name] = verb
    elif kinds.get(name) == "udp" and (words[-1:] == ["MORE"] or words == ["UDP_CORK", "1"]):
        kinds[name] = "collecting"
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
             "bind", "connect", "sendto", "sendto", "close", "disconnect", "listen", "accept", "wait", "ioctl", "sendmsg", "writev",
             "readv", "recvmmsg", "sendmmsg")
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
        # Linux keeps where a datagram that collects goes in the place where connect() works, so that it goes astray.
        if kind == "collecting":
            return f"{name} poll"
        # A datagram socket whose peer has port 0 hears all ports of it, in Linux alone.
        ports = PORTS if is_stream else PORTS[1:]
        return f"{name} connect {chance.choice(('peer', 'peer', 'me', 'lo'))}:{chance.choice(ports)}"
    if verb == "sendto":
        flags = chance.choice((*STREAM_FLAGS, " FASTOPEN") if is_stream else DATAGRAM_FLAGS)
        place = chance.choice(("peer", "peer", "me", "lo"))
        return f"{name} sendto {place}:{chance.choice(PORTS)} {chance.choice(SIZES)}{flags}"
    if verb == "ioctl":
        return f"{name} ioctl {chance.choice(REQUESTS)}"
    if verb == "sendmsg":
        option, values = chance.choice(CONTROL)
        place = chance.choice(("-", "-", f"peer:{chance.choice(PORTS)}", f"me:{chance.choice(PORTS)}"))
        return f"{name} sendmsg {place} {chance.choice(SIZES)} 0 {option} {chance.choice(values)}"
    if verb == "writev":
        return f"{name} writev {chance.choice(SIZES)},{chance.choice(SIZES)}"
    if verb == "readv":
        return f"{name} readv {chance.choice(RECEIVED)},{chance.choice(RECEIVED)}{chance.choice(RECEIVE_FLAGS)}"
    if verb == "recvmmsg":
        return f"{name} recvmmsg {chance.choice((1, 2, 5))} {chance.choice(RECEIVED)}{chance.choice(('', ' PEEK', ' WAITFORONE', ' TRUNC'))}"
    if verb == "sendmmsg" and is_stream:
        # What a reset on its way does to the second message is chance.
        return f"{name} writev {chance.choice(SIZES)},{chance.choice(SIZES)}"
    if verb == "sendmmsg":
        place = chance.choice(("-", f"peer:{chance.choice(PORTS)}"))
        return f"{name} sendmmsg {place} {chance.choice(SIZES)},{chance.choice(SIZES)}"
    if verb == "listen":
        return f"{name} listen {chance.choice((0, 1, 5))}"
    if verb == "accept":
        return f"{name} accept {free[0]}" if free else f"{name} poll"
    if verb == "wait":
        return f"wait {chance.choice((60, 250))}"
    # The number that a ping socket picks may look like one that was asked for.
    return f"{name} {verb if kind != 'ping' or verb != 'name' else 'poll'}"
