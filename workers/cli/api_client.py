"""The HTTP API as the commands use it: one call each, and its errors in one sentence."""

from collections.abc import Iterator, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import click
import requests

from workers.cli.environment import RefusedError, UnreachableError, read_settings
from workers.cli.output import plain, without_login

_TIMEOUT_S = 30.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ApiClient:
    """Talks to the API at ``base_url``; a context manager, since it keeps its connection."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._session = requests.Session()
        # A proxy of the environment is never the way to this machine itself.
        self._session.trust_env = urlsplit(self.base_url).hostname not in _LOOPBACK

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._session.close()

    def get(self, path: str, wait_s: float = 0.0, **params: object) -> Any:
        """The JSON of a GET; parameters that are ``None`` are left out."""
        return self._call("GET", path, params=_given(params), timeout=_TIMEOUT_S + wait_s).json()

    def post(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON that a POST of ``body`` as JSON answers."""
        return self._call("POST", path, json=body, headers=headers).json()

    def post_lines(self, path: str, lines: list[str]) -> Any:
        """The JSON that a POST of JSON lines answers."""
        return self._call(
            "POST",
            path,
            data="\n".join(lines).encode(),
            headers={"Content-Type": "application/x-ndjson"},
            timeout=4 * _TIMEOUT_S,
        ).json()

    def pages(self, path: str, **params: object) -> Iterator[dict[str, Any]]:
        """Every entry of a list, page by page, along the ``Link`` headers."""
        answer = self._call("GET", path, params=_given(params))
        yield from answer.json()
        while next_url := answer.links.get("next", {}).get("url"):
            split = urlsplit(next_url)
            answer = self._call("GET", f"{split.path}?{split.query}")
            yield from answer.json()

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", _TIMEOUT_S)
        server = without_login(self.base_url)
        try:
            answer = self._session.request(
                method, self.base_url + path, allow_redirects=False, **options
            )
        except requests.RequestException as error:
            raise UnreachableError(
                f"{server} does not answer ({type(error).__name__}). Start it with "
                "`llm-jobs serve`, or name another with --url or LLM_JOBS_URL."
            ) from None
        if not answer.ok:
            raise RefusedError(problem_in_words(answer))
        if "json" not in answer.headers.get("Content-Type", ""):
            raise UnreachableError(f"{server} answers, but it is not llm-jobs.")
        return answer


def _given(params: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in params.items() if value is not None}


def problem_in_words(answer: requests.Response) -> str:
    """One sentence of an error answer: its detail, then each field that is wrong."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return f"HTTP {answer.status_code} from {without_login(answer.url)}"
    sentence = str(problem.get("detail") or problem.get("title") or f"HTTP {answer.status_code}")
    lines = [field_in_words(error) for error in problem.get("errors") or []]
    # Some details name the first wrong field themselves.
    return plain("\n  ".join([sentence, *(line for line in lines if line not in sentence)]))


def field_in_words(error: dict[str, Any]) -> str:
    """One wrong field: where and what; the place is a list of parts or a dotted name."""
    place = error["loc"]
    if isinstance(place, list):
        place = ".".join(str(part) for part in place)
    return f"{place}: {error['msg']}" if place else str(error["msg"])


url_option = click.option(
    "--url", metavar="URL", help="Where the API answers. [default: LLM_JOBS_URL, or this machine]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a script.")


def connect(url: str | None) -> ApiClient:
    """The API at ``--url``, or where the settings say that it is."""
    return ApiClient(read_settings(LLM_JOBS_URL=url).base_url)
