"""Counts test results: count-results.py NAME FILE...

Reads xUnit files as `swift test --xunit-output` writes them. Prints `PASSED FAILED`, then one line for each
failing test. Files that are not there count as nothing.
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
            if case.find("failure") is not None or case.find("error") is not None:
                failing.append(f"{case.get('classname')}.{case.get('name')}")
            elif case.find("skipped") is None:
                passed += 1
    print(passed, len(failing))
    for test in failing:
        print(f"  {name}: {test}")


main()
