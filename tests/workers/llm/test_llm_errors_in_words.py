"""What is kept of an error's body: its words, in any shape, without secrets and paths."""

import json
from typing import Any

import pytest

from workers.llm import LLMError
from workers.llm.redact import redact


def message_of(llm: Any, client: Any, ask: Any, body: Any, status: int = 500) -> str:
    llm.replies(llm.error(status, body))
    with pytest.raises(LLMError) as caught:
        client.complete(ask)
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "it broke", "type": "t", "code": None}}, "it broke"),
        ({"error": {"message": "it broke", "code": 500}}, "it broke"),
        ({"error": {"message": {"reason": "it broke"}}}, "it broke"),
        ({"error": "it broke"}, "it broke"),
        ({"error": ["it", "broke"]}, "it; broke"),
        ({"message": "it broke", "code": "x"}, "it broke"),
        ({"detail": "it broke"}, "it broke"),
        ({"detail": {"why": "it broke"}}, "it broke"),
        ({"detail": [{"loc": ["body", "model"], "msg": "it broke"}]}, "body.model: it broke"),
        ({"detail": [{"loc": None, "msg": "it broke"}, "and more"]}, "it broke (); and more"),
        ({"detail": []}, '{"detail": []}'),
        ([{"error": {"message": "it broke"}}], "it broke"),
        ([], "[]"),
        ({"object": "error"}, '{"object": "error"}'),
        ({"error": None, "message": "it broke"}, "it broke"),
        ("it broke", "it broke"),
        ('"it broke"', "it broke"),
        ("null", "500."),
        ("", "The LLM answered 500."),
        ("<html><script>var x = 1</script><h1>It&nbsp;broke</h1>&amp; so</html>", "broke & so"),
        ("<!DOCTYPE html>\n<style>p{}</style><p>it broke</p>", "it broke"),
        ('{"error": {"message": "cut', '{"error": {"message": "cut'),
        ("[" * 100_000, "[["),
    ],
)
def test_an_error_of_any_shape_is_put_in_words(
    llm: Any, client: Any, make_ask: Any, body: Any, words: str
) -> None:
    message = message_of(llm, client, make_ask(), body)
    assert words in message
    assert message.startswith("The LLM answered 500")
    assert "<" not in message
    assert "var x" not in message
    assert len(message) <= 500


@pytest.mark.parametrize("length", [499, 501, 50_000])
def test_words_are_cut_to_500_characters(llm: Any, client: Any, make_ask: Any, length: int) -> None:
    message = message_of(llm, client, make_ask(), {"error": {"message": "é" * length}})
    assert len(message) <= 500
    assert message.count("é") >= 400


def test_bytes_that_are_no_text_do_no_harm(llm: Any, client: Any, make_ask: Any) -> None:
    reply = llm.error(500)
    reply.set_data(b"\xff\xfe\x00\x01 broke")
    llm.replies(reply)
    with pytest.raises(LLMError) as caught:
        client.complete(make_ask())
    assert caught.value.message.endswith("broke")
    assert "\x00" not in caught.value.message


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ("bad key sk-abcdefghijklmnop", "abcdefghijklmnop"),
        ("Incorrect API key provided: sk-proj-abc***xyz.", "xyz"),
        ("Authorization: Bearer abc.def.ghi", "abc.def"),
        ('{"Authorization": "Bearer abcdefgh"}', "abcdefgh"),
        ("header authorization=Basic dXNlcjpwYXNz was refused", "dXNlcjpwYXNz"),
        ("sent bearer eyJhbGciOi.x.y", "eyJhbGciOi"),
        ("x-api-key: 12345", "12345"),
        ("api_key=s3cret&x=1", "s3cret"),
        ("cannot reach postgresql://app:hunter2@db:5432/x", "hunter2"),
        ("redis://:hunter2@cache:6379/0 refused", "hunter2"),
        ("http://user:hun@ter2@host/", "ter2"),
        ("password=hunter2 host=db", "hunter2"),
        ("token llmj_42_abcdefgh is revoked", "abcdefgh"),
        ("hf_abcdefghijkl has no access", "abcdefghijkl"),
        ("at /home/maria/app/server.py line 3", "maria"),
        ('File "/usr/lib/python3/dist-packages/x.py"', "dist-packages"),
        ("no such file: ~/models/mistral.gguf", "mistral.gguf"),
        (r"C:\Users\maria\model.bin is missing", "maria"),
        ("file:///etc/llm/config.yaml is missing", "config.yaml"),
    ],
)
def test_secrets_and_paths_are_struck_out(
    llm: Any, client: Any, make_ask: Any, said: str, secret: str
) -> None:
    message = message_of(llm, client, make_ask(), {"error": {"message": said}}, 401)
    assert secret not in message
    assert "***" in message or "[path]" in message
    assert message.startswith("The LLM answered 401: ")


@pytest.mark.parametrize("wrapping", ["you sent {}", "key={}", '{{"error": "{}"}}', "{}{}"])
def test_the_clients_own_key_is_struck_out_wherever_it_stands(
    llm: Any, make_client: Any, make_ask: Any, wrapping: str
) -> None:
    key = "my.secret/key+with=signs"
    client = make_client(llm.url, api_key=key)
    message = message_of(llm, client, make_ask(), wrapping.format(key, key))
    assert key not in message


def test_a_secret_across_the_cut_is_struck_out_too(
    llm: Any, client: Any, make_ask: Any, wire: Any
) -> None:
    for padding in range(440, 480):
        message = message_of(llm, client, make_ask(), "x" * padding + " " + wire.key)
        assert "canary" not in message


@pytest.mark.parametrize(
    "said",
    [
        "POST /v1/chat/completions is not found",
        "see https://example.com/docs/errors/429 for help",
        "either/or, 1/2, and/or",
        "model mistral:7b/instruct not found",
        "max_tokens: 4096 is too large",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(said: str) -> None:
    assert redact(said) == said


def test_lines_and_control_characters_become_spaces() -> None:
    assert redact("a\r\n\tb\x00\x1b[31mc\ud800") == "a b [31mc"


def test_short_secrets_strike_no_words() -> None:
    assert redact("an orange", ["an", ""]) == "an orange"


def test_an_error_never_quotes_the_prompt_of_the_client(
    llm: Any, client: Any, make_ask: Any
) -> None:
    llm.says(json.dumps({"label": "private matters", "confidence": 9}))
    with pytest.raises(LLMError) as caught:
        client.complete(make_ask(user="private matters"))
    assert "private" not in caught.value.message
