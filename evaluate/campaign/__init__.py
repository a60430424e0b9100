"""What evaluation knows of campaigns: sections, plans, past days, robustness, the what-if page."""
