"""The lazy data path: blocks of whole scan rows, for NumPy, dask and dask.distributed alike."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
