"""What `experiments/balloon.py` is made of: the methods, their training, what it found and how that is shown."""
