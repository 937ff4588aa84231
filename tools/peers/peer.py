"""The kernel's side of the namespace tests: small programs over ordinary Linux sockets.

    peer.py PROGRAM [ARGUMENT...]

Servers print `ready` when they listen. Results are printed as `key=value` words on one line.
Programs: see the functions named `do_...`.
"""

import errno
import hashlib
import os
import random
import selectors
import socket
import struct
import sys
import time

CHUNK = 256 * 1024


def pattern(amount: str | int):
    """Blocks of bytes that differ from each other, so that a lost, doubled or moved block shows: a number of bytes, or
    `until:PATH`, as many as go until that file is there.
    """
    file = str(amount).removeprefix("until:") if str(amount).startswith("until:") else None
    byte_count = sys.maxsize if file else int(amount)
    base = random.Random(9293).randbytes(CHUNK)
    sent = 0
    index = 0
    while sent < byte_count and not (file and os.path.exists(file)):
        block = bytearray(base)
        for offset in range(0, CHUNK, 4096):
            struct.pack_into(">QQ", block, offset, index, offset)
        piece = memoryview(block)[: min(CHUNK, byte_count - sent)]
        yield piece
        sent += len(piece)
        index += 1


def listen(port: int, backlog: int = 128, segment: int = 0) -> socket.socket:
    server = socket.socket()
    if segment:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", port))
    server.listen(backlog)
    print("ready", flush=True)
    return server


def report(**words) -> None:
    print(" ".join(f"{key}={value}" for key, value in words.items()), flush=True)


def read_all(connection: socket.socket) -> tuple[int, str]:
    """Reads to the end: how many bytes, and their SHA-256."""
    digest = hashlib.sha256()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    total = 0
    while True:
        count = connection.recv_into(buffer)
        if count == 0:
            return total, digest.hexdigest()
        digest.update(view[:count])
        total += count


def write_pattern(connection: socket.socket, amount: str | int) -> str:
    """Writes the pattern: its SHA-256."""
    digest = hashlib.sha256()
    for piece in pattern(amount):
        digest.update(piece)
        connection.sendall(piece)
    return digest.hexdigest()


def do_pattern(amount: str) -> None:
    """The pattern to standard output, its SHA-256 to standard error."""
    digest = hashlib.sha256()
    out = sys.stdout.buffer
    for piece in pattern(amount):
        digest.update(piece)
        out.write(piece)
    out.flush()
    print(f"sha256={digest.hexdigest()}", file=sys.stderr)


def do_digest() -> None:
    """Standard input to its end: its size and SHA-256."""
    digest = hashlib.sha256()
    total = 0
    while piece := sys.stdin.buffer.read1(CHUNK):
        digest.update(piece)
        total += len(piece)
    report(bytes=total, sha256=digest.hexdigest())


def do_sink(port: str, connections: str = "1", segment: str = "0") -> None:
    """Accepts, reads to the end, reports; for each of a number of connections, one after the other. It asks for segments of so
    many bytes, or what its MTU has room for.
    """
    server = listen(int(port), segment=int(segment))
    for _ in range(int(connections)):
        connection, _ = server.accept()
        started = time.monotonic()
        total, digest = read_all(connection)
        connection.close()
        report(bytes=total, sha256=digest, seconds=round(time.monotonic() - started, 3))


def do_sink_pattern(port: str, length: str) -> None:
    """As sink, of one connection: whether all of it is what `swiftstack perf send -Z -l LENGTH` sends over and over."""
    server = listen(int(port))
    connection, _ = server.accept()
    piece = bytes(0x20 + index % 95 for index in range(int(length)))
    stream = piece * 3
    total = wrong = 0
    buffer = bytearray(len(piece))
    while count := connection.recv_into(buffer):
        start = total % len(piece)
        wrong += buffer[:count] != stream[start:start + count]
        total += count
    connection.close()
    report(bytes=total, same=int(wrong == 0))


