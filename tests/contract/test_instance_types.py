"""The table of instance types against the types that SageMaker's service model names."""

import pytest
from botocore.model import StringShape
from botocore.session import get_session

from contract.instance_types import FAMILIES, FINISHING_TYPES, gpus, has_own_disk, verdict


def test_the_table_has_the_sizes_that_sagemaker_has_for_processing_jobs() -> None:
    shape = get_session().get_service_model("sagemaker").shape_for("ProcessingInstanceType")
    assert isinstance(shape, StringShape)
    ours = {f"ml.{name}.{size}" for name, family in FAMILIES.items() for size in family.gpus}
    assert ours == {one for one in shape.enum if one.split(".")[1] in FAMILIES}
    assert set(FINISHING_TYPES) <= set(shape.enum)
    assert not any(has_own_disk(one) for one in FINISHING_TYPES)


@pytest.mark.parametrize(
    ("instance_type", "number"),
    [("ml.g6e.xlarge", 1), ("ml.g6e.12xlarge", 4), ("ml.g5.48xlarge", 8), ("a-laptop", 1),
     ("ml.m5.large", 1)],
)  # fmt: skip
def test_the_number_of_gpus(instance_type: str, number: int) -> None:
    assert gpus(instance_type) == number


def test_each_gpu_has_its_share_of_the_memory_of_the_host() -> None:
    assert not verdict("cogvideox-5b", "ml.g5.12xlarge").refused
    assert verdict("cogvideox-5b", "ml.g5.12xlarge") == verdict("cogvideox-5b", "ml.g5.2xlarge")
