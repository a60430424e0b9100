"""The what-if page: a campaign's settings changed by hand, and what the agent, the optimum and you make of it."""
