"""``stem-plugins ricom``: the images are what a plain NumPy calculation gives, with their units."""

import tomllib

import numpy as np
import pytest
from command_runs import ACQUISITION, names, start
from PIL import Image
from rsciio.tiff import file_reader as read_tiff
from rsciio.zspy import file_reader as read_zspy

from stem_plugins.cli import main
from stem_plugins.io import write_merlin
from stem_plugins.optics import Acquisition

#: Wavelength at 200 keV [Å], from tables.
WAVELENGTH = 0.0250793


def reference_field(counts):
    """Phase gradient [rad/Å] in the scan frame, by plain NumPy and the documented formulas."""
    ky, kx = np.indices(counts.shape[2:])
    total = counts.sum(axis=(2, 3), dtype=float)
    y = (counts * ky).sum(axis=(2, 3)) / total - 15.0
    x = (counts * kx).sum(axis=(2, 3)) / total - 14.0
    y, x = -2e-3 * y, 2e-3 * x  # mirrored; 2 mrad per px
    cos, sin = np.cos(np.deg2rad(25)), np.sin(np.deg2rad(25))
    turned = np.stack([sin * x + cos * y, cos * x - sin * y], axis=-1)
    return 2 * np.pi / WAVELENGTH * turned


def direct_ricom(field, size, step):
    """Eq. 3.4 of the thesis, position by position."""
    rows, columns = field.shape[:2]
    half = size // 2
    image = np.zeros((rows, columns))
    for py in range(rows):
        for px in range(columns):
            for ry in range(max(0, py - half), min(rows, py + half + 1)):
                for rx in range(max(0, px - half), min(columns, px + half + 1)):
                    dy, dx = (py - ry) * step[0], (px - rx) * step[1]
                    if dy or dx:
                        along = dy * field[ry, rx, 0] + dx * field[ry, rx, 1]
                        image[py, px] += along / (dy**2 + dx**2)
    return image * step[0] * step[1] / (2 * np.pi)


def radius(counts):
    ky, kx = np.indices(counts.shape[2:])
    return np.hypot(ky - 15.0, kx - 14.0)


def read(path):
    return read_zspy(str(path))[0]


def test_all_images_equal_plain_numpy(works, tmp_path, scan_file, counts):
    out = tmp_path / "out"
    text, warnings = works(
        *("ricom", scan_file, "-o", out, "--kernel", 7, "--format", "zspy"),
        *("--adf", 24, 28, "--bf", "--abf", "--detector", "inner_disc", 0, 8),
        *("--com", "--pacbed", "--total", "--divergence", "--field"),
    )
    assert warnings == ""
    assert "rotation 25° as given, mirrored" in text
    field = reference_field(counts)
    r = radius(counts) * 2  # mrad
    expected = {
        "ricom-7": direct_ricom(field, 7, (0.2, 0.25)),
        "com-y": field[..., 0],
        "com-x": field[..., 1],
        "adf": counts[:, :, (r >= 24) & (r < 28)].sum(axis=2),
        "bf": counts[:, :, r < 20].sum(axis=2),
        "abf": counts[:, :, (r >= 10) & (r < 20)].sum(axis=2),
        "inner_disc": counts[:, :, r < 8].sum(axis=2),
        "total": counts.sum(axis=(2, 3)),
        "pacbed": counts.mean(axis=(0, 1)),
        "divergence": np.gradient(field[..., 0], 0.2, axis=0)
        + np.gradient(field[..., 1], 0.25, axis=1),
    }
    for name, image in expected.items():
        saved = read(out / f"scan_{name}.zspy")["data"]
        np.testing.assert_allclose(
            saved, image, rtol=1e-4, atol=1e-4 * abs(image).max(), err_msg=name
        )
    interaction = 0.000728845  # rad/(V Å) at 200 keV, from tables
    field_y = read(out / "scan_field-y.zspy")["data"]
    np.testing.assert_allclose(field_y, -field[..., 0] / interaction, rtol=1e-3, atol=0.05)


