"""Whether the Hub would give a file, found out quickly and without fetching it."""

from __future__ import annotations

import threading
from queue import Empty, Queue
from typing import TYPE_CHECKING

from fmbseg.models.loading.errors import first_line
from fmbseg.models.loading.hub_files import hub_errors

if TYPE_CHECKING:
    from fmbseg.models.loading.hub_files import HubOptions

SECONDS = 2.0
"""Time that the Hub has to answer."""


class HubUnreachableError(RuntimeError):
    """The Hub itself does not answer, so there is no point in asking for another file."""


def why_refused(repo: str, file: str, options: HubOptions, seconds: float = SECONDS) -> str | None:
    """Say why the Hub would not give a file; ``None`` if it would.

    Args:
        repo: ``owner/name``.
        file: name of a file in the repository.
        options: how to look for it.
        seconds: how long to wait in all.

    Raises:
        HubUnreachableError: it does not answer in time, is not there, is switched off, or is not the Hub.
    """
    from huggingface_hub import constants

    if options.local_files_only or constants.HF_HUB_OFFLINE:
        raise HubUnreachableError("the network is switched off")
    answers: Queue[str | HubUnreachableError | None] = Queue()
    # Looking up a host name may outlast every limit of the client; the thread then ends by itself.
    threading.Thread(
        target=lambda: answers.put(_ask(repo, file, options, seconds)), daemon=True, name="fmbseg-hub-reach"
    ).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise HubUnreachableError(f"the Hub did not answer within {seconds:g} s") from None
    if isinstance(answer, HubUnreachableError):
        raise answer
    return answer


def _ask(repo: str, file: str, options: HubOptions, seconds: float) -> str | HubUnreachableError | None:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    url = hf_hub_url(repo, file, revision=options.revision)
    try:
        # Longer than the caller waits, so that no answer in time is told in one way; the thread ends later.
        found = get_hf_file_metadata(url, token=options.token, timeout=2 * seconds)
    except GatedRepoError:
        return f"{repo} is gated"
    except HfHubHTTPError as error:
        return f"the Hub refuses {repo} ({first_line(error)})"
    except hub_errors() as error:
        return HubUnreachableError(f"the Hub is not reached ({first_line(error)})")
    if found.commit_hash is None:
        return HubUnreachableError(f"what answers at {constants.ENDPOINT} is not the Hub")
    return None
