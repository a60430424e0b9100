"""The report of any environment: page, sections and charts."""
