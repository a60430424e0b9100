"""Speed and robustness, measured outside the test suite."""
