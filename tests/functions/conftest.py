"""A fresh world of fakes for each test."""

import pytest

from tests.fakes import World


@pytest.fixture
def world() -> World:
    return World()