def test_atoms_are_bright(works, tmp_path, scan_file):
    works("ricom", scan_file, "-o", tmp_path, "--kernel", 21, "--icom", "--format", "npy")
    for name in ("ricom-21", "icom"):
        image = np.load(tmp_path / f"scan_{name}.npy")
        assert image[8, 9] > np.percentile(image, 97)
        assert image[13, 22] > np.percentile(image, 97)
        assert np.median(image) < 0.3 * image.max()


def test_every_format_holds_the_image_and_its_scale(works, tmp_path, scan_file):
    works("ricom", scan_file, "-o", tmp_path / "out", "--kernel", 7, "--com")
    zspy = read(tmp_path / "out" / "scan_ricom-7.zspy")
    tiff = read_tiff(tmp_path / "out" / "scan_ricom-7.tif")[0]
    np.testing.assert_allclose(tiff["data"], zspy["data"], rtol=1e-6)
    for signal in (zspy, tiff):
        assert [axis["scale"] for axis in signal["axes"]] == pytest.approx([0.02, 0.025])
        assert {axis["units"] for axis in signal["axes"]} == {"nm"}
    assert zspy["metadata"]["Signal"]["quantity"].endswith("(rad)")
    parameters = zspy["metadata"]["stem_plugins"]["parameters"]
    assert parameters["kernel_size"] == 7
    assert parameters["acquisition"]["scan_rotation"] == 25

    with Image.open(tmp_path / "out" / "scan_ricom-7.png") as picture:
        pixels = np.asarray(picture.convert("L"), float)
    rows = (np.arange(30) + 0.5) * pixels.shape[0] / 30
    columns = (np.arange(34) + 0.5) * pixels.shape[1] / 34
    shown = pixels[rows.astype(int)][:, columns.astype(int)]
    expected = np.interp(zspy["data"], [zspy["data"].min(), zspy["data"].max()], [0, 255])
    np.testing.assert_allclose(shown[:22], expected[:22], atol=3)  # the scale bar lies below

    with Image.open(tmp_path / "out" / "scan_com.tif") as colors:
        assert colors.mode == "RGB"
    assert not (tmp_path / "out" / "scan_com.zspy").exists()


def test_a_run_can_be_repeated_from_its_record(works, tmp_path, bare_file):
    calibration = (
        *("--beam-energy", 200, "--scan-step", 0.2, 0.25, "--diffraction-step", 2),
        *("--center", 15, 14, "--rotation", 25, "--flip-y", "--convergence-angle", 20),
    )
    words = ("--kernel", 9, "--bf", "--descan", "plane", "--format", "npy")
    works("ricom", bare_file, "-o", tmp_path / "first", *words, *calibration)
    record = tmp_path / "first" / "bare_record.toml"
    entries = tomllib.loads(record.read_text(encoding="utf-8"))
    assert entries["program"].startswith("stem-plugins 0.")
    assert "--kernel 9" in entries["command"]
    assert entries["descan"] == "plane"
    assert entries["units"] == {"ricom-9": "rad", "bf": "counts"}
    assert Acquisition.from_dict(entries["acquisition"]) == ACQUISITION
    works("ricom", bare_file, "-o", tmp_path / "second", *words, "--acquisition", record)
    for name in ("bare_ricom-9.npy", "bare_bf.npy"):
        np.testing.assert_array_equal(
            np.load(tmp_path / "first" / name), np.load(tmp_path / "second" / name)
        )


def test_aberrations_survive_the_record(works, tmp_path, scan_file):
    (tmp_path / "given.toml").write_text("[aberrations]\nC30 = 1.3e7\n")
    works(
        *("ricom", scan_file, "-o", tmp_path / "out", "--format", "npy"),
        *("--acquisition", tmp_path / "given.toml"),
    )
    acquisition = Acquisition.from_toml(tmp_path / "out" / "scan_record.toml")
    assert acquisition.aberrations == {"C30": 1.3e7}


