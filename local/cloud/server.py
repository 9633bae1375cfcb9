"""The embedded cloud's server process.

Started as `python -m local.cloud.server --state DIR --port N [--persist]`.

One loopback port answers as AWS. SageMaker processing jobs, and Bedrock's Converse and
ApplyGuardrail, are our own implementations; ministack answers everything else. Mail is written to
files. `DIR/cloud.json` has the URL as soon as the server answers, and `DIR/cloud.log` is the log.

The server ends cleanly on SIGTERM, on SIGINT, and when its standard input is a pipe and that pipe
is closed. It therefore ends with the process that started it, even if that process was killed.
"""

import argparse
import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local.cloud import ministack_private, signing
from local.cloud.asgi import (
    App,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    header,
    json_response,
    read_request,
    send_response,
)
from local.cloud.bedrock import Bedrock, is_bedrock
from local.cloud.files import write_atomically
from local.cloud.mail import Mail
from local.cloud.sagemaker import TARGET, Account, SageMaker

QUOTA_PATH = "/_reeldrop/quota"
BEDROCK_PATH = "/_reeldrop/bedrock"
READY_FILE = "cloud.json"
LOG_FILE = "cloud.log"
_PORT_FILE = "port"
_SAVE_EVERY_SECONDS = 10
_SHUTDOWN_SECONDS = 15

logger = logging.getLogger(__name__)


class Cloud:
    """The ASGI application: our own services first, ministack for all others."""

    def __init__(self, ministack: App, *, sagemaker: SageMaker, bedrock: Bedrock) -> None:
        self._ministack = ministack
        self._sagemaker = sagemaker
        self._bedrock = bedrock
        self.is_changed = False
        """Whether state may have changed since this was last set to False."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._ministack(scope, receive, send)
            return
        if scope["method"] not in {"GET", "HEAD"}:
            self.is_changed = True
        if not self._is_ours(scope):
            # The buckets and queues allow only TLS. Nothing leaves this machine without it.
            scope["scheme"] = "https"
            await self._ministack(scope, receive, send)
            return
        await send_response(send, self._answer(await read_request(scope, receive)))

    def _is_ours(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return (
            path.startswith("/_reeldrop/")
            or is_bedrock(scope["method"], path)
            or header(scope, "x-amz-target").startswith(TARGET)
        )

    def _answer(self, request: Request) -> Response:
        try:
            return self._handle(request)
        except Exception:
            logger.exception("%s %s", request.method, request.path)
            return json_response(500, {"message": "internal error; see cloud.log"})

    def _handle(self, request: Request) -> Response:
        if request.headers.get("x-amz-target", "").startswith(TARGET):
            return self._sagemaker.handle(request)
        if is_bedrock(request.method, request.path):
            return self._bedrock.handle(request)
        controls = {
            QUOTA_PATH: self._sagemaker.control_quota,
            BEDROCK_PATH: self._bedrock.control,
        }
        control = controls.get(request.path)
        if control is None:
            return json_response(404, {"message": f"there is nothing at {request.path}"})
        return control(request)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal or a closed input stops the server. It ends the process itself."""
    options = _options(arguments)
    state: Path = options.state.resolve()
    _clear(state)
    (state / "tmp").mkdir(parents=True)
    listener = _listen(state, options.port)
    port: int = listener.getsockname()[1]
    _set_environment(state, port=port, persist=options.persist)
    _log_to(state / LOG_FILE)
    endpoint = f"http://127.0.0.1:{port}"
    sagemaker = SageMaker(
        state,
        endpoint,
        Account(
            ministack_private.put_aws_event,
            ministack_private.denial,
            ministack_private.role_credentials,
        ),
        persist=options.persist,
        interpreter=options.interpreter,
        quota=options.quota,
        stop_grace_seconds=options.stop_grace_seconds,
    )
    bedrock = Bedrock(ministack_private.denial)
    app = ministack_private.load_app()
    ministack_private.add_signing_key(signing.KEY_ID, signing.private_key())
    cloud = Cloud(app, sagemaker=sagemaker, bedrock=bedrock)
    mail = Mail(state / "outbox", endpoint)
    if options.persist:
        # URLs of queues and subscriptions contain the port, so the next start needs the same one.
        write_atomically(state / _PORT_FILE, str(port).encode())
    status = 1
    try:
        asyncio.run(
            _serve(
                cloud,
                sagemaker,
                mail,
                listener,
                state=state,
                endpoint=endpoint,
                persist=options.persist,
            )
        )
        status = 0
    except Exception:
        logger.exception("the embedded cloud failed")
    finally:
        ministack_private.kill_lambda_workers()
        _clear(state)
        logging.shutdown()
    # Do not wait for ministack's polling threads, which may be in the middle of a call.
    os._exit(status)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.cloud.server", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder for all state")
    parser.add_argument(
        "--port",
        type=int,
        default=0,
        help="0 (the default): the port of the last run, or any free port",
    )
    parser.add_argument("--persist", action="store_true", help="keep state over restarts")
    parser.add_argument(
        "--quota",
        type=json.loads,
        default={},
        help='JSON, such as {"ml.g5.xlarge": 1}; other instance types have no limit',
    )
    parser.add_argument(
        "--interpreter", default=sys.executable, help="the program for python3 in processing jobs"
    )
    parser.add_argument(
        "--stop-grace-seconds", type=float, default=120, help="time between SIGTERM and SIGKILL"
    )
    return parser.parse_args(arguments)


