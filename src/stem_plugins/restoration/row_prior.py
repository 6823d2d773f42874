"""Rows that remember the row before: the prior of scan shifts, and the best estimate under it.

Each coefficient of a row's shift is a series over the rows, ``c_j = φ c_{j-1} + a_j`` with
``a_j ~ N(0, σ²)`` (thesis eq. 2.14). Measurements of each row, a gradient and a matrix of normal
equations, and this prior are both quadratic, so that the most probable coefficients solve a block
tridiagonal system: one pass down the rows and one back up, as a Kalman smoother does. The same
passes give the covariances from which φ and σ are learnt (expectation maximisation), which is what
keeps rows without counts at rest.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowEstimate", "RowPrior"]

#: Bounds of what is learnt: a series neither drifts away nor stiffens beyond repair.
LARGEST_CORRELATION = 0.98
SMALLEST_STEP = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class RowEstimate:
    """The most probable coefficients, and how sure they are.

    Parameters
    ----------
    coefficients
        (rows, m).
    covariance
        Of the coefficients of one row, (rows, m, m).
    covariance_to_next
        Between those of one row and of the next, (rows - 1, m, m).
    """

    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    covariance_to_next: NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class RowPrior:
    """Independent series over the rows, one for each of m coefficients.

    Parameters
    ----------
    step
        Standard deviation σ of a_j, (m,).
    correlation
        φ, (m,).
    """

    step: NDArray[np.float64]
    correlation: NDArray[np.float64]

    def most_probable(
        self, normal: NDArray[np.float64], projected: NDArray[np.float64]
    ) -> RowEstimate:
        """Return the coefficients c that maximise ``Σ_j (b_j·c_j - ½ c_j·A_j c_j)`` and the prior.

        Parameters
        ----------
        normal
            A, normal equations of each row, (rows, m, m).
        projected
            b, their right sides, (rows, m).
        """
        rows, m = projected.shape
        precision = 1 / self.step**2
        own = precision * (1 + self.correlation**2) + np.zeros((rows, 1))
        # A stationary series knows nothing of rows beyond its ends.
        own[0] = own[-1] = precision if rows > 1 else precision * (1 - self.correlation**2)
        link = np.diag(-self.correlation * precision)
        block = normal + own[:, :, None] * np.eye(m)
        inverse = np.empty_like(block)
        carried = projected.copy()
        for row in range(rows):
            if row:
                block[row] -= link @ inverse[row - 1] @ link
                carried[row] -= link @ (inverse[row - 1] @ carried[row - 1])
            inverse[row] = np.linalg.inv(block[row])
        coefficients = np.empty_like(carried)
        covariance = inverse.copy()
        to_next = np.empty((rows - 1, m, m))
        coefficients[-1] = inverse[-1] @ carried[-1]
        for row in range(rows - 2, -1, -1):
            back = inverse[row] @ link
            coefficients[row] = inverse[row] @ carried[row] - back @ coefficients[row + 1]
            covariance[row] += back @ covariance[row + 1] @ back.T
            to_next[row] = -back @ covariance[row + 1]
        return RowEstimate(coefficients, covariance, to_next)

    def learnt(self, estimate: RowEstimate) -> RowPrior:
        """Return the prior under which the estimate is most probable.

        Parameters
        ----------
        estimate
            What was measured under this prior.
        """
        c = estimate.coefficients
        if len(c) < 3:
            return self
        square = c**2 + np.diagonal(estimate.covariance, axis1=1, axis2=2)
        product = c[:-1] * c[1:] + np.diagonal(estimate.covariance_to_next, axis1=1, axis2=2)
        before, after = square[:-1].sum(axis=0), square[1:].sum(axis=0)
        correlation = np.clip(product.sum(axis=0) / before, 0, LARGEST_CORRELATION)
        steps = after - 2 * correlation * product.sum(axis=0) + correlation**2 * before
        step = np.sqrt(np.maximum(steps / (len(c) - 1), SMALLEST_STEP**2))
        return RowPrior(step, correlation)
