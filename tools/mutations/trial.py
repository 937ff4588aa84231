"""One run of tests with one mutation switched on."""

import os
import re
import select
import signal
import subprocess
import time
from dataclasses import dataclass

from mutants import Mutation
from tree import MutantTree

# What the test library prints for a failed expectation, and the runtime for a trap.
FAILURE = re.compile(r"✘ +Test (.+?) (?:recorded an issue|failed after)|✘ +(Suite .+?) recorded an issue")
TRAP = re.compile(r"(?:Fatal error|Precondition failed|Assertion failed).*")


def plain(output: bytes) -> str:
    """Without the colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output.decode(errors="replace"))


@dataclass
class Outcome:
    mutation: Mutation
    kind: str
    # The test that caught it, or what went wrong.
    detail: str
    seconds: float

    @property
    def is_fault(self) -> bool:
        if self.mutation.equivalent:
            return self.kind != "without effect"
        return self.kind != "caught"

    def as_json(self) -> dict:
        return {
            "id": self.mutation.id, "row": self.mutation.row, "file": self.mutation.file, "outcome": self.kind,
            "detail": self.detail}

    def __str__(self) -> str:
        word = self.kind if not self.is_fault else self.kind.upper()
        return f"{word} {self.mutation.id} [{self.mutation.row}] ({self.seconds:.1f} s) {self.detail}".rstrip()


class Trial:
    def __init__(self, tree: MutantTree, seconds: float):
        self.tree = tree
        self.seconds = seconds
        # How long sets of tests may take: many times what they took without a mutation.
        self.limits: dict[str, float] = {}

    def command(self, tests: str) -> list[str]:
        # A filter is looked for in file names too, and the namespace tests have some of the same.
        return [
            str(self.tree.test_binary()), "--testing-library", "swift-testing", "--filter", tests,
            "--skip", "NetnsTests"]

    def execute(self, tests: str, number: int, **more: str) -> tuple[str, str]:
        """Runs tests until the first failure, with more in the environment. Returns what became of them ("passed",
        "failed", "no test", "timeout") and the test or message."""
        environment = dict(os.environ, SWIFTSTACK_MUTANT=str(number), **more)
        process = subprocess.Popen(
            self.command(tests), cwd=self.tree.copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True)
        output = b""
        scanned = 0
        seconds = self.limits.get(tests, self.seconds)
        limit = time.monotonic() + seconds
        try:
            while True:
                left = limit - time.monotonic()
                if left <= 0:
                    return "timeout", f"no end after {seconds:.0f} s"
                if not select.select([process.stdout], [], [], left)[0]:
                    continue
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    break
                output += chunk
                end = output.rfind(b"\n") + 1
                found = FAILURE.search(plain(output[scanned:end]))
                if found:
                    return "failed", found.group(1) or found.group(2)
                scanned = end
            process.wait()
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            process.stdout.close()
        text = plain(output)
        if process.returncode != 0:
            trap = TRAP.search(text)
            return "failed", trap.group(0)[:160] if trap else f"ended with {process.returncode}"
        if not re.search(r"Test run with [1-9]\d* tests?", text):
            return "no test", f"no test matches {tests}"
        return "passed", ""

    def baseline(self, mutations: list[Mutation]) -> list[tuple[Mutation, str]]:
        """Every set of tests has to pass with nothing switched on. Returns the mutations whose tests do not."""
        verdicts: dict[str, tuple[str, str]] = {}
        for mutation in mutations:
            if not mutation.needs_own_build and mutation.tests not in verdicts:
                start = time.monotonic()
                verdicts[mutation.tests] = self.execute(mutation.tests, 0, SWIFTSTACK_TEST_VARIATION="0")
                took = time.monotonic() - start
                self.limits[mutation.tests] = min(self.seconds, 20 + 20 * took)
                if verdicts[mutation.tests][0] == "failed":
                    verdicts[mutation.tests] = self.execute(mutation.tests, 0, SWIFTSTACK_TEST_VARIATION="0")
        return [
            (mutation, "without it: " + ": ".join(verdicts[mutation.tests]))
            for mutation in mutations
            if not mutation.needs_own_build and verdicts[mutation.tests][0] != "passed"]

    def run(self, mutation: Mutation) -> Outcome:
        number = 0 if mutation.needs_own_build else mutation.number
        start = time.monotonic()
        # One set of sequence numbers finds most; all of them are asked before one is called a survivor.
        verdict, detail = self.execute(mutation.tests, number, SWIFTSTACK_TEST_VARIATION="0")
        if verdict == "passed":
            verdict, detail = self.execute(mutation.tests, number)
        seconds = time.monotonic() - start
        if verdict == "passed":
            if mutation.equivalent:
                return Outcome(mutation, "without effect", mutation.equivalent, seconds)
            return Outcome(mutation, "survived", f"tests: {mutation.tests}", seconds)
        return Outcome(mutation, "caught", f"by {detail}", seconds)
