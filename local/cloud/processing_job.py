"""Runs one processing job on this machine: downloads, a subprocess, uploads.

A folder takes the place of the container's file system. The program gets no credentials and no
endpoint, as under network isolation.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from contract.outcome import MACHINE_VARIABLE
from local.cloud.processing_request import Input, JobRequest, Output, Status, UploadMode

T = TypeVar("T")

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
# Limits the threads of torch. Jobs inherit it, so that tests can leave cores to each other.
_THREADS = "OMP_NUM_THREADS"
_CONTAINER = "/opt/ml"
_UPLOAD_EVERY_SECONDS = 0.2
_LOG_EVERY_SECONDS = 0.5
_LOG_LINE_BYTES = 200_000
_LOG_BATCH = 500
_EXIT_MESSAGE_BYTES = 1024

# The launcher asks the kernel to kill it when we are killed, and then replaces itself with the
# program. Linux keeps this request over exec. The request refers to the thread that forked, so jobs
# are started only from the main thread, which lives as long as the process.
_LAUNCHER = """
import os, signal, sys
if sys.platform.startswith("linux"):
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the embedded cloud has ended")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class InputMissing(Exception):
    """There is nothing at an input's S3 address."""


@dataclass(frozen=True)
class Ending:
    """How a job ended."""

    status: Status
    failure_reason: str | None = None
    exit_message: str | None = None


@dataclass(frozen=True)
class Host:
    """What all processing jobs on this machine share. `s3` and `logs` are boto3 clients."""

    s3: Any
    logs: Any
    threads: Executor
    interpreter: str
    """The program that runs when an entry point says `python3`."""
    stop_grace_seconds: float
    """Time between SIGTERM and SIGKILL when a job is stopped."""


