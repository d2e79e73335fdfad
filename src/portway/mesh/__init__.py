"""The mesh: what services may say to each other, and how their traffic flows."""
