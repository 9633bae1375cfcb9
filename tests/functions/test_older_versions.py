"""What an older version wrote is readable: records, and the files of processing jobs that run.

`written_by_0.1.json` has an example of each kind. If a test fails here, a field was renamed or
removed, or a new field has no default. While 0.1 is not released, the examples may change, too.
"""

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from contract.document import Document
from contract.manifest import Manifest
from contract.model_folder import Ready
from contract.outcome import Outcome, Progress
from functions.table import ledger
from functions.table.records import Job, KeptReference, Task

WRITTEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "written_by_0.1.json").read_text()
)
FILES: list[type[Document]] = [Manifest, Outcome, Progress, Ready]


def kinds() -> dict[str, type[Document]]:
    """Every kind of record, by name, and the files that outlive a deployment."""
    functions = [one for name, one in vars(ledger).items() if name.endswith("_key")]
    hints = [get_type_hints(one)["return"] for one in functions if callable(one)]
    hints += [hint for name, hint in get_type_hints(ledger).items() if name.isupper()]
    records = [kind for hint in hints for kind in get_args(hint)]
    return {kind.__name__: kind for kind in (*records, *FILES) if isinstance(kind, type)}


def test_there_is_an_example_of_every_kind() -> None:
    assert set(WRITTEN) == set(kinds())


def test_the_one_reference_of_an_older_record_is_read() -> None:
    task = Task.from_json(
        json.dumps(
            {
                **WRITTEN["Task"],
                "spec": {**WRITTEN["Task"]["spec"], "image": "/bee.png"},
                "reference": "references/a/b.png",
            }
        )
    )
    assert task.references == (KeptReference(field="image", key="references/a/b.png"),)
    assert Task.from_json(task.to_json()) == task
    waits = {"state": "waiting", "waiting_for": "jobs/bee.png", "found_empty": True}
    job = Job.from_json(json.dumps({**WRITTEN["Job"], **waits}))
    assert job.waiting_for == job.found_empty == ("jobs/bee.png",)
    assert Job.from_json(job.to_json()) == job


@pytest.mark.parametrize("name", WRITTEN)
def test_what_an_older_version_wrote_is_readable(name: str) -> None:
    assert kinds()[name].from_json(json.dumps(WRITTEN[name]))
