"""Takes secrets and file paths out of what a server said, before it is stored or shown."""

import re
from collections.abc import Iterable

_SECRETS = [
    # A DSN's or URL's login, before the rules below could cut it in two.
    (re.compile(r"""\b([a-z][a-z0-9+.-]*://)[^\s"'<>]*@""", re.IGNORECASE), r"\1***@"),
    (
        re.compile(
            r"""\b(authorization|(?:x-)?api[-_ ]?key|access_token|auth_token|passw(?:or)?d|secret)\b
            (["']?\s*[:=]\s*["']?)(?:(?:bearer|basic)\s+)?[^\s"',;}&]+""",
            re.IGNORECASE | re.VERBOSE,
        ),
        r"\1\2***",
    ),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=*-]{6,}", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|llmj|ghp|glpat)[-_][\w.*-]{3,}"), "***"),
]
_PATHS = [
    re.compile(r"""\bfile://[^\s"'<>]+""", re.IGNORECASE),
    re.compile(r"""\b[A-Za-z]:\\[^\s"'<>]+"""),
    # Two parts or more; not inside a URL, nor the path of an API's route.
    re.compile(r"(?<![\w:/.~-])~?/(?!v\d+/|api/)(?:[\w.@+~-]+/)+[\w.@+~-]*"),
]
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\s]+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` on one line, without the given secrets, whatever looks like one, and file paths."""
    for secret in secrets:
        if len(secret) >= 4:  # noqa: PLR2004 - less would strike ordinary words
            text = text.replace(secret, "***")
    text = _UNPRINTABLE.sub(" ", text).strip()
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    for pattern in _PATHS:
        text = pattern.sub("[path]", text)
    return text


def storable(text: str) -> str:
    """``text`` without what a database refuses: NUL, and halves of surrogate pairs."""
    return re.sub(r"[\x00\ud800-\udfff]", "\ufffd", text)
