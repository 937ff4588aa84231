"""Counts allocations and reference counting for each frame. Started by tools/bench/allocations."""

import argparse
import json
import os
import re
import struct
import sys
import tempfile
import time

import bench


def functions(source: str) -> list[str]:
    """The counted functions, in the order of the counters."""
    with open(source) as file:
        return [name for _, name in re.findall(r"X\((\d+), (\w+)\)", file.read())]


def counters(path: str, count: int) -> list[int]:
    with open(path, "rb") as file:
        return list(struct.unpack(f"{count}Q", file.read(8 * count)))


def frames(stack: bench.Stack) -> int:
    """Frames that crossed the TAP in either direction, as the kernel counts them."""
    text = stack.lab.inside(stack.namespace, ["ip", "-j", "-s", "link", "show", stack.interface])
    link = json.loads(text)[0]["stats64"]
    return link["rx"]["packets"] + link["tx"]["packets"]


def measure(lab: bench.Lab, direction: str, offload: str, seconds: float, names: list[str]) -> dict:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "calls")
        os.environ["LD_PRELOAD"] = os.path.abspath(f"{lab.programs}/countcalls.so")
        os.environ["COUNT_CALLS_FILE"] = path
        try:
            stack = lab.stack(offload, bench.LEFT_CPU)
        finally:
            del os.environ["LD_PRELOAD"], os.environ["COUNT_CALLS_FILE"]
        total = 2 * seconds + 3
        if direction == "send":
            lab.start(bench.in_namespace(stack.namespace, lab.bulk("recv", "5001")), bench.RIGHT_CPU, "ready")
            lab.start(stack.command("perf", "send", "10.8.0.1", "5001", "-t", str(round(total))))
        else:
            lab.start(stack.command("perf", "recv", "5002", "-t", str(round(total))))
            stack.wait_for_listener(5002)
            source = lab.bulk("send", "10.8.0.2", "5002", str(total))
            lab.start(bench.in_namespace(stack.namespace, source), bench.RIGHT_CPU)
        time.sleep(1.5)
        calls_before, frames_before = counters(path, len(names)), frames(stack)
        time.sleep(seconds)
        calls_after, frames_after = counters(path, len(names)), frames(stack)
        lab.end_processes()
        count = frames_after - frames_before
        if count < 1000:
            raise bench.Failure(f"only {count} frames crossed the TAP")
        if calls_after[names.index("swift_retain")] == 0:
            raise bench.Failure("swift_retain was never seen; is the Swift runtime linked statically?")
        calls = {name: after - before for name, before, after in zip(names, calls_before, calls_after)}
        return {"frames": count, "calls": calls, "perFrame": {name: calls[name] / count for name in names}}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/bench/allocations")
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=3, help="time between the two marks (default 3)")
    parser.add_argument("--json", metavar="FILE", help="where the JSON goes, besides standard output")
    options = parser.parse_args()
    names = functions(os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "countcalls.c"))
    results = {}
    failed = False
    for direction in ("send", "recv"):
        for offload in ("auto", "off"):
            name = f"{direction}, offload {offload}"
            try:
                with bench.Lab(options.programs) as lab:
                    results[name] = measure(lab, direction, offload, options.seconds, names)
            except (bench.Failure, OSError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                failed = True
    print("calls for each frame over the TAP")
    print(f"{'':45}" + "".join(f"{name:>20}" for name in results))
    print(f"{'frames':45}" + "".join(f"{result['frames']:>20}" for result in results.values()))
    for function in names:
        print(f"{function:45}" + "".join(f"{result['perFrame'][function]:>20.5f}" for result in results.values()))
    text = json.dumps(results)
    print(text)
    if options.json:
        with open(options.json, "w") as file:
            file.write(text + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
