"""Sends over paths that lose, reorder and queue: the stack beside Linux. Started by tools/bench/loss."""

import json
import signal
import statistics
import subprocess
import sys
from dataclasses import dataclass

from bench import SWIFTSTACK, Failure, Lab, in_namespace, interrupted, must, parse, tell, words

FAR, PORT = "10.9.2.1", "5001"


@dataclass
class Path:
    """What the router between sender and receiver does, in tc's words; one way and the other."""

    name: str
    out: str
    back: str
    streams: int


# Where there is no bottleneck to speak of, a rate that neither side's processor decides.
WIDE = "rate 200mbit limit 20000"
PATHS = [
    Path("no loss", f"netem delay 20ms {WIDE}", "netem delay 20ms limit 20000", 1),
    Path("0.1 % lost", f"netem delay 20ms loss 0.1% {WIDE}", "netem delay 20ms limit 20000", 4),
    Path("1 % lost", f"netem delay 20ms loss 1% {WIDE}", "netem delay 20ms limit 20000", 8),
    Path("3 % lost", f"netem delay 20ms loss 3% {WIDE}", "netem delay 20ms limit 20000", 8),
    # netem delays what it does not reorder.
    Path("2 % 3 ms late", "netem delay 3ms reorder 98% limit 20000", "netem delay 40ms limit 20000", 1),
    # 60 packets of 1,514 bytes.
    Path("50 Mbit/s, queue of 60", "tbf rate 50mbit burst 10kb limit 90840", "netem delay 40ms limit 20000", 1),
]


# A queue of what is on its way in one round trip.
SHARED = Path("shared", "tbf rate 50mbit burst 10kb limit 250kb", "netem delay 40ms limit 20000", 1)


