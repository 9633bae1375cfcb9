"""docs/faults.md says where each fault is shown to do no harm; that must be so."""

import re

from local import ROOT
from tests.simulation.stories import FAULTS


def test_each_of_the_28_faults_is_shown_where_the_page_says() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 29))
    told = {int(number) for name in FAULTS for number in re.findall(r"\b\d\d\b", name)}
    assert {int(number) for number, shown in rows if "simulation" in shown} == told
    for number, shown in rows:
        tests = re.findall(r"`(\S+)::(\S+)`", shown)
        assert tests or "simulation" in shown, number
        for file, name in tests:
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), name
