"""tools/oracle/run [--only REGEX] [--verbose] [--random COUNT [--seed SEED] | --table [--sample N]] [--jobs PAIRS]: one script of socket calls on two worlds, compared.

A script is a line that begins with `#`, its title, and the calls behind it, as kernel_agent.py has them. Sockets whose names
begin with `p` are the peer's. `me`, `peer`, `lo` and `any` are addresses, options and flags have their names. More words:

    wait 300                milliseconds
    ~ a poll | reason       not compared: here the stack differs, for that reason
    frames | reason         the frames of this script are not compared
    igmp                    IGMP's frames are compared, too
    windows                 of all segments are compared, not of SYNs alone
    ids                     and identifications: 0, or how far each is from the one before
    sendmsg ADDRESS COUNT FLAGS NAME VALUE ...     with control messages, values as of set
    set NAME parts:A,B,...  the bytes of a struct: 10.0.0.1, @10.0.0.1 as a sockaddr_storage, numbers of four bytes

What a call returns is compared call by call, the frames on the peer's wire in their order. `--random` tries calls that chance
chose, see generate.py; those that differ, and differ again, are shrunk to the fewest calls that still do. `--table` brings a
connection into every state and sends it every kind of segment, see table.py.
"""

import argparse
import datetime
import difflib
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import generate
import table
from world import KernelWorld, ScriptError, StackWorld, World

HERE = Path(__file__).resolve().parent
# After a call, for what it sets off on the way there and back; and at the end, for an acknowledgment that was put off.
SETTLE, END = 0.012, 0.25
# After a cell of the table: an ACK that is put off comes by then, and nothing goes again.
CELL_END = 0.06


@dataclass
class Script:
    title: str
    steps: list[str] = field(default_factory=list)
    compares_frames: bool = True
    shows_igmp: bool = False
    shows_ids: bool = False
    shows_windows: bool = False
    end: float = END


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
            elif line == "ids":
                scripts[-1].shows_ids = True
            elif line == "windows":
                scripts[-1].shows_windows = True
            elif line:
                scripts[-1].steps.append(line)
    return scripts


def perform(script: Script, worlds: list[World]) -> list[list[str]]:
    """Runs it in both worlds at once. Returns what each of them said."""
    said: list[list[str]] = [[] for _ in worlds]
    for world in worlds:
        world.log.forget()
        world.log.shows_igmp = script.shows_igmp
        world.log.shows_ids = script.shows_ids
        world.log.shows_windows = script.shows_windows
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
    settle(worlds, script.end)
    if script.compares_frames:
        for world, lines in zip(worlds, said):
            lines += world.log.lines
    for world in worlds:
        world.reset()
    settle(worlds, SETTLE)
    return said


def what_counts(lines: list[str]) -> list[str]:
    """Without what chance decides: which of two frames that cross is seen first, so that those of a side follow each other;
    and when a pure ACK goes, or what it is missed for goes again, which depends on the memory that a frame takes."""
    frames: dict[str, list[str]] = {"<": [], ">": []}
    for line in lines:
        if line[0] in frames and line not in frames[line[0]] and not re.search(r" \. seq \d+ len 0 ", line):
            frames[line[0]].append(line)
    return [line for line in lines if line[0] not in frames] + frames[">"] + frames["<"]


def of_table(lines: list[str]) -> list[str]:
    """Without what is sent again on a busy machine: but for ACKs and resets, which answer, each line once."""
    frames = [line for line in lines if line[0] in "<>"]
    answers = [
        line for place, line in enumerate(frames)
        if re.search(r" (\.|\.?R) seq (\d+|zero) len 0", line) or line not in frames[:place]]
    return [line for line in lines if line[0] not in "<>"] + answers


def settle(worlds: list[World], seconds: float) -> None:
    end = time.monotonic() + seconds
    for world in worlds:
        world.log.collect(max(0.0, end - time.monotonic()))


class Pair:
    """The worlds that a script runs in. What a script leaves behind (a path MTU, neighbours, an address that was defended) can
    answer for the next run of it, so that a difference is looked at again in new ones only."""

    def __init__(self, prefix: str, *, kernel_only: bool = False) -> None:
        self.prefix = prefix
        self.kernel_only = kernel_only
        self.worlds: list[World] = []
        self.begin()

    def begin(self) -> None:
        self.worlds.append(KernelWorld(self.prefix + "1"))
        if not self.kernel_only:
            self.worlds.append(StackWorld(self.prefix + "2"))
        # Neighbours know each other before anything is compared.
        perform(Script("", ["a udp", "p udp", "p bind peer:9", "a sendto peer:9 1", "wait 50"]), self.worlds)

    def end(self) -> None:
        for world in self.worlds:
            world.end()
        self.worlds = []

    def renew(self) -> None:
        self.end()
        self.begin()


def differs(script: Script, pair: Pair, times: int) -> list[list[str]] | None:
    """What was said when it differed that often, each time, from the second on in new worlds; `None`: it was the same once."""
    said = None
    for number in range(times):
        if number:
            pair.renew()
        said = [what_counts(lines) for lines in perform(script, pair.worlds)]
        if said[0] == said[1]:
            return None
    return said


