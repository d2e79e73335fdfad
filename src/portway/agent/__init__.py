"""The local agent: its configuration, local services and checks, anti-entropy, and its run."""