def do_parallel_sink(port: str, seconds: str) -> None:
    """Reads from any number of connections at once for some time: the sum of all bytes."""
    server = listen(int(port))
    server.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    buffer = bytearray(CHUNK)
    total = seen = 0
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        for key, _ in selector.select(0.1):
            if key.fileobj is server:
                connection, _ = server.accept()
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ)
                seen += 1
                continue
            try:
                count = key.fileobj.recv_into(buffer)
            except ConnectionError:
                count = 0
            total += count
            if count == 0:
                selector.unregister(key.fileobj)
                key.fileobj.close()
        if seen and len(selector.get_map()) == 1:
            break
    report(bytes=total, connections=seen)


def do_serve_pattern(port: str, byte_count: str) -> None:
    """Accepts one connection and sends the pattern."""
    server = listen(int(port))
    connection, _ = server.accept()
    digest = write_pattern(connection, int(byte_count))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    report(bytes=byte_count, sha256=digest)


def do_send_pattern(host: str, port: str, amount: str) -> None:
    """Connects, sends the pattern, half-closes, waits for the other end."""
    connection = connect(host, port)
    started = time.monotonic()
    digest = write_pattern(connection, amount)
    connection.shutdown(socket.SHUT_WR)
    rest, _ = read_all(connection)
    report(amount=amount, sha256=digest, returned=rest, seconds=round(time.monotonic() - started, 3))


def connect(host: str, port: str, timeout: float = 30) -> socket.socket:
    connection = socket.create_connection((host, int(port)), timeout)
    connection.settimeout(None)
    return connection


def do_send_for(host: str, port: str, seconds: str) -> None:
    """Connects and writes for some time."""
    connection = connect(host, port)
    block = bytes(CHUNK)
    total = 0
    started = time.monotonic()
    try:
        while time.monotonic() - started < float(seconds):
            total += connection.send(block)
    except ConnectionError as error:
        report(bytes=total, error=errno.errorcode[error.errno])
        return
    connection.close()
    report(bytes=total)


def do_echo_pattern(host: str, port: str, byte_count: str) -> None:
    """Sends the pattern to an echo service while reading it back; half-closes; compares the digests."""
    connection = connect(host, port)
    pid = os.fork()
    if pid == 0:
        write_pattern(connection, int(byte_count))
        connection.shutdown(socket.SHUT_WR)
        os._exit(0)
    total, returned = read_all(connection)
    os.waitpid(pid, 0)
    expected = hashlib.sha256()
    for piece in pattern(int(byte_count)):
        expected.update(piece)
    report(bytes=total, same=int(returned == expected.hexdigest()))


def do_echo_many(host: str, port: str, count: str, byte_count: str) -> None:
    """Many connections to an echo service at once: all connected before any ends, each with bytes of its own."""
    selector = selectors.DefaultSelector()
    streams = {}
    for number in range(int(count)):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex((host, int(port)))
        data = random.Random(number).randbytes(int(byte_count))
        streams[connection] = {"data": data, "sent": 0, "got": bytearray()}
        selector.register(connection, selectors.EVENT_WRITE)
    connected = good = bad = 0
    until = time.monotonic() + 300
    while connected < len(streams) and time.monotonic() < until:
        for key, _ in selector.select(1):
            problem = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if problem:
                bad += 1
                print(os.strerror(problem), file=sys.stderr)
            connected += 1
            selector.unregister(key.fileobj)
    for connection in streams:
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
    while selector.get_map() and time.monotonic() < until:
        for key, events in selector.select(1):
            stream = streams[key.fileobj]
            try:
                if events & selectors.EVENT_WRITE:
                    stream["sent"] += key.fileobj.send(stream["data"][stream["sent"] :])
                    if stream["sent"] == len(stream["data"]):
                        key.fileobj.shutdown(socket.SHUT_WR)
                        selector.modify(key.fileobj, selectors.EVENT_READ)
                if events & selectors.EVENT_READ:
                    piece = key.fileobj.recv(65536)
                    stream["got"] += piece
                    if not piece:
                        selector.unregister(key.fileobj)
                        if bytes(stream["got"]) == stream["data"]:
                            good += 1
                        else:
                            bad += 1
            except OSError as error:
                print(error, file=sys.stderr)
                selector.unregister(key.fileobj)
                bad += 1
    report(connected=connected, good=good, bad=bad)


