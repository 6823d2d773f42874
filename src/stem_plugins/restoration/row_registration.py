"""Rows of a distorted image found in a restored one: Gauss–Newton under a prior for the rows.

Pixel (y, x) of the distorted image is taken to be ``(h ∗ r((y, x) + s_j(x)))(x) + o`` and noise:
r is the restored image, the response h along the row holds gain and tail of the detector, and the
shift of row j is ``s_j(x) = Σ_k c_jk cos(πk(x + ½)/n)``, that of the whole row and a smooth change
along it. The coefficients maximise the likelihood of all pixels times the probability of the
series of rows (`RowPrior`), so that rows without counts follow their neighbours, not their noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import scipy.linalg
import scipy.ndimage
import scipy.optimize
from numpy.typing import NDArray

from stem_plugins.restoration.row_prior import RowPrior

__all__ = ["Prediction", "predict", "register_rows"]

#: First guess of the steps of a row's shift [px], (y, x): thesis table 2.2.
FIRST_STEP = (0.25, 0.5)

#: First guess of the steps of the change along a row [px].
FIRST_CHANGE = 0.1

#: Rows are sought first by whole pixels up to this distance along x [px].
SEARCH = 3

#: Standard deviation of a row's shift in that search [px].
SEARCH_SPREAD = 1.0

#: Places along y that are tried for each row [px].
ROWS_TRIED = np.linspace(-2, 2, 11)

#: Rounds after which rows may change to another of these places.
ROUNDS_OF_CHOICE = (2, 5)

#: Rounds of Gauss–Newton at most.
ROUNDS = 12

#: Change of a shift [px, rms] at which the estimate has settled.
SETTLED = 0.01

#: No shift is changed by more than this at once [px].
LARGEST_CHANGE = 0.7

#: How far the response of the detector reaches, to both sides [px].
RESPONSE_REACH = 8

#: Pixels that suffice to fit the response.
RESPONSE_PIXELS = 2**16

Image = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class _Pair:
    """A distorted image, and the restored one that can be read between its pixels."""

    distorted: Image
    #: Coefficients of the restored image as a cubic spline, and of its slope along y.
    spline: Image
    slope_y: Image

    def read(self, shifts: Image, *, dy: float = 0.0) -> Image:
        """Return the restored image at shifts (ny, 2, nx), moved by dy as a whole."""
        return self._at(self.spline, shifts, dy)

    def read_slope_y(self, shifts: Image) -> Image:
        """Return the slope of the restored image along y at shifts (ny, 2, nx)."""
        return self._at(self.slope_y, shifts, 0.0)

    def _at(self, spline: Image, shifts: Image, dy: float) -> Image:
        y, x = self.places(shifts)
        # A row that lies just outside is most like the row at the edge.
        y = np.clip(y + dy, 0, len(spline) - 1)
        return scipy.ndimage.map_coordinates(
            spline, (y, x), order=3, mode="mirror", prefilter=False
        )

    def places(self, shifts: Image) -> tuple[Image, Image]:
        """Return where pixels with these shifts lie in the restored image."""
        ny, nx = self.spline.shape
        return np.arange(ny)[:, None] + shifts[:, 0], np.arange(nx) + shifts[:, 1]

    def inside(self, shifts: Image) -> NDArray[np.bool_]:
        """Return which pixels the restored image can say something about."""
        ny, nx = self.spline.shape
        y, x = self.places(shifts)
        return (y > -1) & (y < ny) & (x >= 0) & (x <= nx - 1)


@dataclasses.dataclass(frozen=True, eq=False)
class _Response:
    """What the detector makes of the restored image: taps along the row, and an offset."""

    taps: Image
    offset: float

    def __call__(self, image: Image) -> Image:
        return scipy.ndimage.convolve1d(image, self.taps, axis=1, mode="mirror")


@dataclasses.dataclass(frozen=True, eq=False)
class _Match:
    """The restored image as the rows saw it, compared with what they recorded."""

    residual: Image
    slope_y: Image
    slope_x: Image
    #: 1/variance of the noise; 0 where the restored image does not reach.
    weight: Image
    response: _Response


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What a restored image says should have been recorded without noise."""

    #: (ny, nx).
    image: Image
    #: Taps of the detector's response along the row, whose sum is its gain, and its offset.
    taps: Image
    offset: float
    #: Where the restored image reaches, (ny, nx) boolean.
    inside: NDArray[np.bool_]

    def recorded(self, restored: Image, shifts: Image) -> Image:
        """Return the restored image as the same detector records it with other shifts.

        Parameters
        ----------
        restored
            (ny, nx).
        shifts
            (ny, nx, 2), vectors (y, x) [px].
        """
        expected = _pair(restored, restored).read(np.moveaxis(shifts, -1, 1))
        return _Response(self.taps, self.offset)(expected) + self.offset


