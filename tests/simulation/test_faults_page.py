"""docs/faults.md names the tests that cover each fault. These tests must exist."""

import re

from local import ROOT
from tests.simulation.stories import FAULTS


def test_the_page_names_existing_tests_for_each_fault() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", text, re.MULTILINE)
    numbers = [int(number) for number, _ in rows]
    assert numbers == list(range(1, len(rows) + 1))
    in_stories = {int(number) for name in FAULTS for number in re.findall(r"\b\d\d\b", name)}
    assert {int(number) for number, shown in rows if "simulation" in shown} == in_stories
    for number, shown in rows:
        tests = re.findall(r"`(\S+)::(\S+)`", shown)
        assert tests or "simulation" in shown, number
        for file, name in tests:
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), name
