"""Measures the stack beside two baselines. Started by tools/bench/run, which builds what this runs."""

import argparse
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time

SWIFTSTACK = os.environ["SWIFTSTACK_BINARY"]
ALLOWED = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
# One core for each side of a transfer.
LEFT_CPU, RIGHT_CPU = "0", str(min(1, (os.cpu_count() or 1) - 1))


class Failure(Exception):
    """A measurement could not be made."""


class Lab:
    """Namespaces and processes of this run; everything goes when it ends."""

    def __init__(self, programs: str) -> None:
        self.programs = programs
        self.prefix = f"ssb{os.getpid()}"
        self.namespaces: list[str] = []
        self.processes: list[subprocess.Popen] = []
        self.count = 0
        with open(ALLOWED) as file:
            self.allowed = file.read().strip()
        if "cubic" not in self.allowed.split():
            with open(ALLOWED, "w") as file:
                file.write(self.allowed + " cubic")

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.end_processes()
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
        with open(ALLOWED, "w") as file:
            file.write(self.allowed)

    def end_processes(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.processes = []

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{self.prefix}{kind}{self.count}"

    def namespace(self) -> str:
        name = self.name("n")
        must(["ip", "netns", "add", name])
        self.namespaces.append(name)
        self.inside(name, ["ip", "link", "set", "lo", "up"])
        self.inside(name, ["sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1"])
        self.inside(name, ["sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1"])
        self.inside(name, ["sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=cubic"])
        return name

    def inside(self, namespace: str, command: list[str], cpu: str | None = None, timeout: float = 60) -> str:
        return must(in_namespace(namespace, pinned(command, cpu)), timeout)

    def start(self, command: list[str], cpu: str | None = None, ready: str | None = None) -> subprocess.Popen:
        process = subprocess.Popen(
            pinned(command, cpu), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.processes.append(process)
        if ready:
            for line in process.stdout:
                if ready in line:
                    return process
            raise Failure(f"{command}: {process.stderr.read()}")
        return process

    def bulk(self, *arguments: str) -> list[str]:
        return [f"{self.programs}/bulk", *arguments]

    def veth(self) -> tuple[str, str]:
        """Two namespaces with a veth pair: 10.7.0.1 and 10.7.0.2."""
        left, right = self.namespace(), self.namespace()
        self.inside(left, ["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", right])
        for name, address in ((left, "10.7.0.1/24"), (right, "10.7.0.2/24")):
            self.inside(name, ["ip", "addr", "add", address, "dev", "v0"])
            self.inside(name, ["ip", "link", "set", "v0", "up"])
        return left, right

    def stack(
        self, offload: str, cpu: str | None = None, more: list[str] | None = None, namespace: str | None = None
    ) -> "Stack":
        return Stack(self, offload, cpu, more or [], namespace or self.namespace())


class Stack:
    """A running stack at 10.8.0.2, its TAP in a namespace with Linux at 10.8.0.1."""

    def __init__(self, lab: Lab, offload: str, cpu: str | None, more: list[str], namespace: str) -> None:
        self.lab = lab
        self.namespace = namespace
        self.interface = lab.name("t")
        self.process = lab.start(
            [SWIFTSTACK, "up", self.interface, "--netns", self.namespace, "--address", "10.8.0.2/24",
             "--host-address", "10.8.0.1/24", "--mtu", "1500", "--offload", offload, *more],
            cpu,
        )
        until = time.monotonic() + 15
        while subprocess.run(self.command("nic", "--json"), capture_output=True, check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > until:
                raise Failure(f"swiftstack up did not come up: {self.process.stderr.read()}")
            time.sleep(0.05)

    def command(self, name: str, *arguments: str) -> list[str]:
        return [SWIFTSTACK, name, *arguments, "--interface", self.interface]

    def resident_bytes(self) -> int:
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def wait_for_listener(self, port: int) -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if f":{port}" in must(self.command("ss")):
                return
            time.sleep(0.05)
        raise Failure(f"the stack does not listen on port {port}")

    def stop(self) -> None:
        self.lab.end_processes()


def must(command: list[str], timeout: float = 60) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if result.returncode != 0:
        raise Failure(f"{' '.join(command)}: status {result.returncode}: {result.stderr.strip()}")
    return result.stdout


def in_namespace(namespace: str, command: list[str]) -> list[str]:
    return ["ip", "netns", "exec", namespace, *command]


def pinned(command: list[str], cpu: str | None) -> list[str]:
    return command if cpu is None else ["taskset", "-c", cpu, *command]


def words(text: str) -> dict[str, float]:
    return {key: float(value) for key, value in re.findall(r"(\w+)=([0-9.]+)", text)}


def gigabits(text: str) -> float:
    return words(text)["bitsPerSecond"] / 1e9


# Measurements: each returns one number.


def veth_bulk(lab: Lab, seconds: float) -> float:
    left, right = lab.veth()
    sink = lab.start(in_namespace(right, lab.bulk("recv", "5001")), RIGHT_CPU, "ready")
    lab.inside(left, lab.bulk("send", "10.7.0.2", "5001", str(seconds)), LEFT_CPU)
    return gigabits(sink.communicate(timeout=10)[0])


def tap_loop(lab: Lab, seconds: float, mode: str) -> float:
    namespace, interface = lab.namespace(), lab.name("t")
    flags = ["vnet_hdr"] if mode == "tso" else []
    lab.inside(namespace, ["ip", "tuntap", "add", "dev", interface, "mode", "tap", *flags])
    lab.inside(namespace, ["ip", "addr", "add", "10.9.0.1/24", "dev", interface])
    lab.inside(namespace, ["ip", "link", "set", interface, "up"])
    lab.inside(namespace, ["ip", "neigh", "add", "10.9.0.2", "lladdr", "02:00:00:00:00:02", "dev", interface,
                           "nud", "permanent"])
    sink = lab.start(in_namespace(namespace, lab.bulk("recv", "5001")), RIGHT_CPU, "ready")
    lab.inside(namespace, [f"{lab.programs}/tapsend", interface, "10.9.0.1", "10.9.0.2", "5001", str(seconds), mode],
               LEFT_CPU)
    return gigabits(sink.communicate(timeout=10)[0])


def stack_send(lab: Lab, seconds: float, offload: str, *options: str) -> float:
    stack = lab.stack(offload, LEFT_CPU)
    sink = lab.start(in_namespace(stack.namespace, lab.bulk("recv", "5001")), RIGHT_CPU, "ready")
    must(stack.command("perf", "send", "10.8.0.1", "5001", "-t", str(round(seconds)), "--json", *options))
    return gigabits(sink.communicate(timeout=10)[0])


def stack_receive(lab: Lab, seconds: float, offload: str) -> float:
    stack = lab.stack(offload, LEFT_CPU)
    perf = lab.start(stack.command("perf", "recv", "5002", "-t", str(round(seconds) + 5), "--json"))
    stack.wait_for_listener(5002)
    lab.inside(stack.namespace, lab.bulk("send", "10.8.0.2", "5002", str(seconds)), RIGHT_CPU)
    report = json.loads(perf.communicate(timeout=20)[0])
    return report["bytes"] * 8 / min(report["seconds"], seconds + 0.5) / 1e9


def idle_memory(lab: Lab, connections: int) -> tuple[float, float]:
    """Resident megabytes before and with that many idle connections."""
    stack = lab.stack("auto")
    before = stack.resident_bytes()
    client = in_namespace(stack.namespace, lab.bulk("idle", "10.8.0.2", "9", str(connections)))
    lab.start(client, None, "ready")
    time.sleep(1)
    return before / 1e6, stack.resident_bytes() / 1e6


def veth_latency(lab: Lab, rounds: int) -> float:
    left, right = lab.veth()
    lab.start(in_namespace(right, lab.bulk("echo", "7")), LEFT_CPU, "ready")
    return words(lab.inside(left, lab.bulk("pingpong", "10.7.0.2", "7", str(rounds)), LEFT_CPU))["p50"]


def stack_latency(lab: Lab, rounds: int) -> float:
    stack = lab.stack("auto", LEFT_CPU)
    return words(lab.inside(stack.namespace, lab.bulk("pingpong", "10.8.0.2", "7", str(rounds)), LEFT_CPU))["p50"]


def async_latency(lab: Lab, rounds: int) -> float:
    """Round trips with a Swift server in plain async style, a task for each connection: tools/examples/echo-server."""
    namespace = lab.namespace()
    lab.start(in_namespace(namespace, [os.environ["SWIFTSTACK_ECHO"], lab.name("t"), "async"]), LEFT_CPU, "tasks")
    return words(lab.inside(namespace, lab.bulk("pingpong", "10.0.0.2", "7", str(rounds)), LEFT_CPU))["p50"]


def veth_connect(lab: Lab, rounds: int) -> float:
    left, right = lab.veth()
    lab.start(in_namespace(right, lab.bulk("accept", "7")), LEFT_CPU, "ready")
    return words(lab.inside(left, lab.bulk("connect", "10.7.0.2", "7", str(rounds)), LEFT_CPU))["p50"]


def stack_connect(lab: Lab, rounds: int, queues: int) -> float:
    stack = lab.stack("auto", LEFT_CPU, ["--queues", str(queues)])
    return words(lab.inside(stack.namespace, lab.bulk("connect", "10.8.0.2", "7", str(rounds)), LEFT_CPU))["p50"]


def veth_ways(lab: Lab, seconds: float, ways: str) -> tuple[float, ...]:
    """Gbit/s of a bulk transfer each way named ("out", "in"), all at once, nothing pinned."""
    left, right = lab.veth()
    ends = {"out": (left, right, "10.7.0.2", "5001"), "in": (right, left, "10.7.0.1", "5002")}
    chosen = [ends[way] for way in ways.split()]
    sinks = [lab.start(in_namespace(to, lab.bulk("recv", port)), None, "ready") for _, to, _, port in chosen]
    for source, _, address, port in chosen:
        lab.start(in_namespace(source, lab.bulk("send", address, port, str(seconds))))
    return tuple(gigabits(sink.communicate(timeout=seconds + 10)[0]) for sink in sinks)


def stack_ways(lab: Lab, seconds: float, offload: str, ways: str) -> tuple[float, ...]:
    """As `veth_ways`, with the stack on the left."""
    stack = lab.stack(offload)
    sink = perf = None
    if "in" in ways.split():
        perf = lab.start(stack.command("perf", "recv", "5002", "-t", str(round(seconds) + 5), "--json"))
        stack.wait_for_listener(5002)
    if "out" in ways.split():
        sink = lab.start(in_namespace(stack.namespace, lab.bulk("recv", "5001")), None, "ready")
        lab.start(stack.command("perf", "send", "10.8.0.1", "5001", "-t", str(round(seconds)), "--json"))
    if perf:
        lab.inside(stack.namespace, lab.bulk("send", "10.8.0.2", "5002", str(seconds)))
    rates = []
    if sink:
        rates.append(gigabits(sink.communicate(timeout=seconds + 10)[0]))
    if perf:
        report = json.loads(perf.communicate(timeout=20)[0])
        rates.append(report["bytes"] * 8 / min(report["seconds"], seconds + 0.5) / 1e9)
    return tuple(rates)


def both_of_alone(lab: Lab, ways) -> float:
    """What is left of each way's speed when both are busy: the smaller of the two parts. `ways` measures the named ones."""
    alone_out, alone_in, both = ways(lab, "out")[0], ways(lab, "in")[0], ways(lab, "out in")
    print(f"  out {alone_out:.2f} alone, {both[0]:.2f} with in; in {alone_in:.2f} alone, {both[1]:.2f} with out",
          file=sys.stderr)
    return min(both[0] / alone_out, both[1] / alone_in)


def parse(program: str, seconds: float) -> argparse.Namespace:
    """What was asked for; `wanted` is the words of --only."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=seconds, help=f"length of each transfer (default {seconds})")
    parser.add_argument("--runs", type=int, default=3, help="each is measured so often; the median counts (default 3)")
    parser.add_argument("--json", metavar="FILE", help="where the JSON goes, besides standard output")
    parser.add_argument("--only", default="", help="only measurements whose names contain one of these words")
    options = parser.parse_args()
    options.wanted = [word for word in options.only.split(",") if word]
    return options


def tell(document: dict, file: str | None) -> None:
    """As JSON, on standard output and in a file."""
    text = json.dumps(document)
    print(text)
    if file:
        with open(file, "w") as out:
            out.write(text + "\n")


def main() -> int:
    options = parse("tools/bench/run", 3)
    seconds, wanted = options.seconds, options.wanted

    measurements = [
        ("veth, Linux to Linux", "Gbit/s", lambda lab: veth_bulk(lab, seconds)),
        ("TAP loop in C, TSO", "Gbit/s", lambda lab: tap_loop(lab, seconds, "tso")),
        ("TAP loop in C, MTU 1500", "Gbit/s", lambda lab: tap_loop(lab, seconds, "mtu")),
        ("stack to Linux, offload auto", "Gbit/s", lambda lab: stack_send(lab, seconds, "auto")),
        ("Linux to stack, offload auto", "Gbit/s", lambda lab: stack_receive(lab, seconds, "auto")),
        ("stack to Linux, offload off", "Gbit/s", lambda lab: stack_send(lab, seconds, "off")),
        ("stack to Linux, MSG_ZEROCOPY, auto", "Gbit/s", lambda lab: stack_send(lab, seconds, "auto", "-Z")),
        ("stack to Linux, MSG_ZEROCOPY, off", "Gbit/s", lambda lab: stack_send(lab, seconds, "off", "-Z")),
        ("Linux to stack, offload off", "Gbit/s", lambda lab: stack_receive(lab, seconds, "off")),
        ("round trip over veth, one core", "us", lambda lab: veth_latency(lab, 20000)),
        ("round trip with the stack, one core", "us", lambda lab: stack_latency(lab, 20000)),
        ("round trip with a plain async server, one core", "us", lambda lab: async_latency(lab, 20000)),
        ("connect over veth, one core", "us", lambda lab: veth_connect(lab, 5000)),
        ("connect to the stack, 1 queue", "us", lambda lab: stack_connect(lab, 5000, 1)),
        ("connect to the stack, 8 queues", "us", lambda lab: stack_connect(lab, 5000, 8)),
        ("both ways at once, veth", "alone", lambda lab: both_of_alone(
            lab, lambda lab, ways: veth_ways(lab, seconds, ways))),
        ("both ways at once, offload auto", "alone", lambda lab: both_of_alone(
            lab, lambda lab, ways: stack_ways(lab, seconds, "auto", ways))),
        ("both ways at once, offload off", "alone", lambda lab: both_of_alone(
            lab, lambda lab, ways: stack_ways(lab, seconds, "off", ways))),
    ]
    results: dict[str, dict] = {}

    def measure(name: str, unit: str, function) -> None:
        values, problem = [], None
        for _ in range(options.runs):
            try:
                with Lab(options.programs) as lab:
                    values.append(function(lab))
            except (Failure, KeyError, ValueError, OSError, subprocess.TimeoutExpired) as error:
                problem = str(error)
        results[name] = {"unit": unit, "runs": values, "value": statistics.median(values) if values else None}
        if problem:
            results[name]["error"] = problem
            print(f"{name}: {problem}", file=sys.stderr)

    for name, unit, function in measurements:
        if not wanted or any(word in name for word in wanted):
            print(f"measuring: {name}", file=sys.stderr)
            measure(name, unit, function)
    idle_name = "memory with 10,000 idle connections"
    if not wanted or any(word in idle_name for word in wanted):
        try:
            with Lab(options.programs) as lab:
                before, after = idle_memory(lab, 10000)
            results["memory with no connection"] = {"unit": "MB", "runs": [before], "value": before}
            results[idle_name] = {"unit": "MB", "runs": [after], "value": after}
        except (Failure, OSError, subprocess.TimeoutExpired) as error:
            results[idle_name] = {"unit": "MB", "runs": [], "value": None, "error": str(error)}
            print(f"{idle_name}: {error}", file=sys.stderr)

    goals = [
        ("stack to Linux, offload auto", "at least 0.3 of veth", 0.3, "veth, Linux to Linux", False),
        ("Linux to stack, offload auto", "at least 0.3 of veth", 0.3, "veth, Linux to Linux", False),
        ("stack to Linux, offload off", "at least 3.5 Gbit/s", 3.5, None, False),
        ("Linux to stack, offload off", "at least 5 Gbit/s", 5, None, False),
        ("connect to the stack, 8 queues", "at most 1.1 of 1 queue", 1.1, "connect to the stack, 1 queue", True),
        ("both ways at once, offload auto", "at least 0.6 of alone", 0.6, None, False),
        ("both ways at once, offload off", "at least 0.6 of alone", 0.6, None, False),
        (idle_name, "under 100 MB", 100, None, True),
    ]
    judged = {}
    for name, words_, bound, base, is_upper in goals:
        value = results.get(name, {}).get("value")
        reference = 1.0 if base is None else results.get(base, {}).get("value")
        if value is not None and reference:
            met = value / reference < bound if is_upper else value / reference >= bound
            judged[name] = {"goal": words_, "met": met}

    print_table(results, judged)
    document = {
        "machine": {"kernel": platform.release(), "cpus": os.cpu_count(), "secondsPerTransfer": seconds},
        "results": results,
        "goals": judged,
    }
    tell(document, options.json)
    return 0 if all("error" not in result for result in results.values()) else 1


def print_table(results: dict[str, dict], judged: dict[str, dict]) -> None:
    bases = {"veth": "veth, Linux to Linux", "C TSO": "TAP loop in C, TSO", "C MTU": "TAP loop in C, MTU 1500"}
    print(f"{'':38}{'value':>10} {'':7}" + "".join(f"{'/ ' + base:>9}" for base in bases) + "  goal")
    for name, result in results.items():
        value = result["value"]
        line = f"{name:38}{'-' if value is None else format(value, '.2f'):>10} {result['unit']:7}"
        for base in bases.values():
            other = results.get(base, {}).get("value")
            ratio = value / other if value is not None and other and result["unit"] == "Gbit/s" else None
            line += f"{'' if ratio is None else format(ratio, '.2f') + 'x':>9}"
        if name in judged:
            line += f"  {judged[name]['goal']}: {'met' if judged[name]['met'] else 'NOT MET'}"
        print(line.rstrip())


def interrupted(*_: object) -> None:
    raise SystemExit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupted)
    sys.exit(main())