def predict(distorted: Image, restored: Image, shifts: Image) -> Prediction:
    """Distort a restored image as its original was.

    Parameters
    ----------
    distorted, restored
        (ny, nx), finite.
    shifts
        As `register_rows` gives them, (ny, nx, 2).

    Returns
    -------
    Prediction
        Gain, offset and tail of the detector are those that fit best. No tap is negative: a
        detector smears along the row, and what a restored image lacks in sharpness is no merit of
        the detector's.
    """
    pair, moved = _pair(distorted, restored), np.moveaxis(shifts, -1, 1)
    expected, inside = pair.read(moved), pair.inside(moved)
    response = _fit_smear(distorted, expected, inside, reach=RESPONSE_REACH)
    return Prediction(response(expected) + response.offset, response.taps, response.offset, inside)


def register_rows(
    distorted: Image,
    restored: Image,
    *,
    progress: Callable[..., Iterable[int]] | None = None,
) -> Image:
    """Estimate where each pixel of the distorted image was recorded.

    Parameters
    ----------
    distorted, restored
        (ny, nx), finite.
    progress
        Called as ``progress(rounds, total=number_of_rounds)`` and iterated over.

    Returns
    -------
    ndarray
        Shifts [px], (ny, nx, 2), vectors (y, x).
    """
    ny, nx = distorted.shape
    pair = _pair(distorted, restored)
    # The shift of the row, and a change along it for every 64 px, up to the third.
    terms = min(4, 1 + nx // 64)
    basis = np.cos(np.pi * np.arange(terms)[:, None] * (np.arange(nx) + 0.5) / nx)
    coefficients = np.zeros((ny, 2, terms))
    coefficients[..., 0] = _search(distorted, restored)
    prior = _first_prior(terms)
    rounds: Iterable[int] = range(ROUNDS)
    for done in rounds if progress is None else progress(rounds, total=ROUNDS):
        match = _compare(pair, coefficients @ basis, reach=RESPONSE_REACH if done else 0)
        if done in ROUNDS_OF_CHOICE:
            coefficients[:, 0, 0] = _choose_rows(pair, coefficients @ basis, match, prior)
            match = _compare(pair, coefficients @ basis, reach=RESPONSE_REACH)
        normal, projected = _normal_equations(match, basis)
        flat = coefficients.reshape(ny, -1)
        # In terms of the coefficients themselves, not of their change: the prior is about these.
        projected += np.einsum("jab,jb->ja", normal, flat)
        estimate = prior.most_probable(normal, projected)
        change = np.clip(estimate.coefficients - flat, -LARGEST_CHANGE, LARGEST_CHANGE)
        coefficients = (flat + change).reshape(ny, 2, terms)
        prior = prior.learnt(estimate)
        if done > max(ROUNDS_OF_CHOICE) and np.sqrt(np.mean(change**2)) < SETTLED:
            break
    return np.moveaxis(coefficients @ basis, 1, -1)


def _pair(distorted: Image, restored: Image) -> _Pair:
    spline = scipy.ndimage.spline_filter(restored, order=3, mode="mirror")
    y, x = np.indices(restored.shape, float)
    up, down = (
        scipy.ndimage.map_coordinates(spline, (y + half, x), mode="mirror", prefilter=False)
        for half in (-0.5, 0.5)
    )
    return _Pair(distorted, spline, scipy.ndimage.spline_filter(down - up, order=3, mode="mirror"))


def _first_prior(terms: int) -> RowPrior:
    step = np.full((2, terms), FIRST_CHANGE) / np.maximum(np.arange(terms), 1)
    step[:, 0] = FIRST_STEP
    return RowPrior(step.ravel(), np.full(2 * terms, 0.5))


def _search(distorted: Image, restored: Image) -> Image:
    """Whole-pixel shift of each row that is most probable, (ny, 2)."""
    ny, nx = distorted.shape
    response = _fit_response(distorted, restored, np.ones(distorted.shape, bool), reach=0)
    predicted = response(restored) + response.offset
    noise = max(float(np.mean((distorted - predicted) ** 2)), np.finfo(float).tiny)
    best = np.full(ny, -np.inf)
    shifts = np.zeros((ny, 2))
    padded = np.pad(predicted, SEARCH, mode="edge")
    for dy in (-1, 0, 1):
        for dx in range(-SEARCH, SEARCH + 1):
            there = padded[SEARCH + dy :, SEARCH + dx :][:ny, :nx]
            misfit = np.sum((distorted - there) ** 2, axis=1) / noise
            score = -0.5 * (misfit + (dy**2 + dx**2) / SEARCH_SPREAD**2)
            better = score > best
            best[better] = score[better]
            shifts[better] = (dy, dx)
    return shifts


def _compare(pair: _Pair, shifts: Image, *, reach: int) -> _Match:
    """Compare the images at shifts (ny, 2, nx)."""
    expected, inside = pair.read(shifts), pair.inside(shifts)
    response = _fit_response(pair.distorted, expected, inside, reach=reach)
    predicted = response(expected) + response.offset
    residual = pair.distorted - predicted
    variance = _noise_variance(residual, predicted, inside)
    return _Match(
        residual,
        response(pair.read_slope_y(shifts)),
        # Within a row places are a pixel apart, but for changes far smaller than that.
        response(np.gradient(expected, axis=1)),
        np.where(inside, 1 / variance, 0),
        response,
    )


def _fit_smear(
    distorted: Image, expected: Image, inside: NDArray[np.bool_], *, reach: int
) -> _Response:
    """Least-squares taps of which none is negative."""
    sums = _tap_sums(distorted, expected, inside, reach=reach)
    if sums is None:
        return _Response(np.ones(1), 0.0)
    # The same least squares as |Ax - b|², for a routine that takes A and b.
    root = np.linalg.cholesky(sums.gram)
    taps = scipy.optimize.nnls(root.T, scipy.linalg.solve_triangular(root, sums.right, lower=True))
    return _Response(taps[0], float(sums.level - taps[0] @ sums.mean))


def _fit_response(
    distorted: Image, expected: Image, inside: NDArray[np.bool_], *, reach: int
) -> _Response:
    """Least-squares taps, with their centre of mass at zero: a shift is no business of theirs."""
    sums = _tap_sums(distorted, expected, inside, reach=reach)
    if sums is None:
        return _Response(np.ones(1), 0.0)
    reach = len(sums.right) // 2
    constraint = np.arange(-reach, reach + 1.0)
    free, bound = np.linalg.solve(sums.gram, np.stack([sums.right, constraint], axis=1)).T
    taps = free
    if reach:
        taps = free - bound * (constraint @ free) / (constraint @ bound)
    # Images of opposite contrast are no pair; without gain all rows stay where they are.
    if taps.sum() < 0:
        taps = np.zeros_like(taps)
    return _Response(taps, float(sums.level - taps @ sums.mean))


@dataclasses.dataclass(frozen=True, eq=False)
class _TapSums:
    """Of the taps, without the means of what they take and give."""

    gram: Image
    right: Image
    mean: Image
    level: float


def _tap_sums(
    distorted: Image, expected: Image, inside: NDArray[np.bool_], *, reach: int
) -> _TapSums | None:
    """Sums for a response that reaches so far to both sides; None where nothing is inside."""
    reach = min(reach, (distorted.shape[1] - 1) // 4)
    every = slice(None, None, max(1, distorted.size // RESPONSE_PIXELS))
    padded = np.pad(expected[every], ((0, 0), (reach, reach)), mode="reflect")
    width = distorted.shape[1]
    # Convolution: tap n takes the pixel n to the left.
    columns = [padded[:, reach - n :][:, :width] for n in range(-reach, reach + 1)]
    weight = inside[every]
    if not weight.any():
        return None
    seen = np.stack([column[weight] for column in columns])
    mean, level = seen.mean(axis=1), float(distorted[every][weight].mean())
    seen = seen - mean[:, None]
    gram = seen @ seen.T
    # A little stiffness decides what smooth images leave open.
    gram += np.eye(len(gram)) * max(1e-4 * np.trace(gram) / len(gram), np.finfo(float).tiny)
    return _TapSums(gram, seen @ (distorted[every][weight] - level), mean, level)


def _noise_variance(residual: Image, predicted: Image, inside: NDArray[np.bool_]) -> Image:
    """Variance of the noise of each pixel, a constant and a part in proportion to intensity."""
    square, level = residual[inside] ** 2, predicted[inside]
    if not square.size:
        return np.ones_like(residual)
    mean = square.mean()
    spread = level.var()
    slope = np.mean((level - level.mean()) * square) / spread if spread > 0 else 0.0
    # Counting noise only grows with intensity; the darkest pixels keep a tenth of the mean.
    variance = mean + max(slope, 0.0) * (predicted - level.mean())
    floor = max(0.1 * mean, np.finfo(float).tiny)
    return np.maximum(variance, floor) * _shared_noise(residual)


def _shared_noise(residual: Image) -> float:
    """Factor by which noise that neighbours along x share weakens what they say together."""
    power = np.mean(residual**2)
    if not power > 0:
        return 1.0
    shared = sum(
        np.mean(residual[:, lag:] * residual[:, :-lag])
        for lag in range(1, min(4, residual.shape[1] - 1))
    )
    return float(np.clip(1 + 2 * shared / power, 1, 6))


def _normal_equations(match: _Match, basis: Image) -> tuple[Image, Image]:
    """Normal equations of each row for the change of its coefficients: A (ny, m, m), b (ny, m)."""
    slopes = (match.slope_y, match.slope_x)
    products = basis[:, None] * basis
    terms = len(basis)
    normal = np.empty((len(match.residual), 2, terms, 2, terms))
    projected = np.empty((len(match.residual), 2, terms))
    for a, slope_a in enumerate(slopes):
        weighted = match.weight * slope_a
        projected[:, a] = (weighted * match.residual) @ basis.T
        for b, slope_b in enumerate(slopes):
            together = (weighted * slope_b) @ products.reshape(terms**2, -1).T
            normal[:, a, :, b, :] = together.reshape(-1, terms, terms)
    m = 2 * terms
    return normal.reshape(-1, m, m), projected.reshape(-1, m)


def _choose_rows(pair: _Pair, shifts: Image, match: _Match, prior: RowPrior) -> Image:
    """Shift of each row along y among all that were tried: the most probable series (Viterbi).

    A row beside a mirror line of the crystal looks the same on both sides of it; only its
    neighbours tell which side it is. Between two places that were tried the image is taken to
    change in proportion, so that each pair of them gives one candidate.
    """
    rest = shifts.copy()
    rest[:, 0] -= shifts[:, 0].mean(axis=1, keepdims=True)
    places, scores = [], []
    before = np.zeros(0)
    for index, dy in enumerate(ROWS_TRIED):
        now = pair.distorted - match.response(pair.read(rest, dy=dy)) - match.response.offset
        if index:
            step = before - now
            square = np.sum(match.weight * step**2, axis=1)
            part = np.sum(match.weight * step * before, axis=1)
            part = np.clip(part / np.maximum(square, np.finfo(float).tiny), 0, 1)
            places.append(ROWS_TRIED[index - 1] + part * (dy - ROWS_TRIED[index - 1]))
            between = before - part[:, None] * step
            scores.append(-0.5 * np.sum(match.weight * between**2, axis=1))
        before = now
    return _most_probable_path(np.array(places), np.array(scores), prior)


def _most_probable_path(places: Image, scores: Image, prior: RowPrior) -> Image:
    """Viterbi's path through candidates (n, rows) with their log likelihoods."""
    variance, correlation = prior.step[0] ** 2, prior.correlation[0]
    total = scores[:, 0] - 0.5 * places[:, 0] ** 2 * (1 - correlation**2) / variance
    came = np.zeros(places.shape, int)
    for row in range(1, places.shape[1]):
        jump = places[:, row] - correlation * places[:, row - 1, None]
        options = total[:, None] - 0.5 * jump**2 / variance
        came[:, row] = options.argmax(axis=0)
        total = options.max(axis=0) + scores[:, row]
    path = np.empty(places.shape[1])
    state = int(total.argmax())
    for row in range(places.shape[1] - 1, -1, -1):
        path[row] = places[state, row]
        state = int(came[state, row])
    return path
