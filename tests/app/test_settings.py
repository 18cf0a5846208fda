from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, child_environment, load


def _problems(**variables: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    return str(caught.value).splitlines()


def test_every_setting_has_a_default() -> None:
    settings = load()

    assert settings.database_url == f"sqlite:///{Path('var/llm-jobs.db').absolute()}"
    assert settings.redis_dsn == "redis://localhost:6379/0"
    assert (settings.queue_job_timeout_s, settings.queue_job_ttl_s) == (600, 0)
    assert (settings.llm_text_model, settings.llm_vision_model) == ("mistral", "llava")
    assert settings.llm_api_key.get_secret_value() == "not-needed"
    assert (settings.llm_max_retries, settings.llm_timeout_s) == (5, 60)
    assert settings.llm_vision_timeout_s == 120
    assert settings.image_dir == Path("var/images")
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.redis_timeout_s == 10
    assert settings.base_url == "http://127.0.0.1:8000"
    assert settings.host_name


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9001")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("LLM_BASE_URL", "http://localhost:11434/v1/")

    settings = load()

    assert (settings.port, settings.log_level) == (9001, "DEBUG")
    assert settings.llm_base_url == "http://localhost:11434/v1"
    assert settings.base_url == "http://127.0.0.1:9001"


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9001")

    assert load(PORT=9002).port == 9002


def test_every_wrong_value_is_listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RQ_REDIS_URL", "redis://localhost")
    problems = _problems(
        PORT="http",
        REDIS_PORT=70_000,
        DATABASE_URL="mysql://localhost/jobs",
        REDIS_URL="http://localhost",
        LLM_BASE_URL="localhost:11434",
        LLM_TIMEOUT="nan",
        QUEUE_JOB_TIMEOUT=5,
        LOG_FORMAT="xml",
        LLM_TEXT_MODEL="",
    )

    named = sorted(line.partition(":")[0] for line in problems if not line.startswith("RQ_"))
    assert named == [
        "DATABASE_URL",
        "LLM_BASE_URL",
        "LLM_TEXT_MODEL",
        "LLM_TIMEOUT",
        "LOG_FORMAT",
        "PORT",
        "QUEUE_JOB_TIMEOUT",
        "REDIS_PORT",
        "REDIS_URL",
    ]
    assert any(line.startswith("RQ_REDIS_URL") for line in problems)


def test_rq_redis_url_is_refused_since_rq_would_skip_what_makes_it_safe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RQ_REDIS_URL", "redis://localhost")

    (problem,) = _problems()

    assert "Unset it and set REDIS_URL" in problem


def test_a_wrong_database_url_is_answered_with_an_example() -> None:
    (problem,) = _problems(DATABASE_URL="jobs.db")

    assert "postgresql://user:password@localhost/llm_jobs" in problem


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_which_no_other_process_sees_is_refused(url: str) -> None:
    (problem,) = _problems(DATABASE_URL=url)

    assert "must name a file" in problem


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_postgresql_is_reached_with_the_driver_that_is_installed(scheme: str) -> None:
    assert load(DATABASE_URL=f"{scheme}://u:p@h/d").database_url == "postgresql+psycopg://u:p@h/d"


def test_a_yaml_file_lies_under_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("PORT: 9001\nREDIS_HOST: redis.internal\nLLM_TEXT_MODEL: qwen\n")
    monkeypatch.setenv("LLM_JOBS_CONFIG", str(config))
    monkeypatch.setenv("PORT", "9002")

    settings = load(LLM_TEXT_MODEL="given")

    assert (settings.port, settings.redis_host) == (9002, "redis.internal")
    assert settings.llm_text_model == "given"


def test_a_wrong_value_in_the_yaml_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("PORT: zero\n")
    monkeypatch.setenv("LLM_JOBS_CONFIG", str(config))

    assert _problems()[0].startswith("PORT: ")


def test_a_yaml_file_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_JOBS_CONFIG", "/nowhere/config.yaml")

    assert _problems() == ["LLM_JOBS_CONFIG: there is no file /nowhere/config.yaml"]


@pytest.mark.parametrize("content", ["PORT: [", "- PORT\n- 9001\n", "just words", "\x00"])
def test_a_yaml_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(content)
    monkeypatch.setenv("LLM_JOBS_CONFIG", str(config))

    assert _problems()[0].startswith("LLM_JOBS_CONFIG: ")


def test_an_empty_yaml_file_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("# nothing yet\n")
    monkeypatch.setenv("LLM_JOBS_CONFIG", str(config))

    assert load().port == 8000


def test_redis_is_reached_by_the_single_variables() -> None:
    settings = load(
        REDIS_HOST="r", REDIS_PORT=1234, REDIS_DB=5, REDIS_PASSWORD="p@ss/w:rd?", REDIS_SSL=True
    )

    assert settings.redis_dsn == "rediss://:p%40ss%2Fw%3Ard%3F@r:1234/5"


def test_redis_url_wins_over_the_single_variables() -> None:
    assert load(REDIS_URL="redis://a:1/2", REDIS_HOST="b").redis_dsn == "redis://a:1/2"


def test_no_secret_is_shown_by_printing_the_settings() -> None:
    settings = load(
        DATABASE_URL="postgresql://user:canary-db@h/d",
        REDIS_URL="redis://:canary-redis@h",
        REDIS_PASSWORD="canary-password",
        LLM_API_KEY="canary-key",
        LLM_BASE_URL="https://user:canary-llm@host/v1",
        LLM_JOBS_URL="https://user:canary-api@host",
    )

    for shown in (repr(settings), str(settings), f"{settings.redis_password}"):
        assert "canary" not in shown


def test_no_secret_is_shown_by_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = _problems(
        DATABASE_URL="mysql://user:canary@h/d", REDIS_URL="http://:canary@h", LLM_BASE_URL="canary"
    )

    assert len(problems) == 3
    assert "canary" not in "".join(problems)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1


def test_a_programs_environment_is_ours_with_its_own_variables_over_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANG", "C.UTF-8")

    environment = child_environment(PORT="9001")

    assert (environment["LANG"], environment["PORT"]) == ("C.UTF-8", "9001")


def test_the_api_may_be_elsewhere() -> None:
    assert load(LLM_JOBS_URL="https://jobs.example.org/").base_url == "https://jobs.example.org"


def test_a_variable_names_each_field() -> None:
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}

    assert all(name.isupper() for name in names)
    assert len(names) == len(Settings.model_fields)
