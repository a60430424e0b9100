"""Evaluation of deliveries."""