def test_what_is_unknown_is_assumed_and_said(works, tmp_path, bare_file):
    text, warnings = works(
        *("ricom", bare_file, "-o", tmp_path / "out", "--adf", 10, 14, "--low", 0.05),
        *("--format", "zspy"),
    )
    assert "the mean centre of mass" in text
    assert "detector radii in px" in text
    assert "rotation 0°, because it is not known" in text
    assert "--rotation auto takes that" in warnings
    assert "cycles per scan position" in text
    assert "--scan-step" in text
    assert "--beam-energy" in text
    image = read(tmp_path / "out" / "bare_ricom-21.zspy")
    assert {axis["units"] for axis in image["axes"]} == {"px"}


def test_the_estimated_rotation_is_right(works, tmp_path, counts):
    unknown = ACQUISITION.replace(scan_rotation=None, flip_y=None)
    write_merlin(tmp_path / "unknown.mib", counts, acquisition=unknown)
    works(
        "ricom",
        tmp_path / "unknown.mib",
        "-o",
        tmp_path / "out",
        "--format",
        "npy",
        "--rotation",
        "auto",
    )
    found = Acquisition.from_toml(tmp_path / "out" / "unknown_record.toml")
    assert found.scan_rotation == pytest.approx(25, abs=2)
    assert found.flip_y is True


def test_a_known_mirroring_is_kept_when_the_rotation_is_estimated(works, tmp_path, counts):
    unknown = ACQUISITION.replace(scan_rotation=None)
    assert unknown.flip_y
    write_merlin(tmp_path / "unknown.mib", counts, acquisition=unknown)
    works(
        "ricom",
        tmp_path / "unknown.mib",
        "-o",
        tmp_path / "out",
        "--format",
        "npy",
        "--rotation",
        "auto",
    )
    found = Acquisition.from_toml(tmp_path / "out" / "unknown_record.toml")
    assert found.scan_rotation == pytest.approx(25, abs=2)
    assert found.flip_y is True


def test_the_dark_field_settles_the_sign_on_a_measured_scan(works, tmp_path, data_dir):
    """Its authors give -126°; the skewness of the image alone would say 180° from there."""
    source = data_dir / "fourd" / "ptychojl_64x64_bin4_48x48_u16.h5"
    calibration = ("--beam-energy", 300, "--scan-step", 31.25, "--diffraction-step", 0.068)
    works(
        *("ricom", source, "-o", tmp_path / "out", "--format", "npy"),
        *("--rotation", "auto", "--convergence-angle", 1.03, *calibration),
    )
    found = Acquisition.from_toml(next((tmp_path / "out").glob("*_record.toml")))
    assert found.scan_rotation == pytest.approx(-126, abs=5)
    assert found.flip_y is False


def test_the_mean_pattern_is_saved_in_mrad(works, tmp_path, counts):
    write_merlin(tmp_path / "scan.mib", counts, acquisition=ACQUISITION)
    works("ricom", tmp_path / "scan.mib", "-o", tmp_path / "out", "--pacbed", "--format", "zspy")
    saved = read(tmp_path / "out" / "scan_pacbed.zspy")
    assert [axis["units"] for axis in saved["axes"]] == ["mrad", "mrad"]
    scales = [axis["scale"] for axis in saved["axes"]]
    assert scales == pytest.approx(ACQUISITION.diffraction_step)
    kept = saved["metadata"]["stem_plugins"]["acquisition"]
    assert kept["beam_energy"] == ACQUISITION.beam_energy


def test_low_confidence_is_said_in_words(works, tmp_path):
    noise = np.random.default_rng(3).poisson(2.0, (24, 24, 16, 16)).astype(np.uint16)
    write_merlin(tmp_path / "noise.mib", noise)
    _, warnings = works(
        "ricom",
        tmp_path / "noise.mib",
        "-o",
        tmp_path / "out",
        "--format",
        "npy",
        "--rotation",
        "auto",
    )
    assert "uncertain" in warnings
    assert "--rotation DEG" in warnings


