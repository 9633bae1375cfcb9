"""How many threads a step of the training uses."""

import pytest
import torch

from demo_model.cores import Cores


@pytest.mark.parametrize("allowed", [1, 2])
def test_steps_use_what_torch_may_use_and_leave_it_as_it_was(allowed: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(allowed)
    try:
        used = set()
        for _ in range(2):  # two stages, of which the first one may end with one thread
            cores = Cores()
            for _ in range(5):
                with cores.step():
                    used.add(torch.get_num_threads())
                assert torch.get_num_threads() == allowed
        assert used == {1, allowed}
    finally:
        torch.set_num_threads(before)
