"""A marketing campaign: each day a budget is split over channels to earn engagement."""
