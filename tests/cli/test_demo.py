from pathlib import Path

from typer.testing import CliRunner

from fmbseg.cli.main import app


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "labels" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "holds files that are not a demo's" in result.stderr
    first = result.stdout.splitlines()[0]
    assert first.startswith("recipe offline: small stand-ins ")
    assert first.endswith("; for the best within reach: fmbseg demo --recipe auto")
    assert kept.read_text() == "mine"


def test_new_words_must_be_new(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["demo", "--classes", "cat", "--new-words", "cat", "--out", str(tmp_path / "demo")]
    )
    assert result.exit_code == 1
    assert "every new word is trained on: cat" in result.stderr
    assert not (tmp_path / "demo").exists()


def test_quick_is_for_the_demos_own_photographs(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--quick", "--images", str(tmp_path), "--out", "demo"])
    assert result.exit_code == 2
    assert "--quick" in result.stderr
