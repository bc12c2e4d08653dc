"""What the blend learns from past choices: the weights of one head, the curves of the other."""