def test_without_an_estimate_the_rotation_is_zero_and_said(works, fails, tmp_path, counts):
    write_merlin(tmp_path / "small.mib", counts[:4, :6])
    text, warnings = works(
        "ricom", tmp_path / "small.mib", "-o", tmp_path / "out", "--format", "npy"
    )
    assert "rotation 0°, because it is not known" in text
    assert "--rotation DEG" in warnings
    line = fails("ricom", tmp_path / "small.mib", "-o", tmp_path / "new", "--rotation", "auto")
    assert "8 positions" in line
    assert not (tmp_path / "new").exists()


def test_a_centre_of_auto_is_the_mean(works, tmp_path, scan_file, counts):
    works("ricom", scan_file, "-o", tmp_path / "out", "--center", "auto", "--format", "npy")
    center = Acquisition.from_toml(tmp_path / "out" / "scan_record.toml").center
    ky, kx = np.indices(counts.shape[2:])
    total = counts.sum(axis=(2, 3))
    expected = [(counts * k).sum(axis=(2, 3)) / total for k in (ky, kx)]
    assert center == pytest.approx([image.mean() for image in expected])


def test_detectors_are_round_in_angle_where_pixels_are_not_square(works, tmp_path, bare_file):
    works(
        *("ricom", bare_file, "-o", tmp_path / "out", "--format", "npy", "--center", 15, 14),
        *("--diffraction-step", 1, 3, "--detector", "disc", 0, 6, "--rotation", 0, "--pacbed"),
    )
    ky, kx = np.indices((32, 30))
    inside = (ky - 15.0) ** 2 + (3 * (kx - 14.0)) ** 2 < 36
    pattern = np.load(tmp_path / "out" / "bare_pacbed.npy")
    image = np.load(tmp_path / "out" / "bare_disc.npy")
    assert image.mean() == pytest.approx(pattern[inside].sum())


def test_real_scan_through_a_merlin_file(works, tmp_path, data_dir):
    import h5py

    source = data_dir / "fourd" / "ptychojl_64x64_bin4_48x48_u16.h5"
    with h5py.File(source) as file:
        counts = next(item[()] for item in file.values() if getattr(item, "ndim", 0) == 4)
    works(
        *("convert", source, tmp_path / "real.mib", "--beam-energy", 300),
        *("--convergence-angle", 1.03, "--scan-step", 31.25, "--rotation", -126),
        *("--diffraction-step", 4 * 1.03 / 60.6),
    )
    words = ("--kernel", 61, "--format", "zspy", "--total")
    works("ricom", tmp_path / "real.mib", "-o", tmp_path / "out", *words)
    ky, kx = np.indices(counts.shape[2:])
    total = counts.sum(axis=(2, 3))
    y = (counts * ky).sum(axis=(2, 3)) / total
    x = (counts * kx).sum(axis=(2, 3)) / total
    cos, sin = np.cos(np.deg2rad(-126)), np.sin(np.deg2rad(-126))
    y, x = y - y.mean(), x - x.mean()
    # 300 keV: 0.0196875 Å
    scale = 2e-3 * np.pi / 0.0196875 * 4 * 1.03 / 60.6
    field = scale * np.stack([sin * x + cos * y, cos * x - sin * y], axis=-1)
    offset = np.arange(-30, 31)
    dy, dx = offset[:, None], offset[None, :]
    squared = dy**2 + dx**2 + (dy == dx) * (dy == 0)
    padded = np.pad(field, ((30, 30), (30, 30), (0, 0)))
    expected = np.zeros((64, 64))
    for i in range(61):
        for j in range(61):
            part = padded[i : i + 64, j : j + 64]
            weight = -np.array([dy[i, 0], dx[0, j]]) / squared[i, j]
            expected += part @ weight * 31.25 / (2 * np.pi)
    image = read(tmp_path / "out" / "real_ricom-61.zspy")
    assert image["axes"][0]["scale"] == pytest.approx(3.125)
    np.testing.assert_allclose(image["data"], expected, atol=1e-4 * abs(expected).max())
    np.testing.assert_array_equal(read(tmp_path / "out" / "real_total.zspy")["data"], total)


