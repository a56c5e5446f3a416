"""Real language models: how well does one know each row of my data, and which rows are to be kept?"""
