"""The `reeldrop` command: a demo, an open drop folder, or a check of job specs.

`make demo` and `make up` call the first two. They need a checkout with everything installed. The
check of specs needs only the few packages that pyproject.toml names as dependencies. So each
command imports what it needs itself.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local import INTERRUPTED, ROOT
from local.command.deployment import Deployment

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="reeldrop",
    help="An S3 drop folder that makes video: run it on this machine, or check job specs.",
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


@app.command()
def validate(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Specs, folders with specs, or - to read one spec from standard input.",
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
    )
    if as_json:
        print(json.dumps([verdict.as_plain() for verdict in verdicts], indent=2))
    else:
        show(verdicts, Console(soft_wrap=True))
    raise typer.Exit(0 if all(verdict.ok for verdict in verdicts) else 1)


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


@app.command("import-model")
def import_model(  # noqa: PLR0913, PLR0917 - an argument for each option
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A model of `reeldrop models`.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A folder with one model folder, instead of Hugging Face."),
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
    """Put the weights of a model into the work bucket, from Hugging Face or from a folder."""
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


def _outputs_files(context: typer.Context, outputs: Path | None) -> list[Path]:
    return [outputs] if outputs else [Path("cdk-outputs.json"), context.obj / "outputs.json"]


def _need_a_checkout() -> None:
    if not (ROOT / "Makefile").is_file():
        print(
            "This command needs the whole repository: clone it, and run `make demo` or `make up` "
            "there. `reeldrop validate` works everywhere."
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
