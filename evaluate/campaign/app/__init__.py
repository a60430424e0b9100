"""The what-if page: other settings, and what the agent, the best plan and you make of them."""