class ProcessingJob:
    """One run of one request. `run` may be called only once, `stop` at any time."""

    def __init__(self, request: JobRequest, folder: Path, host: Host) -> None:
        self._request = request
        self._folder = folder
        self._host = host
        self._stop = asyncio.Event()
        self._grace_seconds = host.stop_grace_seconds
        self._uploaded: dict[Path, tuple[int, int, int]] = {}
        self._seen: dict[Path, tuple[int, int, int]] = {}

    def stop(self, *, grace_seconds: float | None = None) -> None:
        """Send SIGTERM to the program, and SIGKILL after the grace period."""
        if grace_seconds is not None:
            self._grace_seconds = grace_seconds
        self._stop.set()

    async def run(self) -> Ending:
        """Run the whole job and remove its folder. Errors are returned as an `Ending`, too."""
        try:
            return await self._run()
        except InputMissing as error:
            return Ending(Status.FAILED, f"ClientError: {error}")
        except (BotoCoreError, Boto3Error, ClientError) as error:
            return Ending(Status.FAILED, f"ClientError: data could not be moved: {error}")
        except OSError as error:
            return Ending(Status.FAILED, f"ClientError: the program could not be run: {error}")
        finally:
            await self._in_thread(partial(shutil.rmtree, self._folder, ignore_errors=True))

    async def _run(self) -> Ending:
        await self._in_thread(self._prepare)
        if self._stop.is_set():
            return Ending(Status.STOPPED)
        process = await self._start()
        logs = asyncio.create_task(self._stream_logs(process))
        uploads = asyncio.create_task(self._upload_while_running())
        try:
            ending = await self._wait(process)
            # Children that the program left behind would keep its output open.
            _signal_group(process.pid, signal.SIGKILL)
            await asyncio.wait({logs}, timeout=10)
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            for task in (logs, uploads):
                task.cancel()
            await asyncio.gather(logs, uploads, return_exceptions=True)
        await self._in_thread(partial(self._upload, UploadMode.CONTINUOUS, only_settled=False))
        if ending.status is Status.COMPLETED:
            await self._in_thread(partial(self._upload, UploadMode.END_OF_JOB, only_settled=False))
        return ending

    # The container

    def _path(self, inside: str) -> Path:
        return self._folder / inside.lstrip("/")

    def _mapped(self, text: str) -> str:
        is_inside = text == _CONTAINER or text.startswith(f"{_CONTAINER}/")
        return str(self._path(text)) if is_inside else text

    def _prepare(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        for inside in ("/opt/ml/processing", "/opt/ml/output", "/tmp"):
            self._path(inside).mkdir(parents=True)
        for item in self._request.processing_inputs:
            self._download(item)
        for output in self._request.processing_output_config.outputs:
            self._path(output.s3_output.local_path).mkdir(parents=True, exist_ok=True)

    async def _start(self) -> asyncio.subprocess.Process:
        entrypoint, *rest = self._request.app_specification.container_entrypoint
        program = self._host.interpreter if entrypoint in {"python", "python3"} else entrypoint
        command = [program, *rest, *self._request.app_specification.container_arguments]
        return await asyncio.create_subprocess_exec(
            # -I and -S keep the Python settings of this machine away from the launcher.
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())),
            *(self._mapped(part) for part in command),
            cwd=self._folder,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        given = {name: self._mapped(value) for name, value in self._request.environment.items()}
        if MACHINE_VARIABLE in given:
            # The sidecar must not claim that the requested instance type rendered the video.
            given[MACHINE_VARIABLE] = f"embedded cloud, standing in for {given[MACHINE_VARIABLE]}"
        ours = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self._path("/tmp")),
            "PYTHONUNBUFFERED": "1",  # as in the deep learning containers
        }
        if _THREADS in os.environ:
            ours[_THREADS] = os.environ[_THREADS]
        if self._request.network_config.enable_network_isolation:
            # This does not block the network, but HTTP clients that use the proxy fail at once.
            closed = "http://127.0.0.1:9"
            ours |= {"http_proxy": closed, "https_proxy": closed, "HTTPS_PROXY": closed}
        return ours | given

    async def _wait(self, process: asyncio.subprocess.Process) -> Ending:
        exited = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._stop.wait())
        limit = self._request.stopping_condition.max_runtime_in_seconds
        try:
            done, _ = await asyncio.wait(
                {exited, stopped}, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            if exited in done:
                return await self._in_thread(partial(self._ending, exited.result()))
            _signal_group(process.pid, signal.SIGTERM)
            await asyncio.wait({exited}, timeout=self._grace_seconds)
            _signal_group(process.pid, signal.SIGKILL)
            await exited
        finally:
            stopped.cancel()
        message = await self._in_thread(self._exit_message)
        if stopped in done:
            return Ending(Status.STOPPED, exit_message=message)
        reason = f"MaxRuntimeExceeded: the job ran longer than {limit} seconds"
        return Ending(Status.FAILED, reason, message)

    def _ending(self, code: int) -> Ending:
        try:
            message = self._exit_message()
        except UnicodeDecodeError:
            return Ending(Status.FAILED, "ClientError: /opt/ml/output/message is not UTF-8")
        if code == 0:
            return Ending(Status.COMPLETED, exit_message=message)
        # The exit code of a signal is shown as shells and containers show it.
        shown = code if code > 0 else 128 - code
        reason = f"AlgorithmError: See job logs for more information, exit code: {shown}"
        return Ending(Status.FAILED, reason, message)

    def _exit_message(self) -> str | None:
        try:
            content = self._path("/opt/ml/output/message").read_bytes()
        except FileNotFoundError:
            return None
        content.decode()
        # The limit may split a character in two.
        return content[:_EXIT_MESSAGE_BYTES].decode(errors="ignore") or None

    # Inputs

    def _download(self, item: Input) -> None:
        uri, folder = item.s3_input.s3_uri, self._path(item.s3_input.local_path)
        bucket, prefix = _split(uri)
        folder.mkdir(parents=True, exist_ok=True)
        below = f"{prefix.rstrip('/')}/" if prefix else ""
        found = False
        for key in self._keys(bucket, prefix):
            if key == prefix:
                relative = PurePosixPath(key).name
            elif key.startswith(below):
                relative = key.removeprefix(below)
            else:
                continue
            found = True
            if key.endswith("/"):
                continue  # the S3 console creates such an object for an empty folder
            if ".." in relative.split("/"):
                raise InputMissing(f"The key {key} leads outside of {item.s3_input.local_path}.")
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            self._host.s3.download_file(bucket, key, str(target))
        if not found:
            raise InputMissing(
                f"No S3 objects found under S3 URL {uri!r} given in input {item.input_name!r}."
            )

    def _keys(self, bucket: str, prefix: str) -> list[str]:
        pages = self._host.s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix
        )
        return [row["Key"] for page in pages for row in page.get("Contents", ())]

    # Outputs

    async def _upload_while_running(self) -> None:
        while True:
            await asyncio.sleep(_UPLOAD_EVERY_SECONDS)
            # Errors are ignored here, because the final upload reports them.
            with contextlib.suppress(BotoCoreError, ClientError, OSError):
                await self._in_thread(partial(self._upload, UploadMode.CONTINUOUS))

    def _upload(self, mode: UploadMode, *, only_settled: bool = True) -> None:
        for output in self._request.processing_output_config.outputs:
            if output.s3_output.s3_upload_mode is mode:
                self._upload_folder(output, only_settled=only_settled)

    def _upload_folder(self, output: Output, *, only_settled: bool) -> None:
        folder = self._path(output.s3_output.local_path)
        bucket, prefix = _split(output.s3_output.s3_uri)
        # Upload in the order in which the files were written, so that the result comes last.
        for path in sorted(folder.rglob("*"), key=_written_at):
            if path.name.startswith(".") and path.name.endswith(".part"):
                continue
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue  # renamed since the listing
            now = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            before, self._seen[path] = self._seen.get(path), now
            is_settled = before == now
            if not path.is_file() or self._uploaded.get(path) == now:
                continue
            if only_settled and not is_settled:
                continue  # it may still be being written; the next pass compares again
            key = "/".join(filter(None, [prefix.rstrip("/"), path.relative_to(folder).as_posix()]))
            try:
                self._host.s3.upload_file(str(path), bucket, key)
            except FileNotFoundError:
                continue
            self._uploaded[path] = now

    # Logs

    async def _stream_logs(self, process: asyncio.subprocess.Process) -> None:
        stream = f"{self._request.processing_job_name}/algo-1-{int(time.time())}"
        await self._in_thread(partial(self._create_log_stream, stream))
        waiting: list[dict[str, Any]] = []
        async for line in _lines(process):
            if line is not None:
                waiting.append({"timestamp": int(time.time() * 1000), "message": line})
            if waiting and (line is None or len(waiting) >= _LOG_BATCH):
                await self._put_logs(stream, waiting)
                waiting = []

    async def _put_logs(self, stream: str, events: list[dict[str, Any]]) -> None:
        put = partial(
            self._host.logs.put_log_events,
            logGroupName=LOG_GROUP,
            logStreamName=stream,
            logEvents=events,
        )
        # A lost log line must not fail the job.
        with contextlib.suppress(BotoCoreError, ClientError):
            await self._in_thread(put)

    def _create_log_stream(self, stream: str) -> None:
        logs = self._host.logs
        for create in (
            partial(logs.create_log_group, logGroupName=LOG_GROUP),
            partial(logs.create_log_stream, logGroupName=LOG_GROUP, logStreamName=stream),
        ):
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                create()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._host.threads, call)


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str | None]:
    """Yield the program's lines that are not blank, and None when buffered lines should be sent."""
    assert process.stdout is not None
    rest = b""
    send_at = time.monotonic() + _LOG_EVERY_SECONDS
    ended = False
    while not ended:
        chunk = b""
        try:
            async with asyncio.timeout(max(send_at - time.monotonic(), 0.01)):
                chunk = await process.stdout.read(65536)
            ended = not chunk
        except TimeoutError:
            pass
        *whole, rest = (rest + chunk).split(b"\n")
        if ended or len(rest) > _LOG_LINE_BYTES:
            whole, rest = [*whole, rest], b""
        for line in whole:
            # A progress bar overwrites its line with carriage returns; only its last state is kept.
            text = line.decode(errors="replace").rstrip("\r").rsplit("\r", 1)[-1]
            if text.strip():
                yield text[:_LOG_LINE_BYTES]
        if ended or time.monotonic() >= send_at:
            yield None
            send_at = time.monotonic() + _LOG_EVERY_SECONDS


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _written_at(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_mtime_ns, str(path)
    except FileNotFoundError:
        return 0, str(path)
