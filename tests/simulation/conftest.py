"""Does not measure which branches the simulations take.

They run the same code millions of times, and measuring takes half of that time again. What they go
through is counted when the other tests go through it.
"""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder for pytest-cov."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.no_cover)
