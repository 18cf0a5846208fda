"""Renders a job type's prompt: the file ``prompts/<name>.jinja``.

Its first line is ``{# version: N #}``. Its block ``system`` is rendered with no variables at all,
so that nothing of the user's can get into the system message. Its block ``user`` gets the texts,
each between the tags of its own name::

    <query>
    {{ query }}
    </query>

A text cannot close its own section or open another: see ``defuse``.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from app.jobs.ask import Prompt

PROMPTS = Path(__file__).parent / "prompts"
_VERSION = re.compile(r"\{# version: (\S+) #\}\n")
_ENVIRONMENT = Environment(
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701 - a prompt is plain text; sections are guarded by defuse()
)


class PromptError(Exception):
    """A prompt file is missing or lacks its version line or one of its blocks."""


@dataclass(frozen=True)
class _Source:
    version: str
    sha256: str
    template: Template


def render(name: str, texts: Mapping[str, str | None]) -> Prompt:
    """Fill in ``prompts/<name>.jinja``; the keys of ``texts`` are its sections.

    ``None`` is for a section that the file leaves out (``{% if … %}``). A variable that the file
    names and ``texts`` lacks raises jinja2's ``UndefinedError``.
    """
    source = _load(name)
    sections = frozenset(texts)
    defused = {
        section: None if text is None else defuse(text, sections) for section, text in texts.items()
    }
    return Prompt(
        name=name,
        version=source.version,
        sha256=source.sha256,
        system=_block(source.template, "system", {}),
        user=_block(source.template, "user", defused),
    )


def defuse(text: str, sections: Collection[str]) -> str:
    """``text`` with the ``<`` of whatever looks like a tag of ``sections`` written ``&lt;``.

    Also when characters that a reader would overlook (spaces, zero-width ones) stand between, and
    that of ``<|``, with which many models' own control tokens begin.
    """
    names = "|".join(re.escape(section) for section in sorted(sections))
    looks_like_tag = re.compile(rf"<(?=\||[^a-z0-9<>]{{0,16}}(?:{names}))", re.IGNORECASE)
    return looks_like_tag.sub("&lt;", text)


@cache
def _load(name: str) -> _Source:
    path = PROMPTS / f"{name}.jinja"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise PromptError(f"there is no prompt file {path}") from None
    text = content.decode()
    version = _VERSION.match(text)
    if version is None:
        raise PromptError(f"{path}: the first line must be {{# version: N #}}")
    template = _ENVIRONMENT.from_string(text)
    if missing := {"system", "user"} - set(template.blocks):
        raise PromptError(f"{path}: there is no block {' and '.join(sorted(missing))}")
    return _Source(version[1], hashlib.sha256(content).hexdigest(), template)


def _block(template: Template, block: str, variables: dict[str, Any]) -> str:
    return "".join(template.blocks[block](template.new_context(variables))).strip()