def do_idle(host: str, port: str, count: str) -> None:
    """Opens connections and keeps them until standard input ends."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (int(count) + 100, int(count) + 100))
    kept = []
    for _ in range(int(count)):
        kept.append(connect(host, port))
    print(f"ready {len(kept)}", flush=True)
    sys.stdin.read()


def do_one_byte_writes(host: str, port: str, count: str) -> None:
    """One write per byte to an echo service, without waiting in between; then the same with an answer awaited."""
    connection = connect(host, port)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = random.Random(1).randbytes(int(count))
    for byte in data:
        connection.send(bytes([byte]))
    got = b""
    while len(got) < len(data):
        piece = connection.recv(65536)
        if not piece:
            break
        got += piece
    round_trips = 0
    for byte in data[:200]:
        connection.send(bytes([byte]))
        if connection.recv(1) == bytes([byte]):
            round_trips += 1
    report(same=int(got == data), round_trips=round_trips)


def do_half_close_server(port: str, byte_count: str) -> None:
    """Reads to the other side's end first, only then answers: the pattern, and how many bytes came before."""
    server = listen(int(port))
    connection, _ = server.accept()
    total, digest = read_all(connection)
    sent = write_pattern(connection, int(byte_count))
    connection.close()
    report(bytes=total, sha256=digest, sent=sent)


def do_answer_then_close(port: str, text: str) -> None:
    """Sends a text and half-closes at once, then reads everything the other side still has to say."""
    server = listen(int(port))
    connection, _ = server.accept()
    connection.sendall(text.encode())
    connection.shutdown(socket.SHUT_WR)
    total, digest = read_all(connection)
    report(bytes=total, sha256=digest)


def do_byte_reader(port: str, count: str) -> None:
    """Accepts and reads one byte at a time."""
    server = listen(int(port))
    connection, _ = server.accept()
    digest = hashlib.sha256()
    total = 0
    while piece := connection.recv(1):
        digest.update(piece)
        total += 1
    report(bytes=total, expected=count, sha256=digest.hexdigest())


def do_udp_echo(host: str, port: str, *sizes: str) -> None:
    """Datagrams of the given sizes to an echo service, data compared; each is tried three times."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.connect((host, int(port)))
    connection.settimeout(10)
    bad = []
    for size in map(int, sizes):
        data = random.Random(size).randbytes(size)
        for _ in range(3):
            connection.send(data)
            try:
                got = connection.recv(70000)
            except TimeoutError:
                continue
            if got == data:
                break
        else:
            bad.append(size)
    report(tried=len(sizes), bad=",".join(map(str, bad)) or "none")


def do_udp_server(port: str, count: str) -> None:
    """Echoes a number of datagrams and reports their sizes and the digest of all their bytes in order."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    server.bind(("", int(port)))
    print("ready", flush=True)
    digest = hashlib.sha256()
    sizes = []
    for _ in range(int(count)):
        data, sender = server.recvfrom(70000)
        digest.update(data)
        sizes.append(len(data))
        server.sendto(data, sender)
    report(sizes=",".join(map(str, sizes)), sha256=digest.hexdigest())


def do_connect_error(host: str, port: str) -> None:
    """How connecting fails, and after how long."""
    started = time.monotonic()
    try:
        connect(host, port, 60)
        name = "none"
    except OSError as error:
        name = errno.errorcode.get(error.errno, str(error))
    report(error=name, seconds=round(time.monotonic() - started, 3))


def do_chargen(host: str, port: str, byte_count: str) -> None:
    """RFC 864 over TCP: lines of 72 characters, each starting one character later."""
    ring = bytes(range(32, 127))
    connection = connect(host, port)
    got = b""
    while len(got) < int(byte_count):
        piece = connection.recv(65536)
        if not piece:
            break
        got += piece
    connection.close()
    lines = got.split(b"\r\n")[:-1]
    good = all(len(line) == 72 and line in ring * 3 for line in lines)
    shifted = all(
        (ring * 3).find(after[:1]) == ((ring * 3).find(before[:1]) + 1) % len(ring)
        for before, after in zip(lines, lines[1:])
    )
    report(lines=len(lines), good=int(good), shifted=int(shifted))


