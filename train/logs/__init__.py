"""What a run writes while it trains: tables, TensorBoard events, one progress bar."""
