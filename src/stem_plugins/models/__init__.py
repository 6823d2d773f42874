"""Weights of networks: one file format with checksums, where the files lie, and imports."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