def do_rate(host: str, port: str, interface: str, seconds: str) -> None:
    """Reads what a service sends for some time: bytes a second that came in on the interface, the first second left out."""
    connection = connect(host, port)
    counter = f"/sys/class/net/{interface}/statistics/rx_bytes"
    buffer = bytearray(CHUNK)

    def read_until(end: float) -> tuple[int, float]:
        while time.monotonic() < end:
            connection.recv_into(buffer)
        with open(counter) as file:
            return int(file.read()), time.monotonic()

    before, started = read_until(time.monotonic() + 1)
    after, ended = read_until(time.monotonic() + float(seconds))
    report(rate=round((after - before) / (ended - started)))


def do_relay(first: str, second: str, duplicate: str, reorder: str, loss: str, seed: str) -> None:
    """Carries frames between two interfaces, some twice, some later than the next ones, some not at all."""
    numbers = random.Random(int(seed))
    doubled, moved, lost = float(duplicate), float(reorder), float(loss)
    ends = []
    for name in (first, second):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        end.bind((name, 0))
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        end.setsockopt(263, 1, struct.pack("iHH8s", socket.if_nametoindex(name), 1, 0, bytes(8)))  # promiscuous
        end.setblocking(False)
        ends.append(end)
    held = {ends[0]: [], ends[1]: []}
    counts = {"frames": 0, "doubled": 0, "moved": 0, "lost": 0}
    print("ready", flush=True)

    def put(out, frame):
        try:
            out.send(frame)
        except OSError:
            pass

    selector = selectors.DefaultSelector()
    for end in ends:
        selector.register(end, selectors.EVENT_READ)
    last_report = time.monotonic()
    while True:
        ready = selector.select(0.005)
        for key, _ in ready:
            source = key.fileobj
            out = ends[1] if source is ends[0] else ends[0]
            for _ in range(64):
                try:
                    frame, address = source.recvfrom(65600)
                except BlockingIOError:
                    break
                if address[2] == socket.PACKET_OUTGOING:
                    continue
                counts["frames"] += 1
                dice = numbers.random()
                if dice < lost:
                    counts["lost"] += 1
                elif dice < lost + moved:
                    counts["moved"] += 1
                    held[out].append([numbers.randint(1, 4), frame])
                else:
                    put(out, frame)
                    if dice > 1 - doubled:
                        counts["doubled"] += 1
                        put(out, frame)
                    for item in list(held[out]):
                        item[0] -= 1
                        if item[0] <= 0:
                            held[out].remove(item)
                            put(out, item[1])
        if not ready:
            for out, items in held.items():
                for item in items:
                    put(out, item[1])
                items.clear()
        # Silent until it has done what it is for.
        if time.monotonic() - last_report > 0.5 and counts["moved"] + counts["lost"] > 0:
            last_report = time.monotonic()
            print(" ".join(f"{key}={value}" for key, value in counts.items()), file=sys.stderr, flush=True)


def do_inject(interface: str, path: str) -> None:
    """Sends the frames of a file, each a line of hexadecimal digits, out of an interface."""
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0))
    count = 0
    with open(path) as lines:
        for line in lines:
            out.send(bytes.fromhex(line.strip()))
            count += 1
    report(frames=count)


def do_garbage(interface: str, count: str, seed: str) -> None:
    """Sends frames of random bytes, and IPv4 frames with random contents, out of an interface."""
    numbers = random.Random(int(seed))
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0))
    target = bytes.fromhex(sys.stdin.read().strip().replace(":", ""))
    for _ in range(int(count)):
        body = numbers.randbytes(numbers.randint(0, 1400))
        kind = numbers.choice([b"\x08\x00", b"\x08\x06", numbers.randbytes(2)])
        if kind == b"\x08\x00" and len(body) > 40:
            body = bytes([0x40 | numbers.choice([5, 5, 5, 6, 15, 4]), 0]) + struct.pack(
                ">HHHBBH4s4s", len(body), 1, numbers.choice([0, 0, 0x2000, 0x2001, 5]), 64,
                numbers.choice([1, 6, 17, 2]), 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
            ) + body[20:]
            body = body[:10] + internet_checksum(body[: (body[0] & 15) * 4]) + body[12:]
        out.send(target + numbers.randbytes(6) + kind + body)
    report(frames=count)


