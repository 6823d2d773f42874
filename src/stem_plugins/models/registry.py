"""Where weights lie, and how a model is found by name.

``"default"`` comes with the package. Imported models, such as ``"tk_r_em:hrstem"``, lie in the
user's data folder. Anything with a suffix or a folder is the path of a file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from stem_plugins.models.weights_file import Weights, read_weights, weights_header

__all__ = [
    "PUBLISHED",
    "data_folder",
    "find_airpi_weights",
    "find_weights",
    "list_weights",
    "load_weights",
]

#: Models that come with the package.
SHIPPED = {"default": Path(__file__).with_name("restore_default.safetensors")}

#: The networks of `stem_plugins.airpi` by design; its ``"default"`` is not that of restoration.
_AIRPI_DEFAULTS = {
    "spatial": Path(__file__).with_name("airpi_default.safetensors"),
    "exit-wave": Path(__file__).with_name("airpi_exit_wave.safetensors"),
}

#: The published networks: high (hr) and low (lr) resolution, of three kinds of microscope.
PUBLISHED = tuple(
    f"tk_r_em:{resolution}{kind}" for resolution in ("hr", "lr") for kind in ("stem", "tem", "sem")
)

HOW_TO_IMPORT = (
    "The published weights are another author's (GPL-3) and are read from your own copy: "
    "`pip download --no-deps --no-binary :all: tk-r-em==1.0.4`, then "
    "`stem-plugins weights import tk_r_em-1.0.4.tar.gz`."
)


def data_folder() -> Path:
    """Return the folder of the user's own data of stem-plugins; it need not exist yet.

    Returns
    -------
    pathlib.Path
        What the environment variable ``STEM_PLUGINS_DATA`` says, otherwise ``stem-plugins`` in
        ``%LOCALAPPDATA%`` (Windows), ``~/Library/Application Support`` (macOS) or
        ``$XDG_DATA_HOME``, by default ``~/.local/share`` (elsewhere).

    Examples
    --------
    >>> data_folder().is_absolute()
    True
    """
    chosen = os.environ.get("STEM_PLUGINS_DATA")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        base = Path(local) if local else Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        # The XDG specification: what is not absolute is to be ignored.
        base = Path(os.environ.get("XDG_DATA_HOME", ""))
        if not base.is_absolute():
            base = Path.home() / ".local" / "share"
    return base / "stem-plugins"


def imported_file(name: str) -> Path:
    """Return where the weights of an imported model lie, or will lie.

    Parameters
    ----------
    name
        For example ``"tk_r_em:hrstem"``.

    Returns
    -------
    pathlib.Path
        Windows allows no colon in names of files, so a hyphen stands for it.
    """
    return data_folder() / "models" / f"{name.replace(':', '-')}.safetensors"


def find_weights(name_or_path: str | Path) -> Path:
    """Find the file of a model.

    Parameters
    ----------
    name_or_path
        ``"default"``, the name of an imported model such as ``"tk_r_em:hrstem"``, or the path
        of a ``.safetensors`` file.

    Returns
    -------
    pathlib.Path
        A file that exists; nothing in it has been read.

    Raises
    ------
    FileNotFoundError
        It is not there; the message says how to get it.
    ValueError
        There is no model of this name.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".safetensors") or set(text) & {"/", os.sep}:
        path = Path(name_or_path).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"There is no file of weights {path}.")
        return path
    if text in SHIPPED:
        if not SHIPPED[text].is_file():
            raise FileNotFoundError(
                f"The model {text!r} is missing from this installation of stem-plugins. "
                "Install it again: pip install --force-reinstall --no-deps stem-plugins."
            )
        return SHIPPED[text]
    path = imported_file(text)
    if text in PUBLISHED:
        if not path.is_file():
            raise FileNotFoundError(f"The model {text!r} is not imported yet. {HOW_TO_IMPORT}")
        return path
    known = ", ".join(repr(name) for name in (*SHIPPED, *PUBLISHED))
    raise ValueError(
        f"There is no model {text!r}. Known are {known}, or give the path of a .safetensors file."
    )


def find_airpi_weights(name_or_path: str | Path, design: str = "spatial") -> Path:
    """Find the file of a network of `stem_plugins.airpi`.

    Parameters
    ----------
    name_or_path
        ``"default"``, ``"exit-wave"``, which is the default of that design, or the path of a
        ``.safetensors`` file.
    design
        Of which the default is meant, ``"spatial"`` or ``"exit-wave"``.

    Returns
    -------
    pathlib.Path
        A file that exists; nothing in it has been read.

    Raises
    ------
    FileNotFoundError
        It is not there.
    ValueError
        There is no such model.
    """
    name = design if str(name_or_path) == "default" else str(name_or_path)
    if name in _AIRPI_DEFAULTS:
        return find_weights(_AIRPI_DEFAULTS[name])
    if not isinstance(name_or_path, Path) and not name.endswith(".safetensors"):
        raise ValueError(
            f"AIRPI has no model {name_or_path!r}. Give 'default', 'exit-wave', or the path of "
            "a .safetensors file of stem-plugins train airpi."
        )
    return find_weights(name_or_path)


def load_weights(name_or_path: str | Path, *, designs: Mapping[str, int] | None = None) -> Weights:
    """Find, read and check the weights of a model.

    Parameters
    ----------
    name_or_path
        As for `find_weights`.
    designs
        Newest known version of each architecture that the caller can build.

    Returns
    -------
    Weights
        With tensors whose checksum is right.

    Raises
    ------
    FileNotFoundError, ValueError
        As `find_weights` and `read_weights`.
    """
    return read_weights(find_weights(name_or_path), designs=designs)


def list_weights() -> dict[str, Weights | str | None]:
    """Return the known models.

    Returns
    -------
    dict
        By name: what the file says of itself (without tensors), None where the model is not
        there, or, where its file cannot be used, the reason.
    """
    found: dict[str, Weights | str | None] = {}
    for name in (*SHIPPED, *PUBLISHED):
        try:
            found[name] = weights_header(find_weights(name))
        except FileNotFoundError:
            found[name] = None
        except ValueError as error:
            found[name] = str(error)
    return found
