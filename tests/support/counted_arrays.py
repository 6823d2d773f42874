"""Arrays as of a file, which tell how they were read."""

import threading

import numpy as np


class CountedArray:
    """Neither NumPy nor dask: slices are copied out of it and counted, and all at once is refused.

    Parameters
    ----------
    data
        What it holds.
    chunks
        That it says to have.
    """

    def __init__(self, data, chunks=None):
        self._data = data
        self._lock = threading.Lock()
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim
        if chunks is not None:
            self.chunks = chunks
        #: Slices that were read, and bytes of the largest.
        self.places, self.largest = [], 0

    def __getitem__(self, place):
        part = np.array(self._data[place])
        with self._lock:
            self.places.append(place)
            self.largest = max(self.largest, part.nbytes)
        return part

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("All of it was read at once.")
