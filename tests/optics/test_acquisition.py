"""The calibration object: units and shapes in, the same out, and errors that help."""

import pytest

from stem_plugins import Acquisition, MissingCalibrationError

FULL = {
    "beam_energy": 200.0,
    "convergence_angle": 21.4,
    "scan_step": [0.2, 0.3],
    "diffraction_step": [1.0, 1.1],
    "center": [127.5, 126.0],
    "scan_rotation": -30.0,
    "flip_y": True,
    "defocus": -50.0,
    "aberrations": {"C30": 1e7, "phi12": 0.3},
    "dwell_time": 1e-3,
    "dose": 1e4,
}


def test_round_trip_through_a_dictionary_keeps_everything():
    acquisition = Acquisition.from_dict(FULL)
    assert acquisition.to_dict() == FULL
    assert Acquisition.from_dict(acquisition.to_dict()) == acquisition


def test_unknown_stays_unknown():
    assert Acquisition().to_dict() == {}
    assert Acquisition(flip_y=False).to_dict() == {"flip_y": False}


def test_one_number_stands_for_both_directions():
    assert Acquisition(scan_step=0.2).scan_step == (0.2, 0.2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("beam_energy", 0),
        ("beam_energy", float("nan")),
        ("beam_energy", "high"),
        ("scan_step", -1),
        ("scan_step", (1, 2, 3)),
        ("diffraction_step", (1, 0)),
        ("center", 5),
        ("scan_rotation", float("inf")),
        ("aberrations", {"C30": "large"}),
    ],
)
def test_unusable_values_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        Acquisition(**{field: value})


def test_unknown_names_are_refused_with_the_known_ones():
    for attempt in (Acquisition.from_dict, lambda values: Acquisition().replace(**values)):
        with pytest.raises(ValueError, match=r"'voltage'.*beam_energy"):
            attempt({"voltage": 200})


def test_missing_fields_are_named_all_at_once_with_the_ways_to_give_them():
    with pytest.raises(MissingCalibrationError) as caught:
        Acquisition(scan_step=1).require("beam_energy", "scan_step", "center")
    assert caught.value.fields == ("beam_energy", "center")
    message = str(caught.value)
    assert "set_acquisition(beam_energy=..., center=...)" in message
    assert "--beam-energy" in message
    assert "napari" in message


def test_toml(tmp_path):
    path = tmp_path / "microscope.toml"
    path.write_text("beam_energy = 60\nscan_step = [0.1, 0.2]\n[aberrations]\nC30 = 1e4\n")
    expected = Acquisition(beam_energy=60, scan_step=(0.1, 0.2), aberrations={"C30": 1e4})
    assert Acquisition.from_toml(path) == expected
    path.write_text("beam_energy: 60")
    with pytest.raises(ValueError, match="not a TOML file"):
        Acquisition.from_toml(path)
