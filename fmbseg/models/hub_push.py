"""Pushing to the Hub: getting a repository ready to be written to, and one message for what goes wrong."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from fmbseg.models.loading.errors import first_line
from fmbseg.models.loading.hub_files import hub_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAIN = "main"


class PushError(OSError):
    """A push that failed; the repository is as it was before."""


def ready_repository(
    repo: str, *, private: bool | None, branch: str | None, token: str | bool | None, kind: str = "model"
) -> None:
    """Make a repository and its branch where they do not exist.

    Args:
        repo: ``owner/name``.
        private: whether a new repository is private; the owner's default if ``None``.
        branch: branch that will be pushed to; main if ``None``.
        token: token with write permission.
        kind: ``"model"`` or ``"dataset"``.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    made = api.create_repo(repo, private=private, repo_type=kind, exist_ok=True)
    if branch is not None and branch != _MAIN:
        api.create_branch(made.repo_id, branch=branch, repo_type=kind, exist_ok=True)


def push_folder(
    folder: Path, repo: str, *, branch: str | None, token: str | None, commit_message: str, replaced: str
) -> str:
    """Push a folder to a data set's repository.

    Args:
        folder: folder whose files are pushed.
        repo: ``owner/name``, which must exist.
        branch: branch, which must exist; main if ``None``.
        token: token with write permission.
        commit_message: first line of the commit.
        replaced: pattern of the files in the repository to delete if the folder has no file of their name.

    Returns:
        The URL of the commit.
    """
    from huggingface_hub import HfApi

    pushed = HfApi(token=token).upload_folder(
        repo_id=repo,
        repo_type="dataset",
        folder_path=folder,
        revision=branch,
        commit_message=commit_message,
        delete_patterns=replaced,
    )
    return str(pushed.commit_url)


@contextmanager
def push_errors(repo: str) -> Iterator[None]:
    """Say what an error of the Hub, or on the way there, means for the push.

    Raises:
        PushError: in place of the client's errors.
    """
    try:
        yield
    except PushError:
        raise
    except hub_errors() as error:
        if type(error) in (OSError, FileNotFoundError, PermissionError):  # from this machine's disk
            raise
        raise PushError(_message(repo, error)) from error
    except RuntimeError as error:  # raised by the client when the upload of one file fails
        cause = error.__cause__
        if not isinstance(cause, hub_errors()):
            raise
        raise PushError(_message(repo, cause, str(error))) from error


def _message(repo: str, error: Exception, what: str = "") -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    reason = first_line(error)
    if what:
        reason = f"{what} {reason}"
    if status in (401, 403):
        advice = (
            "log in with `hf auth login`, or pass a token=... that may write there, and check that the "
            "owner's name is yours or your organisation's"
        )
    elif status is not None and status < 500:
        advice = "check the repository's name and what is pushed"
    else:
        advice = "push again when the Hub is reached; files that have arrived are not sent twice"
    return f"{repo} was not pushed ({reason}): {advice}"
