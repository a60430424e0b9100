"""The evidence: trained agents and baselines on the same episodes, as tables and charts."""
