"""Other people's clients and tools against Portway's agent, unchanged."""
