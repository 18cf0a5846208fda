"""The parts of the stand-in LLM: reading a question, answering it by rules, misbehaving."""
