"""Real Merlin files, and a maker of small artificial ones."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def merlin_dir(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which all zips of real Merlin files are unpacked."""
    folder = tmp_path_factory.mktemp("merlin")
    for archive in sorted((data_dir / "merlin").glob("*.zip")):
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder / archive.stem)
    return folder


@pytest.fixture
def make_mib(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a ``.mib`` from the text of its header and its payloads."""

    def make(
        payloads: list[bytes],
        *,
        name: str = "scan.mib",
        chips: int = 1,
        width: int = 4,
        height: int = 3,
        pixel_type: str = "U16",
        layout: str = "   1x1",
        depth: int | str = 12,
        header_bytes: int = 384,
        exposure: str = "1000000ns",
        hdr: dict[str, object] | None = None,
    ) -> Path:
        frames = []
        for number, payload in enumerate(payloads, 1):
            text = (
                f"MQ1,{number:06d},{header_bytes:05d},{chips:02d},{width:04d},{height:04d},"
                f"{pixel_type},{layout},01,2024-07-02 13:46:44.035393,0.001000,0,0,0,"
                f"1.200000E+1,5.110000E+2,3RX,175,MQ1A,2024-07-02T11:46:44.035393175Z,"
                f"{exposure},{depth},"
            )
            frames.append(text.encode().ljust(header_bytes, b"\0") + payload)
        path = tmp_path / name
        path.write_bytes(b"".join(frames))
        if hdr is not None:
            lines = ["HDR,\t", *(f"{key}:\t{value}" for key, value in hdr.items()), "End\t"]
            path.with_suffix(".hdr").write_bytes("\r\n".join(lines).encode().ljust(2048))
        return path

    return make


@pytest.fixture
def numbered(make_mib: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes frames of 3 × 4 pixels, all pixels the number of the frame."""

    def make(count: int, **options: object) -> Path:
        return make_mib([np.full(12, i, ">u2").tobytes() for i in range(count)], **options)

    return make
