"""Deliveries in a city: which turn to take."""
