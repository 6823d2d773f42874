"""`restore`: what every model has in common, and what it refuses."""

import warnings

import dask.array as da
import numpy as np
import pytest
from column_images import columns
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from stem_plugins.models import save_weights
from stem_plugins.restoration import Distortions, distort, restore
from stem_plugins.restoration.image_models import load_model
from stem_plugins.restoration.pieces import cut, piece_sizes


def noisy(shape, rng, counts=20):
    return rng.poisson(counts * columns(shape)) / counts


def rms(image):
    return float(np.sqrt(np.mean(np.square(image))))


def decibels(image, truth):
    return 20 * np.log10(np.ptp(truth) / rms(image - truth))


@pytest.mark.parametrize("model", ["fft", "random"])
def test_follows_gain_and_offset(model, rng, random_weights):
    model = random_weights if model == "random" else model
    image = noisy((72, 104), rng)
    plain, changed = restore(image, model=model), restore(250 * image - 1000, model=model)
    np.testing.assert_allclose((changed + 1000) / 250, plain, atol=2e-5)


@settings(max_examples=15, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", ">u2", "int32", "float16", ">f4", "float64", "bool"]),
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
)
def test_every_type_and_shape_comes_back(dtype, shape):
    image = (100 * columns(shape) + 10 * np.random.default_rng(1).random(shape)).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        restored = restore(image, model="fft")
    assert restored.shape == shape
    assert restored.dtype == np.float32
    assert np.isfinite(restored).all()


def test_lazy_stacks_equal_eager_ones_whatever_their_chunks(rng, random_weights):
    stack = np.stack([noisy((48, 64), rng) for _ in range(3)])
    eager = restore(stack, model=random_weights)
    for chunks in ((1, 48, 64), (3, 17, 30)):
        lazy = restore(da.from_array(stack, chunks=chunks), model=random_weights)
        assert isinstance(lazy, da.Array)
        np.testing.assert_allclose(lazy.compute(), eager, atol=1e-6)


@pytest.mark.parametrize(("axis", "direction"), [(-2, 1), (-1, -1), (-2, -1), (0, 1)])
def test_orientation_turns_the_image(axis, direction, rng, random_weights):
    image = noisy((64, 48), rng)
    vertical = axis in (-2, 0)
    turned = (image.T if vertical else image)[:, ::direction]
    expected = restore(turned, model=random_weights)[:, ::direction]
    found = restore(image, model=random_weights, scan_axis=axis, scan_direction=direction)
    np.testing.assert_allclose(found, expected.T if vertical else expected, atol=1e-6)


@pytest.mark.parametrize(("counts", "gain"), [(2, 6), (20, 6), (500, 4)])
def test_shipped_network_removes_noise_and_jitter(counts, gain, rng):
    truth = columns((160, 160))
    image = distort(truth, pixel_size=1.0, dose=counts / truth.mean(), rng=rng)
    restored = restore(image)
    assert decibels(restored, truth) > decibels(image, truth) + gain
    assert decibels(restored, truth) > decibels(restore(image, model="fft"), truth) + 1
    assert restored.mean() == pytest.approx(image.mean(), rel=0.02)


def test_a_still_scan_stays_as_it_is(rng):
    truth = columns((128, 128))
    image = distort(
        truth,
        pixel_size=1.0,
        dose=5000,
        rng=rng,
        distortions=Distortions(jitter=(0.0, 0.0), tail=0.0),
    )
    assert decibels(restore(image), truth) > 30


@pytest.mark.parametrize("model", ["fft", "random"])
def test_pieces_agree_with_the_whole(model, rng, random_weights):
    model = random_weights if model == "random" else model
    image = noisy((400, 160), rng)
    whole = restore(image, model=model, tile=2048)
    pieces = restore(image, model=model, tile=96)
    assert rms(pieces - whole) < 0.005 * rms(whole - whole.mean())


@given(st.integers(1, 300), st.integers(1, 100), st.integers(0, 120))
def test_cuts_cover_an_axis_once(size, piece, halo):
    kept = []
    for needed, own in cut(size, piece, halo):
        assert needed.start == max(0, own.start - halo)
        assert needed.stop == min(size, own.stop + halo)
        kept += range(own.start, own.stop)
    assert kept == list(range(size))


def test_wide_images_are_straightened_by_whole_rows(rng, monkeypatch):
    """Half of a row says less than the whole row about where it lies."""
    truth = columns((96, 1152), spacing=14)
    image = distort(0.1 * truth, pixel_size=0.15, dose=2e3, rng=rng)
    whole = restore(image)
    monkeypatch.setattr("stem_plugins.restoration.pieces.WIDEST", 384)
    assert piece_sizes(image.shape, load_model("default"))[1] < 384
    assert rms(restore(image) - whole) < 0.01 * whole.std()


def test_a_tail_is_taken_back_before_the_network_sees_it(rng):
    """Of a crystal that does not move, the phase of its waves along x."""
    x = np.arange(256)
    wave = np.tile(1 + np.cos(2 * np.pi * x / 16), (256, 1))
    tailed = Distortions(jitter=(0.0, 0.0), tail=6.0)
    image = distort(0.1 * wave, pixel_size=0.15, dose=2e4, rng=rng, distortions=tailed)

    def place(picture):
        return np.angle(np.exp(2j * np.pi * x / 16) @ picture.sum(axis=0)) * 16 / (2 * np.pi)

    assert place(image) > 0.6
    assert abs(place(restore(image))) < 0.15
    assert place(restore(image, model="fft")) > 0.6


