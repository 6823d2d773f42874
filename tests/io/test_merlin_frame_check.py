"""Headers in the middle of a Merlin file: what is wrong with them is said, and where."""

import time
import warnings

import numpy as np
import pytest

from stem_plugins.io import merlin_sampling, read_merlin

SHAPE = (32, 32)
FRAME_BYTES = 384 + 32 * 32
SCAN = {"scan_shape": (6, 8)}


@pytest.fixture
def make_file(make_mib):
    """Return a function that makes a file of 48 frames and changes the bytes of some of them."""

    def make(change, frames, *, count=48):
        payloads = [bytes([number]) * 32 * 32 for number in range(1, count + 1)]
        path = make_mib(payloads, width=32, height=32, pixel_type="U08", depth=6)
        data = np.frombuffer(path.read_bytes(), np.uint8).reshape(count, FRAME_BYTES).copy()
        for frame in frames:
            changed = change(data[frame - 1].tobytes())
            data[frame - 1] = np.frombuffer(changed, np.uint8)
        path.write_bytes(data.tobytes())
        return path

    return make


def of_another_type(frame):
    return frame.replace(b"0032,0032,U08", b"0032,0016,U16")


def without_marker(frame):
    return bytes(3) + frame[3:]


def never_filled(frame):
    return bytes(len(frame))


@pytest.mark.parametrize(
    ("change", "frames", "words"),
    [
        (of_another_type, range(25, 49), r"frames 25 to 48 of 48 are not like the first: frame 25"),
        (of_another_type, [48], r"frame 48 of 48 is not like the first"),
        (of_another_type, [2], r"frame 2 of 48"),
        (of_another_type, [3, 9, 10], r"frames 3, 9 to 10 of 48 .*16 rows × 32 columns of U16"),
        (without_marker, range(20, 30), r"frames 20 to 29 of 48 are without the marker"),
        (lambda frame: frame.replace(b",00384,", b",00256,"), [30], r"frame 30 of 48"),
        (lambda frame: frame.replace(b",U08,", b",X08,"), [30], r"unknown pixel type 'X08'"),
        (without_marker, range(1, 49, 2)[1:], r"3, 5, 7, 9, 11 and 18 more stretches of 48"),
    ],
)
def test_frames_that_are_not_like_the_first_are_refused(make_file, change, frames, words):
    with pytest.raises(ValueError, match=words):
        read_merlin(make_file(change, frames), **SCAN)


def test_what_is_before_the_damage_can_be_read_as_the_error_says(make_file):
    path = make_file(of_another_type, range(25, 49))
    with pytest.raises(ValueError, match=r"head -c (\d+) scan\.mib") as caught:
        read_merlin(path, **SCAN)
    length = int(str(caught.value).split("head -c ")[1].split()[0])
    path.write_bytes(path.read_bytes()[:length])
    assert read_merlin(path, scan_shape=(3, 8)).data[2, 7, 0, 0].compute() == 24


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (range(20, 25), r"frames 20 to 24 of 48 are empty of headers, the file was not filled"),
        (range(40, 49), r"frames 40 to 48 of 48 are empty"),
        ([2], r"frame 2 of 48 is empty"),
        ([5, 48], r"frames 5, 48 of 48 are empty"),
    ],
)
def test_frames_that_were_not_filled_are_named_and_are_zero(make_file, frames, words):
    with pytest.warns(UserWarning, match=words) as caught:
        scan = read_merlin(make_file(never_filled, frames), **SCAN)
    assert len(caught) == 1
    first_pixels = scan.data[:, :, 0, 0].compute().ravel()
    expected = [0 if number in frames else number for number in range(1, 49)]
    np.testing.assert_array_equal(first_pixels, expected)


def test_zeros_do_not_hide_a_wrong_header_size(make_mib):
    """Pixels that are zero look like headers that were not filled."""
    path = make_mib([bytes(24)] * 40)
    path.write_bytes(path.read_bytes().replace(b",00384,", b",00400,"))
    with pytest.raises(ValueError, match="does not start at byte"):
        read_merlin(path, scan_shape=(1, 39))
    path = make_mib([bytes(4000)] * 3, width=50, height=40)
    path.write_bytes(path.read_bytes().replace(b",0050,", b",0010,"))
    with pytest.raises(ValueError, match="does not start at byte"):
        read_merlin(path, scan_shape=(1, 5))


def test_numbers_of_more_digits_and_other_paddings_are_no_fault(make_file):
    def wider(frame):
        return frame.replace(b"0032,0032,U08,", b"32,  32,U08,").ljust(FRAME_BYTES, b"\0")

    def longer(frame):
        changed = frame.replace(b"MQ1,0000", b"MQ1,000000", 1)
        return changed[:382].ljust(384, b"\0") + frame[384:]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_merlin(make_file(longer, range(10, 20)), **SCAN)
        read_merlin(make_file(wider, [7]), **SCAN)


def long_file(tmp_path, frames, frame_bytes, changes):
    """A long file with holes: only headers take place on the disc."""
    side = int((frame_bytes - 384) ** 0.5)
    assert side**2 + 384 == frame_bytes
    path = tmp_path / "long.mib"
    text = f",00384,01,{side:04d},{side:04d},U08,   1x1,01,now,0.001,0,0,0,1.2E+1,MQ1A,now,0ns,6,"
    with open(path, "wb") as file:
        for number in range(frames):
            header = (f"MQ1,{number + 1:06d}" + text).encode()
            file.seek(number * frame_bytes)
            file.write(changes.get(number + 1, lambda start: start)(header))
        file.truncate(frames * frame_bytes)
    return path


def test_of_2048_frames_each_is_looked_at(tmp_path):
    changes = {1501: lambda start: start.replace(b",U08,", b",R64,")}
    path = long_file(tmp_path, 2048, 384 + 64, changes)
    with pytest.raises(ValueError, match="frame 1501 of 2048"):
        read_merlin(path, scan_shape=(32, 64))


def test_of_long_files_stretches_are_found_to_the_frame(tmp_path):
    changes = dict.fromkeys(range(9_001, 9_031), lambda start: bytes(len(start)))
    path = long_file(tmp_path, 20_000, 384 + 64, changes)
    with pytest.warns(UserWarning, match="frames 9001 to 9030 of 20000 are empty"):
        read_merlin(path, scan_shape=(100, 200))


def test_a_file_of_two_gigabytes_opens_at_once(tmp_path):
    path = long_file(tmp_path, 32_768, 384 + 256**2, {})
    assert path.stat().st_size > 2e9
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        read_merlin(path, scan_shape=(128, 256))
        times.append(time.perf_counter() - begin)
    assert min(times) < 1


def test_on_a_slow_disc_the_last_frame_is_looked_at(make_file, monkeypatch):
    monkeypatch.setattr(merlin_sampling, "LONGEST_CHECK", -1)
    monkeypatch.setattr(merlin_sampling, "HEADERS_TOGETHER", 2)
    with pytest.raises(ValueError, match="frame 48 of 48"):
        read_merlin(make_file(of_another_type, [48]), **SCAN)
    with pytest.warns(UserWarning, match="frame 48 of 48 is empty"):
        read_merlin(make_file(never_filled, [48]), **SCAN)
