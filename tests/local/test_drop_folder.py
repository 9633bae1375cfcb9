"""The models of a drop folder on the embedded cloud are uploaded when they change."""

import os
from pathlib import Path

from functions import s3_keys
from local.cloud.process import EmbeddedCloud
from local.command.drop_folder import upload_models


def test_changed_weights_of_the_same_size_replace_the_old_ones(
    cloud: EmbeddedCloud, bucket: str, tmp_path: Path
) -> None:
    s3 = cloud.client("s3")
    weights = tmp_path / "demo" / "transformer" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    key = f"{s3_keys.model('demo')}transformer/weights.safetensors"
    (tmp_path / ".lock").touch()
    for content in (os.urandom(10_000_000), os.urandom(10_000_000)):
        weights.write_bytes(content)
        for _ in range(2):
            upload_models(tmp_path, cloud, bucket)
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == content
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [version["Key"] for version in versions] == [key, key]
