"""The LLM client: one question at a time, over connections that are kept between questions."""

import time

from app.jobs.ask import Ask
from workers.llm.completion import Completion
from workers.llm.conversation import Conversation
from workers.llm.dialect import Dialects
from workers.llm.settings import LLMSettings
from workers.llm.transport import Transport


class LLMClient:
    """Asks an OpenAI-compatible LLM.

    Opens nothing until the first question, so that it may be built before a fork; it is not to be
    shared by threads. ``close`` ends its connections, and the next question opens new ones.
    """

    def __init__(self, settings: LLMSettings) -> None:
        self._settings = settings
        self._transport = Transport(settings.base_url, settings.api_key)
        self._dialects = Dialects()

    def complete(self, ask: Ask, deadline: float | None = None) -> Completion:
        """Ask, check the answer, and ask once more where that may help.

        Takes no longer than the time-out of the settings (text or vision), re-asks included, nor
        past ``deadline``, a time of ``time.monotonic()``. Raises an ``LLMError``; retrying is the
        caller's affair.
        """
        vision = ask.image is not None
        timeout_s = self._settings.vision_timeout_s if vision else self._settings.timeout_s
        own_deadline = time.monotonic() + timeout_s
        return Conversation(
            ask=ask,
            model=self._settings.vision_model if vision else self._settings.text_model,
            transport=self._transport,
            dialects=self._dialects,
            secrets=(self._settings.api_key,),
            deadline=own_deadline if deadline is None else min(own_deadline, deadline),
        ).run()

    def close(self) -> None:
        """Close the connections. The client stays usable."""
        self._transport.close()
