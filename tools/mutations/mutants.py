"""The entries of tools/mutations/*.toml, checked against the sources they name."""

import re
import tomllib
import zlib
from dataclasses import dataclass
from pathlib import Path

KINDS = ("expression", "statement", "text")
KEYS = {"id", "row", "file", "from", "to", "kind", "tests", "equivalent"}


class ListError(Exception):
    """An entry that cannot be applied, with its id and the reason."""


@dataclass(frozen=True, eq=False)
class Mutation:
    id: str
    row: str
    file: str
    original: str
    replacement: str
    kind: str
    tests: str
    # Why nothing outside can tell; empty for a mutation that a test has to catch.
    equivalent: str
    # Where `original` stands in the file.
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.original)

    @property
    def number(self) -> int:
        """What switches it on: from the id, so that a longer list does not rebuild every file."""
        return zlib.crc32(self.id.encode()) & 0x7FFFFFFF or 1

    @property
    def needs_own_build(self) -> bool:
        """Whether it is there without a switch."""
        return self.kind == "text" and "mutant()" not in self.replacement

    @property
    def switched(self) -> str:
        if self.kind == "text":
            return self.replacement.replace("mutant()", f"mutant({self.number})")
        if self.kind == "expression":
            return f"(mutant({self.number}) ? ({self.replacement}) : ({self.original}))"
        end = "\n" if self.original.endswith("\n") else ""
        return f"if mutant({self.number}) {{ {self.replacement} }} else {{ {self.original} }}{end}"


def default_tests(file: str) -> str:
    """The tests of the floor that the file belongs to."""
    return f"{Path(file).parts[1]}Tests"


def is_cut(part: str, text: str) -> bool:
    """Whether the part that stands in the text begins or ends in the middle of a name or of a member's path."""
    start = text.index(part)
    before, after = text[start - 1 : start], text[start + len(part) : start + len(part) + 1]
    return bool(re.match(r"[\w.]", before) and re.match(r"\w", part) or re.match(r"\w", after) and re.search(r"\w$", part))


def parse(entry: dict, origin: str, root: Path) -> Mutation:
    name = f"{origin}: {entry.get('id', 'an entry without id')}"
    missing = {"id", "row", "file", "from", "to"} - entry.keys()
    if missing:
        raise ListError(f"{name}: {', '.join(sorted(missing))} missing")
    if entry.keys() - KEYS:
        raise ListError(f"{name}: unknown key {', '.join(sorted(entry.keys() - KEYS))}")
    kind = entry.get("kind", "expression")
    if kind not in KINDS:
        raise ListError(f"{name}: kind {kind!r} is none of {', '.join(KINDS)}")
    path = root / entry["file"]
    if not path.is_file():
        raise ListError(f"{name}: there is no file {entry['file']}")
    text = path.read_text()
    count = text.count(entry["from"])
    if not entry["from"].strip() or count != 1:
        raise ListError(f"{name}: `from` stands {count} times in {entry['file']}, has to stand there once")
    if kind != "text" and is_cut(entry["from"], text):
        raise ListError(f"{name}: `from` begins or ends inside a name or behind a dot, and is no whole {kind}")
    tests = entry.get("tests", default_tests(entry["file"]))
    try:
        re.compile(tests)
    except re.error as error:
        raise ListError(f"{name}: tests: {error}") from error
    return Mutation(
        id=entry["id"], row=entry["row"], file=entry["file"], original=entry["from"], replacement=entry["to"],
        kind=kind, tests=tests, equivalent=entry.get("equivalent", ""),
        start=text.index(entry["from"]))


def load_mutations(root: Path) -> list[Mutation]:
    """Every entry, in the order of the files. Raises `ListError` with all that is wrong."""
    found: list[Mutation] = []
    faults: list[str] = []
    for path in sorted((root / "tools/mutations").glob("*.toml")):
        try:
            entries = tomllib.loads(path.read_text()).get("mutation", [])
        except tomllib.TOMLDecodeError as error:
            faults.append(f"{path.name}: {error}")
            continue
        for entry in entries:
            try:
                found.append(parse(entry, path.name, root))
            except ListError as error:
                faults.append(str(error))
    seen: dict[object, Mutation] = {}
    for mutation in found:
        for key in (mutation.id, mutation.number):
            if key in seen:
                faults.append(f"{mutation.id}: the id stands twice, or has the number of {seen[key].id}")
            seen[key] = mutation
    if faults:
        raise ListError("\n  ".join([f"{len(faults)} entries do not fit:", *faults]))
    return found