def _clear(state: Path) -> None:
    """Remove the files that belong to one run only."""
    state.mkdir(parents=True, exist_ok=True)
    (state / READY_FILE).unlink(missing_ok=True)
    for folder in ("tmp", "jobs"):
        shutil.rmtree(state / folder, ignore_errors=True)


def _listen(state: Path, wanted: int) -> socket.socket:
    """Return a listening socket.

    Args:
        state: the folder with the port of the last run.
        wanted: the port. 0 is the port of the last run if it is free, otherwise any free port.
    """
    last = state / _PORT_FILE
    candidates = [wanted] if wanted else [int(last.read_text()) if last.exists() else 0, 0]
    for port in candidates:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            if port == candidates[-1]:
                raise
        else:
            listener.listen(128)
            return listener
    raise AssertionError("unreachable: the last candidate either returns or raises")


def _set_environment(state: Path, *, port: int, persist: bool) -> None:
    for name in list(os.environ):
        if ministack_private.is_foreign_variable(name):
            del os.environ[name]
    os.environ.update(ministack_private.environment(state, port=port, persist=persist))
    tempfile.tempdir = None  # makes tempfile read TMPDIR again


def _log_to(path: Path) -> None:
    """Write logging and standard error to the log file."""
    log = path.open("ab", buffering=0)
    os.dup2(log.fileno(), 2)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)


async def _serve(
    cloud: Cloud,
    sagemaker: SageMaker,
    mail: Mail,
    listener: socket.socket,
    *,
    state: Path,
    endpoint: str,
    persist: bool,
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _stop_with_input(loop, stop)

    async def until_stopped() -> None:
        await stop.wait()
        threading.Thread(target=_end_after_deadline, daemon=True).start()
        (state / READY_FILE).unlink(missing_ok=True)
        await sagemaker.close()

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = 0.2  # short, because the mail reader always has a call open
    config.keep_alive_timeout = 75
    config.errorlog = None
    tasks = [loop.create_task(_announce(sagemaker, mail, state, endpoint, stop))]
    if persist:
        tasks.append(loop.create_task(_save_periodically(cloud)))
    await serve(cloud, config, shutdown_trigger=until_stopped)  # type: ignore[arg-type,unused-ignore]
    for task in tasks:
        task.cancel()


def _stop_with_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when standard input is closed, if it is a pipe or a socket."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, daemon=True).start()


def _end_after_deadline() -> None:
    """End the process if the shutdown hangs, so that no server is left behind."""
    threading.Event().wait(_SHUTDOWN_SECONDS)
    logger.error("the shutdown took longer than %s s", _SHUTDOWN_SECONDS)
    os._exit(1)


async def _announce(
    sagemaker: SageMaker, mail: Mail, state: Path, endpoint: str, stop: asyncio.Event
) -> None:
    """Write the URL of the cloud to `cloud.json` and standard output once it answers."""
    try:
        while not await asyncio.to_thread(_answers, endpoint):
            await asyncio.sleep(0.02)
        sagemaker.start()
        await asyncio.to_thread(mail.start)
        ready = json.dumps({"endpoint": endpoint, "pid": os.getpid()})
        write_atomically(state / READY_FILE, ready.encode())
        sys.stdout.write(ready + "\n")
        sys.stdout.flush()
    except Exception:
        logger.exception("the embedded cloud did not start")
        stop.set()


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def _save_periodically(cloud: Cloud) -> None:
    """Save changed state every few seconds, so that a kill loses little."""
    while True:
        await asyncio.sleep(_SAVE_EVERY_SECONDS)
        if cloud.is_changed:
            cloud.is_changed = False
            # On the event loop, because it changes most state; a thread could save half a change.
            ministack_private.save_state()


if __name__ == "__main__":
    sys.exit(main())
