"""The processes that do the work: the RQ worker, maintenance, the LLM client, the CLI."""
