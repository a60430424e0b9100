"""Evaluation of traffic signals: baselines, charts and sections of the report."""
