"""Words of ``stem-plugins dgp``, and what it writes."""

from rsciio.zspy import file_reader as read_zspy

QUICK = ("--prior", "pixelated", "--iterations", 5, "--threads", 1)
CALIBRATION = (
    *("--beam-energy", 300, "--convergence-angle", 20, "--scan-step", 1, "--diffraction-step", 2),
    *("--defocus", 60, "--rotation", 0, "--center", 16, 16),
)
OUTPUTS = [
    *("atoms_dgp.h5", "atoms_dgp_phase.png", "atoms_dgp_phase.tif", "atoms_dgp_phase.zspy"),
    *("atoms_dgp_probe.zspy", "atoms_dgp_record.toml"),
]


def signal_in(path):
    return read_zspy(str(path))[0]
