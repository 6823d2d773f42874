"""HyperSpy signals for 4D-STEM data and STEM images.

HyperSpy finds the signal types ``4d_stem`` and ``stem_image`` by itself once stem-plugins is
installed. This package only translates axes, metadata and laziness; the numerics are in
`stem_plugins.imaging`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
