"""Finds which weights are in the work bucket. READY marks those that are complete."""

from collections.abc import Collection
from typing import Protocol

from pydantic import ValidationError

from contract.catalogue import MODELS, Mode
from contract.model_folder import RIFE, Ready
from functions import s3_keys
from functions.log import Event, WithLog
from functions.ports import Missing, WithFiles
from functions.settings import WithSettings
from functions.table.records import Hold, HoldReason


class Needs(WithFiles, WithSettings, WithLog, Protocol):
    """What finding weights uses."""


def releases(ports: Needs, kinds: Collection[tuple[str, Mode]]) -> dict[tuple[str, Mode], str]:
    """The release of the weights for each kind. Kinds whose weights are not there are left out.

    Finishing needs none, so its release is empty.
    """
    models = [kind for kind in kinds if kind[1] != Mode.FINISHING]
    folders = {kind: MODELS[kind[0]].weights[kind[1]].folder for kind in models}
    found = {folder: _release(ports, folder) for folder in sorted(set(folders.values()))}
    ready = {kind: found[folder] for kind, folder in folders.items()}
    found_all = {kind: release for kind, release in ready.items() if release is not None}
    return found_all | {kind: "" for kind in kinds if kind[1] == Mode.FINISHING}


def interpolation(ports: Needs) -> str:
    """The release of RIFE, which interpolates frames. Empty: it was not imported."""
    try:
        body = ports.files.read(ports.settings.work_bucket, s3_keys.model_ready(RIFE))
        return Ready.from_json(body).release
    except (Missing, ValidationError):
        return ""  # that is no problem, because the worker can do without it


def hold(model: str) -> Hold:
    """Why a task of a model waits whose weights are not there."""
    return Hold(reason=HoldReason.NO_WEIGHTS, detail=model)


def _release(ports: Needs, folder: str) -> str | None:
    try:
        body = ports.files.read(ports.settings.work_bucket, s3_keys.model_ready(folder))
        return Ready.from_json(body).release
    except (Missing, ValidationError) as error:
        ports.log(Event.NO_WEIGHTS, {"folder": folder, "reason": str(error)})
        return None
