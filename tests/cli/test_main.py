import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fmbseg
from fmbseg.cli.main import app
from fmbseg.cli.options import words
from fmbseg.vocabulary import Vocabulary
from tests.test_devices import MISSING_ON_MPS

RUNNER = CliRunner()


def test_help_lists_every_command() -> None:
    result = RUNNER.invoke(app, ["--help"], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    for command in ("demo", "label", "fit", "segment", "eval", "export", "models"):
        assert f" {command} " in result.output


def test_version() -> None:
    result = RUNNER.invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.strip() == f"fmbseg {fmbseg.__version__}"


@pytest.mark.parametrize(
    ("command", "code"), [(["--help"], 0), (["label", "--help"], 0), (["label", "photographs"], 2)]
)
def test_help_and_a_slip_of_the_hand_import_nothing_heavy(command: list[str], code: int) -> None:
    script = (
        "import sys\n"
        f"sys.argv = {['fmbseg', *command]}\n"
        "from fmbseg.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        f"    assert stop.code == {code}, stop.code\n"
        "heavy = ('torch', 'transformers', 'timm', 'numpy', 'PIL', 'pyarrow', 'onnxruntime', 'skimage')\n"
        "print('HEAVY', [name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_the_list_of_commands_loads_none_of_them() -> None:
    script = (
        "import sys\n"
        "sys.argv = ['fmbseg', '--help']\n"
        "from fmbseg.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    print('OURS', sorted(name for name in sys.modules if name.startswith('fmbseg.cli.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ours = ["friendly", "lazy", "main", "streams"]
    assert done.stdout.splitlines()[-1] == f"OURS {[f'fmbseg.cli.{name}' for name in ours]}"


def test_an_error_of_the_users_is_one_line_on_stderr() -> None:
    result = RUNNER.invoke(app, ["label", "photographs", "--classes", "cat,dog,cat", "--out", "labels"])
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: class named twice: 'cat'")


def test_debug_keeps_the_traceback() -> None:
    result = RUNNER.invoke(app, ["--debug", "label", "x", "--classes", "cat,cat", "--out", "labels"])
    assert isinstance(result.exception, ValueError)
    assert "class named twice" in str(result.exception)


def test_what_a_device_lacks_is_one_line_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    def lack(*_: object, **__: object) -> None:
        raise NotImplementedError(MISSING_ON_MPS)

    monkeypatch.setattr("fmbseg.labeling.look_ahead.look_ahead", lack)
    result = RUNNER.invoke(app, ["label", "photographs", "--classes", "cat", "--out", "labels"])
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "error: PyTorch has no 'aten::_linalg_solve_ex.result' for MPS: set PYTORCH_"
    )
    assert result.stderr.count("\n") == 1


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> list[str]:
        raise TypeError("a fault")

    monkeypatch.setattr("fmbseg.vocabulary_files.split_words", fail)
    result = RUNNER.invoke(app, ["label", "x", "--classes", "cat", "--out", "labels"])
    assert isinstance(result.exception, TypeError)


@pytest.mark.parametrize("option", ["voc20", "words.txt"])
def test_a_list_of_words_behind_classes_is_no_word(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text("cat\n")
    result = RUNNER.invoke(app, ["label", "x", "--classes", option, "--out", "o"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert f"{option} is a list of words: write --vocabulary {option}" in result.output


def test_words_of_the_command_line_have_their_meaning() -> None:
    with pytest.warns(UserWarning, match="--classes: 'void' means pixels that do not count"):
        vocabulary = words('"salt, pepper",Background,void', None)
    assert vocabulary == Vocabulary(("salt, pepper", "Background"), background=frozenset({1}))
