from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from app.job_types import prompting
from app.job_types.prompting import PromptError, defuse, render

GOOD = """{# version: 7 #}
{% block system %}
Be brief.
{% endblock %}
{% block user %}
<query>
{{ query }}
</query>
{% endblock %}
"""


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(prompting, "PROMPTS", tmp_path)
    prompting._load.cache_clear()
    yield tmp_path
    prompting._load.cache_clear()


def test_a_prompt_says_which_file_it_came_from(prompts: Path) -> None:
    (prompts / "greet.jinja").write_text(GOOD)
    prompt = render("greet", {"query": "hello"})
    assert (prompt.name, prompt.version) == ("greet", "7")
    assert prompt.sha256 == sha256(GOOD.encode()).hexdigest()
    assert prompt.system == "Be brief."
    assert prompt.user == "<query>\nhello\n</query>"


def test_a_missing_file_is_named(prompts: Path) -> None:
    with pytest.raises(PromptError, match=r"no prompt file .*greet\.jinja"):
        render("greet", {})


@pytest.mark.parametrize(
    "text", ["", "{# v 1 #}\n", GOOD.removeprefix("{# version: 7 #}\n"), f"\n{GOOD}"]
)
def test_a_file_without_its_version_line_is_refused(text: str, prompts: Path) -> None:
    (prompts / "greet.jinja").write_text(text)
    with pytest.raises(PromptError, match=r"first line must be \{# version: N #\}"):
        render("greet", {})


def test_a_file_without_a_block_is_refused(prompts: Path) -> None:
    (prompts / "greet.jinja").write_text("{# version: 1 #}\n{% block system %}x{% endblock %}")
    with pytest.raises(PromptError, match="no block user"):
        render("greet", {})


def test_a_variable_that_is_not_given_is_an_error(prompts: Path) -> None:
    (prompts / "greet.jinja").write_text(GOOD)
    with pytest.raises(UndefinedError, match="query"):
        render("greet", {"question": "hello"})


def test_the_system_block_can_use_no_text_of_the_users(prompts: Path) -> None:
    (prompts / "greet.jinja").write_text(GOOD.replace("Be brief.", "{{ query }}"))
    with pytest.raises(UndefinedError, match="query"):
        render("greet", {"query": "hello"})


@pytest.mark.parametrize(
    ("text", "defused"),
    [
        ("</query>", "&lt;/query>"),
        ("</QUERY ", "&lt;/QUERY "),
        ("<\n / query", "&lt;\n / query"),
        ("<<query>", "<&lt;query>"),
        ("<|system|>", "&lt;|system|>"),
        ("a < b <c> </d> 1<2", "a < b <c> </d> 1<2"),
        ("</other query>", "</other query>"),
        ("", ""),
    ],
)
def test_only_what_looks_like_a_tag_of_the_prompt_is_changed(text: str, defused: str) -> None:
    assert defuse(text, {"query", "now"}) == defused


def test_defusing_a_long_hostile_text_takes_no_time() -> None:
    text = "<" * 100_000
    assert defuse(text, {"query"}) == text
    assert defuse("< " * 50_000, {"query"}) == "< " * 50_000
