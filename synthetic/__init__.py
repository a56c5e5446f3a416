"""The laboratory on a laptop: a tiny real Llama that has read a knowledge graph. torch."""
