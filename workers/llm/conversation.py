"""One question, from the first request to an accepted answer: the ladder and the re-asks."""

import logging
import time
from dataclasses import dataclass, field

from pydantic import BaseModel

from app.jobs.ask import Ask
from app.store.rows import Usage
from workers.llm.classify import classify
from workers.llm.completion import Completion, add_usage
from workers.llm.dialect import Dialects
from workers.llm.errors import AnswerTruncated, InvalidAnswer, LLMError, Message
from workers.llm.extract import extract, validate, without_thinking
from workers.llm.problem import read_problem
from workers.llm.reply import Envelope, open_envelope
from workers.llm.request import Correction, body_for, image_urls, messages_for
from workers.llm.transport import Reply, Transport

MAX_TEXT_CHARS = 200_000
"""Longer than any answer: keeps the search for JSON short, and what is stored bounded."""
_WORTH_ASKING_AGAIN_S = 1.0
_LOG = logging.getLogger(__name__)


@dataclass
class Conversation:
    """A question under way, and what it has cost so far. ``deadline`` is of ``time.monotonic()``.

    Bounded: one re-ask after an invalid answer, one with twice the tokens, and a step down for
    each thing that the server does not take.
    """

    ask: Ask
    model: str
    transport: Transport
    dialects: Dialects
    deadline: float
    secrets: tuple[str, ...] = ()
    _correction: Correction | None = field(default=None, init=False)
    _doublings: int = field(default=0, init=False)
    _calls: int = field(default=0, init=False)
    _usage: Usage = field(default_factory=Usage, init=False)
    _answered_by: str | None = field(default=None, init=False)
    _sent: list[Message] = field(default_factory=list, init=False)
    _text: str | None = field(default=None, init=False)

    def run(self) -> Completion:
        """Ask until an answer is accepted. An ``LLMError`` tells what was spent in vain."""
        try:
            while True:
                try:
                    return self._ask_once()
                except (InvalidAnswer, AnswerTruncated) as error:
                    if not self._may_ask_again(error):
                        raise
                    _LOG.info("The LLM is asked again", extra={"code": error.code})
        except LLMError as error:
            error.usage = self._usage
            error.calls = self._calls
            error.model = self._answered_by
            error.messages = self._sent
            text = error.text if error.text is not None else self._text
            error.text = text and text[:MAX_TEXT_CHARS]
            raise

    def _ask_once(self) -> Completion:
        envelope = self._receive()
        self._text = text = envelope.text()
        answer, repaired = self._checked(text)
        return Completion(
            answer=answer,
            text=text,
            model=self._answered_by,
            usage=self._usage,
            repaired=repaired,
            calls=self._calls,
            messages=self._sent,
        )

    def _may_ask_again(self, error: InvalidAnswer | AnswerTruncated) -> bool:
        """True once for each cure, while there is time."""
        if self.deadline - time.monotonic() < _WORTH_ASKING_AGAIN_S:
            return False
        if isinstance(error, AnswerTruncated):
            has_limit = self.dialects.of(self.model).tokens_parameter is not None
            self._doublings += 1
            return has_limit and self._doublings == 1
        if self._correction is not None:
            return False
        self._correction = Correction(problem=error.message, text=error.text or "")
        return True

    def _receive(self) -> Envelope:
        """Send the question in the server's dialect, finding that out where it is not known."""
        dialect = self.dialects.of(self.model)
        while True:
            image_url, placeholder = image_urls(self.ask.image)
            messages = messages_for(self.ask, dialect, self._correction, image_url)
            self._sent = messages_for(self.ask, dialect, self._correction, placeholder)
            max_tokens = self.ask.max_tokens * 2**self._doublings
            reply = self._post(body_for(self.ask, self.model, messages, dialect, max_tokens))
            if reply.is_ok:
                self.dialects.remember(self.model, dialect)
                return self._accounted(open_envelope(reply, self.secrets))
            problem = read_problem(reply.status, reply.body)
            next_dialect = dialect.after(problem, wants_json=self.ask.answer is not None)
            if next_dialect is None:
                raise classify(problem, reply.headers, self.secrets)
            _LOG.info("The LLM does not take a parameter; trying without it")
            dialect = next_dialect

    def _post(self, body: bytes) -> Reply:
        try:
            reply = self.transport.post(body, self.deadline)
        except LLMError as error:
            self._calls += error.calls
            raise
        self._calls += 1
        return reply

    def _accounted(self, envelope: Envelope) -> Envelope:
        self._usage = add_usage(self._usage, envelope.usage)
        self._answered_by = envelope.model or self._answered_by
        return envelope

    def _checked(self, text: str) -> tuple[BaseModel | str, bool]:
        if len(text) > MAX_TEXT_CHARS:
            raise InvalidAnswer(f"The reply has over {MAX_TEXT_CHARS} characters.", text=text)
        if self.ask.answer is not None:
            found = extract(text)
            return validate(found.json_text, self.ask.answer, text), found.repaired
        answer = without_thinking(text)
        if not answer:
            raise InvalidAnswer("The reply holds no answer.", text=text)
        return answer, False
