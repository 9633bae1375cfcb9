"""Each answer to checkov in docs/decisions/0021-checkov.md is shown by a test that exists.

`make checkov` compares the record with what checkov finds.
"""

import re

from local import ROOT
from tests.stacks.checkov import RECORD, answered


def test_every_answer_is_shown_by_a_test() -> None:
    found = answered()
    assert set(found) == set(re.findall(r"^\| (CKV\w+)", RECORD.read_text(), re.MULTILINE))
    assert len(found) >= 10
    for check, test in found.items():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), check
