"""The checks: known values, invariants, and the programs run as their users run them."""
