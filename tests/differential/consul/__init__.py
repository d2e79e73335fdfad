"""The same scenario played with the real Consul and with Portway.

A scenario is a function that asks one agent: ``ask.get("kv/a")``, ``ask.dig("web")``,
``ask.cli("members")``. It is played once with each, every answer is recorded as facts
(``facts.py``), and the recordings must be equal but for the differences a step names. Those are
rows of ``docs/compatibility-consul.md``; a difference that is named must be there.
"""
