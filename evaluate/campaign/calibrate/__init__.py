"""Past days to a campaign of one's own: a config to train on, and a report of how sure it is."""
