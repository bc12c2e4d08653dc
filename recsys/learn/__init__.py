"""Learn the blend from past choices: weights of the retrieval head, curves of the ranking head."""
