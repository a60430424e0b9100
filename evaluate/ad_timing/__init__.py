"""What evaluation knows of ad timing: baselines, exact values and charts."""
