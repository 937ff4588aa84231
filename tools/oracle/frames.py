"""Frames on a wire, in words that two worlds have in common: numbers relative to where each began."""

import select
import socket
import struct
import time

ETH_P_ALL = 3
# As many scripts have ports of their own.
TURNS = 1000
FLAGS = ((0x02, "S"), (0x10, "."), (0x08, "P"), (0x01, "F"), (0x04, "R"), (0x20, "U"), (0x40, "E"), (0x80, "W"),
         (0x100, "e"))
OPTIONS = {2: "mss", 3: "wscale", 4: "sackOK", 5: "sack", 8: "ts", 19: "md5", 34: "fastopen", 172: "accecn0",
           174: "accecn1", 254: "experiment"}


class FrameLog:
    """Sees what passes an interface of the namespace that it is made in."""

    def __init__(self, interface: str, under_test: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind((interface, 0))
        self.under_test = socket.inet_aton(under_test)
        self.shows_igmp = False
        self.shows_ids = False
        self.shows_windows = False
        self.turn = 0
        self.forget()

    def forget(self) -> None:
        """A new script: nothing that was seen is of it."""
        while self.next(0) is not None:
            pass
        self.turn = (self.turn + 1) % TURNS
        self.lines: list[str] = []
        self.first: dict[tuple, int] = {}
        self.ports: dict[int, str] = {}
        self.last_ids: dict[tuple, int] = {}

    def next(self, patience: float) -> bytes | None:
        if not select.select([self.socket], [], [], patience)[0]:
            return None
        return self.socket.recv(1 << 17)

    def collect(self, seconds: float) -> None:
        """What comes within that time, and what has come."""
        end = time.monotonic() + seconds
        while True:
            frame = self.next(max(0.0, end - time.monotonic()))
            if frame is None:
                return
            line = self.describe(frame)
            if line:
                self.lines.append(line)

    def real(self, number: int) -> int:
        """The port that a script's 7000 to 7009 are this time: what a script leaves behind is in no other's way."""
        return number - 7000 + 20_000 + 10 * self.turn if 7000 <= number < 7010 else number

    def port(self, number: int) -> str:
        """Ports that somebody picked have names in the order in which they are seen."""
        if 20_000 <= number < 20_000 + 10 * TURNS:
            return str(7000 + number % 10)
        if number < 32768:
            return str(number)
        return self.ports.setdefault(number, f"picked{len(self.ports) + 1}")

    def describe(self, frame: bytes) -> str | None:
        if frame[12:14] != b"\x08\x00":
            return None
        packet = frame[14:]
        size = (packet[0] & 15) * 4
        length, _, fragment, ttl, protocol = struct.unpack_from("!HHHBB", packet, 2)
        arrow = ">" if packet[12:16] == self.under_test else "<"
        text = f"{arrow} ttl {ttl} tos {packet[1]}"
        if fragment & 0x4000:
            text += " DF"
        if fragment & 0x3FFF:
            if size > 20:
                text += f" options {self.stamped(packet[20:size])}"
            text += f" fragment {(fragment & 0x1FFF) * 8}{'+' if fragment & 0x2000 else ''}"
            return f"{text} protocol {protocol} length {length}"
        body = packet[size:length]
        names = {6: self.tcp, 17: self.udp, 1: self.icmp, 136: self.udplite}
        if size > 20 and (protocol != 2 or self.shows_igmp):
            text += f" options {self.stamped(packet[20:size])}"
        if self.shows_ids and arrow == ">" and protocol in (17, 1):
            text += self.identification(struct.unpack_from("!H", packet, 4)[0], (protocol, packet[16:20], body[:2]))
        if packet[12:16] == self.under_test and packet[16] >= 224:
            text += f" to {socket.inet_ntoa(packet[16:20])}"
        if self.shows_igmp:
            names[2] = self.igmp
        return f"{text} {names[protocol](arrow, body)}" if protocol in names else None

    def udp(self, _arrow: str, body: bytes) -> str:
        source, destination, length, _ = struct.unpack_from("!HHHH", body)
        return f"udp {self.port(source)} {self.port(destination)} length {length - 8}"

    def udplite(self, _arrow: str, body: bytes) -> str:
        source, destination, covered, checksum = struct.unpack_from("!HHHH", body)
        text = f"udplite {self.port(source)} {self.port(destination)} length {len(body) - 8} covered {covered}"
        return text + ("" if checksum else " without a checksum")

    def identification(self, number: int, flow: tuple) -> str:
        """0, or how far it is from the one before of the same source and destination."""
        step = (number - self.last_ids.get(flow, number)) & 0xFFFF
        self.last_ids[flow] = number
        return " id 0" if number == 0 else f" id +{step}" if step < 9 else " id far"

    @staticmethod
    def stamped(options: bytes) -> str:
        """With times of day as `time`."""
        text, place = options.hex(), 0
        while place + 3 < len(options) and options[place]:
            if options[place] == 68:
                step = 4 if options[place + 3] & 15 == 0 else 8
                for stamp in range(place + 4 + step - 4, min(place + options[place + 2] - 1, len(options)), step):
                    text = text[:2 * stamp] + "  time  " + text[2 * stamp + 8:]
            place += 1 if options[place] == 1 else max(2, options[place + 1])
        return text

    def igmp(self, _arrow: str, body: bytes) -> str:
        if body[0] != 0x22:
            return f"igmp {body[0]:x} {body[1]} {socket.inet_ntoa(body[4:8])} length {len(body)}"
        text, rest = "igmp 22", body[8:]
        while len(rest) >= 8:
            sources = int.from_bytes(rest[2:4], "big")
            text += f" [{rest[0]} {socket.inet_ntoa(rest[4:8])}"
            for place in range(8, 8 + 4 * sources, 4):
                text += " " + socket.inet_ntoa(rest[place:place + 4])
            text += "]"
            rest = rest[8 + 4 * sources + 4 * rest[1]:]
        return text

    def icmp(self, _arrow: str, body: bytes) -> str:
        rest = struct.unpack_from("!HH", body, 4)[1] if body[0] == 3 else ""
        return f"icmp {body[0]} {body[1]} {rest} length {len(body)}".replace("  ", " ")

    def tcp(self, arrow: str, body: bytes) -> str:
        source, destination, sequence, acknowledgment, flags, window, _, urgent = struct.unpack_from(
            "!HHIIHHHH", body)
        size = (flags >> 12) * 4
        flow = (arrow, source, destination)
        other = ("<" if arrow == ">" else ">", destination, source)
        if flags & 2:
            self.first[flow] = sequence
        text = f"{self.port(source)} {self.port(destination)} "
        text += "".join(letter for bit, letter in FLAGS if flags & bit)
        # A reset of what nobody has a connection for is numbered 0 (RFC 9293 3.10.7.1).
        is_zero = flags & 0x04 and sequence == 0
        text += f" seq {'zero' if is_zero else self.relative(flow, sequence)} len {len(body) - size}"
        if flags & 0x10:
            text += f" ack {self.relative(other, acknowledgment)}"
        if flags & 2 or self.shows_windows:
            text += f" win {window}"
        if flags & 0x20:
            text += f" urg {urgent}"
        return text + "".join(self.options(body[20:size], other))

    def relative(self, flow: tuple, number: int) -> str:
        if flow in self.first:
            return str((number - self.first[flow]) & 0xFFFFFFFF)
        return "0" if number == 0 else "absolute"

    def options(self, rest: bytes, other: tuple) -> list[str]:
        words = []
        while rest:
            kind = rest[0]
            if kind == 0:
                words.append(" eol")
                break
            if kind == 1:
                words.append(" nop")
                rest = rest[1:]
                continue
            length = rest[1] if len(rest) > 1 else 0
            if length < 2 or length > len(rest):
                words.append(" bad")
                break
            value = rest[2:length]
            word = " " + OPTIONS.get(kind, f"option{kind}")
            if kind in (2, 3):
                word += " " + str(int.from_bytes(value, "big"))
            if kind in (34, 172, 174, 254):
                word += " " + value.hex()
            if kind == 5:
                word += "".join(
                    " " + self.relative(other, number) for number in struct.unpack(f"!{len(value) // 4}I", value))
            words.append(word)
            rest = rest[length:]
        return words
