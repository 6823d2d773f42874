"""Scans of known content."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(20260)


@pytest.fixture
def scan(rng):
    """Poisson patterns of a small scan, 16-bit."""
    return rng.poisson(3, (6, 7, 20, 24)).astype(np.uint16)
