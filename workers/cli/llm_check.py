"""The doctor's question to the LLM's server."""

import requests

from workers.cli.findings import Finding, Place
from workers.cli.output import plain, without_login

_TIMEOUT_S = 10.0


def check_llm(place: Place) -> Finding:
    """Answers ``GET /models``, takes the key, and has the models."""
    settings = place.settings
    if not settings.llm_base_url:
        advice = "set it to an OpenAI-compatible server, or try llm-jobs demo"
        return Finding("llm", "fail", "LLM_BASE_URL is not set", advice)
    try:
        answer = requests.get(
            f"{settings.llm_base_url}/models",
            headers={"Authorization": f"Bearer {settings.llm_api_key.get_secret_value()}"},
            timeout=_TIMEOUT_S,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        text = f"{without_login(settings.llm_base_url)} does not answer ({type(error).__name__})"
        return Finding("llm", "fail", text, "start it, or correct LLM_BASE_URL; jobs wait for it")
    return _judge(answer, {settings.llm_text_model, settings.llm_vision_model})


def _judge(answer: requests.Response, wanted: set[str]) -> Finding:
    status = answer.status_code
    if status in (requests.codes.unauthorized, requests.codes.forbidden):
        return Finding("llm", "fail", f"refuses the key ({status})", "correct LLM_API_KEY")
    if status != requests.codes.ok:
        text = f"answers {status} to GET /models"
        return Finding("llm", "warn", text, "not every server has it; else correct LLM_BASE_URL")
    try:
        names = {str(model["id"]) for model in answer.json()["data"]}
    except (ValueError, KeyError, TypeError):
        text = "its list of models cannot be read"
        return Finding("llm", "warn", text, "LLM_BASE_URL ends in /v1 on most servers")
    # Ollama lists "mistral:latest" and answers to "mistral".
    missing = sorted(wanted - names - {name.partition(":")[0] for name in names})
    if missing:
        text = plain(f"does not list {', '.join(missing)}")
        return Finding("llm", "warn", text, "set LLM_TEXT_MODEL and LLM_VISION_MODEL")
    return Finding("llm", "ok", plain(f"has {', '.join(sorted(wanted))}"))
