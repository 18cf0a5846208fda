"""What a server takes: which ``response_format``, how the token limit is called, a temperature.

OpenAI-compatible servers differ. What one refuses is left out from then on, per model.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

from workers.llm.problem import Problem


class Format(IntEnum):
    """The ladder of ``response_format``, best first."""

    JSON_SCHEMA = 0
    JSON_OBJECT = 1
    NONE = 2


@dataclass(frozen=True)
class Dialect:
    """How to put a question to one model of one server."""

    format: Format = Format.JSON_SCHEMA
    tokens_parameter: str | None = "max_tokens"
    has_temperature: bool = True

    def after(self, problem: Problem, *, wants_json: bool) -> "Dialect | None":
        """The dialect to try next when ``problem`` refused a parameter; ``None``: it did not.

        Each step is down, so that trying ends.
        """
        if _refuses_a_parameter(problem):
            if self.tokens_parameter and problem.names(rf"\b{self.tokens_parameter}\b"):
                # "Use 'max_completion_tokens' instead" names both.
                swapped = self.tokens_parameter == "max_tokens"
                other = "max_completion_tokens" if swapped else None
                return replace(self, tokens_parameter=other)
            if self.has_temperature and problem.names(r"\btemperature\b"):
                return replace(self, has_temperature=False)
        if wants_json and self.format < Format.NONE and _refuses_the_format(problem):
            return replace(self, format=Format(self.format + 1))
        return None


class Dialects:
    """The dialects that were found to work, by model."""

    def __init__(self) -> None:
        self._known: dict[str, Dialect] = {}

    def of(self, model: str) -> Dialect:
        """What the model takes, as far as is known."""
        return self._known.get(model, Dialect())

    def remember(self, model: str, dialect: Dialect) -> None:
        """The model has answered in this dialect."""
        self._known[model] = dialect


_UNSUPPORTED = (
    r"unsupported|not supported|does not support|unrecogni[sz]ed|unknown|unexpected"
    r"|not permitted|extra_forbidden|not allowed"
)
_FORMAT = (
    r"response[ _]?format|json[ _]?schema|json[ _]?object|structured[ _]?outputs?|guided_"
    r"|\bgrammar\b"
)


def _refuses_a_parameter(problem: Problem) -> bool:
    return problem.status in (400, 422) and problem.names(_UNSUPPORTED)


def _refuses_the_format(problem: Problem) -> bool:
    return problem.status in (400, 422, 500) and problem.names(_FORMAT)