def test_the_noise_tells_along_which_axis_the_beam_ran(rng):
    truth, tailed = 0.1 * columns((128, 128)), Distortions(tail=4.0)
    image = distort(truth, pixel_size=0.15, dose=2e3, rng=rng, distortions=tailed)
    restore(image)
    with pytest.warns(UserWarning, match="along the other axis. Set the fast-scan axis"):
        restore(image.T)
    restore(image.T, scan_axis=-2)


def test_pieces_of_large_images_are_small(random_weights):
    for model in (load_model("fft"), load_model(random_weights)):
        for side in (2048, 8192, 16384):
            height, width = piece_sizes((side, side), model)
            assert (height + 2 * model.halo) * (width + 2 * model.halo) < 2**21


def test_ensemble_is_symmetric(rng, random_weights):
    image = noisy((64, 64), rng)
    up, down = (restore(one, model=random_weights, ensemble=True) for one in (image, image[::-1]))
    np.testing.assert_allclose(up, down[::-1], atol=1e-5)


def test_bfloat16_is_close(rng, random_weights):
    image = noisy((40, 40), rng)
    exact, short = (
        restore(image, model=random_weights, precision=p) for p in ("float32", "bfloat16")
    )
    assert 0 < rms(short - exact) < 0.03 * exact.std()


def test_progress_is_told_and_stops_the_work(rng):
    image, shares = noisy((300, 300), rng), []
    restore(image, model="fft", tile=96, callback=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(image, model="fft", callback=stop)


def test_published_networks_see_rows_along_x(rng, tmp_path):
    """As their authors run them: standardised, untransposed."""
    import torch

    from stem_plugins.restoration.cgrdn import (
        DESIGN,
        VERSION,
        ConcatenatedGroupedResidualDenseNetwork,
    )

    network = ConcatenatedGroupedResidualDenseNetwork()
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    path = save_weights(tmp_path / "published.safetensors", tensors, design=DESIGN, version=VERSION)
    image = noisy((32, 40), rng)
    scaled = torch.from_numpy(((image - image.mean()) / image.std()).astype("f4"))
    with torch.inference_mode():
        expected = network(scaled[None, None])[0, 0].numpy() * image.std() + image.mean()
    np.testing.assert_allclose(restore(image, model=path), expected, atol=1e-4)


def test_missing_pixels_stay_missing_and_harm_no_others(rng):
    image = noisy((64, 64), rng)
    whole = restore(image, model="fft")
    image[20:23, 30:33] = np.nan
    with pytest.warns(UserWarning, match="9 of 4096 pixels are NaN"):
        holed = restore(image, model="fft")
    assert np.isnan(holed).sum() == 9
    far = np.ones((64, 64), bool)
    far[10:33, 20:43] = False
    assert rms((holed - whole)[far]) < 0.2 * whole.std()


def test_a_constant_image_comes_back():
    np.testing.assert_array_equal(restore(np.full((40, 40), 7), model="fft"), 7)
    restored, evidence = restore(np.full((40, 40), 7), model="fft", return_evidence=True)
    np.testing.assert_array_equal(restored, 7)
    np.testing.assert_array_equal(evidence.spread, 0)


def test_saturated_and_tiny_images_are_told(rng):
    saturated = np.minimum(400 * noisy((64, 64), rng), 255).astype(np.uint8)
    with pytest.warns(UserWarning, match="the image is saturated"):
        restore(saturated, model="fft")
    with pytest.warns(UserWarning, match="holds too little"):
        restore(noisy((20, 20), rng), model="fft")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.ones(64), "takes images"),
        (np.ones((0, 64)), "is empty"),
        (np.ones((64, 64), complex), r"Take abs\(\)"),
        (np.ones((64, 64, 3), np.uint8), "colour picture"),
        (np.ones((64, 64), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "one channel"),
        (np.full((64, 64), np.nan), "no finite pixel"),
        (np.array([["a"] * 64] * 64), "cannot be restored"),
    ],
)
def test_what_is_no_image_is_refused(image, words):
    with pytest.raises(ValueError, match=words):
        restore(image, model="fft")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scan_axis": 2}, "scan_axis must be"),
        ({"scan_axis": "x"}, "scan_axis must be"),
        ({"scan_direction": 0}, "scan_direction must be"),
        ({"precision": "float64"}, "precision must be"),
        ({"tile": 0}, "tile must be"),
        ({"threads": 0}, "threads must be"),
        ({"device": "quantum"}, "cannot be used here"),
        ({"model": "best"}, "There is no model 'best'"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        restore(np.ones((64, 64)), **{"model": "fft", **options})


def test_unusable_weights_are_refused(tmp_path, random_weights):
    image = np.eye(64)
    damaged = tmp_path / "damaged.safetensors"
    content = bytearray(random_weights.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        restore(image, model=damaged)
    newer = save_weights(
        tmp_path / "newer.safetensors", {"a": np.ones(3, "f4")}, design="row-aware", version=99
    )
    with pytest.raises(ValueError, match="newer"):
        restore(image, model=newer)
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        restore(image, model=tmp_path / "absent.safetensors")
