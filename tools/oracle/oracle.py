"""tools/oracle/run [--only REGEX] [--verbose]: one script of socket calls on two worlds, compared.

A script is a line that begins with `#`, its title, and the calls behind it, as kernel_agent.py has them. Sockets whose names
begin with `p` are the peer's. `me`, `peer`, `lo` and `any` are addresses, options and flags have their names. More words:

    wait 300                milliseconds
    ~ a poll | reason       not compared: here the stack differs, for that reason
    frames | reason         the frames of this script are not compared
    igmp                    IGMP's frames are compared, too
    set NAME parts:A,B,...  the bytes of a struct: 10.0.0.1, @10.0.0.1 as a sockaddr_storage, numbers of four bytes

What a call returns is compared call by call, the frames on the peer's wire in their order.
"""

import argparse
import difflib
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from world import KernelWorld, ScriptError, StackWorld, World

HERE = Path(__file__).resolve().parent
# After a call, for what it sets off on the way there and back; and at the end, for an acknowledgment that was put off.
SETTLE, END = 0.012, 0.25


@dataclass
class Script:
    title: str
    steps: list[str] = field(default_factory=list)
    compares_frames: bool = True
    shows_igmp: bool = False


def load() -> list[Script]:
    scripts: list[Script] = []
    for file in sorted((HERE / "scripts").glob("*.txt")):
        for line in file.read_text().splitlines():
            line = line.strip()
            if line.startswith("#"):
                scripts.append(Script(line[1:].strip()))
            elif line.startswith("frames |"):
                scripts[-1].compares_frames = False
            elif line == "igmp":
                scripts[-1].shows_igmp = True
            elif line:
                scripts[-1].steps.append(line)
    return scripts


def perform(script: Script, worlds: list[World]) -> list[list[str]]:
    """Runs it in both worlds at once. Returns what each of them said."""
    said: list[list[str]] = [[] for _ in worlds]
    for world in worlds:
        world.log.forget()
        world.log.shows_igmp = script.shows_igmp
    for step in script.steps:
        word, _, rest = step.partition(" ")
        if word == "wait":
            settle(worlds, float(rest) / 1000)
            continue
        silent = word == "~"
        call = rest.partition("|")[0].strip() if silent else step
        for world in worlds:
            world.tell(call)
        for world, lines in zip(worlds, said):
            answer = world.hear()
            lines.append(f"{call}  ->  {'differs on purpose' if silent else answer}")
        settle(worlds, SETTLE)
    settle(worlds, END)
    if script.compares_frames:
        for world, lines in zip(worlds, said):
            lines += world.log.lines
    for world in worlds:
        world.reset()
    settle(worlds, SETTLE)
    return said


def settle(worlds: list[World], seconds: float) -> None:
    end = time.monotonic() + seconds
    for world in worlds:
        world.log.collect(max(0.0, end - time.monotonic()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/oracle/run", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", metavar="REGEX", help="scripts whose title matches")
    parser.add_argument("--verbose", action="store_true", help="print what the kernel's world says of each")
    options = parser.parse_args()
    scripts = [script for script in load() if re.search(options.only or "", script.title)]
    prefix = os.environ.get("SWIFTSTACK_TEST_PREFIX", f"sst{os.getpid()}") + "i"
    worlds: list[World] = []
    different = 0
    try:
        worlds.append(KernelWorld(prefix + "1"))
        worlds.append(StackWorld(prefix + "2"))
        # Neighbours know each other before anything is compared.
        perform(Script("", ["a udp", "p udp", "p bind peer:9", "a sendto peer:9 1", "wait 50"]), worlds)
        for script in scripts:
            kernel, stack = perform(script, worlds)
            if options.verbose:
                print(f"# {script.title}", *kernel, sep="\n  ")
            if kernel != stack:
                different += 1
                print(f"DIFFERENT: {script.title}")
                for line in difflib.unified_diff(kernel, stack, "kernel", "stack", n=100, lineterm=""):
                    print("  " + line)
    except ScriptError as error:
        print(f"tools/oracle: {error}", file=sys.stderr)
        return 1
    finally:
        for world in worlds:
            world.end()
    print(f"tools/oracle: {len(scripts)} scripts, {different} different")
    return 1 if different or not scripts else 0


sys.exit(main())
