"""The parser, exit codes, and messages that hold for every command."""

import subprocess
import sys
import time

import pytest

import stem_plugins
from stem_plugins.cli import main, messages
from stem_plugins.cli.command_line import build_parser
from stem_plugins.cli.options import attach_numbers, given_acquisition
from stem_plugins.optics.acquisition import FIELDS, Acquisition, MissingCalibrationError

COMMANDS = ["info", "convert", "ricom", "dgp", "demo", "weights"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_exits_with_0(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"stem-plugins {command}" in text.split("Example")[1]


def test_help_names_the_unit_of_every_number(capsys):
    with pytest.raises(SystemExit):
        main(["ricom", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in ("in keV", "in mrad", "in Å", "in px", "in degrees", "in s:", "per Å"):
        assert words in text


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"stem-plugins {stem_plugins.__version__}\n"


def test_no_command_shows_the_help(capsys):
    assert main([]) == 2
    assert "stem-plugins demo" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["ricom", "scan.mib"],
        ["ricom", "scan.mib", "-o", "out", "--kernel", "many"],
        ["ricom", "scan.mib", "-o", "out", "--center", "5"],
        ["info", "scan.mib", "--rotation", "auto"],
        ["info", "scan.mib", "--scan", "8"],
        ["invent", "scan.mib"],
    ],
)
def test_wrong_usage_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_help_answers_at_once():
    def seconds():
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "stem_plugins.cli", "--help"], capture_output=True, check=True
        )
        assert b"ricom" in done.stdout
        return time.perf_counter() - begin

    assert min(seconds() for _ in range(3)) < 0.5


def test_parser_loads_no_numerics():
    program = (
        "import sys; from stem_plugins.cli.command_line import build_parser; build_parser(); "
        "print({'numpy', 'dask', 'numba', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == "set()"


def options_of(text):
    words = ["info", "scan.mib", *text.split()]
    return given_acquisition(build_parser().parse_args(attach_numbers(words)))


@pytest.mark.parametrize("field", [name for name in FIELDS if name != "aberrations"])
def test_options_that_errors_recommend_set_their_field(field):
    assert set(options_of(FIELDS[field][1]).to_dict()) == {field}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--scan-step 0.2", {"scan_step": [0.2, 0.2]}),
        ("--scan-step 0.2 0.3", {"scan_step": [0.2, 0.3]}),
        ("--scan-step=0.2,0.3", {"scan_step": [0.2, 0.3]}),
        ("--center 3 -1.5", {"center": [3, -1.5]}),
        ("--defocus -1e3", {"defocus": -1000}),
        ("--rotation -126", {"scan_rotation": -126}),
        ("--flip-y", {"flip_y": True}),
        ("--no-flip-y", {"flip_y": False}),
        ("", {}),
    ],
)
def test_numbers_of_calibration_options(text, expected):
    assert options_of(text).to_dict() == expected


def test_a_file_name_may_follow_one_number():
    words = attach_numbers(["ricom", "--scan-step", "0.2", "scan.mib", "-o", "out"])
    arguments = build_parser().parse_args(words)
    assert str(arguments.file) == "scan.mib"
    assert given_acquisition(arguments).scan_step == (0.2, 0.2)


def test_options_win_over_the_toml_file(tmp_path):
    path = tmp_path / "microscope.toml"
    path.write_text(
        "beam_energy = 300\nconvergence_angle = 25\n[aberrations]\nC30 = 1.2e7\n", encoding="utf-8"
    )
    given = options_of(f"--acquisition {path} --beam-energy 200")
    assert given == Acquisition(beam_energy=200, convergence_angle=25, aberrations={"C30": 1.2e7})


def test_missing_calibration_is_explained_by_options():
    text = messages.explain(MissingCalibrationError(("scan_step", "beam_energy")))
    assert "--scan-step 0.2" in text
    assert "--beam-energy 200" in text
    assert "\n" not in text
    assert "HyperSpy" not in text


def test_unexpected_errors_stay_one_line_unless_verbose(monkeypatch, capsys):
    from stem_plugins.cli import info

    def fail(arguments):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(info, "run", fail)
    assert main(["info", "scan.mib"]) == 1
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "ZeroDivisionError: division by zero" in text
    for words in (["--verbose", "info", "scan.mib"], ["info", "scan.mib", "--verbose"]):
        assert main(words) == 1
        assert "Traceback" in capsys.readouterr().err


def test_interruption_exits_with_130(monkeypatch, capsys):
    from stem_plugins.cli import info

    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "run", interrupt)
    assert main(["info", "scan.mib"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("scan_shape=(3, 8) with repeat=0 loads its 3 lines", "--scan 3 8 with --repeat 0"),
        ("Choose one with dataset=...", "--dataset NAME"),
        ("skip_rows=1 and skip_columns=2 leave nothing", "--skip-rows 1 and --skip-columns 2"),
        ("(overwrite=True in Python, --overwrite in the shell)", "(--overwrite)"),
        ("counter_depth must be 1, 6, 12 or 24 bit", "--counter-depth must be"),
    ],
)
def test_messages_name_options_instead_of_arguments(python, shell):
    assert shell in messages.in_shell_words(python)
