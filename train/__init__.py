"""The learners: they know an environment only by its Gymnasium id."""
