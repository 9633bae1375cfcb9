"""Who follows the advice of a refusal to the letter gets a drop that works."""

import re

import pytest

from contract.errors import JobRejected, Problem
from tests.corpus import fields, texts
from tests.corpus.specimen import Bad
from tests.functions.resolved_specs import read_all

ROUNDS = 4
"""One answer may hide another: a file with two mistakes of YAML gets two answers."""


def _begin(line: str) -> str:
    """What is before the name on a line: its indentation, and the dash of an item."""
    found = re.match(r"\s*(?:- )?", line)
    assert found is not None
    return found[0]


def _shown(lines: list[str], at: int, line: str) -> None:
    """Put the corrected line in place of the lines that it has the text of."""
    name, first, last = line.partition(":")[0], at, at
    while first > 0 and not re.match(rf"\s*[\"“]?{name}\b", lines[first]):
        first -= 1
    if not re.match(rf"\s*[\"“]?{name}\b", lines[first]):
        first = at
    while last + 1 < len(lines) and lines[last + 1] and lines[last + 1] in line:
        last += 1
    lines[first : last + 1] = [_begin(lines[first]) + line]


def _name_or_value(old: str, problem: Problem, meant: str) -> str:
    wrong = re.search(r"'([^']+)'", problem.message)
    if wrong is None or wrong[1] not in old:
        return meant + old
    before, _, after = old.rpartition(wrong[1])
    return before + meant + after


def _moved(lines: list[str], at: int, hint: str) -> bool:
    """Move a line as the hint says. Returns whether the hint is about that."""
    if "as far left as the other fields" in hint:
        lines[at] = lines[at].lstrip()
    elif "in the same column" in hint and at > 0:
        lines[at] = _begin(lines[at - 1]) + lines[at].lstrip()
    elif "Indent with spaces" in hint:
        lines[at] = "  " + lines[at].lstrip()
    else:
        return False
    return True


def _deleted(lines: list[str], at: int, hint: str) -> bool:
    """Delete the line that the hint names. Returns whether it names any."""
    if re.search(r"[Dd]elete (the|that) line\.|Keep one of the two", hint):
        del lines[at]
    elif fence := re.search(r"Delete the lines that begin with (\S+)\.$", hint):
        lines[:] = [line for line in lines if not line.startswith(fence[1])]
    else:
        return False
    return True


def _nearest(lines: list[str], at: int, problem: Problem) -> bool:
    """Write the nearest value that the model can do. Returns whether the hint names one."""
    name = (problem.place.field or "").rpartition(".")[2]
    if size := re.search(r"Nearest: (height: \d+), (width: \d+)\.", problem.hint):
        lines[:] = [line for line in lines if not re.match(r"height:|width:", line)]
        lines += size.groups()
    elif (near := re.search(r"Nearest: ([\d.]+\d)\.", problem.hint)) or (
        near := re.match(r"Valid: (\w+) \(", problem.hint)
    ):
        lines[at] = f"{_begin(lines[at])}{name}: {near[1]}"
    else:
        return False
    return True


def followed(text: str, problem: Problem) -> str | None:
    """The text after its writer did what the hint says; None if the hint asks for a decision."""
    lines, at, hint = text.splitlines(), (problem.place.line or 1) - 1, problem.hint
    lines += [""] * (at + 1 - len(lines))
    old = lines[at]
    if problem.code == "spec-empty" or "The spec is a list" in problem.message:
        return hint.split("   ")[1]
    if problem.code == "prompt-empty" and hint.startswith("Add a line"):
        return text + hint.partition("   ")[2]
    if _moved(lines, at, hint) or _nearest(lines, at, problem):
        pass
    elif "on the line below" in hint:
        lines[at : at + 1] = re.sub(r" ([|>]) ", r" \1\n  ", old).splitlines()
    elif shown := re.search(r" {3}(\w+: .+?)(?: {3}\(.*)?$", hint):
        _shown(lines, at, shown[1])
    elif two := re.search(r"Write two lines: {2}(.+?) {2}and {2}(.+)$", hint):
        lines[at : at + 1] = [*two.groups()]
    elif one := re.search(r"Write {2}(\w+: (?:\[[\w, ]+\]|[\w.-]+))", hint):
        lines[at] = _begin(old) + one[1]
    elif meant := re.match(r"Did you mean ([\w.-]+)\?", hint):
        lines[at] = _name_or_value(old, problem, meant[1])
    elif not _deleted(lines, at, hint):
        return None
    return "\n".join(lines) + "\n"


def works(text: str) -> Problem | None:
    try:
        read_all(text)
    except JobRejected as rejection:
        return rejection.problems[0]
    return None


# The first three nobody means. The others take a decision that the hint cannot make: whether a text
# was meant as a list, and which other model to try.
NOT_FOLLOWED = {"alias-bomb", "merge-bomb", "key-is-a-list", "open-list", "matrix-18-{model: [dem"}
SPECIMENS = [
    bad
    for bad in (*texts.YAML, *fields.ONE_FIELD, *fields.SEVERAL)
    if bad.name not in NOT_FOLLOWED
    and (problem := works(bad.body.decode()))
    and followed(bad.body.decode(), problem) is not None
]


@pytest.mark.parametrize("bad", SPECIMENS, ids=lambda bad: bad.name)
def test_advice_that_is_followed_helps(bad: Bad) -> None:
    text = bad.body.decode()
    said = []
    for _ in range(ROUNDS):
        problem = works(text)
        if problem is None:
            return
        said.append(f"{text!r}: {problem.code} {problem.message} {problem.hint}")
        after = followed(text, problem)
        assert after is not None and after != text, "\n".join(said)
        text = after
    raise AssertionError("\n".join(said))


def test_much_advice_shows_what_to_write() -> None:
    assert len(SPECIMENS) > 90
