"""`reeldrop drop --wait` follows the rows of a list."""

import io
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from functions import s3_keys
from functions.replies.status import Status
from functions.table.records import State
from local.command import drop
from local.command.account import DropBuckets
from local.command.drop import FIRST_STATUS_SECONDS, DropFailed, Dropped

ROWS = tuple(f"jobs/x/{number:03d}.json" for number in range(2, 7))
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Missing(ClientError):
    def __init__(self) -> None:
        super().__init__({"Error": {"Code": "404"}}, "HeadObject")


class S3:
    """Has the status of each path from a time on. One row was deleted."""

    exceptions = SimpleNamespace(NoSuchKey=Missing)

    def __init__(self, clock: "Clock", at: dict[str, float]) -> None:
        self._clock, self._at = clock, at

    def head_object(self, Bucket: str, Key: str) -> dict[str, str]:  # noqa: N803
        if Key == ROWS[0]:
            raise Missing
        return {"VersionId": "v1"}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        path = Key.removeprefix("status/").removesuffix(".json")
        if self._clock.seconds < self._at[path]:
            raise Missing
        key = "jobs/x.csv" if path == "x" else f"jobs/{path}.json"
        status = Status(
            job_id=s3_keys.job_id("input", key, "v1"),
            path=path,
            state=State.HANDED_ON if path == "x" else State.SUCCEEDED,
            message="",
            created_at=NOW,
            updated_at=NOW,
            tasks=(),
            dropped=ROWS if path == "x" else (),
        )
        return {"Body": io.BytesIO(status.to_json().encode())}


class Clock:
    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize("apart", [FIRST_STATUS_SECONDS - 5, FIRST_STATUS_SECONDS + 5])
def test_the_rows_of_a_list_are_followed_as_long_as_they_come(
    apart: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(drop, "time", clock)
    at = {s3_keys.path_of(key): apart * number for number, key in enumerate(ROWS)}
    buckets = DropBuckets(S3(clock, {"x": 1, **at}), "input", "output")
    listed = Dropped("jobs/x.csv", "x", s3_keys.job_id("input", "jobs/x.csv", "v1"))
    following = drop.follow(buckets, [listed], Console(file=io.StringIO()))
    if apart > FIRST_STATUS_SECONDS:
        with pytest.raises(DropFailed, match="No status of x/003"):
            list(following)
    else:
        ended = [one.path for one, _ in following]
        assert ended == ["x", *(s3_keys.path_of(key) for key in ROWS[1:])]
