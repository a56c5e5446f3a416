"""Real language models: how well does this model know each row of my data? Being built; `doctor` is what works today."""
