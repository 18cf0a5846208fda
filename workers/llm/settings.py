"""What the LLM client needs to know."""

from dataclasses import dataclass, field

from app.settings import Settings


@dataclass(frozen=True)
class LLMSettings:
    """An OpenAI-compatible endpoint, its models, and the total deadline of a question."""

    base_url: str
    """Up to and without ``/chat/completions``, for example ``http://localhost:11434/v1``."""
    api_key: str = field(repr=False)
    text_model: str = "mistral"
    vision_model: str = "llava"
    timeout_s: float = 60.0
    vision_timeout_s: float = 120.0

    @classmethod
    def from_settings(cls, settings: Settings) -> "LLMSettings":
        """The part of the settings that concerns the LLM."""
        return cls(
            base_url=settings.llm_base_url,
            api_key=settings.llm_api_key.get_secret_value(),
            text_model=settings.llm_text_model,
            vision_model=settings.llm_vision_model,
            timeout_s=settings.llm_timeout_s,
            vision_timeout_s=settings.llm_vision_timeout_s,
        )
