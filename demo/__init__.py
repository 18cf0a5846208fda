"""What the demo needs: a server that stands in for an LLM, and sample data."""
