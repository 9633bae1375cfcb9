"""Content Credentials: signs the MP4s of a result, once, before they are published.

A signature has a time and chance in it, so signing a file twice gives two files. Two handlers may
publish a result at the same time, and each may be killed at any moment. So the signed file is kept
beside the result, where the first one wins, and only that one is published.

It fails closed. If a file cannot be signed, whatever the reason, it is not published without a
signature. The attempt stays open, and each sweep tries again until the administrator has corrected
the cause.
"""

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from contract.document import Document
from contract.origin import source_type_of
from contract.outcome import scene_file
from functions import s3_keys
from functions.ports import Missing, WithFiles
from functions.settings import WithSettings
from functions.table.records import Task


class Claim(Document):
    """What the credentials of a file say."""

    source_type: str
    """How it came into being, in the words of the IPTC."""
    model: str | None
    """None: no model was used, because a clip was only finished."""
    revision: str | None
    """That of the weights. None if it is not known."""
    seed: int
    prompt: str | None
    """None if the spec keeps it out of the files."""


class CannotSign(Exception):
    """A file was not signed. The message says why."""


class Signer(Protocol):
    """Adds Content Credentials to files."""

    def sign(self, source: Path, target: Path, claim: Claim, clip: Path | None = None) -> None:
        """Write a signed copy of the MP4 `source` to `target`.

        Args:
            source: the MP4.
            target: the file to write.
            claim: what is said about it.
            clip: what it was finished from. Its own credentials, if it has any, stay in the new
                file. None: a model made it.

        Raises:
            CannotSign: for example because a right is missing, the key is disabled, or the
                certificates do not fit it.
        """


class WithSigner(Protocol):
    """Can sign files."""

    @property
    def signer(self) -> Signer:
        """The signer. Only asked if the settings name a key."""


class Needs(WithFiles, WithSettings, WithSigner, Protocol):
    """What signing uses."""


@dataclass(frozen=True)
class Signed:
    """A signed file in the work bucket."""

    key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Result:
    """What a worker made of a task in an attempt, whether it succeeded or not."""

    attempt_id: str
    task: Task
    files: Iterable[str]
    """The names of its files."""
    revision: str | None = None
    """That of the weights. None if it is not known."""
    source_type: str | None = None
    """As in `Rendered`."""


def signed_files(ports: Needs, result: Result) -> Mapping[str, Signed]:
    """The signed files of a result, by the names of the files that they replace.

    Empty if the settings name no key.

    Raises:
        CannotSign: a file was not signed.
        Missing: a file of the result is gone.
    """
    if not ports.settings.signing_key:
        return {}
    names = [name for name in result.files if name.endswith(".mp4")]
    return {name: _signed(ports, result, name) for name in names}


def _signed(ports: Needs, result: Result, name: str) -> Signed:
    work = ports.settings.work_bucket
    attempt_id, task_id = result.attempt_id, result.task.task_id
    key = s3_keys.signed_file(attempt_id, task_id, name)
    try:
        return _facts(ports, key)
    except Missing:
        pass  # it was not signed yet
    with TemporaryDirectory() as folder:
        source, target = Path(folder, f"unsigned-{name}"), Path(folder, name)
        ports.files.download(work, s3_keys.task_file(attempt_id, task_id, name), source)
        clip = _clip(ports, result.task, attempt_id, Path(folder))
        ports.signer.sign(source, target, claim_of(result, name), clip)
        ports.files.upload(target, work, key, "video/mp4", mark=f"{attempt_id} {task_id}")
    # It may be the file of another handler, which was faster.
    return _facts(ports, key)


def _clip(ports: Needs, task: Task, attempt_id: str, folder: Path) -> Path | None:
    """The clip that a video was finished from, in `folder`. None: a model made the video."""
    if task.clip is None:
        return None
    (kept,) = (one for one in task.references if one.field == "video")
    key = s3_keys.attempt_reference(attempt_id, kept.key)
    path = folder / f"clip-{posixpath.basename(key)}"
    ports.files.download(ports.settings.work_bucket, key, path)
    return path


def _facts(ports: Needs, key: str) -> Signed:
    work = ports.settings.work_bucket
    size_bytes = ports.files.facts(work, key).size_bytes
    return Signed(key, ports.files.sha256(work, key), size_bytes)


def claim_of(result: Result, name: str) -> Claim:
    """What the credentials of a file say. Those of a scene by itself are about that scene."""
    task = result.task
    parameters = task.parameters
    mode, seed, prompt = parameters.mode, parameters.seed, parameters.prompt
    if parameters.scenes:
        prompt = " / ".join(scene.prompt for scene in parameters.scenes if scene.prompt)
    for number, scene in enumerate(parameters.scenes, 1):
        if name == scene_file(number):
            mode, seed, prompt = scene.mode, scene.seed, scene.prompt
    return Claim(
        source_type=result.source_type or source_type_of(mode),
        model=task.spec.model,
        revision=result.revision,
        seed=seed,
        prompt=prompt if task.spec.prompt_in_file else None,
    )
