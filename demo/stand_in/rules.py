"""Answers a question by rules, from what it really holds."""

import re
from collections.abc import Callable

from demo.stand_in import intents, pictures, tasks
from demo.stand_in.question import Question
from demo.stand_in.schema import Json, filled, wrapped
from demo.stand_in.times import find_moment, parse_now
from demo.stand_in.words import subject_of, telling_words

_MAX_EVENTS = 20
_MAX_SENTENCE_CHARS = 200
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])|\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)")


def answer(question: Question) -> Json | str:
    """The answer: an object, or text where no JSON is wanted.

    Raises ``pictures.NoImageError`` when the question's image is none.
    """
    rule = _RULES.get(question.job_type)
    if rule is not None:
        found = rule(question)
        return wrapped(found, question.schema) if question.schema else found
    if question.job_type == "followup":
        return follow_up(question)
    if question.schema is not None:
        plain: Json = filled(question.schema, question.schema)
        return plain
    if question.wants_json:
        return {"answer": "stand-in"}
    return f"The stand-in has no rule for this. It is about {subject_of(question.user)}."


def follow_up(question: Question) -> str:
    """A question about what the message is about, and for what it leaves open."""
    message = question.sections.get("message", question.user)
    now = parse_now(None)
    said = find_moment(message, now)
    subject = subject_of(message.replace(said.words, " ") if said else message)
    if said or find_moment(question.sections.get("context", ""), now):
        return f"What exactly should I do about “{subject}”?"
    return f"When does “{subject}” have to happen?"


def extract_events(question: Question) -> Json:
    """Every sentence of the e-mail that says when."""
    now = parse_now(question.sections.get("now"))
    subject = question.sections.get("subject", "")
    events: list[Json] = []
    for sentence in _sentences(f"{subject}.\n\n{question.sections.get('body', '')}"):
        moment = find_moment(sentence, now)
        if moment is None:
            continue
        is_off = re.search(r"\b(cancel|unsubscribe|expired|was|were)", sentence, re.IGNORECASE)
        sure = 0.3 if is_off else 0.9 if moment.has_clock else 0.8
        event = {"event_time": moment.at.isoformat(), "confidence": sure}
        if not any(one["event_time"] == event["event_time"] for one in events):
            events.append({"description": sentence[:_MAX_SENTENCE_CHARS], **event})
    events.sort(key=lambda event: -float(event["confidence"]))
    return {"events": events[:_MAX_EVENTS]}


def enrich_note(question: Question) -> Json:
    """A title and a summary from the first sentence; what is to be done from the rest."""
    text = " ".join(question.sections.values()) or question.user
    sentences = _sentences(text) or [text]
    return {
        "title": subject_of(sentences[0]).capitalize(),
        "summary": sentences[0][:_MAX_SENTENCE_CHARS],
        "tags": telling_words(text)[:5],
        "action_items": [one for one in sentences if intents.sounds_like_a_task(one)],
    }


def _tag_image(question: Question) -> Json:
    return pictures.describe(question.image or b"")


def _sentences(text: str) -> list[str]:
    parts = (" ".join(part.split()) for part in _SENTENCE_END.split(text))
    return [part.strip("-*• ") for part in parts if part.strip("-*•. ")]


_RULES: dict[str, Callable[[Question], Json]] = {
    "email_extract": extract_events,
    "image_tag": _tag_image,
    "intent_classify": intents.classify,
    "note_enrich": enrich_note,
    "task_match": tasks.match,
}
