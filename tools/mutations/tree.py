"""A copy of the tree with mutations compiled in behind switches."""

import os
import re
import subprocess
from pathlib import Path

from mutants import Mutation

SWITCH_C = """\
#include <stdlib.h>
static unsigned chosen;
__attribute__((constructor)) static void choose(void) {
  const char *text = getenv("SWIFTSTACK_MUTANT");
  chosen = text ? (unsigned)strtoul(text, 0, 10) : 0;
}
unsigned swiftstack_mutant(void) { return chosen; }
"""

SWITCH_SWIFT = """\
import CMutant

/// Whether this run has the behaviour with this number changed.
public func mutant(_ number: UInt32) -> Bool { swiftstack_mutant() == number }
"""

# Every target of the copy may ask for the switch; a warning about code that a switch made odd is no error.
MANIFEST_END = """
for target in package.targets where target.type != .system { target.dependencies.append("Mutant") }
package.targets += [
  .target(name: "CMutant", path: "Mutant/C"), .target(name: "Mutant", dependencies: ["CMutant"], path: "Mutant/Swift"),
]
"""


class BuildError(Exception):
    """The copy does not build for a reason that is no mutation's."""


def batches(mutations: list[Mutation]) -> list[list[Mutation]]:
    """Groups that one build can hold: switches that do not overlap; each replaced text alone."""
    groups: list[list[Mutation]] = []
    for mutation in sorted((one for one in mutations if not one.needs_own_build), key=lambda one: (one.file, one.start)):
        for group in groups:
            last = next((one for one in reversed(group) if one.file == mutation.file), None)
            if last is None or last.end <= mutation.start:
                group.append(mutation)
                break
        else:
            groups.append([mutation])
    return groups + [[one] for one in mutations if one.needs_own_build]


class MutantTree:
    def __init__(self, root: Path, place: str = ".build-mutants", arguments: tuple[str, ...] = ("--build-tests",)):
        self.root = root
        self.copy = root / place / "tree"
        self.scratch = root / place / "build"
        # What `swift build` is asked for.
        self.arguments = arguments
        # Lines of the copy, counted from 1, that a mutation takes: file -> [(first, last, mutation)].
        self.lines: dict[str, list[tuple[int, int, Mutation]]] = {}

    def test_binary(self) -> Path:
        return next((self.scratch / "debug").glob("*PackageTests.xctest"))

    def build(self, mutations: list[Mutation]) -> tuple[list[Mutation], list[tuple[Mutation, str]]]:
        """Builds the tests with these mutations. Those that do not compile are left out and returned with the
        compiler's words."""
        broken: list[tuple[Mutation, str]] = []
        while True:
            self.write(mutations)
            result = subprocess.run(
                [os.environ.get("SWIFT", "swift"), "build", *self.arguments, "--scratch-path", str(self.scratch)],
                cwd=self.copy, capture_output=True, text=True)
            if result.returncode == 0:
                return mutations, broken
            found = self.culprits(result.stdout + result.stderr)
            if not found:
                tail = "\n".join((result.stdout + result.stderr).splitlines()[-40:])
                raise BuildError(f"the copy does not build:\n{tail}")
            broken += found.items()
            mutations = [one for one in mutations if one not in found]

    def culprits(self, output: str) -> dict[Mutation, str]:
        found: dict[Mutation, str] = {}
        for path, line, message in re.findall(r"^(/\S+\.swift):(\d+):\d+: error: (.*)$", output, re.M):
            try:
                file = str(Path(path).relative_to(self.copy))
            except ValueError:
                continue
            for first, last, mutation in self.lines.get(file, []):
                if first <= int(line) <= last:
                    found.setdefault(mutation, message)
        return found

    def write(self, mutations: list[Mutation]) -> None:
        """Brings the copy in line with the tree and the mutations; files that stay the same are not touched."""
        self.lines = {}
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "Package.swift", "Sources",
             "CShims", "Tests"],
            cwd=self.root, capture_output=True, check=True).stdout.decode().split("\0")
        wanted: dict[Path, bytes] = {}
        for name in filter(None, names):
            if (self.root / name).is_file():
                wanted[Path(name)] = (self.root / name).read_bytes()
        for file in {mutation.file for mutation in mutations}:
            text = wanted[Path(file)].decode()
            wanted[Path(file)] = self.switched(file, text, [one for one in mutations if one.file == file]).encode()
        manifest = wanted[Path("Package.swift")].decode()
        manifest = re.sub(r"^\s*\.treatAllWarnings\(as: \.error\),\n", "", manifest, flags=re.M)
        wanted[Path("Package.swift")] = (manifest + MANIFEST_END).encode()
        wanted[Path("Mutant/C/mutant.c")] = SWITCH_C.encode()
        wanted[Path("Mutant/C/include/mutant.h")] = b"unsigned swiftstack_mutant(void);\n"
        wanted[Path("Mutant/Swift/Mutant.swift")] = SWITCH_SWIFT.encode()
        for path in [one for one in self.copy.rglob("*") if one.is_file()]:
            if path.relative_to(self.copy) not in wanted and path.name != "Package.resolved":
                path.unlink()
        for name, content in wanted.items():
            path = self.copy / name
            if not path.is_file() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    def switched(self, file: str, text: str, mutations: list[Mutation]) -> str:
        result, position = "import Mutant\n", 0
        for mutation in sorted(mutations, key=lambda one: one.start):
            result += text[position:mutation.start]
            first = result.count("\n") + 1
            result += mutation.switched
            self.lines.setdefault(file, []).append((first, result.count("\n") + 1, mutation))
            position = mutation.end
        return result + text[position:]
