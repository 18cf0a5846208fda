"""How a tag is spelt, so that the same word from a person and from the LLM is one tag."""

from collections.abc import Iterable

MAX_TAG_CHARS = 50


def normal_tags(tags: Iterable[str]) -> list[str]:
    """The tags in lower case, with single spaces, each once, in their order, without blank ones."""
    spelt = (" ".join(tag.replace("\0", "").lower().split()) for tag in tags)
    return list(dict.fromkeys(tag for tag in spelt if tag))
