"""Real language models: how well does one know each row of my data? Being built; `doctor` works today."""
