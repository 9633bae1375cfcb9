"""Phrases that replies share."""

from functions.replies import words
from functions.table.records import Ending, Hold, HoldReason, ProcessingState


def test_a_missing_message_of_sagemaker_is_said_to_be_missing() -> None:
    hold = Hold(reason=HoldReason.NO_CAPACITY, instance_type="ml.g5.xlarge")
    assert "(SageMaker gave no reason)" in words.hold(hold)
    assert "without a message" in words.ending(Ending(state=ProcessingState.FAILED))
    assert words.ending(Ending(state=ProcessingState.FAILED, detail="x")).endswith("failed: x")
