"""Alembic's environment and the migrations, run by ``llm-jobs migrate``."""
