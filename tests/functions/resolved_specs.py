"""Reads specs from a drop folder in memory, in the same way as the submit stage."""

import pytest

from contract.errors import JobRejected, Problem
from functions import s3_keys
from functions.ports import Missing
from functions.spec import drop_files, resolve
from functions.spec.fields import JobSpec
from functions.spec.folder_defaults import Draft
from functions.spec.reader import Picture
from tests.fakes import InProcessReader


class Folder:
    """A drop folder in memory."""

    def __init__(self, files: dict[str, bytes | str]) -> None:
        self.files = files

    def read(self, key: str) -> bytes:
        if key not in self.files:
            raise Missing(key)
        body = self.files[key]
        return body if isinstance(body, bytes) else body.encode()

    def size_bytes(self, key: str) -> int:
        return len(self.read(key))

    def alike(self, key: str, folder: str) -> list[str]:
        same = s3_keys.folded(key)
        return [k for k in self.files if s3_keys.folded(k) == same and k.startswith(folder)]


def draft(body: bytes | str, key: str = "jobs/a.yaml", **others: bytes | str) -> Draft:
    files = {f"jobs/{name}": text for name, text in others.items()}
    return drop_files.drafted(Folder({key: body, **files}), InProcessReader(), key)


def read_all(
    body: bytes | str,
    key: str = "jobs/a.yaml",
    picture: Picture | None = None,
    **others: bytes | str,
) -> list[JobSpec]:
    """The resolved spec of every video. `others` are further files under jobs/."""
    found = draft(body, key, **others)
    return [
        resolve.resolve(one, default_model="demo", job_id="job", picture=picture).model_copy(
            update={"matrix": None, "variations": 1}
        )
        for one in drop_files.videos(found, default_model="demo", job_id="job")
    ]


def read(body: bytes | str, key: str = "jobs/a.yaml", **others: bytes | str) -> JobSpec:
    """The resolved spec of the only video."""
    (resolved,) = read_all(body, key, None, **others)
    return resolved


def refusal(body: bytes | str, key: str = "jobs/a.yaml") -> Problem:
    """The first problem of a spec that is refused."""
    with pytest.raises(JobRejected) as caught:
        read(body, key)
    return caught.value.problems[0]