def test_existing_results_are_refused_before_the_pass(
    fails, works, tmp_path, scan_file, monkeypatch
):
    out = tmp_path / "out"
    works("ricom", scan_file, "-o", out, "--format", "npy", "png")
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}

    def never(*_, **__):
        raise AssertionError("the pass has started")

    with monkeypatch.context() as patch:
        patch.setattr("stem_plugins.cli.one_pass.scan_moments", never)
        assert "--overwrite" in fails("ricom", scan_file, "-o", out, "--format", "npy", "png")
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    works("ricom", scan_file, "-o", out, "--format", "npy", "png", "--overwrite")
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} != before
    assert names(out) == sorted(before)


def test_interruption_while_saving_leaves_no_image(works, tmp_path, scan_file, monkeypatch, capsys):
    from stem_plugins.io import images

    saved = []
    save = images.save_image

    def interrupted(path, *words, **options):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(path)
        save(path, *words, **options)

    monkeypatch.setattr(images, "save_image", interrupted)
    assert main(["ricom", str(scan_file), "-o", str(tmp_path / "out")]) == 130
    assert len(saved) == 2
    assert names(tmp_path / "out") == []


def test_a_pass_can_be_interrupted(tmp_path, scan_file):
    import signal
    import sys
    import time
    from pathlib import Path

    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc to see that the pass has begun")
    # 20 GB of frames that take no place.
    header = scan_file.read_bytes()[:384].replace(b",0030,0032,", b",0256,0256,")
    frame, frames = 384 + 2 * 256 * 256, 400**2
    path = tmp_path / "large.mib"
    with open(path, "wb") as file:
        for number in (0, 1, frames - 1):
            file.seek(number * frame)
            file.write(header)
        file.truncate(frames * frame)
    process = start("ricom", path, "-o", tmp_path / "out", "--scan", 400, 400, "--center", 127, 127)
    deadline = time.monotonic() + 60
    maps = Path(f"/proc/{process.pid}/maps")
    while process.poll() is None and str(path) not in maps.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert time.monotonic() - begin < 10
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()


def test_images_that_an_earlier_run_left_are_named(works, tmp_path, scan_file):
    out = tmp_path / "out"
    words = ("ricom", scan_file, "-o", out, "--kernel", 5)
    works(*words, "--detector", "inner", 0, 8, "--total", "--format", "npy", "png")
    (out / "scan_notes.png").write_text("of somebody else")
    left = "scan_inner.npy, scan_inner.png, scan_ricom-5.png, scan_total.png"
    # The third run is told of the first by the record of the second.
    for _ in range(2):
        _, errors = works(*words, "--total", "--format", "npy", "--overwrite")
        (line,) = errors.splitlines()
        assert line.startswith("warning: ")
        assert line.endswith(f"scan_record.toml does not describe: {left}")
        record = tomllib.loads((out / "scan_record.toml").read_text(encoding="utf-8"))
        assert record["images_of_earlier_runs"] == left.split(", ")
        assert set(record["units"]) == {"ricom-5", "total"}
    assert Acquisition.from_toml(out / "scan_record.toml").scan_rotation == 25
    for name in left.split(", "):
        (out / name).unlink()
    _, errors = works(*words, "--total", "--format", "npy", "--overwrite")
    assert errors == ""
    assert "images_of_earlier_runs" not in (out / "scan_record.toml").read_text("utf-8")


@pytest.mark.parametrize("content", ["no TOML [", "units = 3", "images_of_earlier_runs = 'x'"])
def test_a_record_that_is_none_does_no_harm(works, tmp_path, scan_file, content):
    (tmp_path / "scan_record.toml").write_text(content)
    words = ("--kernel", 5, "--format", "npy", "--overwrite")
    _, errors = works("ricom", scan_file, "-o", tmp_path, *words)
    assert errors == ""