def shrink(script: Script, said: list[list[str]], pair: Pair) -> tuple[Script, list[list[str]]]:
    """The fewest calls of it that still differ, and what was said of them: parts are left out, halves first, as long as
    that holds."""
    size = max(1, len(script.steps) // 2)
    while True:
        index = 0
        has_shrunk = False
        while index < len(script.steps):
            rest = Script(script.title, script.steps[:index] + script.steps[index + size:])
            less = differs(rest, pair, 2) if rest.steps else None
            if less:
                script, said, has_shrunk = rest, less, True
            else:
                index += size
        if size == 1 and not has_shrunk:
            return script, said
        size = max(1, size // 2)


def show(script: Script, said: list[list[str]]) -> None:
    print(f"DIFFERENT: {script.title}")
    for line in difflib.unified_diff(*said, "kernel", "stack", n=100, lineterm=""):
        print("  " + line)
    sys.stdout.flush()


def try_random(pair: Pair, seed: int, count: int) -> int:
    """Returns how many of them differ."""
    different = 0
    for number in range(seed, seed + count):
        script = Script(f"--seed {number} --random 1", generate.sequence(number))
        said = differs(script, pair, 3)
        if said is None:
            continue
        different += 1
        show(*shrink(script, said, pair))
    return different


def split(options: argparse.Namespace, count: int) -> int:
    """Has others try `count` scripts, written or by chance, each a part of them and in worlds of its own."""
    prefix = os.environ.get("SWIFTSTACK_TEST_PREFIX", f"sst{os.getpid()}")
    jobs = []
    for number in range(min(options.jobs, count)):
        if options.random:
            first = count * number // options.jobs
            part = ["--random", str(count * (number + 1) // options.jobs - first), "--seed", str(options.seed + first)]
        else:
            part = ["--only", options.only or "", "--part", f"{number}/{options.jobs}"]
            if options.table:
                part += ["--table", "--sample", str(options.sample), "--date", options.date]
        jobs.append(subprocess.Popen(
            [sys.executable, __file__, *part, *["--kernel"] * options.kernel, *["--verbose"] * options.verbose],
            env={**os.environ, "SWIFTSTACK_TEST_PREFIX": f"{prefix}i{number}"}))
    return max((job.wait() for job in jobs), default=1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/oracle/run", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", metavar="REGEX", help="scripts whose title matches")
    parser.add_argument("--kernel", action="store_true", help="in the kernel's world only: to see what Linux says")
    parser.add_argument("--verbose", action="store_true", help="print what the kernel's world says of each")
    parser.add_argument("--random", type=int, default=0, metavar="COUNT", help="that many scripts by chance instead")
    parser.add_argument("--table", action="store_true", help="every state and every kind of segment instead")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="so many cells of the table, chosen by the date")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="the date that chooses the sample")
    parser.add_argument("--jobs", type=int, default=1, help="pairs of worlds at once, each with its part of the scripts")
    parser.add_argument("--part", metavar="K/N", default="0/1", help="of the written scripts every Nth, from the Kth on")
    parser.add_argument("--seed", type=int, default=1, help="of the first of them; each has the next; from 1000000 on with an opponent made by hand")
    options = parser.parse_args()
    every = [Script(*cell, end=CELL_END) for cell in table.cells()] if options.table else load()
    scripts = [script for script in every if re.search(options.only or "", script.title)]
    if options.sample:
        scripts = random.Random(options.date).sample(scripts, min(options.sample, len(scripts)))
    first, step = map(int, options.part.split("/"))
    scripts = scripts[first::step]
    if options.jobs > 1:
        return split(options, options.random or len(scripts))
    heard = of_table if options.table else list
    prefix = os.environ.get("SWIFTSTACK_TEST_PREFIX", f"sst{os.getpid()}") + "i"
    pair: Pair | None = None
    different = listed = agreeing = 0
    try:
        pair = Pair(prefix, kernel_only=options.kernel)
        if options.random:
            different = try_random(pair, options.seed, options.random)
            scripts = [Script("")] * options.random
        for script in scripts if not options.random else ():
            kernel, stack = ([heard(lines) for lines in perform(script, pair.worlds)] * 2)[:2]
            if options.verbose:
                print(f"# {script.title}", *kernel, sep="\n  ")
            # Random timers and a machine that is busy may once look like a difference, not three times.
            for _ in range(2):
                if kernel == stack:
                    break
                pair.renew()
                kernel, stack = (heard(lines) for lines in perform(script, pair.worlds))
            reason = next((reason for title, reason in table.LISTED if re.search(title, script.title)), None)
            if kernel == stack:
                agreeing += reason is not None
            elif reason:
                listed += 1
            else:
                different += 1
                show(script, [kernel, stack])
    except ScriptError as error:
        print(f"tools/oracle: {error}", file=sys.stderr)
        return 1
    finally:
        if pair:
            pair.end()
    print(
        f"tools/oracle: {len(scripts)} scripts, {different} different"
        + (f", {listed} as listed, {agreeing} listed and the same" if options.table else ""))
    return 1 if different or not scripts else 0


sys.exit(main())
