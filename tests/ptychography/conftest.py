"""A scan that several tests look at."""

import pytest
from atom_scans import scan_of_atoms


@pytest.fixture(scope="session")
def atoms():
    return scan_of_atoms()
