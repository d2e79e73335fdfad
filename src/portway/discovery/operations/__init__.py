"""Writes, as functions over a draft: what each may do, must check and changes along with it."""
