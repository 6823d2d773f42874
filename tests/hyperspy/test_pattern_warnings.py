"""HyperSpy methods say what the pass found out about the patterns, when it is done, and once."""

import warnings

import hyperspy.api as hs
import numpy as np
import pytest

from stem_plugins import Acquisition, write_merlin
from stem_plugins.hyperspy import load

METHODS = {
    "center_of_mass": lambda signal, **options: signal.center_of_mass(**options),
    "ricom": lambda signal, **options: signal.ricom(5, **options),
    "icom": lambda signal, **options: signal.icom(**options),
    "virtual_image": lambda signal, **options: signal.virtual_image(2, 6, **options),
    "moments": lambda signal, **options: signal.moments(pattern=True, **options).com,
}


@pytest.fixture
def saturated_file(tmp_path, patterns, calibration):
    """The scan with two saturated patterns, as a 12-bit Merlin file."""
    patterns = patterns.copy()
    patterns[4, 5, 6, 6] = patterns[7, 7, 6, 6] = 4095
    path = tmp_path / "full.mib"
    write_merlin(path, patterns, acquisition=Acquisition(**calibration), counter_depth=12)
    return path


def messages(work):
    """What a piece of work returns, and the words it warned in."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work()
    return result, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("lazy", [False, True])
def test_saturated_patterns(saturated_file, name, lazy):
    signal = load(saturated_file, lazy=lazy)
    result, said = messages(lambda: METHODS[name](signal))
    if lazy:
        assert said == []
        _, said = messages(lambda: result.compute(show_progressbar=False))
    (words,) = said
    assert words.startswith("2 of 99 patterns are saturated, the first at scan position (4, 5).")
    assert "4095, the most that it can count" in words


@pytest.mark.filterwarnings("ignore:The NestedDirectoryStore:FutureWarning")
@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
def test_the_limit_of_the_counter_survives_saving(saturated_file, tmp_path, suffix):
    path = tmp_path / f"copy{suffix}"
    load(saturated_file, lazy=False).save(path)
    signal = hs.load(path, signal_type="4d_stem")
    assert len(messages(lambda: signal.ricom(5))[1]) == 1
    binned = signal.rebin(scale=(1, 1, 2, 1))
    assert messages(lambda: binned.ricom(5))[1] == []


def test_an_unusable_kernel_is_refused_before_the_pass(saturated_file):
    with pytest.raises(ValueError, match="odd number"):
        load(saturated_file, lazy=False).ricom(4)


@pytest.mark.parametrize("lazy", [False, True])
def test_empty_and_negative_patterns(signal, lazy):
    signal.change_dtype("float32")
    signal.data[2, 3] = 0
    signal.data[5] -= 1000
    source = signal.as_lazy() if lazy else signal
    com, said = messages(lambda: source.center_of_mass(lazy_output=False))
    assert [words[:28] for words in said] == [
        "1 of 99 patterns are empty, ",
        "11 of 99 patterns are below ",
    ]
    np.testing.assert_array_equal(com.data[5], 0)
    assert messages(lambda: source.virtual_image(2, 6, lazy_output=False))[1] == []
