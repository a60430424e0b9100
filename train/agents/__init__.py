"""The agents that learn: Stable-Baselines3's A2C and the hand-written reference."""
