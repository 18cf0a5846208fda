"""Words: which of them tell something, and when two are the same."""

import re

_WORD = re.compile(r"[^\W\d_][\w'-]*")
_TELL_NOTHING = (
    "a about above after again all also am an and any are as ask at be because been before being "
    "but by can could did do does done for from get got had has have he her here him his how i if "
    "in into is it its just me more my need no not of off on one or our out over please she should "
    "so some something than that the their them then there these they thing this those to too up "
    "us was we were what when where which who will with would you your today tomorrow tonight "
    "yesterday remind remember find search look"
)
_STOPWORDS = frozenset(_TELL_NOTHING.split())
_ENDINGS = ("ings", "ing", "edly", "ed", "es", "s", "ly", "e")
_MIN_STEM_CHARS = 3
_SUBJECT_WORDS = 3
_MAX_SUBJECT_CHARS = 80


def telling_words(text: str) -> list[str]:
    """The words that say what a text is about, each once, in order."""
    return list(dict.fromkeys(word.lower() for word in _WORD.findall(text) if tells(word)))


def stems(text: str) -> frozenset[str]:
    """The telling words without their endings, so that "called" matches "call"."""
    return frozenset(_stem(word) for word in telling_words(text))


def subject_of(text: str) -> str:
    """A few words of the text that name what it is about."""
    found = [word for word in _WORD.finditer(text) if tells(word[0])][:_SUBJECT_WORDS]
    if not found:
        return "this"
    return " ".join(text[found[0].start() : found[-1].end()].split())[:_MAX_SUBJECT_CHARS]


def tells(word: str) -> bool:
    """True when a word says something about the subject of a text."""
    return word.lower() not in _STOPWORDS and len(word) > 1


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM_CHARS:
            return word.removesuffix(ending)
    return word
