"""The reference application: background work of an LLM arena."""
