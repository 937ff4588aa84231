"""Counts test results: count-results.py NAME FILE...

Reads xUnit files as `swift test --xunit-output` writes them. Prints `PASSED FAILED`, then for each failing test a
line with its name and what it said. Files that are not there count as nothing.
"""

import sys
import xml.etree.ElementTree as ElementTree


def main() -> None:
    name, files = sys.argv[1], sys.argv[2:]
    passed, failing = 0, []
    for file in files:
        try:
            tree = ElementTree.parse(file)
        except (OSError, ElementTree.ParseError):
            continue
        for case in tree.iter("testcase"):
            said = case.find("failure")
            if said is None:
                said = case.find("error")
            if said is not None:
                words = " ".join((said.get("message") or "").split())[:1000]
                failing.append(f"{case.get('classname')}.{case.get('name')}: {words}")
            elif case.find("skipped") is None:
                passed += 1
    print(passed, len(failing))
    for test in failing:
        print(f"  {name}: {test}")


main()
