"""A traffic signal at one junction: parameters, model, environments, timings and the optimum."""