class OptionProbe:
    """Packets with options of every kind and length at every place, and what a host answers to each: a frame in, a frame out,
    past all of one's own kernel's protocols.
    """

    SOURCE, TARGET = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])

    def __init__(self, interface: str, station: str):
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        self.wire.bind((interface, 0x0800))
        self.wire.settimeout(10)
        own = self.wire.getsockname()[4]
        self.header = bytes.fromhex(station.replace(":", "")) + own + b"\x08\x00"

    def send(self, protocol: int, payload: bytes, options: bytes = b"") -> None:
        length = 20 + len(options)
        ip = bytes([0x40 | length // 4, 0]) + struct.pack(
            ">HHHBBH4s4s", length + len(payload), 1, 0, 64, protocol, 0, self.SOURCE, self.TARGET) + options
        self.wire.send(self.header + ip[:10] + internet_checksum(ip) + ip[12:] + payload)

    def echo(self, number: int, options: bytes = b"") -> None:
        echo = struct.pack(">BBHI", 8, 0, 0, number)
        self.send(1, echo[:2] + internet_checksum(echo) + echo[4:], options)

    def answers(self):
        """IP packets of the other end up to the answer to an echo request that goes behind what was sent."""
        self.echo(0xFFFFFFFF)
        while True:
            frame, place = self.wire.recvfrom(65536)
            if place[2] == socket.PACKET_OUTGOING or frame[26:30] != self.TARGET:
                continue
            if frame[23] == 1 and frame[34:35] == b"\0" and frame[38:42] == b"\xff" * 4:
                return
            yield frame[14:]


def options_at(kinds, lengths, places, fills, room: int = 40):
    """(kind, length, place, options): `place` times no-operation, kind, length, and what a fill makes of the rest."""
    for kind in kinds:
        for length in lengths:
            for place in places:
                for fill in fills:
                    body = bytes([1] * place + [kind, length]) + fill
                    body = (body + bytes(room))[:room]
                    yield (kind, length, place, body)


# Pointers below, at and beyond where a record of any length stands, with the flags of time stamps.
ROUTE_FILLS = [bytes([pointer, flags]) for pointer in (0, 3, 4, 5, 8, 9, 13, 37, 41, 255) for flags in (0, 1, 3, 0xF0, 0xE1)]


def do_ip_options(interface: str, station: str) -> None:
    """For each kind a line: the kind and a digest of what becomes of an echo request with it, for each length up to 44 at many
    places: an answer with its options, a parameter problem with its pointer, or nothing.
    """
    probe = OptionProbe(interface, station)
    # Without CIPSO, which only kernels with NetLabel check.
    for kind in (kind for kind in range(256) if kind != 134):
        if kind in (7, 68, 131, 137, 148):
            fills, places = ROUTE_FILLS, (0, 1, 2, 3, 36, 37)
        else:
            fills, places = [b""], range(40) if kind in (0, 1, 130, 136) else (0, 1, 2, 3, 20, 37, 38, 39)
        cases = list(options_at([kind], range(45), places, fills))
        verdicts = {}
        # Fewer than the errors that may go at once.
        for start in range(0, len(cases), 20):
            for number in range(start, min(start + 20, len(cases))):
                probe.echo(number, cases[number][3])
            for packet in probe.answers():
                length = (packet[0] & 15) * 4
                message = packet[length:]
                if message[0] == 0:
                    number, = struct.unpack(">I", message[4:8])
                    verdicts[number] = "echo " + without_times(packet[20:length]).hex()
                elif message[0] == 12:
                    quoted = message[8:]
                    inner = (quoted[0] & 15) * 4
                    number, = struct.unpack(">I", quoted[inner + 4 : inner + 8])
                    verdicts[number] = f"problem {message[4]} " + without_times(packet[20:length]).hex()
        lines = [f"{case[:3]} {case[3].hex()}: {verdicts.get(number, 'nothing')}" for number, case in enumerate(cases)]
        finish(kind, lines)


def without_times(options: bytes) -> bytes:
    """Time stamps are other ones each time: only how many there are counts."""
    options = bytearray(options)
    place = 0
    while place + 1 < len(options) and options[place] != 0:
        if options[place] == 1:
            place += 1
            continue
        length = max(options[place + 1], 2)
        if options[place] == 68:
            for index in range(place + 4, min(place + length, len(options))):
                options[index] = 0
        place += length
    return bytes(options)


def do_tcp_options(interface: str, station: str, port: str) -> None:
    """For each kind a line: the kind and a digest of what answers a SYN with it, for each length up to 44 at many places: flags
    and options, or nothing. Each connection is reset at once.
    """
    probe = OptionProbe(interface, station)

    def send(source: int, flags: int, sequence: int, options: bytes) -> None:
        tcp = struct.pack(
            ">HHIIBBHHH", source, int(port), sequence, 0, (20 + len(options)) // 4 << 4, flags, 1000, 0, 0) + options
        pseudo = probe.SOURCE + probe.TARGET + struct.pack(">BBH", 0, 6, len(tcp))
        probe.send(6, tcp[:16] + internet_checksum(pseudo + tcp) + tcp[18:])

    # Without RFC 5925's, which this kernel may not know.
    for kind in [*range(29), *range(30, 40), 69, 76, 128, 253, 254, 255]:
        known = kind in (0, 1, 2, 3, 4, 5, 8, 19, 34, 254)
        places = range(40) if known else (0, 1, 2, 3, 11, 21, 22, 23, 36, 37, 38, 39)
        # Behind a no-operation what would be a length is a kind.
        lengths = [length for length in range(45) if (kind, length) != (1, 29)]
        cases = list(options_at([kind], lengths, places, [b"", b"\x04" * 40] if known else [b""]))
        verdicts = {}
        for start in range(0, len(cases), 50):
            batch = cases[start : start + 50]
            for number, case in enumerate(batch, start):
                send(2000 + number, 2, 1000, case[3])
            for packet in probe.answers():
                if packet[9] != 6:
                    continue
                tcp = packet[(packet[0] & 15) * 4 :]
                number = struct.unpack(">H", tcp[2:4])[0] - 2000
                flags, options = tcp[13], bytearray(tcp[20 : (tcp[12] >> 4) * 4])
                for index in range(len(options) - 9):
                    if options[index : index + 2] == b"\x08\x0a":
                        options[index + 2 : index + 6] = bytes(4)
                verdicts[number] = f"{flags:02x} {options.hex()}"
            for number in range(start, start + len(batch)):
                send(2000 + number, 4, 1001, b"")
        lines = [f"{case[:3]} {case[3].hex()}: {verdicts.get(number, 'nothing')}" for number, case in enumerate(cases)]
        finish(kind, lines)


def finish(kind: int, lines: list[str]) -> None:
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    answered = sum(not line.endswith("nothing") for line in lines)
    print(kind, len(lines), answered, digest, flush=True)
    # All of it, to see what differs.
    folder = os.environ.get("OPTIONS_FOLDER")
    if folder:
        with open(os.path.join(folder, f"{kind}"), "w") as file:
            file.write("\n".join(lines) + "\n")


def internet_checksum(data: bytes) -> bytes:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


def do_unix(path: str, message: str) -> None:
    """Sends a message (Python string escapes allowed) to a UNIX socket and prints the first answer."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(path)
    data = message.encode().decode("unicode_escape").encode("latin-1")
    if message.startswith("repeat:"):
        data = b"x" * int(message[7:]) + b"\n"
    try:
        client.sendall(data)
    except ConnectionError:
        pass
    try:
        answer = client.recv(65536)
    except ConnectionError:
        answer = b""
    sys.stdout.write(answer.decode("utf-8", "replace"))


def main() -> None:
    program = globals()["do_" + sys.argv[1].replace("-", "_")]
    program(*sys.argv[2:])


if __name__ == "__main__":
    main()
