"""The pass over one block of frames: raw sums that `stem_plugins.imaging.moments` joins."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stem_plugins.imaging.detectors import (
    DetectorSteps,
    MaskRuns,
    check_mask,
    detector_steps,
    mask_runs,
)
from stem_plugins.imaging.frame_memory import flat_pixels, readable

__all__ = ["BlockMoments", "Pass", "beside", "block_moments"]


@dataclasses.dataclass(frozen=True)
class Pass:
    """What is done with every frame: the masks as given, and as the kernel reads them."""

    detector_shape: tuple[int, int]
    mask: MaskRuns
    detectors: DetectorSteps
    detector_count: int
    pattern: bool

    @classmethod
    def build(
        cls,
        shape: tuple[int, ...],
        mask: np.ndarray | None,
        detectors: Sequence[np.ndarray],
        pattern: bool,
    ) -> Pass:
        detector_shape = (shape[2], shape[3])
        if mask is not None:
            mask = check_mask(mask, detector_shape, "mask")
            if mask.dtype != bool:
                raise ValueError("mask must be boolean: True for pixels that count.")
            if not mask.any():
                raise ValueError("mask leaves no pixel of the detector.")
        masks = [
            check_mask(detector, detector_shape, f"detectors[{index}]")
            for index, detector in enumerate(detectors)
        ]
        return cls(
            detector_shape,
            mask_runs(mask, detector_shape),
            detector_steps(masks, detector_shape),
            len(masks),
            pattern,
        )


class BlockMoments(NamedTuple):
    """Raw sums of a block of frames."""

    values: np.ndarray  # (rows, columns, 4 + detectors): total, Σ y v, Σ x v, peak, detectors
    pattern: np.ndarray | None  # sum of the frames


def block_moments(block: np.ndarray, offset: tuple[int, int], *, task: Pass) -> BlockMoments:
    """Do the pass over one block whose first frame lies at the scan position `offset`."""
    from stem_plugins.imaging.moments_kernel import (
        accumulator_dtype,
        moments_of_frames,
        rows_before_overflow,
    )

    block = readable(np.asarray(block))
    pixels, start, strides = flat_pixels(block)
    dtype = accumulator_dtype(block.dtype)
    peaks = np.zeros(block.shape[3], pixels.dtype)
    lowest = _lowest(pixels.dtype)
    values = np.zeros((*block.shape[:2], 4))
    images = np.zeros((*block.shape[:2], task.detector_count))
    pattern = np.zeros(task.detector_shape if task.pattern else (0, 0))
    moments_of_frames(
        pixels,
        start,
        strides,
        block.shape,
        not block.dtype.isnative,
        rows_before_overflow(block.dtype, block.shape[2]),
        task.mask,
        task.detectors,
        np.zeros(block.shape[3], dtype),
        np.zeros(block.shape[3], dtype),
        peaks,
        lowest,
        np.zeros(task.detectors.weight.size, dtype),
        values,
        images,
        pattern,
    )
    if block.dtype.kind == "f" and not (np.isfinite(values).all() and np.isfinite(images).all()):
        bad = np.argwhere(~np.isfinite(values).all(axis=2) | ~np.isfinite(images).all(axis=2))[0]
        raise ValueError(
            f"The pattern at scan position {tuple(int(i) for i in bad + offset)} holds NaN or "
            "infinite pixels. Leave them out with mask=, or replace them, for example by "
            "numpy.nan_to_num."
        )
    return BlockMoments(np.concatenate([values, images], axis=2), pattern if task.pattern else None)


def _lowest(dtype: np.dtype) -> np.generic:
    """Return what no pixel of this type is below."""
    return dtype.type(-np.inf if dtype.kind == "f" else np.iinfo(dtype).min)


def beside(blocks: Sequence[BlockMoments]) -> BlockMoments:
    """Join blocks of the same scan rows."""
    values = np.concatenate([block.values for block in blocks], axis=1)
    patterns = [block.pattern for block in blocks if block.pattern is not None]
    return BlockMoments(values, np.sum(patterns, axis=0) if patterns else None)
