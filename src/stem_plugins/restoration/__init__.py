"""Restoration of STEM images: noise, scan distortions, networks and their training losses."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
