"""``intent_classify``: what a message wants, by keywords."""

import re

from demo.stand_in.question import Question
from demo.stand_in.schema import Json
from demo.stand_in.times import Moment, find_moment, parse_now
from demo.stand_in.words import subject_of, telling_words

_REMINDER = re.compile(r"\b(remind|reminder|don't let me forget|wake me|alarm)\b", re.IGNORECASE)
_SEARCH = re.compile(
    r"\b(find|search|look (up|for)|show me|where (is|are|did|was)|what did|when did|which .*\?)",
    re.IGNORECASE,
)
_TASK = re.compile(
    r"\b(to-?do|task|need to|have to|must|buy|call|book|pay|send|fix|finish|submit|order|renew"
    r"|return|clean|write|prepare|pick up)\b",
    re.IGNORECASE,
)
_VAGUE = re.compile(r"\b(something|that thing|stuff|maybe|whatever|you know)\b", re.IGNORECASE)
_LEADING = re.compile(
    r"^\W*((please|can you|could you|set (a|an)|remind(er)?( me)?|don't let me forget|wake me"
    r"|i (need|have) to|i must|task|to-?do|alarm|to|for|that|about|of)\b[\s:,]*)+",
    re.IGNORECASE,
)
_MIN_WORDS = 3


def sounds_like_a_task(text: str) -> bool:
    """True when a text names something to be done."""
    return bool(_TASK.search(text))


def classify(question: Question) -> Json:
    """The answer of ``intent_classify``; a user's answer to a question settles what was open."""
    sections = question.sections
    text = sections.get("query") or sections.get("message") or question.user
    reply = sections.get("user_answer", "")
    now = parse_now(sections.get("now") or sections.get("original_timestamp"))
    intent = _intent(text)
    if reply:
        intent = next(
            (one for one in (_intent(reply), intent) if one not in ("ambiguous", "general_note")),
            "general_note",
        )
    moment = find_moment(f"{reply}\n{text}" if reply else text, now)
    return {"intent": intent, **_fields(intent, text, moment)}


def _intent(text: str) -> str:
    for intent, pattern in (("reminder", _REMINDER), ("search", _SEARCH), ("task", _TASK)):
        if pattern.search(text):
            return intent
    is_vague = _VAGUE.search(text) or len(text.split()) < _MIN_WORDS
    return "ambiguous" if is_vague else "general_note"


def _fields(intent: str, text: str, moment: Moment | None) -> Json:
    time = moment.words if moment else None
    resolved = moment.at.isoformat() if moment else None
    if intent == "reminder":
        return {"action": _action(text, moment), "time": time, "resolved_time": resolved}
    if intent == "task":
        what = _action(text, moment)
        return {"description": what, "due_time": time, "resolved_due_time": resolved}
    if intent == "search":
        return {"keywords": telling_words(text)[:10] or [text.strip()[:50]]}
    if intent == "general_note":
        return {"suggested_tags": telling_words(text)[:5]}
    return {
        "followup_question": f"What would you like to do about “{subject_of(text)}”?",
        "possible_intents": ["reminder", "task", "general_note"],
    }


def _action(text: str, moment: Moment | None) -> str:
    """What is to be done: the text without its request and without the words that say when."""
    rest = text
    if moment and moment.words in text:
        rest = text.replace(moment.words, " ")
    rest = " ".join(_LEADING.sub("", rest.strip()).split()).strip(" .,!")
    return rest or " ".join(text.split())
