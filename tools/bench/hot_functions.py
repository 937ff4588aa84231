"""Lists the functions of the packet path. Started by tools/bench/hot-functions, which builds what this runs."""

import argparse
import collections
import glob
import os
import signal
import sys
import tempfile

import bench

# A function belongs to the list when it has this part of what a measurement executes: a few instructions a packet.
LEAST_PART = 0.0002
MEASUREMENTS = [
    ("round trip", lambda lab: bench.stack_latency(lab, 3000)),
    ("connect", lambda lab: bench.stack_connect(lab, 1500, 1)),
    ("out, offload auto", lambda lab: bench.stack_send(lab, 3, "auto")),
    ("in, offload auto", lambda lab: bench.stack_receive(lab, 3, "auto")),
    ("out, offload off", lambda lab: bench.stack_send(lab, 3, "off")),
    ("in, offload off", lambda lab: bench.stack_receive(lab, 3, "off")),
]


def own_costs(path: str) -> collections.Counter:
    """Instructions that each function of a callgrind profile has executed itself."""
    costs: collections.Counter = collections.Counter()
    function, is_call = "", False
    with open(path, errors="replace") as file:
        for line in file:
            if line.startswith("fn="):
                function, is_call = line[3:].strip().split("'")[0], False
            elif line.startswith("calls="):
                # The next line is what the callee has cost.
                is_call = True
            elif line[:1].isdigit() or line[:1] in "+-*":
                if not is_call:
                    costs[function] += int(line.split()[1])
                is_call = False
    return costs


def profile(name: str, measurement, programs: str) -> collections.Counter:
    with tempfile.TemporaryDirectory() as folder:
        wrapper = os.path.join(folder, "swiftstack")
        binary = os.path.abspath(os.environ["SWIFTSTACK_BINARY"])
        shim = os.path.abspath(os.path.join(programs, "epollwait.so"))
        with open(wrapper, "w") as file:
            file.write(
                "#!/bin/sh\n"
                f'[ "$1" = up ] || exec {binary} "$@"\n'
                f"LD_PRELOAD={shim} exec valgrind --tool=callgrind --compress-strings=no"
                # Its file is opened at the end, and has to be by the process that began.
                f' --callgrind-out-file={folder}/profile.%p {binary} "$@" --user root --seccomp off\n')
        os.chmod(wrapper, 0o755)
        bench.SWIFTSTACK = wrapper
        with bench.Lab(programs) as lab:
            measurement(lab)
            # The stack is the first that was started; its profile is written when it ends.
            lab.processes[0].send_signal(signal.SIGTERM)
            lab.processes[0].wait(60)
        # Its keeper, a fork of it, has one of its own.
        profiles = glob.glob(f"{folder}/profile.{lab.processes[0].pid}*")
        if len(profiles) != 1:
            raise bench.Failure(f"{name}: callgrind wrote {len(profiles)} profiles")
        return own_costs(profiles[0])


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/bench/hot-functions")
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--output", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    listed: dict[str, None] = {}
    for name, measurement in MEASUREMENTS:
        costs = profile(name, measurement, options.programs)
        least = sum(costs.values()) * LEAST_PART
        before = len(listed)
        for function, cost in costs.most_common():
            if cost >= least and function.startswith("$s"):
                listed.setdefault(function)
        print(f"{name}: {len(listed) - before} functions", file=sys.stderr)
    with open(options.output, "w") as file:
        file.writelines(f".text.{function}\n" for function in listed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
