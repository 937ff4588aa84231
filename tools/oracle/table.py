"""Every state x every kind of segment: what the kernel answers, and what becomes of the connection (RFC 9293 3.10.7).

A cell is a script: a connection is brought into a state by segments made by hand, one more segment comes, and one that fits,
which tells whether the connection has lived through it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SEGMENT = "p segment 7009 7000"
LISTEN = ["a tcp", "a bind any:7000", "a listen 5"]
OPEN = [*LISTEN, f"{SEGMENT} S opt 020405b4", f"{SEGMENT} . seq 1 ack 1", "a accept b"]
FIN_WAIT_2 = [*OPEN, "b shutdown w", f"{SEGMENT} . seq 1 ack 2"]
CLOSE_WAIT = [*OPEN, f"{SEGMENT} F. seq 1 ack 1"]


@dataclass(frozen=True)
class State:
    """How a connection comes there, and RCV.NXT, SND.UNA and SND.NXT then, as distances from the first numbers."""

    name: str
    steps: list[str]
    next: int
    una: int
    sent: int


STATES = [
    State("CLOSED", ["a tcp"], 0, 0, 0),
    State("LISTEN", LISTEN, 0, 0, 0),
    State("SYN-SENT", ["a tcp", "a bind any:7000", "a connect 10.0.0.51:7009"], 0, 0, 1),
    State("SYN-RECEIVED", OPEN[:4], 1, 0, 1),
    State("ESTABLISHED", OPEN, 1, 1, 1),
    State("ESTABLISHED with data out", [*OPEN, "b send 100"], 1, 1, 101),
    State("FIN-WAIT-1", [*OPEN, "b shutdown w"], 1, 1, 2),
    State("FIN-WAIT-1 of an orphan", [*OPEN, "b close"], 1, 1, 2),
    State("FIN-WAIT-2", FIN_WAIT_2, 1, 2, 2),
    State("CLOSE-WAIT", CLOSE_WAIT, 2, 1, 1),
    State("CLOSING", [*OPEN, "b shutdown w", f"{SEGMENT} F. seq 1 ack 1"], 2, 1, 2),
    State("LAST-ACK", [*CLOSE_WAIT, "b close"], 2, 1, 2),
    State("TIME-WAIT", [*FIN_WAIT_2, f"{SEGMENT} F. seq 1 ack 2"], 2, 2, 2),
]
# Where the stack does what an RFC says and Linux does not.
LISTED = [
    (r"^table SYN-SENT: SF\. .* ack nxt$", "a FIN that comes with the SYN-ACK is taken at once, not when it comes again (RFC 9293 3.10.7.3)"),
    (r"^table (CLOSE-WAIT|CLOSING): U\. .* len 5$", "behind the peer's FIN nothing is urgent (RFC 9293 3.10.7.4)"),
    (r"^table ESTABLISHED with data out: P?\. seq next ack (before|old) len 5$",
     "an ACK from before what can be is challenged, and its data not taken (RFC 5961 5.2); Linux's fast path takes it"),
    (r"^table SYN-SENT: SF? ", "a peer that offers no window scale is told 0; Linux tells the one it will not use"),
    (r"^table SYN-RECEIVED: SF\. seq before ack nxt$",
     "a SYN that reaches into the window resets (RFC 9293 3.10.7.4); Linux cuts it off, and opens"),
    (r"^table TIME-WAIT: SF seq (inside|beyond)$", "a SYN with a FIN opens nothing, and so ends no TIME-WAIT"),
]

WITH_ACK = [(".", 0), (".", 5), ("P.", 5), ("F.", 0), ("F.", 5), ("S.", 0), ("R.", 0), ("SF.", 0), ("U.", 5)]
WITHOUT_ACK = [("-", 0), ("-", 5), ("S", 0), ("S", 5), ("R", 0), ("R", 5), ("F", 0), ("SF", 0), ("SR", 0)]
# From RCV.NXT: long ago, the byte before, the one, inside the window, its right edge, beyond it.
SEQUENCES = {"old": -100_000, "before": -1, "next": 0, "inside": 300, "beyond": 200_000}


def acknowledgments(state: State) -> dict[str, int]:
    """From the first number: long ago, the one before SND.UNA, SND.UNA, SND.NXT, what was never sent."""
    found = {"old": state.una - 100_000, "before": state.una - 1, "una": state.una}
    if state.sent != state.una:
        found["nxt"] = state.sent
    return {**found, "unsent": state.sent + 1, "far": state.sent + 100_000}


def cells() -> Iterator[tuple[str, list[str]]]:
    """Title and steps of each."""
    for state in STATES:
        name = "b" if "a accept b" in state.steps else "a"
        after = [f"{SEGMENT} . seq {state.next} ack {state.sent}"]
        if "b close" not in state.steps:
            after = [f"{name} part TCP_INFO 0 1", f"{name} poll", *after, f"{name} part TCP_INFO 0 1"]
        if state.name == "SYN-RECEIVED":
            after.append("a accept b")
        for place, distance in SEQUENCES.items():
            for kinds, acks in ((WITH_ACK, acknowledgments(state)), (WITHOUT_ACK, {"": None})):
                for flags, length in kinds:
                    for ack, number in acks.items():
                        said = f" ack {number}" if number is not None else ""
                        step = f"{SEGMENT} {flags} seq {state.next + distance}{said}" + (f" len {length}" if length else "")
                        title = f"{state.name}: {flags} seq {place}" + (f" ack {ack}" if ack else "") + (f" len {length}" if length else "")
                        yield f"table {title}", [*state.steps, step, *after]
