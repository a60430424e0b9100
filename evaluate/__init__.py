"""The evidence: trained agents and yardsticks on the same campaigns, as tables, charts and a report."""
