"""When to show an advertisement to somebody who watches one item after another."""
