"""The default restoration network: straighten the scan rows first, then restore the image.

Jitter moves whole scan rows, and once the rows lie where they belong the filter of
`local_fourier` removes most of what is left; so the network has two parts. Rows are straightened
along x by their most probable series of shifts against the filtered image; from what that leaves,
`RowShifts` weighs what every pixel says about its row into a better estimate. The image is
straightened by it, and filtered in windows of two sizes: small ones follow defects and edges, large
ones average over more of a lattice. `ImageRestorer`, a small U-Net at half the sampling, blends the
two and corrects the blend: by a displacement field times its gradient, for the shifts that remain,
plus a correction.

Tensors are (n, 1, y, x), standardised (mean 0, standard deviation 1), fast scan along x to the
right; the height is a multiple of 8 and the width of 8.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from stem_plugins.restoration.local_fourier import (
    WINDOW,
    filter_with_pilot,
    local_fourier_filter,
)

__all__ = [
    "DESIGN",
    "DESIGN_VERSION",
    "GRID",
    "HALO",
    "MULTIPLE",
    "ImageRestorer",
    "RestorationNetwork",
    "Restored",
    "RowShifts",
    "straighten",
]

#: Name of this design in files of weights, and its version: a change that makes older weights
#: useless raises it.
DESIGN = "row-aware"
DESIGN_VERSION = 2

#: Sizes that the network takes are multiples of this [px].
MULTIPLE = 8

#: Edge of the large windows [px].
LARGE_WINDOW = 2 * WINDOW

#: Pieces begin at multiples of this [px], the distance of large windows, so that they see the
#: windows of the whole image; and pixels beyond a piece that change it by less than the network
#: errs.
GRID = LARGE_WINDOW // 2
HALO = GRID

#: Standardised intensities are cut at this many standard deviations: X-ray hits lie beyond.
LARGEST = 12.0

#: Rounds in which the straightened image shows what is left of the shifts along x.
REFINEMENTS = 3

#: Steps [px] and correlation of the series of shifts along x that are thought probable before the
#: image is looked at: thesis table 2.2.
EXPECTED_STEP, EXPECTED_CORRELATION = 0.5, 0.5

#: Rows up to this far from the upper and lower edge [px] say less the nearer they are: the filter
#: compares them with the image's reflection, in which slanted lines have a kink.
EDGE_ROWS = 24

#: Iterations that solve for the series of shifts to 1e-6 px.
JACOBI_STEPS = 60

#: Largest shift of a row, and largest displacement that the second part corrects [px].
LARGEST_SHIFT = 4.0
LARGEST_DISPLACEMENT = 2.0


class Restored(NamedTuple):
    """What the network makes of standardised images."""

    #: The restored images, (n, 1, y, x).
    image: torch.Tensor
    #: Shifts of the rows, (n, y, 2), vectors (y, x) [px]: row j was recorded at (j + Δy, x + Δx).
    shifts: torch.Tensor


class _Residual(nn.Module):
    """Two convolutions whose result is added to what goes in."""

    def __init__(self, channels: int, dilation: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        # Start near the identity: deep stacks then learn from the first step.
        nn.init.normal_(self.second.weight, std=0.1 * (2 / (9 * channels)) ** 0.5)
        _silence(self.second.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.second(functional.relu(self.first(functional.relu(features))))


class _RowContext(nn.Module):
    """Tells every pixel what its row and the rows around it look like on the whole."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 5, padding=2)
        self.second = nn.Conv1d(channels, channels, 5, padding=2)
        _silence(self.second.weight, self.second.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        rows = functional.relu(self.first(features.mean(dim=3)))
        return features + self.second(rows)[..., None]


class RowShifts(nn.Module):
    """Estimate by how much every scan row is shifted.

    Every patch of two rows by four pixels gives a shift and a weight; a row's estimate is the
    weighted mean with a prior of no shift, so that an empty row stays and a long row is surer than
    a short one. Rows around then correct each other.
    """

    def __init__(self, channels: int = 64, blocks: tuple[int, ...] = (1, 2, 4)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2 * 8 + 5 * 2, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(_Residual(channels, (step, 1)) for step in blocks))
        #: Shift (y, x) and weight (y, x) of either row.
        self.votes = nn.Conv2d(channels, 8, 1)
        self.rows = nn.Sequential(
            nn.Conv1d(6, 32, 7, padding=3),
            nn.ReLU(),
            nn.Conv1d(32, 32, 7, padding=3),
            nn.ReLU(),
            nn.Conv1d(32, 2, 7, padding=3),
        )
        _silence(*self.rows[-1].parameters())
        #: Share of the least-squares estimate (y, x) that votes and neighbours then correct.
        self.trust = nn.Parameter(torch.tensor([0.5, 0.8]))

    def forward(self, image: torch.Tensor, filtered: torch.Tensor) -> torch.Tensor:
        """Return the shifts, (n, y, 2), of images and what the filter made of them."""
        features = self.blocks(self.stem(_row_evidence(image, filtered)))
        votes = self.votes(functional.relu(features))
        count, _, pairs, columns = votes.shape
        # (n, 8, y/2, x) → (n, 4, y, x)
        votes = votes.reshape(count, 4, 2, pairs, columns).transpose(2, 3)
        votes = votes.reshape(count, 4, 2 * pairs, columns)
        shift = LARGEST_SHIFT * torch.tanh(votes[:, :2] / LARGEST_SHIFT)
        weight = functional.softplus(votes[:, 2:] - 2)
        total = weight.sum(dim=3)
        rows = (weight * shift).sum(dim=3) / (total + 1)
        squares = least_squares_shifts(image, filtered)
        evidence = torch.cat([rows, torch.log(total + 1), squares], dim=1)
        return (self.trust[:, None] * squares + rows + self.rows(evidence)).transpose(1, 2)


class ImageRestorer(nn.Module):
    """Blend and correct filtered images: a U-Net at half the sampling that sees the image too."""

    def __init__(self, widths: tuple[int, int, int] = (48, 96, 160)) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.stem = nn.Conv2d(12, fine, 3, padding=1)
        self.fine_in = _Residual(fine)
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.middle_in = nn.Sequential(_Residual(middle), _RowContext(middle))
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        self.coarse = nn.Sequential(
            _Residual(coarse), _RowContext(coarse), _Residual(coarse), _Residual(coarse)
        )
        self.from_coarse = nn.Conv2d(coarse, middle, 1)
        self.middle_out = nn.Sequential(_Residual(middle), _RowContext(middle), _Residual(middle))
        self.from_middle = nn.Conv2d(middle, fine, 1)
        self.fine_out = nn.Sequential(_RowContext(fine), _Residual(fine))
        #: Displacement (y, x), correction, and share of the large windows of each of four pixels.
        self.head = nn.Conv2d(fine, 16, 3, padding=1)
        _silence(self.head.weight, self.head.bias)

    def forward(
        self, image: torch.Tensor, small: torch.Tensor, large: torch.Tensor
    ) -> torch.Tensor:
        """Return restored images from straightened ones, filtered in small and large windows."""
        views = torch.cat([image.clamp(-LARGEST, LARGEST), small, large], dim=1)
        fine = self.fine_in(self.stem(functional.pixel_unshuffle(views, 2)))
        middle = self.middle_in(self.to_middle(fine))
        coarse = self.coarse(self.to_coarse(middle))
        middle = self.middle_out(middle + _twice(self.from_coarse(coarse)))
        fine = self.fine_out(fine + _twice(self.from_middle(middle)))
        change = functional.pixel_shuffle(self.head(functional.relu(fine)), 2)
        blend = small + torch.sigmoid(change[:, 3:]) * (large - small)
        limit = LARGEST_DISPLACEMENT
        displacement = limit * torch.tanh(change[:, :2] / limit)
        slope = torch.cat(_gradients(blend), dim=1)
        return blend + (displacement * slope).sum(dim=1, keepdim=True) + change[:, 2:3]


class RestorationNetwork(nn.Module):
    """Both parts, and the filter between them."""

    def __init__(self) -> None:
        super().__init__()
        self.row_shifts = RowShifts()
        self.restorer = ImageRestorer()

    def forward(self, image: torch.Tensor) -> Restored:
        """Restore standardised images, (n, 1, y, x), whose sides are multiples of 8."""
        image = image.contiguous()
        shifts = self.shifts(image)
        return Restored(self.restore(image, _refined(image, shifts)), shifts)

    def find_rows(self, image: torch.Tensor) -> torch.Tensor:
        """Return by how much each row is to be put back, (n, y, 2), from whole rows.

        A part of an image whose rows are known can be restored by itself.
        """
        image = image.contiguous()
        return _refined(image, self.shifts(image))

    def restore(self, image: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Restore images, or parts of them, whose rows are known from `find_rows`."""
        with torch.no_grad():
            straight = straighten(image[:, 0], rows)[:, None]
            small, large = _filtered(straight), _filtered_far(straight)
        restored: torch.Tensor = self.restorer(straight, small, large)
        return restored

    def shifts(self, image: torch.Tensor) -> torch.Tensor:
        """Return the shifts of the rows as `RowShifts` gives them, as in `Restored`."""
        with torch.no_grad():
            nothing = image.new_zeros(len(image), image.shape[2], 2)
            first = _shifts_along_x(image, _filtered(image), nothing)
            # Rows stay rows: along y they are moved when all is known.
            moved = _slide(image[:, 0], -first[..., 1])[:, None]
            filtered = _filtered(moved)
        return first + self.row_shifts(moved, filtered)


@torch.no_grad()
def _refined(image: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Straighten the image, and find the shifts along x anew by what it then shows."""
    for _ in range(REFINEMENTS):
        straight = straighten(image[:, 0], shifts)[:, None]
        shifts = _shifts_along_x(straight, _filtered_far(straight), shifts)
    return shifts


def _shifts_along_x(
    straight: torch.Tensor, filtered: torch.Tensor, shifts: torch.Tensor
) -> torch.Tensor:
    """Most probable shifts along x, (n, y, 2), of rows straightened by others; y stays.

    Every row measures its shift against the filtered image, as surely as its slopes and the noise
    around it allow, and the shifts form a series in which each row remembers the one before.
    """
    change, information = _measured_along_x(straight, filtered)
    series = most_probable_series(shifts[..., 1] + change, information)
    return torch.stack([shifts[..., 0], series], dim=2)


def _measured_along_x(
    straight: torch.Tensor, filtered: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Least-squares shift of every row along x [px], and the inverse of its variance, (n, y)."""
    _, along_x = _gradients(filtered)
    rest = (straight - filtered).clamp(-4, 4)
    noise = rest.square().mean(dim=3).median(dim=2, keepdim=True).values * _shared_noise(rest)
    square = along_x.square().sum(dim=3)
    change = (rest * along_x).sum(dim=3) / square.clamp_min(1e-9)
    place = torch.arange(rest.shape[2], device=rest.device, dtype=rest.dtype) + 0.5
    inside = torch.minimum(place, len(place) - place).div(EDGE_ROWS).clamp_max(1)
    information = square / (noise + 1e-9) * inside.square()
    return change.clamp(-LARGEST_SHIFT, LARGEST_SHIFT)[:, 0], information[:, 0]


def _shared_noise(rest: torch.Tensor) -> torch.Tensor:
    """Factor by which noise that neighbours along x share weakens what they say, (n, 1, 1)."""
    lags = range(1, min(4, rest.shape[3]))
    shared = sum(((rest[..., lag:] * rest[..., :-lag]).mean(dim=(2, 3)) for lag in lags), 0)
    factor = 1 + 2 * shared / rest.square().mean(dim=(2, 3)).clamp_min(1e-12)
    return factor.clamp(1, 6)[..., None]


def most_probable_series(measured: torch.Tensor, information: torch.Tensor) -> torch.Tensor:
    """Most probable shifts of rows that remember the one before (thesis eq. 2.15).

    Parameters
    ----------
    measured
        Shift of each row [px], (n, y).
    information
        Inverse of the variance of each measurement [1/px²], (n, y).

    Returns
    -------
    torch.Tensor
        (n, y). Rows that know nothing follow their neighbours, and without these stay at zero.
    """
    precision, correlation = EXPECTED_STEP**-2, EXPECTED_CORRELATION
    own = torch.full_like(measured, precision * (1 + correlation**2))
    own[:, 0] = own[:, -1] = precision
    told, total = information * measured, information + own
    series = told / total
    for _ in range(JACOBI_STEPS):
        around = functional.pad(series, (1, 1))
        around = around[:, :-2] + around[:, 2:]
        series = (told + correlation * precision * around) / total
    return series


def straighten(image: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Put scan rows back where they were recorded.

    Parameters
    ----------
    image
        (n, y, x).
    shifts
        Of its rows [px], (n, y, 2), vectors (y, x): row j was recorded at (j + Δy, x + Δx).

    Returns
    -------
    torch.Tensor
        (n, y, x). Cubic interpolation along the rows, linear between the two nearest of them.
    """
    count, height = image.shape[:2]
    moved = _slide(image, -shifts[..., 1])
    places = torch.arange(height, device=image.device, dtype=image.dtype) + shifts[..., 0]
    places, order = places.sort(dim=1)
    wanted = torch.arange(height, device=image.device, dtype=image.dtype).expand(count, -1)
    after = torch.searchsorted(places, wanted.contiguous()).clamp(1, height - 1)
    low, high = places.gather(1, after - 1), places.gather(1, after)
    share = ((wanted - low) / (high - low).clamp_min(1e-3)).clamp(0, 1)[..., None]
    rows = torch.arange(count, device=image.device)[:, None]
    return (
        moved[rows, order.gather(1, after - 1)] * (1 - share)
        + moved[rows, order.gather(1, after)] * share
    )


def _slide(image: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Sample every row at ``x + shift`` by Catmull–Rom splines; the ends continue outwards."""
    width = image.shape[-1]
    whole = shift.floor()
    t = (shift - whole)[..., None]
    first = torch.arange(width, device=image.device) + whole.long()[..., None]
    weights = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    result = torch.zeros_like(image)
    for tap, weight in enumerate(weights, start=-1):
        result += weight * image.gather(-1, (first + tap).clamp(0, width - 1))
    return result


def _filtered(image: torch.Tensor) -> torch.Tensor:
    """Filter in windows half a window apart: a quarter of the work of `model="fft"`."""
    return local_fourier_filter(image, step=WINDOW // 2)


def _filtered_far(image: torch.Tensor) -> torch.Tensor:
    """Filter in large windows, and again by what that has shown."""
    pilot = local_fourier_filter(image, window=LARGE_WINDOW, step=GRID)
    return filter_with_pilot(image, pilot, window=LARGE_WINDOW, step=GRID)


def _gradients(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Central differences along y and x; edges repeat."""
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return along_y, along_x


def _row_evidence(image: torch.Tensor, filtered: torch.Tensor) -> torch.Tensor:
    """Both images, and the terms of the least squares for a shift, on patches of 2 × 4 pixels."""
    clamped = image.clamp(-LARGEST, LARGEST)
    along_y, along_x = _gradients(filtered)
    rest = (clamped - filtered).clamp(-4, 4)
    products = torch.cat(
        [rest * along_y, rest * along_x, along_y**2, along_x**2, along_y * along_x], dim=1
    ).clamp(-4, 4)
    pair = torch.cat([clamped, filtered], dim=1)
    return torch.cat([_patches(pair), _pairs_of_rows(_mean_of_four(products))], dim=1)


def _patches(image: torch.Tensor) -> torch.Tensor:
    """(n, c, y, x) → (n, 8c, y/2, x/4)."""
    count, channels, height, width = image.shape
    parts = image.reshape(count, channels, height // 2, 2, width // 4, 4)
    return parts.permute(0, 1, 3, 5, 2, 4).reshape(count, 8 * channels, height // 2, width // 4)


def _pairs_of_rows(image: torch.Tensor) -> torch.Tensor:
    """(n, c, y, x) → (n, 2c, y/2, x)."""
    count, channels, height, width = image.shape
    parts = image.reshape(count, channels, height // 2, 2, width)
    return parts.transpose(2, 3).reshape(count, 2 * channels, height // 2, width)


def _mean_of_four(image: torch.Tensor) -> torch.Tensor:
    """(n, c, y, x) → (n, c, y, x/4)."""
    return functional.avg_pool2d(image, (1, 4))


#: Variances of row shifts (y, x) [px²] with which `least_squares_shifts` expects them.
EXPECTED_VARIANCE = (0.083, 0.333)


def least_squares_shifts(image: torch.Tensor, filtered: torch.Tensor) -> torch.Tensor:
    """Fit every row's residual by its gradients, (n, 2, y): shifts (y, x) [px]."""
    along_y, along_x = _gradients(filtered)
    rest = (image - filtered).clamp(-4, 4)
    noise = rest.square().mean(dim=3).median(dim=2, keepdim=True).values
    yy, xx, yx = (
        (one * other).sum(dim=3)
        for one, other in ((along_y, along_y), (along_x, along_x), (along_y, along_x))
    )
    towards_y, towards_x = (rest * along_y).sum(dim=3), (rest * along_x).sum(dim=3)
    yy = yy + noise / EXPECTED_VARIANCE[0] + 1e-6
    xx = xx + noise / EXPECTED_VARIANCE[1] + 1e-6
    determinant = yy * xx - yx * yx
    shift_y = (xx * towards_y - yx * towards_x) / determinant
    shift_x = (yy * towards_x - yx * towards_y) / determinant
    shifts = torch.cat([shift_y, shift_x], dim=1)
    return shifts.clamp(-LARGEST_SHIFT, LARGEST_SHIFT)


def _silence(*parameters: torch.Tensor | None) -> None:
    """Set parameters to zero: a branch that says nothing until it has learned something."""
    for parameter in parameters:
        if parameter is not None:
            nn.init.zeros_(parameter)


def _twice(image: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(image, scale_factor=2, mode="nearest")
