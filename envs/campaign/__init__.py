"""A marketing campaign: each day a budget is split over posts, ads and rewards to earn engagement."""