class Net:
    """near (Linux, 10.9.1.1) - router (a stack that forwards) - far (Linux, 10.9.2.1); a stack sends by way of near."""

    def __init__(self, lab: Lab, path: Path, control: str, is_stack: bool) -> None:
        self.lab = lab
        self.near, self.far = lab.namespace(), lab.namespace()
        self.near_link, self.far_link = lab.name("t"), lab.name("t")
        lab.start(
            [SWIFTSTACK, "up", self.near_link, "--netns", self.near, "--address", "10.9.1.254/24", "--host-address",
             "10.9.1.1/24", "--offload", "off", "--ring", "4096", "--link",
             f"{self.far_link},address=10.9.2.254/24,host-address={FAR}/24,netns={self.far}"], None, "up")
        lab.inside(self.near, ["ip", "route", "add", "10.9.2.0/24", "via", "10.9.1.254"])
        for network in ("10.9.1.0/24", "10.8.0.0/24"):
            lab.inside(self.far, ["ip", "route", "add", network, "via", "10.9.2.254"])
        self.router("sysctl", "net.ipv4.ip_forward=1")
        self.stack = lab.stack("auto", None, ["--gateway", "10.8.0.1", "--no-services"], self.near) if is_stack else None
        if self.stack:
            lab.inside(self.near, ["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
            self.router("route", "add", "10.8.0.0/24", "via", "10.9.1.1")
            must(self.stack.command("sysctl", f"net.ipv4.tcp_congestion_control={control}"))
        else:
            lab.inside(self.near, ["sysctl", "-q", "-w", f"net.ipv4.tcp_congestion_control={control}"])
        # Neighbours know each other before anything is lost.
        lab.inside(self.near, ["ping", "-c", "1", "-W", "2", FAR])
        self.router("qdisc", "replace", "dev", self.far_link, "root", *path.out.split())
        self.router("qdisc", "replace", "dev", self.near_link, "root", *path.back.split())

    def router(self, *arguments: str) -> None:
        must([SWIFTSTACK, *arguments, "--interface", self.near_link, "--netns", self.near])

    def send(self, seconds: float, streams: int) -> tuple[float, float]:
        """Megabits a second that arrived, and how many of a thousand segments went again."""
        sink = self.lab.start(in_namespace(self.far, self.lab.bulk("recv", PORT, str(streams))), None, "ready")
        before = self.counters()
        if self.stack:
            must(self.stack.command(
                "perf", "send", FAR, PORT, "-t", str(round(seconds)), "-P", str(streams), "--json"), seconds + 60)
        else:
            command = in_namespace(self.near, self.lab.bulk("send", FAR, PORT, str(seconds)))
            senders = [self.lab.start(command) for _ in range(streams)]
            for sender in senders:
                sender.communicate(timeout=seconds + 60)
        after = self.counters()
        rate = words(sink.communicate(timeout=120)[0])["bitsPerSecond"] / 1e6
        again, out = (after[key] - before[key] for key in ("TcpRetransSegs", "TcpOutSegs"))
        return rate, 1000 * again / max(out, 1)

    def share(self, control: str, seconds: float, is_stack_first: bool) -> tuple[float, float]:
        """Megabits a second of a flow of Linux's and of one of the stack's, at the same time over the same bottleneck."""
        self.lab.inside(self.near, ["sysctl", "-q", "-w", f"net.ipv4.tcp_congestion_control={control}"])
        ports = (PORT, str(int(PORT) + 1))
        sinks = [self.lab.start(in_namespace(self.far, self.lab.bulk("recv", port, "1")), None, "ready") for port in ports]
        commands = [
            in_namespace(self.near, self.lab.bulk("send", FAR, ports[0], str(seconds))),
            self.stack.command("perf", "send", FAR, ports[1], "-t", str(round(seconds))),
        ]
        senders = [self.lab.start(command) for command in (reversed(commands) if is_stack_first else commands)]
        for sender in senders:
            sender.communicate(timeout=seconds + 60)
        linux, stack = (words(sink.communicate(timeout=120)[0])["bitsPerSecond"] / 1e6 for sink in sinks)
        return linux, stack

    def counters(self) -> dict[str, int]:
        if self.stack:
            found = json.loads(must(self.stack.command("stats", "--json", "--zeros")))["swiftstack"]
            return {key: int(found[key]) for key in ("TcpRetransSegs", "TcpOutSegs")}
        lines = [line.split() for line in self.lab.inside(self.near, ["cat", "/proc/net/snmp"]).splitlines()]
        names, values = [line for line in lines if line[0] == "Tcp:"]
        named = dict(zip(names, values))
        return {"TcpRetransSegs": int(named["RetransSegs"]), "TcpOutSegs": int(named["OutSegs"])}


def is_wanted(name: str, options) -> bool:
    return not options.wanted or any(word in name for word in options.wanted)


def shared(options) -> list[dict]:
    """What a flow of the stack's gets beside one of Linux's."""
    results = []
    for linux, stack in (("cubic", "cubic"), ("bbr", "bbr"), ("bbr", "cubic"), ("cubic", "bbr")):
        name = f"shared 50 Mbit/s, Linux {linux}, stack {stack}"
        if not is_wanted(name, options):
            continue
        runs, seconds = [], max(options.seconds, 30)
        for number in range(options.runs):
            with Lab(options.programs) as lab:
                runs.append(Net(lab, SHARED, stack, True).share(linux, seconds, number % 2 == 1))
        rate = [statistics.median(run[side] for run in runs) for side in (0, 1)]
        results.append(
            {"path": name, "seconds": seconds, "linux": [run[0] for run in runs], "stack": [run[1] for run in runs]})
        print(f"{name:44}{rate[0]:9.2f}{rate[1]:9.2f}{100 * rate[1] / sum(rate):7.1f} % the stack's", flush=True)
    return results


def main() -> int:
    options = parse("tools/bench/loss", 15)
    results = []
    print(f"{'':36}{'Linux':>9}{'stack':>9}{'ratio':>8}   again in 1000: Linux, stack")
    for control in ("cubic", "bbr"):
        for path in PATHS:
            name = f"{control}, {path.name}"
            if not is_wanted(name, options):
                continue
            found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
            for _ in range(options.runs):
                for is_stack in (False, True):
                    with Lab(options.programs) as lab:
                        found[is_stack].append(Net(lab, path, control, is_stack).send(options.seconds, path.streams))
            rate, again = ([statistics.median(run[index] for run in found[side]) for side in (False, True)] for index in (0, 1))
            results.append({"path": name, "linux": found[False], "stack": found[True]})
            print(f"{name:36}{rate[0]:9.2f}{rate[1]:9.2f}{rate[1] / rate[0]:7.2f}x{again[0]:14.2f}{again[1]:9.2f}", flush=True)
    results += shared(options)
    tell({"secondsPerTransfer": options.seconds, "unit": "Mbit/s, segments sent again of 1000", "results": results}, options.json)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupted)
    try:
        sys.exit(main())
    except (Failure, subprocess.TimeoutExpired) as error:
        sys.exit(f"tools/bench/loss: {error}")
