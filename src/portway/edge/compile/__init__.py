"""From runtime objects to Envoy resources: pure, and proportional to what changed."""
